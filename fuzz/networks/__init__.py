"""Random ONNX networks, and the oracle that a cast of one is held to."""
