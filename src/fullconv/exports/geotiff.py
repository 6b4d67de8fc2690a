"""Cloud-optimised GeoTIFF, a band a class, by rasterio (extra ``geo``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.coordinates import Coordinates
from fullconv.maps.classmap import ClassMap
from fullconv.results.encoding import MISSING, STEPS, encoded
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

_MOST_BANDS = 65535
_STEP = 512  # rows and columns that are written at once, a multiple of the file's tiles
_AT_ONCE = 16  # bands
_TILE = 256


def write_geotiff(found: ClassMap, out: Path, classes: tuple[int, ...]) -> None:
    """Write the scores of some classes; float16 is widened, since the format has none, and uint8 stays (scale 1/254, 255 no data).

    Of a map that keeps the winning class alone, all classes together are two bands: that class's index, and its score.
    """
    try:
        import rasterio
        import rasterio.shutil
        from rasterio.windows import Window
    except ImportError:
        raise MissingExtra(f"{out}: GeoTIFF needs rasterio; install it with: pip install 'fullconv[geo]'") from None
    bands = _Bands(found, classes)
    if len(bands.names) > _MOST_BANDS:
        raise BadInput(
            f"{out}: {len(bands.names)} classes, and a GeoTIFF holds {_MOST_BANDS} bands at most; choose one with --class"
        )
    placed, grid, stored = Coordinates.of(found), found.grid, bands.stored
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": grid.rows, "width": grid.cols, "count": len(bands.names), "dtype": stored,
        "nodata": MISSING if stored == "uint8" else float("nan"), "transform": rasterio.Affine(*placed.cells), "crs": placed.crs,
        "tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate", "interleave": "band", "bigtiff": "if_safer",
    }  # fmt: skip
    with written_whole(out) as (part,):
        plain = part.with_suffix(".plain.tif")
        try:
            with rasterio.Env(GDAL_CACHEMAX=64 << 20):
                with rasterio.open(plain, "w", **profile) as file:
                    file.update_tags(TIFFTAG_SOFTWARE=MARK)
                    for i, name in enumerate(bands.names, 1):
                        file.set_band_description(i, name)
                    if stored == "uint8":
                        file.scales = [1 / STEPS] * len(bands.names)
                    for rows, cols in product(_steps(grid.rows), _steps(grid.cols)):
                        window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
                        for first, values in bands.read(rows, cols):
                            places = list(range(first + 1, first + 1 + len(values)))
                            file.write(encoded(values, stored), places, window=window)
                # The driver for cloud-optimised files holds all of a file that it is given piece by piece, and nothing of one that it copies.
                rasterio.shutil.copy(
                    plain, part, driver="COG", compress="deflate", overview_resampling="average", bigtiff="if_safer"
                )
        except rasterio.errors.RasterioError as error:
            raise BadInput(f"{out}: cannot be written ({error})") from None
        finally:
            plain.unlink(missing_ok=True)


def _steps(length: int) -> list[slice]:
    return [slice(first, min(first + _STEP, length)) for first in range(0, length, _STEP)]


class _Bands:
    """The bands of a file, and their values, a few at a time."""

    def __init__(self, found: ClassMap, classes: tuple[int, ...]) -> None:
        self._found, self._classes = found, classes
        keep = None if found.record is None else found.record.keep
        self._top1 = keep == "top1" and len(classes) == len(found.labels) > 1
        self.stored = (
            "uint8" if found.record is not None and found.record.stored == "uint8" and not self._top1 else "float32"
        )
        self.names = ["winning class", "its score"] if self._top1 else [found.labels[index] for index in classes]

    def read(self, rows: slice, cols: slice) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """(first band, its and the next bands' values)."""
        scores: Any = self._found.scores
        if self._top1:
            winners, best = scores.winners(rows, cols)
            yield 0, np.stack([np.where(winners < 0, np.float32(np.nan), winners).astype(np.float32), best])
            return
        for first in range(0, len(self._classes), _AT_ONCE):
            some = self._classes[first : first + _AT_ONCE]
            yield first, np.asarray(scores[some[0] : some[-1] + 1, rows, cols])
