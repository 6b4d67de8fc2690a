"""Which reader an image gets: by its name, and by what is installed."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters.access import NONE, Access
from fullconv.rasters.blocks import Blocks, are_large, are_packed
from fullconv.rasters.boundary import opened
from fullconv.rasters.pictures import FORMATS
from fullconv.rasters.remote import Address, Unchanged, is_remote
from fullconv.rasters.rows import Rows
from fullconv.rasters.sidecars import beside, with_place
from fullconv.rasters.source import Source
from fullconv.rasters.turned import Turned
from fullconv.system.guard import is_folder, reads, require_file

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is told by what reads it
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".czi", ".dcm")
_TIFF = (".tif", ".tiff", ".btf", ".tf8", ".gtiff", ".cog")
_JPEG_2000 = (".jp2", ".j2k")
_NETCDF, _HDF5 = (".nc",), (".h5", ".hdf5", ".he5")
_GDAL = (*_JPEG_2000, ".vrt", ".img", ".ntf", ".nitf", *_NETCDF)
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm")
TILED = (*SLIDES, *_GDAL, *_HDF5, ".npy", ".zarr")  # what no picture reader opens
SUFFIXES = (*TILED, *_TIFF, *_PICTURES)
_PLACES = (33550, 33922, 34264, 34735, 42113)  # tags of GeoTIFF, and of a value for no data
_KIND, _MASK = 254, 4  # of a page (TIFF 6.0, NewSubfileType)
_HELD = 64 << 20  # pixels up to which a picture is held whole


def open_source(image: Any, access: Access = NONE) -> Source:
    """Open an image: a path, an address (``https://``, ``s3://``, ``gs://``), a PIL image, or an array of (H, W) or (H, W, C).

    Args:
        access: what it may lead to beside itself.

    Raises:
        MissingExtra: the library that reads it is not installed.
        BadInput: it is missing, damaged, or no image that can be read.
    """
    from fullconv.rasters.memory import Held

    if not isinstance(image, str | Path):
        return Held(image)
    if is_remote(image):
        return _far(image, access)
    path = Path(image)
    reads(path)
    _require_one(str(path), ".zarr" if is_folder(path) else path.suffix.lower(), access)
    if is_folder(path):
        _require_zarr(path)
        return _opened(path, "a Zarr image", lambda: _zarr(path, access))
    require_file(path, "image")
    kind, reader = _reader(path, access)
    source = _opened(path, kind, reader)
    try:
        source.about = with_place(source.about, path)
    except BadInput:
        source.close()
        raise
    return source


def _far(url: str, access: Access) -> Source:
    """An image by its address: Zarr by obstore, else by rasterio."""
    address = Address(url)
    suffix = Path(address.path).suffix.lower()
    _require_one(url, ".zarr" if ".zarr" in address.path else suffix, access)
    if suffix in (*_TIFF, *_JPEG_2000):
        if find_spec("rasterio") is None:
            raise MissingExtra(
                f"{url}: images by address need rasterio; install it with: pip install 'fullconv[remote]'"
            )
        stat = address.stat()
        from fullconv.rasters.gdal import Gdal

        return opened(url, "a raster", lambda: _kept(Unchanged(Gdal(address), address, stat)))
    if ".zarr" not in address.path:
        raise BadInput(
            f"{url}: by address are read TIFF (COG, {', '.join(_TIFF)}), JPEG 2000 and Zarr (.zarr in its path); download it and give the file"
        )
    from fullconv.rasters.zarrs import Zarr, stored_at

    return opened(url, "a Zarr image", lambda: _kept(Zarr(url, stored_at(url), access.subdataset)))


def _opened(path: Path, kind: str, reader: Callable[[], Source]) -> Source:
    return opened(str(path), kind, lambda: _kept(reader()))


def _kept(source: Source) -> Source:
    """A source of which no pixel is decoded again for every window: blocks or rows that were read are kept; and upright."""
    about = source.about
    turned = about.orientation in range(2, 9)
    if about.in_rows and turned and about.orientation > 2:
        source = Blocks(source, whole=True)  # its rows are columns, or come from the last one
    elif are_packed(source) or are_large(source):
        source = Blocks(source)
    elif about.in_rows:
        source = Rows(source)
    return Turned(source) if turned else source


def _reader(path: Path, access: Access) -> tuple[str, Callable[[], Source]]:
    """What a file should be, in words, and what opens it."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return "a .npy file", lambda: _npy(path)
    if suffix in _HDF5:
        return "an HDF5 file", lambda: _hdf5(path, access)
    if suffix in SLIDES:
        return "a slide", lambda: _slide(path)
    if suffix in _TIFF:
        return "a TIFF", lambda: _tiff(path)
    if suffix in _GDAL:
        return "a raster", lambda: _gdal(path, f"{suffix[1:].upper()} files", access)
    return "a picture", lambda: _picture(path)


def _npy(path: Path) -> Source:
    from fullconv.rasters.memory import Npy

    return Npy(path)


def _hdf5(path: Path, access: Access) -> Source:
    from fullconv.rasters.hdf5 import Hdf5

    return Hdf5(path, access.subdataset)


def _require_one(name: str, suffix: str, access: Access) -> None:
    """BadInput where an image of a file is chosen that is of no kind that holds several to choose from."""
    if access.subdataset is not None and suffix not in (*_HDF5, *_NETCDF, ".ntf", ".nitf", ".zarr"):
        raise BadInput(
            f"{name}: --subdataset (subdataset=) chooses an image of HDF5, NetCDF, NITF and Zarr; this is none of them"
        )


def _require_zarr(path: Path) -> None:
    if not any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs")):
        raise BadInput(
            f"{path}: is a folder and no Zarr image; name an image, or give a folder of images without -o x.zarr"
        )


def _zarr(path: Path, access: Access) -> Source:
    from fullconv.rasters.zarrs import Zarr

    return Zarr(str(path), str(path), access.subdataset)


def _slide(path: Path) -> Source:
    """By tifffile where the slide is a TIFF that it gives as its vendor's program does, several times as fast; by openslide otherwise."""
    if _reads_tiff():
        from fullconv.rasters.tiff import Tiff, reads_slide, require_levels

        require_levels(path)
        if reads_slide(path):
            return Tiff(path)
    if find_spec("openslide") is None:
        raise MissingExtra(f"{path}: slides need openslide; install it with: pip install 'fullconv[slide]'")
    from fullconv.rasters.dicoms import require_whole
    from fullconv.rasters.slide import Slide

    if path.suffix.lower() == ".dcm":
        require_whole(path)
    return Slide(path)


def _reads_tiff() -> bool:
    return find_spec("tifffile") is not None and find_spec("imagecodecs") is not None


def _gdal(path: Path, what: str, access: Access = NONE) -> Source:
    if find_spec("rasterio") is None:
        raise MissingExtra(f"{path}: {what} need rasterio; install it with: pip install 'fullconv[geo]'")
    from fullconv.rasters.gdal import Gdal

    return Gdal(path, access)


def _tiff(path: Path) -> Source:
    """A vendor's slide as such; by rasterio where it has a place on the earth, a mask or a file of overviews beside it, by tifffile otherwise."""
    if find_spec("openslide") is not None:
        from fullconv.rasters.slide import is_slide

        if is_slide(path):
            return _slide(path)
    geo = find_spec("rasterio") is not None
    placed = _is_placed(path)
    if placed and not geo:
        raise MissingExtra(
            f"{path}: holds a place on the earth, missing data or a mask, or has overviews beside it; install rasterio to read it: pip install 'fullconv[geo]'"
        )
    if _reads_tiff() and not placed:
        return _tiff_or_picture(path)
    if geo:
        return _with_size(_gdal(path, "TIFF files"), path)
    if not _is_plain_tiff(path):
        raise MissingExtra(
            f"{path}: a TIFF that Pillow does not read (many bands, say); install rasterio or tifffile: pip install 'fullconv[geo]' or 'fullconv[slide]'"
        )
    if _pixels(path) <= _HELD:
        from fullconv.rasters.memory import Held

        return Held(path)
    raise MissingExtra(
        f"{path}: a big TIFF needs rasterio or tifffile; install one with: pip install 'fullconv[geo]' or 'fullconv[slide]'"
    )


def _with_size(source: Source, path: Path) -> Source:
    """With the size of a pixel that a microscope wrote, of which GDAL knows nothing, where the image has no place on the earth."""
    about = source.about
    if about.pixel_size is None and about.transform is None and about.crs is None and _reads_tiff():
        from fullconv.rasters.tiff import stated_size

        if (size := stated_size(path)) is not None:
            source.about = replace(about, pixel_size=size, unit="micrometer")
    return source


def _is_plain_tiff(path: Path) -> bool:
    """Whether Pillow reads a TIFF: one band of any depth, or several of 8 bits; what is no TIFF is left for it to tell."""
    with path.open("rb") as file:
        if file.read(2) not in (b"II", b"MM"):
            return True
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("TIFF",)) as image:
            tags: Any = getattr(image, "tag_v2", {})
            return int(tags.get(277, 1)) == 1 or all(int(bits) <= 8 for bits in tags.get(258, (1,)))
    except Image.DecompressionBombError:
        return True  # its size is told
    except Exception:
        return False


def _tiff_or_picture(path: Path) -> Source:
    """By tifffile; colours that are neither grey nor RGB by Pillow, which converts them, where the picture is small enough to hold."""
    from fullconv.rasters.memory import Held
    from fullconv.rasters.tiff import OtherColours, Tiff

    try:
        return Tiff(path)
    except OtherColours:
        if _pixels(path) > _HELD:
            raise
        return Held(path)


def _is_placed(path: Path) -> bool:
    """Whether a TIFF holds a georeference (the tags of GeoTIFF), a value for no data or a mask, or has files beside it, which rasterio knows how to
    read."""
    if beside(path):
        return True
    with suppress(Exception), warnings.catch_warnings(action="ignore"):  # its reader says what is wrong
        first, *others = _tags_of_pages(path)
        return any(code in first for code in _PLACES) or any(int(tags.get(_KIND, 0)) & _MASK for tags in others)
    return False


def _tags_of_pages(path: Path) -> Iterator[Mapping[int, Any]]:
    """By number, those tags of every page that tell who reads the file; of OME-TIFF, whose planes may be thousands and are no masks, of the first."""
    if find_spec("tifffile") is None:
        with Image.open(path, formats=("TIFF",)) as image:
            for frame in ImageSequence.Iterator(image):
                tags: Any = getattr(frame, "tag_v2", {})
                yield {code: tags[code] for code in (*_PLACES, _KIND) if code in tags}
        return
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as file:
        for page in file.pages:
            found: Any = page.aspage().tags
            yield {code: found.valueof(code) for code in (*_PLACES, _KIND) if code in found}
            if file.is_ome:
                return


def _picture(path: Path) -> Source:
    from fullconv.rasters.memory import Held

    deep = _is_deep(path)
    if _pixels(path) <= _HELD and not (deep and find_spec("rasterio") is not None):
        source = Held(path)
        if deep:
            remark = f"{path}: holds colours of 16 bits, of which 8 are read; with rasterio all are: pip install 'fullconv[geo]'"
            source.about = replace(source.about, remarks=(*source.about.remarks, remark))
        return source
    return _gdal(path, f"pictures of more than {_HELD >> 20} megapixels")


def _is_deep(path: Path) -> bool:
    """Whether a PNG holds colours of 16 bits (its header, ISO/IEC 15948, 11.2.2), of which Pillow keeps 8."""
    with path.open("rb") as file:
        head = file.read(26)
    return head.startswith(b"\x89PNG") and len(head) == 26 and head[24] == 16 and head[25] != 0


def _pixels(path: Path) -> int:
    """Pixels that a picture declares; 0 where it says none, so that its reader tells what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return sys.maxsize  # more than Pillow opens
    except Exception:
        return 0
