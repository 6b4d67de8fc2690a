"""A network that answers with the winning class, without an axis of classes, beside its scores or alone: cast, written, read and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.maps.mapping import map_image
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, original, weights, write

BODY = TRUNK + "f = Flatten(p)\ny = Gemm <transB=1> (f, w, b)\nz = ArgMax <axis=1, keepdims=0> (y)"
NUMBERS = weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,))
PIXELS = np.random.default_rng(2).integers(0, 255, (22, 26, 3), np.uint8)


@pytest.mark.parametrize("outputs", ["float[1,5] y, int64[1] z", "int64[1] z"])
def test_the_winner_of_every_cell(tmp_path: Path, outputs: str) -> None:
    path = write(tmp_path / "net.onnx", BODY, NUMBERS, outputs=outputs)
    net = fullconv.load(path)
    (written,) = net.cast().save(tmp_path / "full.onnx")
    values = PIXELS.transpose(2, 0, 1)[None].astype(np.float32)
    last = -1 if "y" in outputs else 0
    crops = [
        [int(original(path, np.ascontiguousarray(values[:, :, y : y + 16, x : x + 16]))[last][0]) for x in range(0, 11, 2)]
        for y in range(0, 7, 2)
    ]  # fmt: skip
    assert len(np.unique(crops)) > 1
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    for each in (net, fullconv.load(written)):
        np.testing.assert_array_equal(map_image(each, PIXELS, output="z").scores, [crops])
    np.testing.assert_array_equal(map_image(net, PIXELS, output="z", by="crops", stride=2).scores, [crops])
