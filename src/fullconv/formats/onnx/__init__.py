"""ONNX: read, cast and written natively, run as it is."""
