"""Which reader an image gets: by its name, and by what is installed."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters.source import Source
from fullconv.system.guard import is_folder, reads, require_file

SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".czi")
_TIFF = (".tif", ".tiff", ".btf", ".tf8", ".gtiff", ".cog")
_GDAL = (".jp2", ".j2k", ".vrt")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm")
TILED = (*SLIDES, *_GDAL, ".npy", ".zarr")  # what no picture reader opens
SUFFIXES = (*TILED, *_TIFF, *_PICTURES)
_HELD = 64 << 20  # pixels up to which a picture is held whole


def open_source(image: Any) -> Source:
    """Open an image: a path, a PIL image, or an array of (H, W) or (H, W, C).

    Raises:
        MissingExtra: the library that reads it is not installed.
        BadInput: it is missing, damaged, or no image that can be read.
    """
    from fullconv.rasters.memory import Held, Npy

    if not isinstance(image, str | Path):
        return Held(image)
    path = Path(image)
    reads(path)
    if is_folder(path):
        return _zarr(path)
    require_file(path, "image")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return Npy(path)
    if suffix in SLIDES:
        return _slide(path)
    if suffix in _TIFF:
        return _tiff(path)
    if suffix in _GDAL:
        return _gdal(path, "JP2 and VRT files")
    return _picture(path)


def _zarr(path: Path) -> Source:
    if not any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs")):
        raise BadInput(
            f"{path}: is a folder and no Zarr image; name an image, or give a folder of images without -o x.zarr"
        )
    from fullconv.rasters.zarrs import Zarr

    return Zarr(path)


def _slide(path: Path) -> Source:
    if find_spec("openslide") is None:
        raise MissingExtra(f"{path}: slides need openslide; install it with: pip install 'fullconv[slide]'")
    from fullconv.rasters.slide import Slide

    return Slide(path)


def _gdal(path: Path, what: str) -> Source:
    if find_spec("rasterio") is None:
        raise MissingExtra(f"{path}: {what} need rasterio; install it with: pip install 'fullconv[geo]'")
    from fullconv.rasters.gdal import Gdal

    return Gdal(path)


def _tiff(path: Path) -> Source:
    """By openslide where it is a vendor's slide, by rasterio where it has a place on the earth, by tifffile otherwise."""
    if find_spec("openslide") is not None:
        from fullconv.rasters.slide import Slide, is_slide

        if is_slide(path):
            return Slide(path)
    readers = {"rasterio": find_spec("rasterio") is not None, "tifffile": find_spec("tifffile") is not None}
    decodes = readers["tifffile"] and find_spec("imagecodecs") is not None
    placed = _is_placed(path)
    if placed and not readers["rasterio"]:
        raise MissingExtra(
            f"{path}: holds a place on the earth, a palette or missing data; install rasterio to read it: pip install 'fullconv[geo]'"
        )
    if decodes and not placed:
        from fullconv.rasters.tiff import Tiff

        return _in_rows(Tiff(path))
    if readers["rasterio"]:
        return _in_rows(_gdal(path, "TIFF files"))
    if _pixels(path) <= _HELD:
        from fullconv.rasters.memory import Held

        return Held(path)
    raise MissingExtra(
        f"{path}: a big TIFF needs rasterio or tifffile; install one with: pip install 'fullconv[geo]' or 'fullconv[slide]'"
    )


def _is_placed(path: Path) -> bool:
    """Whether a TIFF holds a georeference (the tags of GeoTIFF) or a value for no data, which rasterio knows how to read; a palette too."""
    codes = (33550, 33922, 34264, 34735, 42113, 320)
    if find_spec("tifffile") is None:
        try:
            with Image.open(path) as image:
                return any(
                    code in getattr(image, "tag_v2", {}) for code in codes[:-1]
                )  # Pillow resolves palettes itself
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
            return False  # its reader says what is wrong
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return any(code in file.pages.first.tags for code in codes)
    except (OSError, ValueError, IndexError, tifffile.TiffFileError):
        return False  # its reader says what is wrong


def _picture(path: Path) -> Source:
    from fullconv.rasters.memory import Held

    if _pixels(path) <= _HELD:
        return Held(path)
    return _in_rows(_gdal(path, f"pictures of more than {_HELD >> 20} megapixels"))


def _in_rows(source: Source) -> Source:
    """A source that is stored row after row keeps the rows that it has read."""
    from fullconv.rasters.rows import Rows

    return Rows(source) if source.about.in_rows else source


def _pixels(path: Path) -> int:
    """Pixels that a picture declares; 0 where it says none, so that its reader tells what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return sys.maxsize  # more than Pillow opens
    except (OSError, SyntaxError, ValueError, EOFError):
        return 0
