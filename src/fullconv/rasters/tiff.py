"""TIFF, OME-TIFF and slides that are TIFF inside, by tifffile (extra ``slide``): tiles are decoded one by one, the libraries' locks released."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import tifffile
import zarr

from fullconv.errors import BadInput
from fullconv.rasters.arrays import axes_of, chosen, size_of, window_of
from fullconv.rasters.bandnames import RGB, may_be_alpha
from fullconv.rasters.memory import RowsInFile
from fullconv.rasters.microscope import described_by_gdal, names_of_channels, significant_bits, size_of_pixel
from fullconv.rasters.source import About, Alpha, Array, Level, Span, Window, bits_of, cover_of, white_of
from fullconv.rasters.turned import ORIENTATION

_ALPHA: dict[int, Alpha] = {1: "premultiplied", 2: "straight"}  # kinds of extra samples
_WHITE_IS_ZERO, _PALETTE, _YCBCR = 0, 3, 6
_COLOURS = (_WHITE_IS_ZERO, 1, 2, _PALETTE)
_JPEG = 7
_PROFILE, _LARGEST_SAMPLE, _COLOUR_MAP = 34675, 281, 320


class OtherColours(BadInput):
    """Neither grey, RGB nor a palette."""


class Tiff:
    """The first image of a file, with its levels."""

    def __init__(self, path: Path) -> None:
        self._file = tifffile.TiffFile(path, _multifile=False)  # planes in other files are other images
        try:
            self._open(path)
        except BaseException:
            self._file.close()
            raise

    def _open(self, path: Path) -> None:
        self._series = _levels(self._file)
        series = self._series[0]
        self._axes = axes_of(series.shape, series.axes.replace("Q", "t").replace("I", "t"), str(path))
        page = series.keyframe
        _require_colours(page, path)
        self._colours = _palette(page)
        _, _, samples = size_of(series.shape, self._axes)
        described = described_by_gdal(page, samples)
        self._alpha, kind = _alpha(page, samples, described)
        bands = 3 if self._colours is not None else samples - (self._alpha is not None)
        kinds = {(size_of(each.shape, self._axes)[2], str(each.dtype)) for each in self._series}
        if len(kinds) != 1:
            raise BadInput(f"{path}: its levels hold pixels of different kinds: {sorted(kinds)}")
        dtype = np.dtype(np.uint8 if self._colours is not None else series.dtype)
        bits = significant_bits(self._file) or bits_of(_number(page, _LARGEST_SAMPLE)) or int(page.bitspersample)
        size = size_of_pixel(self._file, page)
        self._arrays: dict[int, Any] = {}
        self._turn = Lock()  # where a thread moves the file's one position
        self._rows = [self._contiguous(path, each) for each in self._series]
        self._in_tiles = [self._tiled(each) for each in self._series]
        remarks = [f"{path}: holds a colour profile, which is left alone"] if _PROFILE in page.tags else []
        if self._file.is_ome and series.kind == "generic":
            remarks.append(f"{path}: names planes in other files (OME), which are not read")
        if len(self._file.series) > 1 and not self._file.is_svs:
            remarks.append(f"{path}: holds {len(self._file.series)} images, the first is read")
        self.about = About(
            str(path), bands, dtype.name, tuple(map(self._level, self._series, self._rows)), pixel_size=size,
            parallel=all(self._in_tiles), unit="micrometer" if size else "", alpha=kind, in_rows=not page.is_tiled and page.compression != 1,
            white=white_of(dtype, None if self._colours is not None else bits), inverted=page.photometric == _WHITE_IS_ZERO,
            orientation=int(_number(page, ORIENTATION) or 1), remarks=tuple(remarks),
            names=_names(self._file, page, bands, tuple(name for i, name in enumerate(described) if i != self._alpha)),
        )  # fmt: skip

    def _level(self, series: Any, in_file: RowsInFile | None) -> Level:
        height, width, _ = size_of(series.shape, self._axes)
        page = series.keyframe
        tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        if in_file is not None:
            tile = 1, 1  # pixels are read from their places
        return Level(height, width, (min(tile[0], height), min(tile[1], width)))

    def _contiguous(self, path: Path, series: Any) -> RowsInFile | None:
        """What reads a level whose array lies in the file as it is."""
        page = series.keyframe
        if (
            series.dataoffset is None
            or page.is_tiled
            or self._axes not in ("yx", "yxc")
            or page.dtype.kind not in "fiu"
        ):
            return None
        dtype = np.dtype(series.dtype).newbyteorder(self._file.byteorder)
        return RowsInFile(path, series.shape, dtype, series.dataoffset)

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        if self._colours is not None:
            index = self._samples(level, rows, cols, [0])[:, :, 0]
            return Window(chosen(self._colours[index], bands))
        if self._alpha is None:
            return Window(self._samples(level, rows, cols, bands))
        own = [band + (band >= self._alpha) for band in bands]
        samples = self._samples(level, rows, cols, [*own, self._alpha])
        return Window(samples[:, :, :-1], cover_of(samples[:, :, -1]))

    def _samples(self, level: int, rows: Span, cols: Span, samples: Sequence[int]) -> Array:
        in_file = self._rows[level]
        if in_file is not None:
            return chosen(in_file.read(rows, cols), samples)
        series = self._series[level]
        if self._in_tiles[level]:
            return chosen(self._tiles(series.keyframe, rows, cols), samples)
        if level not in self._arrays:
            self._arrays[level] = zarr.open_array(series.aszarr(), mode="r")
        return window_of(self._arrays[level], self._axes, rows, cols, samples)

    def _tiled(self, series: Any) -> bool:
        """Whether a level is tiles, each of all samples."""
        page = series.keyframe
        one = len(series.pages) == 1 and self._axes in ("yx", "yxc")
        return bool(page.is_tiled and one and page.planarconfig == 1)

    def _bytes(self, offset: int, count: int) -> bytes:
        """A part of the file; by any number of threads."""
        handle = self._file.filehandle
        if hasattr(os, "pread"):
            return os.pread(handle.fileno(), count, offset)
        with self._turn:
            handle.seek(offset)
            return bytes(handle.read(count))

    def _tiles(self, page: Any, rows: Span, cols: Span) -> Array:
        """The window, tile by tile; a tile that the file leaves out is its fill value."""
        height, width = page.tilelength, page.tilewidth
        across = -(-page.imagewidth // width)
        shape = rows[1] - rows[0], cols[1] - cols[0], page.samplesperpixel
        out: Array | None = None
        for row in range(rows[0] // height, -(-rows[1] // height)):
            for col in range(cols[0] // width, -(-cols[1] // width)):
                index = row * across + col
                if page.databytecounts[index] == 0:
                    continue
                data = self._bytes(page.dataoffsets[index], page.databytecounts[index])
                decoded, _, size = page.decode(data, index, jpegtables=page.jpegtables)
                if decoded is None:
                    continue
                pixels: Array = decoded.reshape(decoded.shape[-3:])[: size[1], : size[2]]
                whole = pixels.shape == shape and pixels.dtype == page.dtype
                if whole and (row * height, col * width) == (rows[0], cols[0]):
                    return pixels  # the window is this tile
                if out is None:
                    out = np.full(shape, page.nodata, page.dtype)
                top, left = row * height, col * width
                y0, y1 = max(rows[0], top), min(rows[1], top + pixels.shape[0])
                x0, x1 = max(cols[0], left), min(cols[1], left + pixels.shape[1])
                out[y0 - rows[0] : y1 - rows[0], x0 - cols[0] : x1 - cols[0]] = pixels[
                    y0 - top : y1 - top, x0 - left : x1 - left
                ]
        return np.full(shape, page.nodata, page.dtype) if out is None else out

    def close(self) -> None:
        self._file.close()


def reads_slide(path: Path) -> bool:
    """Whether a slide is one that this reader gives as its vendor's program does: Aperio's, of whole tiles in JPEG."""
    try:
        with tifffile.TiffFile(path) as file:
            pages = [level.keyframe for level in _levels(file)] if file.is_svs else []
            return bool(pages) and all(page.compression == _JPEG and all(page.databytecounts) for page in pages)
    except Exception:  # whatever is wrong is told by the reader that opens it
        return False


def require_levels(path: Path) -> None:
    """Refuse a slide of Aperio's with a level larger than the one before: openslide 4.0 ends the process where tiles are missing too.

    Raises:
        BadInput: it names the level.
    """
    sizes: list[tuple[int, int]] = []
    with suppress(Exception), tifffile.TiffFile(path) as file:  # whatever else is wrong is told by openslide
        sizes = [(page.keyframe.imagewidth, page.keyframe.imagelength) for page in _levels(file)] if file.is_svs else []
    for i, (before, size) in enumerate(pairwise(sizes), 1):
        if size[0] > before[0] or size[1] > before[1]:
            raise BadInput(
                f"{path}: its level {i}, {size[0]}×{size[1]} px, is larger than the one before, {before[0]}×{before[1]}: no slide has such; it may be damaged"
            )


def stated_size(path: Path) -> tuple[float, float] | None:
    """(y, x) in micrometres of a pixel of the first image, for a file that another library reads; None where it does not say."""
    with (
        suppress(Exception),
        tifffile.TiffFile(path, _multifile=False) as file,
    ):  # what is wrong with it, its reader says
        return size_of_pixel(file, file.pages.first)
    return None


def stated_orientation(path: Path) -> int:
    """How the first image is to be turned, for a file that another library reads; 1 where it does not say."""
    with suppress(Exception), tifffile.TiffFile(path, _multifile=False) as file:
        return int(_number(file.pages.first, ORIENTATION) or 1)
    return 1


def _levels(file: tifffile.TiffFile) -> list[Any]:
    """Levels of the first image, the finest first; of Aperio's slides every tiled page, as its program counts."""
    if not file.is_svs:
        return list(file.series[0].levels)
    pages: Any = file.pages
    tiled = [page for page in pages if page.is_tiled]
    return [
        SimpleNamespace(shape=page.shape, axes=page.axes, dtype=page.dtype, keyframe=page, pages=[page], dataoffset=None, aszarr=page.aszarr)
        for page in tiled
    ]  # fmt: skip


def _require_colours(page: Any, path: Path) -> None:
    kind = int(page.photometric)
    if kind not in _COLOURS and not (kind == _YCBCR and page.compression == _JPEG):
        raise OtherColours(f"{path}: holds colours as {getattr(page.photometric, 'name', kind)}; convert it to RGB")


def _names(file: Any, page: Any, bands: int, described: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the bands: those of OME's channels or of GDAL's metadata, else red, green and blue where the file says that they are these."""
    channels = names_of_channels(file) or described
    if len(channels) == bands and any(channels):
        return channels
    coloured = getattr(page.photometric, "name", "") in ("RGB", "PALETTE", "YCBCR")
    return (*RGB, *[""] * (bands - len(RGB))) if coloured and bands >= len(RGB) else ()


def _palette(page: Any) -> Array | None:
    """(colours, 3) uint8 of an image of indices."""
    if int(page.photometric) != _PALETTE:
        return None
    return (np.asarray(page.tags[_COLOUR_MAP].value, np.uint16).reshape(3, -1).T >> 8).astype(np.uint8)


def _alpha(page: Any, samples: int, described: tuple[str, ...]) -> tuple[int | None, Alpha]:
    """Which sample says how much of a pixel is there, and how."""
    extra = [int(kind) for kind in page.extrasamples]
    for i, kind in enumerate(extra):
        at = samples - len(extra) + i
        if kind in _ALPHA and len(extra) < samples and may_be_alpha(described[at] if described else ""):
            return at, _ALPHA[kind]
    return None, ""


def _number(page: Any, tag: int) -> float | None:
    if tag not in page.tags:
        return None
    value = page.tags[tag].value
    first = value[0] if isinstance(value, tuple) and value else value
    return float(first) if isinstance(first, int | float) else None
