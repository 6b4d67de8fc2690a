"""PyTorch: read by torch.export, cast into a module that trains, run through ONNX or as it is."""
