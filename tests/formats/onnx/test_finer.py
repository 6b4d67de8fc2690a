"""Finer maps of ONNX networks: numbers of every type, padding on one side, and means that no number of the rewrite rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import fullconv
from fullconv.errors import CannotCast
from tests.formats.onnx.nets import ints, weights, write

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


@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_mean_whose_last_windows_reach_behind_the_end(stride: int, counted: int, tmp_path: Path) -> None:
    """As torch writes ceil_mode=True: what lies behind the end is not counted, padding or not."""
    pool = f"p = AveragePool <kernel_shape=[3,3], strides=[3,3], ceil_mode=1, count_include_pad={counted}> (c)"
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w=(36, 5), b=(5,))
    path = write(tmp_path / "net.onnx", CONV + pool + HEAD, numbers, "float[1,3,17,17] x", "float[1,5] y", 17)
    image = np.random.default_rng(1).standard_normal((1, 3, 17, 17)).astype(np.float32)
    (crop,) = ort.InferenceSession(path).run(None, {"x": image})
    found = fullconv.load(path).refined(stride).run(image)["y"]
    assert found[0, :, 0, 0] == pytest.approx(crop[0], abs=1e-6 * float(np.abs(crop).max()))


def test_a_mean_with_two_ends_has_no_finer_form(tmp_path: Path) -> None:
    """It counts its padding, and not what lies behind that; shifted images give the map."""
    pool = "p = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1, count_include_pad=1> (c)"
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w=(100, 5), b=(5,))
    path = write(tmp_path / "net.onnx", CONV + pool + HEAD, numbers, "float[1,3,17,17] x", "float[1,5] y", 17)
    model = fullconv.load(path)
    with pytest.raises(CannotCast, match="its last means count padding, and not what lies behind that"):
        model.refined(2)
    image = np.random.default_rng(1).integers(0, 256, (21, 25, 3), np.uint8)
    assert (
        fullconv.map(model, image, stride=2).scores.shape
        == fullconv.map(model, image, stride=2, finer="shifts").scores.shape
    )


def test_a_finer_map_of_an_image_whose_end_is_cut(tmp_path: Path) -> None:
    """What a slice leaves out at the end is more than the cell's field: it is no other cell for that."""
    body = "s = Slice(x, z, e, a)\n" + CONV.replace("(x,", "(s,") + POOLS["mean of what lies inside"] + HEAD
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w=(64, 5), b=(5,)) | ints(z=[0], e=[-1], a=[2])
    path = write(tmp_path / "net.onnx", body, numbers, "float[1,3,18,17] x", "float[1,5] y", 17)
    image = np.random.default_rng(1).standard_normal((1, 3, 18, 17)).astype(np.float32)
    (crop,) = ort.InferenceSession(path).run(None, {"x": image})
    for stride in (1, 2):
        found = fullconv.load(path).refined(stride).run(image)["y"]
        assert found[0, :, 0, 0] == pytest.approx(crop[0], abs=1e-6 * float(np.abs(crop).max()))


def test_a_branch_that_leads_nowhere_is_no_part_of_a_finer_network(tmp_path: Path) -> None:
    """What is written leaves it out, and so does what is planned, of a network that a cast has nothing to change in too."""
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,)) | {"least": np.array(-0.9, np.float32)}
    numbers |= ints(first=[1, 0], last=[4, 2], along=[1, 3])
    nowhere = "\nr = Clip (p, least)\ns = Slice (r, first, last, along)\n"
    body = CONV + POOLS["largest"] + nowhere + "y = Softmax <axis=1> (p)"
    path = write(tmp_path / "net.onnx", body, numbers, "float[1,3,17,17] x", "float[1,4,4,4] y", 17)
    finer = fullconv.load(path).refined(2)
    assert "r" not in finer.graph.values
    image = np.random.default_rng(2).standard_normal((1, 3, 17, 17)).astype(np.float32)
    (written,) = finer.save(tmp_path / "finer.onnx")
    (found,) = ort.InferenceSession(written).run(None, {"x": image})
    (own,) = ort.InferenceSession(path).run(None, {"x": image})
    np.testing.assert_allclose(found[:, :, ::2, ::2], own, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", ["local", "global"])
@pytest.mark.parametrize(
    "middle",
    [
        "m = MeanVarianceNormalization <axes=[1,2,3]> (c)",
        "g = GlobalAveragePool(c)\ns = Sigmoid(g)\nm = Mul(c, s)",
        "g = GlobalMaxPool(c)\nm = Add(c, g)",
    ],
)
def test_what_goes_by_all_cells_has_no_finer_form_where_these_are_others(
    tmp_path: Path, middle: str, pooling: Any
) -> None:
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w=(4 * 16, 5), b=(5,))
    body = CONV + middle + "\np = MaxPool <kernel_shape=[2,2], strides=[2,2]> (m)" + HEAD
    path = write(tmp_path / "net.onnx", body, numbers, "float[1,3,17,17] x", "float[1,5] y", 17)
    model = fullconv.load(path, global_pooling=pooling)
    image = np.random.default_rng(1).integers(0, 256, (29, 33, 3), np.uint8)
    own = fullconv.map(model, image, preprocess="unit", by="cast")
    found = fullconv.map(model, image, preprocess="unit", stride=2, by="cast")  # behind what goes by all cells
    np.testing.assert_allclose(found.scores[:, ::2, ::2], own.scores, rtol=1e-4, atol=1e-5)
    if "Global" in middle and pooling == "local":
        assert model.refined(1).sampling().stride == (1, 1)
        return
    with pytest.raises(CannotCast, match="it goes by all cells of the map, and a finer map has others"):
        model.refined(1)
    assert fullconv.map(model, image, stride=1, preprocess="unit", by="cast").scores.shape[1:] == (13, 17)
