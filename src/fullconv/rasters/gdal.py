"""GeoTIFF, COG, JP2, VRT, and big PNG and JPEG, by rasterio (extra ``geo``)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from threading import Lock, get_ident
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from PIL import Image
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as Part

from fullconv.errors import BadInput
from fullconv.geometry.place import Affine
from fullconv.rasters.access import NONE, Access
from fullconv.rasters.arrays import chosen
from fullconv.rasters.bandnames import RGB, may_be_alpha
from fullconv.rasters.harmless import CLOSED, mosaic, require_harmless
from fullconv.rasters.hdf5 import require_modest
from fullconv.rasters.pictures import FORMATS
from fullconv.rasters.premultiplied import is_premultiplied
from fullconv.rasters.remote import CONNECT, RETRIES, WHOLE, Address, RemoteFile
from fullconv.rasters.source import About, Alpha, Array, Level, Span, Window, cover_of, white_of
from fullconv.rasters.turned import ORIENTATION

_DRIVERS = {  # a file is what its name says, never one that another driver would run or follow elsewhere
    ".jp2": "JP2OpenJPEG", ".j2k": "JP2OpenJPEG", ".vrt": "VRT", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP",
    ".img": "HFA", ".ntf": "NITF", ".nitf": "NITF", ".nc": "netCDF",
}  # fmt: skip
_ROWS = ("PNG", "JPEG", "WEBP", "BMP")  # no part of these decodes without all rows above it
_CACHE = 64 << 20  # bytes of decoded blocks that the library keeps
_COEFFICIENT = 2  # bytes of one of a JPEG's numbers before it is a pixel
_SETTINGS = {
    "GDAL_CACHEMAX": _CACHE,
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # files beside the image are looked for by their names
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC": "YES",
    "GDAL_VRT_ENABLE_PYTHON": "NO",  # whatever the environment says
}
_FAR = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # nothing is asked for but the address itself
    "GDAL_HTTP_CONNECTTIMEOUT": CONNECT,
    "GDAL_HTTP_TIMEOUT": WHOLE,
    "GDAL_HTTP_MAX_RETRY": RETRIES,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "CPL_VSIL_CURL_USE_HEAD": "NO",  # an address signed for GET is good for nothing else
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/",  # what is opened anew is read anew
}
_PART = 64 << 10  # bytes of a request of ours
_VENDORS = {
    "<OME": "an OME-TIFF",
    "Aperio": "a slide",
    "ImageJ=": "a stack of ImageJ's",
    "SCANNER": "a slide",
    "PHILIPS": "a slide",
}
_METRES = ("metre", "meter", "m")


class Gdal:
    """A raster with its georeference, overviews and masks, those in files beside it (.ovr, .msk) too.

    The library's datasets are of one thread at a time; of a TIFF of tiles in a file each thread opens its own.
    """

    def __init__(self, image: Path | Address, access: Access = NONE) -> None:
        far = isinstance(image, Address)
        path = Path(image.path) if isinstance(image, Address) else image
        self._name = image.url if isinstance(image, Address) else str(image)
        self._target: Any = image.in_gdal if isinstance(image, Address) else image.absolute()
        self._driver = _DRIVERS.get(path.suffix.lower(), "GTiff")
        self._settings = {**_SETTINGS, **(_FAR if far else {} if access.remote else CLOSED)}
        self._open: dict[tuple[int, int], Any] = {}  # by thread and level
        self._parallel, self._opening = False, Lock()
        self._copy: Any = None  # of a mosaic, in memory
        if self._driver == "netCDF" and not far:
            require_modest(path)
        try:
            with rasterio.Env(**self._settings):
                self._start(image, path, access)
        except BaseException:
            self.close()
            raise

    def _start(self, image: Path | Address, path: Path, access: Access) -> None:
        if self._driver == "VRT":
            self._copy = mosaic(path, access)
        else:
            require_harmless(self._target, self._driver)
        main = self._level(0)
        if access.subdataset is not None or main.count == 0:
            main = self._choose(main, access.subdataset)
        if isinstance(image, Address):
            _require_plain(self._name, main)
        shapes = [(main.height, main.width, main.block_shapes[0])]
        for level in range(1, len(main.overviews(1)) + 1):
            coarse = self._level(level)
            shapes.append((coarse.height, coarse.width, coarse.block_shapes[0]))
        inverted = main.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        self._colours = None if inverted else _palette(main)  # GDAL gives such a file a palette of greys
        self._alpha = _alpha(main)
        one_nodata = len({str(value) for value in main.nodatavals}) == 1
        self._masked = self._alpha is None and (not one_nodata or _has_mask(main))
        size, unit = _pixel_size(main)
        self._dtype = np.dtype("uint8") if self._colours is not None else np.result_type(*main.dtypes)
        if self._dtype.kind not in "fiu":
            raise BadInput(f"{self._name}: an image must hold numbers, found {self._dtype}")
        bits = main.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        tiled = main.driver == "GTiff" and all(tile[1] < w for _, w, tile in shapes[:1])
        self._parallel = tiled and isinstance(image, Path)
        kind: Alpha = "mask" if self._masked else "" if self._alpha is None else _kind(image, main, self._alpha)
        self.about = About(
            name=self._name,
            bands=3 if self._colours is not None else main.count - (self._alpha is not None),
            dtype=self._dtype.name,
            levels=tuple(Level(h, w, (int(tile[0]), int(tile[1]))) for h, w, tile in shapes),
            in_rows=main.driver in _ROWS or (main.compression is not None and main.block_shapes[0][1] >= main.width),
            parallel=self._parallel,
            white=white_of(self._dtype, int(bits) if bits and self._colours is None else None),
            inverted=inverted,
            alpha=kind,
            orientation=_orientation(image, main),
            pixel_size=size,
            unit=unit,
            transform=_transform(main),
            crs=main.crs.to_wkt() if main.crs else None,
            nodata=None if self._colours is not None or not one_nodata else main.nodata,
            held=_held(path, main),
            remarks=_remarks(self._name, main),
            names=RGB if self._colours is not None else _names(main, self._alpha),
        )

    def _choose(self, whole: Any, name: str | None) -> Any:
        """One image of a file of several, by the name that GDAL lists."""
        listed = {_short(each, self._target): each for each in whole.subdatasets}
        if name not in listed:
            shown = ", ".join(sorted(listed)[:20]) or "none"
            missing = "" if name is None else f"holds no image {name!r}; "
            raise BadInput(f"{self._name}: {missing}choose an image with --subdataset (subdataset=); it holds {shown}")
        whole.close()
        self._open.clear()
        self._target = listed[name]
        return self._level(0)

    def _level(self, level: int) -> Any:
        key = get_ident() if self._parallel else 0, level
        if key not in self._open:
            how: dict[str, Any] = {"overview_level": level - 1} if level else {}
            # Filters of warnings are the process's, so that one thread sets them at a time.
            with self._opening, rasterio.Env(**self._settings), warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                if self._copy is None:
                    self._open[key] = rasterio.open(self._target, driver=self._driver, **how)
                else:
                    self._open[key] = self._copy.open(driver=self._driver, **how)
        return self._open[key]

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        part = Part(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        file = self._level(level)
        with rasterio.Env(**self._settings):
            cover = None if not self._masked else file.dataset_mask(window=part)
            if self._colours is not None:
                return Window(chosen(self._colours[file.read(1, window=part)], bands), cover)
            own = [band + 1 + (self._alpha is not None and band >= self._alpha) for band in bands]
            alpha = [] if self._alpha is None else [self._alpha + 1]
            pixels: Array = file.read([*own, *alpha], window=part, out_dtype=self._dtype.name)
        if self._alpha is not None:
            pixels, cover = pixels[:-1], cover_of(pixels[-1])
        return Window(pixels.transpose(1, 2, 0), cover)  # (H, W, bands)

    def close(self) -> None:
        for dataset in self._open.values():
            with suppress(rasterio.errors.RasterioError):
                dataset.close()
        self._open.clear()
        if self._copy is not None:
            self._copy.close()


def _short(listed: str, path: Any) -> str:
    """What GDAL calls an image of a file, without driver and file: ``NETCDF:"x.nc":t`` is t, ``NITF_IM:1:x.ntf`` is 1."""
    rest = listed.replace(f'"{path}"', "").replace(str(path), "")
    return ":".join(part for part in rest.split(":")[1:] if part)


def _has_mask(dataset: Any) -> bool:
    """Whether the file, or one beside it, has a mask of its own."""
    return any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in dataset.mask_flag_enums)


def _transform(dataset: Any) -> Affine | None:
    if dataset.transform.is_identity:
        return None
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    return a, b, c, d, e, f


def _remarks(name: str, dataset: Any) -> tuple[str, ...]:
    found = []
    if len(dataset.subdatasets) > 1:
        found.append(f"{name}: holds {len(dataset.subdatasets)} images, the first is read")
    points, _ = dataset.gcps
    if points and dataset.transform.is_identity:
        found.append(
            f"{name}: is placed by {len(points)} ground control points, which are not applied: cells have no coordinates but pixels"
        )
    if dataset.rpcs is not None and dataset.transform.is_identity:
        found.append(
            f"{name}: is placed by rational polynomials (RPC), which are not applied: cells have no coordinates but pixels"
        )
    if any(scale != 1 for scale in dataset.scales) or any(dataset.offsets):
        found.append(f"{name}: states a scale and an offset of its numbers, which are not applied")
    return tuple(found)


def _alpha(dataset: Any) -> int | None:
    """The band that is transparency, None without one."""
    kinds = zip(dataset.colorinterp, dataset.descriptions, strict=True)
    found = [i for i, (kind, text) in enumerate(kinds) if kind == ColorInterp.alpha and may_be_alpha(text)]
    return found[0] if found and dataset.count > 1 else None


def _kind(image: Path | Address, dataset: Any, band: int) -> Alpha:
    """Of transparency."""
    if dataset.driver != "GTiff":
        return "straight"
    with suppress(OSError):
        opened: Any = BufferedReader(RemoteFile(image), _PART) if isinstance(image, Address) else image.open("rb")
        with opened as file:
            return "premultiplied" if is_premultiplied(file, band, dataset.count) else "straight"
    return "straight"


def _names(dataset: Any, alpha: int | None) -> tuple[str, ...]:
    """Names of the bands: what describes them, else the colour that they are."""
    described = [
        (text or "").strip()[:100] or (kind.name if kind.name in RGB else "")
        for text, kind in zip(dataset.descriptions, dataset.colorinterp, strict=True)
    ]
    found = tuple(name for i, name in enumerate(described) if i != alpha)
    return found if any(found) else ()


def _palette(dataset: Any) -> Array | None:
    """Colours (256, 3) of a raster of indices."""
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    if dataset.dtypes[0] != "uint8":
        raise BadInput(f"{dataset.name}: has a palette of {dataset.dtypes[0]}; one of 256 colours can be read")
    with suppress(ValueError):
        colours = dataset.colormap(1)
        return np.array([colours.get(i, (0, 0, 0, 0))[:3] for i in range(256)], np.uint8)
    return None


def _require_plain(name: str, dataset: Any) -> None:
    """BadInput for what is read by other readers from a file, which read nothing by address."""
    about = dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", "")
    kind = next((kind for mark, kind in _VENDORS.items() if mark in about[:4096]), None)
    if kind is not None:
        raise BadInput(f"{name}: is {kind}, which is not read by address; download it and give the file")


def _orientation(image: Path | Address, dataset: Any) -> int:
    """How a picture is to be turned, as EXIF says; 1 of what has a place on the earth, whose transform speaks of pixels as stored."""
    if dataset.driver not in (*_ROWS, "GTiff") or not dataset.transform.is_identity:
        return 1
    if dataset.driver == "GTiff" and isinstance(image, Path) and find_spec("tifffile") is not None:
        from fullconv.rasters.tiff import stated_orientation

        return stated_orientation(image)  # also of many bands, which Pillow does not open
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file: Any = BufferedReader(RemoteFile(image), _PART) if isinstance(image, Address) else image
        with Image.open(file, formats=FORMATS) as picture:
            return int(picture.getexif().get(ORIENTATION, 1))
    return 1


def _pixel_size(dataset: Any) -> tuple[tuple[float, float] | None, str]:
    """(y, x) in metres, where the CRS measures in them, and the unit."""
    crs = dataset.crs
    if crs is None or not crs.is_projected or dataset.transform.is_identity:
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
            file.seek(max(0, int.from_bytes(head[2:]) - 2), 1)
    return False


def _interlaced(path: Path) -> bool:
    """Whether a PNG's rows come in seven passes: the last byte of its header (ISO/IEC 15948, 11.2.2)."""
    with path.open("rb") as file:
        return file.read(29)[28:] == b"\x01"
