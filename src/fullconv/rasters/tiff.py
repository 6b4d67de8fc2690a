"""TIFF and OME-TIFF by tifffile (extra ``slide``): tiles are decoded one by one, the libraries' locks released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from fullconv.errors import BadInput
from fullconv.rasters.arrays import axes_of, size_of, window_of
from fullconv.rasters.source import About, Array, Level, decoding

_MICROMETRES = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_ALPHA = (1, 2)  # extra samples that say how much of a pixel is there
_PER = {2: 25400.0, 3: 10000.0}  # resolution units: inch, centimetre, in micrometres


class Tiff:
    """The first image of a file, with its levels."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = tifffile.TiffFile(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise BadInput(f"{path}: not a TIFF that can be read, or truncated ({error})") from None
        try:
            series = self._file.series[0]
            self._series = list(series.levels)
            self._axes = axes_of(series.shape, series.axes.replace("Q", "t").replace("I", "t"), str(path))
            first = self._series[0].keyframe
            levels = tuple(self._level(level) for level in self._series)
        except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
            self._file.close()
            raise BadInput(f"{path}: not a TIFF that can be read, or truncated ({error})") from None
        self._arrays: dict[int, Any] = {}
        _, _, bands = size_of(series.shape, self._axes)
        size = _pixel_size(self._file, first)
        alpha = bands in (2, 4) and any(int(kind) in _ALPHA for kind in first.extrasamples)
        self.about = About(
            str(path), bands, str(series.dtype), levels, pixel_size=size, unit="micrometer" if size else "", mask_band=alpha,
            in_rows=not first.is_tiled and first.compression != 1,
        )  # fmt: skip

    def _level(self, series: Any) -> Level:
        height, width, _ = size_of(series.shape, self._axes)
        page = series.keyframe
        tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        return Level(height, width, (min(tile[0], height), min(tile[1], width)))

    def read(self, level: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        with decoding(self.about.name, rows, cols, RuntimeError, tifffile.TiffFileError, ImportError):
            page = self._series[level].keyframe
            if (
                page.is_tiled
                and len(self._series[level].pages) == 1
                and self._axes in ("yx", "yxc")
                and page.planarconfig == 1
            ):
                return self._tiles(page, rows, cols)
            if level not in self._arrays:
                self._arrays[level] = zarr.open_array(self._series[level].aszarr(), mode="r")
            return window_of(self._arrays[level], self._axes, rows, cols)

    def _tiles(self, page: Any, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        """The window, tile by tile; a tile that the file leaves out is its fill value."""
        height, width = page.tilelength, page.tilewidth
        across = -(-page.imagewidth // width)
        out = np.full((rows[1] - rows[0], cols[1] - cols[0], page.samplesperpixel), page.nodata, page.dtype)
        handle = self._file.filehandle
        for row in range(rows[0] // height, -(-rows[1] // height)):
            for col in range(cols[0] // width, -(-cols[1] // width)):
                index = row * across + col
                if page.databytecounts[index] == 0:
                    continue
                handle.seek(page.dataoffsets[index])
                data = handle.read(page.databytecounts[index])
                decoded, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
                if decoded is None:
                    continue
                pixels = decoded.reshape(decoded.shape[-3:])[: shape[1], : shape[2]]
                top, left = row * height, col * width
                y0, y1 = max(rows[0], top), min(rows[1], top + pixels.shape[0])
                x0, x1 = max(cols[0], left), min(cols[1], left + pixels.shape[1])
                out[y0 - rows[0] : y1 - rows[0], x0 - cols[0] : x1 - cols[0]] = pixels[
                    y0 - top : y1 - top, x0 - left : x1 - left
                ]
        return out

    def close(self) -> None:
        self._file.close()


def _pixel_size(file: Any, page: Any) -> tuple[float, float] | None:
    """(y, x) in micrometres, from OME's description or the resolution tags."""
    if file.is_ome:
        from xml.etree.ElementTree import ParseError, fromstring

        try:
            found = fromstring(file.ome_metadata)  # the standard library resolves no outside entity
        except ParseError:
            return None
        for pixels in found.iter():
            if pixels.tag.endswith("Pixels") and "PhysicalSizeX" in pixels.attrib and "PhysicalSizeY" in pixels.attrib:
                sides = []
                for side in ("Y", "X"):
                    factor = _MICROMETRES.get(pixels.get(f"PhysicalSize{side}Unit", "µm"))
                    if factor is None:
                        return None
                    sides.append(float(pixels.attrib[f"PhysicalSize{side}"]) * factor)
                return sides[0], sides[1]
        return None
    unit = _PER.get(int(getattr(page, "resolutionunit", 1)))
    if unit is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None
    y, x = (page.tags[name].value for name in ("YResolution", "XResolution"))
    if not (x[0] and y[0] and x[1] and y[1]) or unit * x[1] / x[0] > 25:
        return None  # a printer's resolution, no microscope's
    return unit * y[1] / y[0], unit * x[1] / x[0]
