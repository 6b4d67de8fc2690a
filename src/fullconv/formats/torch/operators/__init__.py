"""ATen operators, each spelt in ONNX's words: one function an operator serves the rules on axes and the engine alike."""

from fullconv.formats.torch.operators import (
    attention,
    columns,
    elementwise,
    layout,
    linear,
    normalization,
    places,
    reduce,
    truth,
    window,
)
from fullconv.formats.torch.operators.call import OPERATORS, Call, Emitter, NotLowered, Record, Spelling, Unspelt

__all__ = [
    "OPERATORS",
    "Call",
    "Emitter",
    "NotLowered",
    "Record",
    "Spelling",
    "Unspelt",
    "attention",
    "columns",
    "elementwise",
    "layout",
    "linear",
    "normalization",
    "places",
    "reduce",
    "truth",
    "window",
]
