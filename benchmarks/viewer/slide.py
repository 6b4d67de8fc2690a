"""A slide as scanners write it: JPEG tiles of 256, levels of a quarter of the size each. Its tiles are some encoded ones again and again; every one is decoded for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

_TILE = 256
_LEAST = 1024  # px a side of the coarsest level, at least


def slide(path: Path, side: int) -> Path:
    """side × side RGB pixels."""
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:_TILE, :_TILE]
    encoded = []
    for _ in range(24):
        waves = [
            150 + 60 * np.sin(x / rng.uniform(5, 30)) * np.cos(y / rng.uniform(5, 30)) + rng.normal(0, 8, x.shape)
            for _ in range(3)
        ]
        encoded.append(imagecodecs.jpeg8_encode(np.clip(np.stack(waves, axis=2), 0, 255).astype(np.uint8), level=85))
    sides = [side]
    while sides[-1] // 4 >= _LEAST:
        sides.append(sides[-1] // 4)

    def tiles(count: int) -> Iterator[bytes]:
        for which in rng.integers(0, len(encoded), count):
            yield encoded[which]

    part = path.with_suffix(".part")
    with tifffile.TiffWriter(part, bigtiff=True) as file:
        for level in sides:
            file.write(
                tiles((-(-level // _TILE)) ** 2), shape=(level, level, 3), dtype=np.uint8, tile=(_TILE, _TILE), photometric="ycbcr", subsampling=(2, 2),
                compression="jpeg", resolution=(20_000, 20_000), resolutionunit="CENTIMETER", subfiletype=0 if level == side else 1, subifds=len(sides) - 1 if level == side else None,
            )  # fmt: skip
    part.rename(path)
    return path
