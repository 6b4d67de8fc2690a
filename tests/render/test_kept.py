"""Each kind of picture as it was when somebody looked at it: thumbnails that are kept in ``kept.png``, one tile a picture.

Where a change is meant, look at the pictures and keep them: ``python -m tools.keep_pictures FOLDER``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.render.subjects import every

KEPT = Path(__file__).with_name("kept.png")
SIDE = 32
ACROSS = 10
PICTURES = every()
_MEAN, _MOST = 1.5, 40  # of 255: how far a tile may be on average, and at one pixel (letters differ from font to font)


def thumbnail(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)


def tile(i: int) -> npt.NDArray[np.float32]:
    with Image.open(KEPT) as sheet:
        x, y = i % ACROSS * SIDE, i // ACROSS * SIDE
        return np.asarray(sheet.convert("RGB").crop((x, y, x + SIDE, y + SIDE)), np.float32)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was_when_it_was_looked_at(name: str) -> None:
    now = np.asarray(thumbnail(PICTURES[name]()), np.float32)
    apart = np.abs(now - tile(list(PICTURES).index(name)))
    assert apart.mean() <= _MEAN
    assert apart.max() <= _MOST
