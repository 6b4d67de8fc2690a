"""Images that are in memory: arrays, masked ones, PIL's, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import fullconv
from fullconv.errors import BadInput
from tests.stream import colours

PIXELS = colours.patches(90, 100)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> fullconv.Model:
    return fullconv.load(colours.network(tmp_path_factory.mktemp("net") / "net.onnx"))


def scores(model: fullconv.Model, image: object) -> np.ndarray:
    return np.asarray(fullconv.map(model, image, preprocess="unit").scores)


def test_masked_pixels_are_missing(model: fullconv.Model, tmp_path: object) -> None:
    """Their numbers were mapped as if nothing were masked."""
    gone = np.zeros(PIXELS.shape, bool)
    gone[:50] = True
    masked = np.ma.masked_array(PIXELS, gone)
    there = np.isfinite(scores(model, masked)[0])
    stride, crop = colours.STRIDE, colours.CROP
    rows = np.array([gone[top : top + crop, 0, 0].mean() <= 0.5 for top in range(0, 90 - crop + 1, stride)])
    np.testing.assert_array_equal(there, np.repeat(rows[:, None], there.shape[1], axis=1))
    beside = np.dstack([PIXELS, np.where(gone[:, :, 0], 0, 255).astype(np.uint8)])
    np.testing.assert_array_equal(scores(model, masked), scores(model, Image.fromarray(beside, "RGBA")))
    stored = fullconv.map_raster(model, masked, f"{tmp_path}/x.zarr", preprocess="unit")
    np.testing.assert_array_equal(np.asarray(stored.scores), scores(model, masked))


def test_a_band_of_a_pixel_is_no_pixel(model: fullconv.Model) -> None:
    """As with a stated value: a blue of 0 is a colour, and no missing pixel."""
    gone = np.zeros(PIXELS.shape, bool)
    gone[:, :, 2] = True
    np.testing.assert_array_equal(scores(model, np.ma.masked_array(PIXELS, gone)), scores(model, PIXELS))


def test_numbers_up_to_1_are_told(model: fullconv.Model) -> None:
    """They are taken on 0..255, where they are nearly black."""
    told: list[str] = []
    fullconv.map(model, PIXELS / 255, preprocess="unit", notes=told.append)
    assert any("no number of it is above 1" in note for note in told)
    told.clear()
    fullconv.map(model, PIXELS.astype(np.float32), preprocess="unit", notes=told.append)
    assert not any("above 1" in note for note in told)


def test_an_image_that_was_closed_is_told(model: fullconv.Model, tmp_path: object) -> None:
    Image.fromarray(PIXELS).save(f"{tmp_path}/i.png")
    image = Image.open(f"{tmp_path}/i.png")
    image.close()
    with pytest.raises(BadInput, match="the image: cannot be read"):
        scores(model, image)


def test_what_is_no_image_says_how_it_becomes_one(model: fullconv.Model) -> None:
    with pytest.raises(BadInput, match=r"not Tensor; give numpy.asarray\(image\), rows and columns first"):
        scores(model, torch.zeros(3, 90, 100))
