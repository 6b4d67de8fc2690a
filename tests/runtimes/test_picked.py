"""Channels picked by a list, for an engine that computes them wrongly; against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullconv.loading import load
from fullconv.runtimes.picked import _runs
from tests.conftest import worst
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, original, weights, write

PICKED = {
    "by an initializer": ("g = Gather <axis=1> (p, i)", ints(i=[2, 0, 3, 1])),
    "by a Constant": ("i = Constant <value = int64[4] {2,0,3,1}> ()\ng = Gather <axis=1> (p, i)", {}),
    "by a list of ints": ("i = Constant <value_ints = [2,0,3,1]> ()\ng = Gather <axis=1> (p, i)", {}),
    "from the end": ("i = Constant <value = int64[4] {-1,0,-2,1}> ()\ng = Gather <axis=1> (p, i)", {}),
    "by way of an Identity": ("i0 = Constant <value = int64[4] {2,0,3,1}> ()\ni = Identity(i0)\ng = Gather <axis=-3> (p, i)", {}),
    "channels last": ("t = Transpose <perm=[0,2,3,1]> (p)\nu = Gather <axis=3> (t, i)\ng = Transpose <perm=[0,3,1,2]> (u)", ints(i=[2, 0, 3, 1])),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKED)
def test_openvino_answers_as_onnx_runtime_does(tmp_path: Path, name: str) -> None:
    pytest.importorskip("openvino")
    lines, numbers = PICKED[name]
    body = TRUNK + lines + "\nk = Conv <kernel_shape=[3,3]> (g, w2, b2)\nf = Flatten(k)\ny = Gemm(f, w, b)"
    numbers = weights(**TRUNK_WEIGHTS, w2=(6, 4, 3, 3), b2=(6,), w=(150, 5), b=(5,)) | numbers
    path = write(tmp_path / "net.onnx", body, numbers, opset=13)
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    model = load(path)
    assert worst(model.run(image, runtime="openvino")["y"], original(path, image)[0]) < 1e-5
    assert worst(model.cast().run(image, runtime="openvino")["y"][:, :, 0, 0], original(path, image)[0]) < 1e-5


def test_positions_that_follow_one_another_are_one_slice() -> None:
    end = 2**31 - 1
    assert list(_runs([0, 1, 2, 5, 4, -2, -1, 0])) == [(0, 3), (5, 6), (4, 5), (-2, end), (0, 1)]
    assert list(_runs([3])) == [(3, 4)]
    assert list(_runs([-3, -2])) == [(-3, -1)]
