"""Cloud-optimised GeoTIFF by rasterio (extra ``geo``): scores, a band a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.bands import Bands, windows
from fullconv.exports.coordinates import Coordinates
from fullconv.maps.classmap import ClassMap
from fullconv.results.encoding import MISSING, STEPS, Stored, encoded
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK, is_own, sign

Read = Callable[
    [slice, slice], Iterator[tuple[int, npt.NDArray[Any]]]
]  # of rows and columns: first band, its and the next bands' values
_MOST_BANDS = 65535
_TILE = 256


def write_geotiff(found: ClassMap, out: Path, classes: tuple[int, ...]) -> None:
    """Write the scores of some classes; float16 is widened, since the format has none, and uint8 stays (scale 1/254, 255 no data).

    Of a map that keeps the winning class alone, all classes together are two bands: that class's index, and its score.
    """
    bands = Bands(found, classes)
    if len(bands.names) > _MOST_BANDS:
        raise BadInput(
            f"{out}: {len(bands.names)} classes, and a GeoTIFF holds {_MOST_BANDS} bands at most; choose one with --class"
        )
    small = found.record is not None and found.record.stored == "uint8" and not bands.winners
    kind: Stored = "uint8" if small else "float32"
    missing, scale = (MISSING, 1 / STEPS) if small else (float("nan"), None)

    def read(rows: slice, cols: slice) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        return ((first, encoded(values, kind)) for first, values in bands.read(rows, cols))

    # The mean of numbers of classes would be another class.
    resampling = "nearest" if bands.winners else "average"
    write_bands(found, out, bands.names, kind, missing, read, resampling=resampling, scale=scale)


def write_bands(
    found: ClassMap,
    out: Path,
    names: Sequence[str],
    kind: str,
    missing: float,
    read: Read,
    *,
    resampling: str,
    scale: float | None = None,
    colours: Mapping[int, tuple[int, ...]] | None = None,
    beside: tuple[str, str] | None = None,
) -> None:
    """Write bands over a map's cells, piece by piece.

    Args:
        kind, missing: of values, and the one that is none.
        resampling: of overviews.
        scale: what values are to be multiplied with.
        colours: (red, green, blue, alpha) a value of the first band.
        beside: end of the name, and text, of a file that goes with it.
    """
    try:
        import rasterio
        import rasterio.shutil
        from rasterio.windows import Window
    except ImportError:
        raise MissingExtra(f"{out}: GeoTIFF needs rasterio; install it with: pip install 'fullconv[geo]'") from None
    placed, grid = Coordinates.of(found), found.grid
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": grid.rows, "width": grid.cols, "count": len(names), "dtype": kind, "nodata": missing,
        "transform": rasterio.Affine(*placed.cells), "crs": placed.crs, "tiled": True, "blockxsize": _TILE, "blockysize": _TILE,
        "compress": "deflate", "interleave": "band", "bigtiff": "if_safer",
    }  # fmt: skip
    targets = [out] if beside is None else [out, out.with_name(out.name + beside[0])]
    with written_whole(*targets) as parts:
        part = parts[0]
        plain = part.with_suffix(".plain.tif")
        try:
            with rasterio.Env(GDAL_CACHEMAX=64 << 20):
                with rasterio.open(plain, "w", **profile) as file:
                    file.update_tags(TIFFTAG_SOFTWARE=MARK)
                    if found.statement is not None:
                        file.update_tags(CONFIRMED=str(found.statement))
                    if colours is not None:
                        file.write_colormap(1, colours)
                    for i, name in enumerate(names, 1):
                        file.set_band_description(i, name)
                    if scale is not None:
                        file.scales = [scale] * len(names)
                    for rows, cols in windows(grid.rows, grid.cols):
                        window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
                        for first, values in read(rows, cols):
                            file.write(values, list(range(first + 1, first + 1 + len(values))), window=window)
                # The driver for cloud-optimised files holds all of a file that it is given piece by piece, and nothing of one that it copies.
                rasterio.shutil.copy(
                    plain, part, driver="COG", compress="deflate", overview_resampling=resampling, bigtiff="if_safer"
                )
        except rasterio.errors.RasterioError as error:
            raise BadInput(f"{out}: cannot be written ({error})") from None
        finally:
            plain.unlink(missing_ok=True)
        sign(part)
        if beside is not None:
            parts[1].write_text(beside[1], encoding="utf-8")
    if beside is None:
        _forget(out.with_name(out.name + ".aux.xml"))


def _forget(aux: Path) -> None:
    """Remove the names that an earlier raster of classes had by this name: GDAL would take them for the new one's."""
    if aux.is_file() and is_own(aux):
        aux.unlink()
