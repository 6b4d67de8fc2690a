"""What an operator does to axes: its touch, its outputs' axes, its weight matrix. For every format, in ONNX's words."""

from fullconv.operators.operation import Effect, Operation
from fullconv.operators.record import Operator
from fullconv.operators.table import OPERATORS, effect_of

__all__ = ["OPERATORS", "Effect", "Operation", "Operator", "effect_of"]
