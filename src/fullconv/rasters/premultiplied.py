"""Whether a TIFF's colours are multiplied by its transparency already: GDAL, which reads it, does not tell the two kinds apart."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import IO, Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_EXTRA_SAMPLES = 338  # the tag's number
_ASSOCIATED = 1
_BIG = 43  # a BigTIFF's number, whose header is longer


def is_premultiplied(file: IO[bytes], band: int, count: int) -> bool:
    """Whether the tag of extra samples says so of a band.

    Args:
        file: the TIFF.
        band: which is transparency, from 0.
        count: of the bands.
    """
    with suppress(Exception), warnings.catch_warnings():  # what GDAL reads and Pillow cannot says nothing
        warnings.simplefilter("ignore")
        head = file.read(16)
        size = 16 if _BIG in (head[2], head[3]) else 8
        tags: Any = ImageFileDirectory_v2(head[:size])
        file.seek(tags.next)
        tags.load(file)
        extra = tags.get(_EXTRA_SAMPLES, ())
        at = band - (count - len(extra))
        return 0 <= at < len(extra) and extra[at] == _ASSOCIATED
    return False
