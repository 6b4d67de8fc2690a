"""A slide of any size that takes little room: a tiled JPEG TIFF whose tiles are some encoded ones again and again. Every one is decoded for real."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.scene import jpeg_tiff

_FROM = 8 * 512  # pixels a side of the image whose tiles are repeated
_SHORT, _LONG, _LONG8 = 3, 4, 16
_TYPES = {_SHORT: "<u2", _LONG: "<u4", _LONG8: "<u8"}


def repeated(path: Path, side: int) -> Path:
    """side × side RGB pixels."""
    source = jpeg_tiff(path.with_name(f"tiles-{path.stem}.tif"), min(side, _FROM))
    with tifffile.TiffFile(source) as file:
        page = file.pages[0]
        tile = int(page.tilewidth)
        blocks = [_read(source, int(a), int(n)) for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
        tags = {
            name: (page.tags[name].dtype, np.atleast_1d(page.tags[name].value))
            for name in (
                "BitsPerSample",
                "Compression",
                "PhotometricInterpretation",
                "SamplesPerPixel",
                "PlanarConfiguration",
                "YCbCrSubSampling",
            )
            if name in page.tags
        }
        codes = {name: page.tags[name].code for name in tags}
    count = (-(-side // tile)) ** 2
    which = np.random.default_rng(1).integers(0, len(blocks), count)
    starts = 16 + np.cumsum([0, *map(len, blocks)])[:-1]  # behind the header
    entries: list[tuple[int, int, np.ndarray]] = [
        (256, _LONG, np.array([side])), (257, _LONG, np.array([side])), (322, _LONG, np.array([tile])), (323, _LONG, np.array([tile])),
        (324, _LONG8, starts[which]), (325, _LONG, np.array([len(block) for block in blocks])[which]),
        *((codes[name], _SHORT, value) for name, (_, value) in tags.items()),
    ]  # fmt: skip
    _write(path, blocks, sorted(entries, key=lambda entry: entry[0]))
    source.unlink()
    return path


def _read(path: Path, start: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count)


def _write(path: Path, blocks: list[bytes], entries: list[tuple[int, int, np.ndarray]]) -> None:
    """A BigTIFF: its header, the tiles, one directory, and the values that have no room in it."""
    directory = 16 + sum(map(len, blocks))
    directory += directory % 2
    behind = directory + 8 + 20 * len(entries) + 8
    rows, values = b"", b""
    for code, kind, numbers in entries:
        raw = numbers.astype(_TYPES[kind]).tobytes()
        if len(raw) <= 8:
            rows += struct.pack("<HHQ8s", code, kind, numbers.size, raw)
        else:
            rows += struct.pack("<HHQQ", code, kind, numbers.size, behind + len(values))
            values += raw
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, directory))
        for block in blocks:
            file.write(block)
        file.seek(directory)
        file.write(struct.pack("<Q", len(entries)) + rows + struct.pack("<Q", 0) + values)
