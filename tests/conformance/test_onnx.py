"""Every operator record, in some settings: read, cast, the answer at training size, larger maps and finer ones against crops of the untouched
network in ONNX Runtime, free cells, and what was written and read again."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
import pytest
from fuzz.networks import heads
from fuzz.networks.draft import Draft
from fuzz.networks.oracle import judge

from fullconv.operators import OPERATORS
from tests.conformance.cells import CELLS
from tests.conformance.rows import K, Row, from_the_start, numbers
from tests.conformance.windows import WINDOWS

BIAS = np.array([0.3, -0.2, 0.1, -0.4, 0.2, 0.05], np.float32)
SHAPE = (3, 13, 12)  # 6×5 cells behind the convolution
ROWS = {**CELLS, **WINDOWS}
# Words of our own, for operators of other formats; the tables of PyTorch and Keras have them.
OTHERS = {"AdaptivePool", "Attention", "ReduceOther", "ReduceOver", "ReduceVariance", "Select", "Stack"}


def network(row: Row) -> onnx.ModelProto:
    """The row's step in a small classifier."""
    from_the_start()
    image = np.random.default_rng(1).standard_normal((1, *SHAPE)).astype(np.float32)
    d = Draft(Random(3), row.opset, image, constants=0.0)
    value = d.add("Conv", ["x", d.constant(numbers(4, 3, 3, 3) / 5), d.constant(numbers(4))], strides=[2, 2])
    if row.on == "pooled":
        value = d.add("GlobalAveragePool", [value or ""])
    elif row.on == "vector":
        flat = d.add("Flatten", [value or ""])
        value = d.add("Gemm", [flat or "", d.constant(numbers(120, K) / 11), d.constant(BIAS)])
    made = row.step(d, value or "")
    assert made is not None, "the row's network does not run"
    if row.on != "vector" and not (d.nodes[-1].op_type in ("Gemm", "MatMul") and len(d.shape(made)) == 2):
        flat = made if len(d.shape(made)) == 2 else heads.flatten(d, made)
        made = d.add("MatMul", [flat or "", d.constant(numbers(d.shape(flat or "")[1], 5) / 9)])
    return d.model([made or ""], [1, *SHAPE])


CASES = [pytest.param(k, row, id=f"{k}: {row.label}") for k, rows in ROWS.items() for row in rows]


@pytest.mark.parametrize(("kind", "row"), CASES)
def test_a_cast_keeps_every_promise(kind: str, row: Row) -> None:
    model = network(row)
    assert kind in {node.op_type for node in model.graph.node}
    verdict = judge(model, SHAPE, False, Random(0))
    assert verdict.kind == row.says, verdict
    if row.says == "exact" and OPERATORS[kind].dilates and row.opset >= 11:
        assert verdict.finer, "no finer map was had"


def test_every_record_has_a_row() -> None:
    assert set(ROWS) | OTHERS == set(OPERATORS)
