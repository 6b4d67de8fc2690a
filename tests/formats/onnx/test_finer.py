"""Finer maps of ONNX networks: numbers of every type, padding on one side, and means that no number of the rewrite rounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import fullconv
from tests.formats.onnx.nets import weights, write

CONV = "c = Conv <kernel_shape=[3,3], strides=[2,2]> (x, w1, b1)\n"  # 17 -> 8
HEAD = "\nf = Flatten(p)\ny = Gemm(f, w, b)"
POOLS = {
    "largest": "p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (c)",
    "largest, padded": "p = MaxPool <kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1]> (c)",
    "mean": "p = AveragePool <kernel_shape=[3,2], strides=[2,2]> (c)",
    "mean of what lies inside": "p = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (c)",
    "mean, padded in front": "p = AveragePool <kernel_shape=[2,2], strides=[2,2], pads=[1,1,0,0]> (c)",
    "mean, padding counted": "p = AveragePool <kernel_shape=[2,2], strides=[2,2], pads=[1,1,0,0], count_include_pad=1> (c)",
}
CELLS = {"largest": (4, 4), "largest, padded": (5, 5), "mean": (3, 4), "mean of what lies inside": (4, 4)}


def network(folder: Path, pool: str, kind: str) -> Path:
    rows, cols = CELLS.get(pool, (4, 4))
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w=(4 * rows * cols, 5), b=(5,))
    numbers = {name: values.astype("float16" if kind == "float16" else np.float32) for name, values in numbers.items()}
    body = CONV + POOLS[pool] + HEAD
    return write(folder / "net.onnx", body, numbers, f"{kind}[1,3,17,17] x", f"{kind}[1,5] y", 17)


@pytest.mark.parametrize("kind", ["float", "float16"])
@pytest.mark.parametrize("pool", list(POOLS))
@pytest.mark.parametrize("stride", [1, 2])
def test_every_cell_is_its_crops_answer(tmp_path: Path, pool: str, kind: str, stride: int) -> None:
    path = network(tmp_path, pool, kind)
    session, cast = ort.InferenceSession(path), fullconv.load(path)
    (written,) = cast.refined(stride).save(tmp_path / "finer.onnx")
    plain = ort.InferenceSession(written)
    dtype = np.float16 if kind == "float16" else np.float32
    image = np.random.default_rng(1).standard_normal((1, 3, 23, 25)).astype(dtype)
    (found,) = plain.run(None, {"x": image})
    assert found.dtype == dtype
    grid = cast.refined(stride).sampling().over((23, 25))
    free_rows, free_cols = cast.plan.free_cells(grid)
    rows = [i for i in range(grid.rows) if free_rows[i]] if cast.plan.inexact else list(range(grid.rows))
    cols = [i for i in range(grid.cols) if free_cols[i]] if cast.plan.inexact else list(range(grid.cols))
    cells = [(row, col) for row in rows for col in cols]
    assert cast.plan.inexact or len(cells) == grid.rows * grid.cols >= 4
    for row, col in cells:
        y, x = row * stride, col * stride
        (crop,) = session.run(None, {"x": image[:, :, y : y + 17, x : x + 17]})
        few = 3e-3 if kind == "float16" else 1e-6  # of the largest: float16 has 11 bits
        assert found[0, :, row, col] == pytest.approx(crop[0], abs=few * float(np.abs(crop).max()))
