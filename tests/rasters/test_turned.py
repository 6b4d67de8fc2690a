"""Images that say how they are to be turned, against Pillow: pixels, what covers them, and all that is said of their sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageOps

from fullconv.rasters.source import About, Level, Span, Window
from fullconv.rasters.turned import ORIENTATION, Turned

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 4), np.uint8)


class Stored:
    """The pixels as they are stored: 30 rows of 50, in blocks of 8 rows of 16, each pixel 2 high and 3 wide."""

    def __init__(self, orientation: int) -> None:
        levels = (Level(30, 50, (8, 16)), Level(15, 25, (4, 8)))
        self.about = About(
            "x", 3, "uint8", levels, white=255, alpha="straight", orientation=orientation, pixel_size=(2.0, 3.0)
        )

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        part = PIXELS[:: 1 << level, :: 1 << level][slice(*rows), slice(*cols)]
        assert part.shape[:2] == (rows[1] - rows[0], cols[1] - cols[0])
        return Window(part[:, :, list(bands)], part[:, :, 3])

    def close(self) -> None: ...


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("level", [0, 1])
def test_a_window_is_that_of_the_upright_image(orientation: int, level: int) -> None:
    stored = PIXELS[:: 1 << level, :: 1 << level]
    picture = Image.fromarray(np.ascontiguousarray(stored))
    picture.getexif()[ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(picture))
    found = Turned(Stored(orientation))
    at = found.about.levels[level]
    assert (at.height, at.width) == upright.shape[:2]
    assert found.about.orientation == 1
    swapped = orientation >= 5
    assert at.tile == ((16, 8) if swapped else (8, 16)) if level == 0 else ((8, 4) if swapped else (4, 8))
    assert found.about.pixel_size == ((3.0, 2.0) if swapped else (2.0, 3.0))
    for rows, cols in (((0, at.height), (0, at.width)), ((2, 9), (5, 7)), ((at.height - 1, at.height), (0, 3))):
        window = found.read(level, rows, cols, (2, 0))
        np.testing.assert_array_equal(window.pixels, upright[slice(*rows), slice(*cols)][:, :, [2, 0]])
        np.testing.assert_array_equal(window.cover, upright[slice(*rows), slice(*cols)][:, :, 3])
