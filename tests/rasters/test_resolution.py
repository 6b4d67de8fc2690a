"""Which pixels the network sees at the resolution that is asked for, against Pillow's own resizing of what was written."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fullconv.errors import BadInput
from fullconv.rasters.selection import Trained
from fullconv.rasters.view import Selection, View
from tests.rasters import pictures

SCENE = pictures.scene()[:240, :400]


def slide(path: Path, pixel: tuple[float, float]) -> Path:
    """Two levels of an OME-TIFF whose pixels are so high and so wide, in micrometres."""
    about = {"axes": "YXS", "PhysicalSizeY": pixel[0], "PhysicalSizeX": pixel[1]}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(SCENE, tile=(128, 128), photometric="rgb", metadata=about, subifds=1)
        file.write(SCENE[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
    return path


def seen(path: Path, select: Selection) -> np.ndarray:
    with closing(View(path, select)) as view:
        return view.read((0, view.size[0]), (0, view.size[1]))[0].astype(int)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)).astype(int)


@pytest.mark.parametrize("select", [Selection(mpp=0.5), Selection(trained=Trained(0.5, 0.1, "a card"))])
def test_pixels_that_are_no_squares_are_seen_as_squares(select: Selection, tmp_path: Path) -> None:
    found = seen(slide(tmp_path / "x.ome.tif", (0.5, 0.25)), select)
    assert found.shape == (240, 200, 3)
    assert np.abs(found - resized(SCENE, 240, 200)).max() <= 1
    found = seen(slide(tmp_path / "y.ome.tif", (0.25, 0.5)), select)
    assert found.shape == (120, 400, 3)
    assert np.abs(found - resized(SCENE, 120, 400)).max() <= 1


@pytest.mark.parametrize(("size", "shape"), [(0.27, (240, 400)), (0.46, (120, 200)), (0.54, (120, 200)), (0.28, (214, 357)), (0.57, (105, 175))])  # fmt: skip
def test_a_level_is_taken_within_the_cards_tolerance(size: float, shape: tuple[int, int], tmp_path: Path) -> None:
    found = seen(slide(tmp_path / "x.ome.tif", (0.25, 0.25)), Selection(trained=Trained(size, 0.1, "a card")))
    assert found.shape == (*shape, 3)
    level = SCENE if shape[0] == 240 else SCENE[::2, ::2]
    if shape in ((240, 400), (120, 200)):
        np.testing.assert_array_equal(found, level)


@pytest.mark.parametrize(("mpp", "shape"), [(0.47, (128, 213)), (0.26, (231, 385)), (0.7, (86, 143))])
def test_what_lies_between_levels_is_made_of_the_finer_one(mpp: float, shape: tuple[int, int], tmp_path: Path) -> None:
    found = seen(slide(tmp_path / "x.ome.tif", (0.25, 0.25)), Selection(mpp=mpp))
    assert found.shape == (*shape, 3)
    finer = SCENE if mpp < 0.5 else SCENE[::2, ::2]
    apart = found - resized(finer, *shape)
    assert np.abs(apart).max() <= 1
    assert abs(apart.mean()) < 0.05  # rounded, not cut off


def test_a_level_and_a_size_of_pixels_are_not_asked_for_together() -> None:
    for level in (0, 1):
        with pytest.raises(BadInput, match="give one of them"):
            Selection(level=level, mpp=0.5)


def test_what_is_kept_of_a_selection_is_what_decides() -> None:
    """A run is gone on with whatever a card says of the resolution, where another was asked for."""
    card = Trained(0.5, 0.1, "a card")
    assert Selection(trained=card).to_json()["trained"] == [0.5, 0.1]
    assert Selection(level=0, trained=card).to_json() == Selection(level=0).to_json()
    assert Selection(mpp=0.25, trained=card).to_json() == Selection(mpp=0.25).to_json()
