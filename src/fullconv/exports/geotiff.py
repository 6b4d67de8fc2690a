"""Cloud-optimised GeoTIFF, a band a class, by rasterio (extra ``geo``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fullconv.classmap import ClassMap
from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.placed import Placed
from fullconv.files import written_whole
from fullconv.results.encoding import MISSING, STEPS, encoded

_MOST_BANDS = 65535
_BAND_ROWS = 512  # rows and columns that are written at once, a multiple of the file's tiles
_TILE = 256


def write_geotiff(found: ClassMap, out: Path, classes: tuple[int, ...]) -> None:
    """Write the scores of some classes; float16 is widened, since the format has none, and uint8 stays (scale 1/254, 255 no data)."""
    try:
        import rasterio
        import rasterio.shutil
        from rasterio.windows import Window
    except ImportError:
        raise MissingExtra(f"{out}: GeoTIFF needs rasterio; install it with: pip install 'fullconv[geo]'") from None
    if len(classes) > _MOST_BANDS:
        raise BadInput(
            f"{out}: {len(classes)} classes, and a GeoTIFF holds {_MOST_BANDS} bands at most; choose one with --class"
        )
    stored = "uint8" if found.record is not None and found.record.stored == "uint8" else "float32"
    placed = Placed.of(found)
    grid = found.grid
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": grid.rows, "width": grid.cols, "count": len(classes), "dtype": stored,
        "nodata": MISSING if stored == "uint8" else float("nan"), "transform": rasterio.Affine(*placed.cells), "crs": placed.crs,
        "tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate", "interleave": "band", "bigtiff": "if_safer",
    }  # fmt: skip
    with written_whole(out) as (part,):
        plain = part.with_suffix(".plain.tif")
        try:
            with rasterio.Env(GDAL_CACHEMAX=64 << 20):
                with rasterio.open(plain, "w", **profile) as file:
                    for i, index in enumerate(classes, 1):
                        file.set_band_description(i, found.labels[index])
                        if stored == "uint8":
                            file.scales = [1 / STEPS] * len(classes)
                    for row in range(0, grid.rows, _BAND_ROWS):
                        rows = slice(row, min(row + _BAND_ROWS, grid.rows))
                        for col in range(0, grid.cols, _BAND_ROWS):
                            cols = slice(col, min(col + _BAND_ROWS, grid.cols))
                            window = Window(col, row, cols.stop - col, rows.stop - row)
                            for i, index in enumerate(classes, 1):
                                file.write(
                                    encoded(np.asarray(found.scores[index, rows, cols]), stored), i, window=window
                                )
                rasterio.shutil.copy(
                    plain, part, driver="COG", compress="deflate", overview_resampling="average", bigtiff="if_safer"
                )
        except rasterio.errors.RasterioError as error:
            raise BadInput(f"{out}: cannot be written ({error})") from None
        finally:
            plain.unlink(missing_ok=True)
