"""Big images for benchmarks: a tiled JPEG TIFF of textures that do not repeat where tiles do, and ``.npy`` files of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

_TILE = 512


def jpeg_tiff(path: Path, side: int) -> Path:
    """side × side RGB pixels in JPEG tiles of 512, as scanners write them."""
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: 2 * _TILE, : 2 * _TILE]
    waves = [
        127 + 60 * np.sin(x / (9 + 4 * i)) * np.cos(y / (13 + 3 * i)) + 40 * np.sin((x + y) / (31 + i))
        for i in range(3)
    ]
    texture = np.clip(np.stack(waves, axis=2) + rng.normal(0, 6, (2 * _TILE, 2 * _TILE, 1)), 0, 255).astype(np.uint8)

    def tiles() -> Iterator[np.ndarray]:
        for _ in range((-(-side // _TILE)) ** 2):
            top, left = rng.integers(0, _TILE, 2)
            yield texture[top : top + _TILE, left : left + _TILE]

    part = path.with_suffix(".part")
    with tifffile.TiffWriter(part, bigtiff=True) as file:
        file.write(
            tiles(), shape=(side, side, 3), dtype=np.uint8, tile=(_TILE, _TILE), photometric="rgb", compression="jpeg",
            compressionargs={"level": 85},
        )  # fmt: skip
    part.rename(path)
    return path


def sparse_npy(path: Path, height: int, width: int) -> Path:
    """height × width grey pixels in a file that takes no room: a hole, read as zeros."""
    header = np.lib.format.header_data_from_array_1_0(np.zeros((0, width), np.uint8))
    header["shape"] = (height, width)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + height * width)
    return path
