"""What runs the network: ONNX Runtime or TensorFlow."""
