"""Caffe: text and binary, V0 to V2, HDF5 weights; read, cast, written and lowered to ONNX."""
