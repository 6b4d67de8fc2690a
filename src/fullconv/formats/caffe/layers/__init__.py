"""Caffe's layers, one class a type: its shapes, its touch, its learned blobs and its lowering to ONNX.

The equations are those of BVLC Caffe 1.0's CPU implementation in its test phase.
"""

from fullconv.formats.caffe.layers.registry import LAYERS, make_layer

__all__ = ["LAYERS", "make_layer"]
