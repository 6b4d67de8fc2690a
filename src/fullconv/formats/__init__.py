"""One package a format, each reading to a Graph, applying a Plan natively, and lowering to ONNX."""
