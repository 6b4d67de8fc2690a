"""Operators of ONNX spelt in torch, by domain and name."""

from __future__ import annotations

from collections.abc import Mapping

from fullconv.runtimes.torch.operators import (
    attention,
    elementwise,
    layout,
    linear,
    moving,
    normalization,
    pool,
    quantized,
    reductions,
    resize,
    sizes,
)
from fullconv.runtimes.torch.record import Spelt

SPELT: Mapping[tuple[str, str], Spelt] = {
    (record.domain, record.kind): record
    for family in (
        attention,
        elementwise,
        layout,
        linear,
        moving,
        normalization,
        pool,
        quantized,
        reductions,
        resize,
        sizes,
    )
    for record in family.OPERATORS
}
