"""A TIFF of any size that is written in a second: its tiles are a few encoded blocks, pointed to again and again, and decoded for real."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np

TILE = 512
_KINDS = 64
_SHORT, _LONG, _LONG8 = 3, 4, 16
_BYTES = {_SHORT: 2, _LONG: 4, _LONG8: 8}


def repeated_tiff(path: Path, side: int, blocks: Sequence[bytes] | None = None, seed: int = 0) -> Path:
    """side × side RGB pixels in JPEG tiles of 512 (a BigTIFF, as its specification has it)."""
    blocks = textures() if blocks is None else blocks
    count = (-(-side // TILE)) ** 2
    chosen = np.random.default_rng(seed).integers(0, len(blocks), count)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        places = []
        for block in blocks:
            places.append(file.tell())
            file.write(block)
        at = file.tell()
        file.write(np.asarray(places, "<u8")[chosen].tobytes())
        sizes = file.tell()
        file.write(np.asarray([len(block) for block in blocks], "<u4")[chosen].tobytes())
        start = file.tell()
        tags = [
            (256, _LONG, [side]), (257, _LONG, [side]), (258, _SHORT, [8, 8, 8]), (259, _SHORT, [7]), (262, _SHORT, [6]), (277, _SHORT, [3]),
            (284, _SHORT, [1]), (322, _LONG, [TILE]), (323, _LONG, [TILE]), (324, _LONG8, at), (325, _LONG, sizes), (530, _SHORT, [2, 2]),
        ]  # fmt: skip
        file.write(struct.pack("<Q", len(tags)))
        for tag, kind, value in tags:
            listed = isinstance(value, list)
            data = b"".join(each.to_bytes(_BYTES[kind], "little") for each in value) if listed else struct.pack("<Q", value)  # fmt: skip
            file.write(struct.pack("<HHQ8s", tag, kind, len(value) if listed else count, data.ljust(8, b"\0")))
        file.write(struct.pack("<Q", 0))
        file.seek(8)
        file.write(struct.pack("<Q", start))
    return path


def textures() -> list[bytes]:
    """Blocks that look like tissue of many colours, at quality 85, colours at half the resolution."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:TILE, :TILE]
    found = []
    for _ in range(_KINDS):
        a, b = rng.uniform(0, 6, 2)
        waves = [127 + 60 * np.sin(x / (9 + 4 * i) + a) * np.cos(y / (13 + 3 * i) + b) + 40 * np.sin((x + y) / (31 + i)) for i in range(3)]  # fmt: skip
        pixels = np.clip(np.stack(waves, axis=2) + rng.normal(0, 4, (TILE, TILE, 1)), 0, 255).astype(np.uint8)
        found.append(imagecodecs.jpeg_encode(pixels, level=85, colorspace="rgb", outcolorspace="ycbcr", subsampling=(2, 2)))  # fmt: skip
    return found
