"""What each ONNX operator does to axes: its touch, its outputs' axes, its weight matrix."""

from fullconv.formats.onnx.rules.registry import place

__all__ = ["place"]
