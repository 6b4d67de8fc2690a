"""What an operator does to axes: its touch, its outputs' axes, its weight matrix. For every format, in ONNX's words."""

from fullconv.formats.rules.registry import effect_of

__all__ = ["effect_of"]
