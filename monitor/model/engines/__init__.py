"""Engines, which run the network: ONNX Runtime, TensorFlow or JAX."""
