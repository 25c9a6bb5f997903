"""Engines, which run the network: ONNX Runtime or TensorFlow."""
