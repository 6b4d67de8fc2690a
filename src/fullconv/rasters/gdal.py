"""GeoTIFF, COG, JP2, VRT, and big PNG and JPEG, by rasterio (extra ``geo``)."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from fullconv.errors import BadInput
from fullconv.rasters.source import About, Array, Level, decoding

_DRIVERS = {  # a file is what its name says, never one that another driver would run or follow elsewhere
    ".jp2": "JP2OpenJPEG", ".j2k": "JP2OpenJPEG", ".vrt": "VRT", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP",
}  # fmt: skip
_ROWS = ("PNG", "JPEG", "WEBP", "BMP")  # no part of these decodes without all rows above it
_CACHE = 64 << 20  # bytes of decoded blocks that the library keeps
_COEFFICIENT = 2  # bytes of one of a JPEG's numbers before it is a pixel
_METRES = ("metre", "meter", "m")


class Gdal:
    """A raster with its georeference and overviews."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._options = {"driver": _DRIVERS.get(path.suffix.lower(), "GTiff")}
        self._open: dict[int, Any] = {}
        try:
            main = self._level(0)
            shapes = [(main.height, main.width, main.block_shapes[0])]
            for level in range(1, len(main.overviews(1)) + 1):
                coarse = self._level(level)
                shapes.append((coarse.height, coarse.width, coarse.block_shapes[0]))
        except rasterio.errors.RasterioError as error:
            raise BadInput(f"{path}: cannot be opened ({' '.join(str(error).split())[:200]})") from None
        self._colours = _palette(main)
        mask = main.count in (2, 4) and main.colorinterp[-1] == ColorInterp.alpha
        size, unit = _pixel_size(main)
        placed = not main.transform.is_identity
        self.about = About(
            name=str(path),
            bands=3 if self._colours is not None else main.count,
            dtype="uint8" if self._colours is not None else main.dtypes[0],
            levels=tuple(Level(h, w, (int(tile[0]), int(tile[1]))) for h, w, tile in shapes),
            in_rows=main.driver in _ROWS or (main.compression is not None and main.block_shapes[0][1] >= main.width),
            pixel_size=size,
            unit=unit,
            transform=tuple(main.transform)[:6] if placed else None,
            crs=main.crs.to_wkt() if main.crs else None,
            nodata=None if self._colours is not None else main.nodata,
            mask_band=mask,
            held=_held(path, main),
        )

    def _level(self, level: int) -> Any:
        if level not in self._open:
            coarser = {"overview_level": level - 1} if level else {}
            with rasterio.Env(**_settings()), warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                self._open[level] = rasterio.open(self._path, **self._options, **coarser)
        return self._open[level]

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        with decoding(self.about.name, rows, cols, rasterio.errors.RasterioError), rasterio.Env(**_settings()):
            bands: Array = self._level(level).read(window=window)
        pixels: Array = bands.transpose(1, 2, 0) if self._colours is None else self._colours[bands[0]]
        return pixels  # (H, W, bands)

    def close(self) -> None:
        for dataset in self._open.values():
            with suppress(rasterio.errors.RasterioError):
                dataset.close()
        self._open.clear()


def _settings() -> dict[str, Any]:
    return {
        "GDAL_CACHEMAX": _CACHE,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_PAM_ENABLED": "NO",
        "GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC": "YES",
    }


def _palette(dataset: Any) -> Array | None:
    """Colours (256, 3) of a raster of indices."""
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    with suppress(ValueError):
        colours = dataset.colormap(1)
        return np.array([colours.get(i, (0, 0, 0, 0))[:3] for i in range(256)], np.uint8)
    return None


def _pixel_size(dataset: Any) -> tuple[tuple[float, float] | None, str]:
    """(y, x) in metres, where the CRS measures in them, and the unit."""
    crs = dataset.crs
    if crs is None or not crs.is_projected:
        return None, ""
    factor = crs.linear_units_factor[1] if crs.linear_units.lower() not in _METRES else 1.0
    a, b, _, d, e, _ = tuple(dataset.transform)[:6]
    return (float(np.hypot(b, e)) * factor, float(np.hypot(a, d)) * factor), "meter"


def _held(path: Path, dataset: Any) -> int:
    """Bytes that the library keeps: decoded blocks, and all of a picture that is stored from coarse to fine, which has no first row before
    its last byte."""
    samples = int(dataset.height * dataset.width * dataset.count)
    cache = min(_CACHE, samples * int(np.dtype(dataset.dtypes[0]).itemsize))
    if dataset.driver == "JPEG" and _is_progressive(path):
        return cache + samples * _COEFFICIENT
    if dataset.driver == "PNG" and _interlaced(path):
        return cache + samples * int(np.dtype(dataset.dtypes[0]).itemsize)
    return cache


def _is_progressive(path: Path) -> bool:
    """Whether a JPEG's frame is one of several scans: its start of frame is SOF2 (ITU-T T.81, B.1.1.3)."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
                return head[1] == 0xC2
            file.seek(int.from_bytes(head[2:]) - 2, 1)
    return False


def _interlaced(path: Path) -> bool:
    """Whether a PNG's rows come in seven passes: the last byte of its header (ISO/IEC 15948, 11.2.2)."""
    with path.open("rb") as file:
        return file.read(29)[28:] == b"\x01"
