"""What GDAL would open by itself with an image is known, and is an image, before the image is opened.

A TIFF's own metadata may name a file of overviews (``OVERVIEW_FILE``), and that may be anything that GDAL opens: a description of raw bytes
of another file, or an address. So each file is opened by its own driver alone, and asked what it names, before any overview is.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import h5py
import rasterio
import rasterio.errors
from rasterio.io import MemoryFile

from fullconv.errors import BadInput
from fullconv.rasters.access import Access
from fullconv.rasters.hdf5 import arrays, open_file
from fullconv.rasters.sidecars import opened_beside
from fullconv.rasters.vrt import described, kind_of
from fullconv.system.guard import reads

CLOSED = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing-is-fetched"}  # no file system of GDAL's goes to another machine


def require_harmless(path: Path | str, driver: str) -> None:
    """BadInput where GDAL would go from an image (a path, or GDAL's name of an address) to what is no image that holds its own pixels."""
    if driver == "GTiff":
        _require_no_other(path, driver)
    if not isinstance(path, Path):
        return
    if driver == "netCDF" and h5py.is_hdf5(path):
        with open_file(path) as file:
            for _ in arrays(path, file):  # none of which leads to another file
                pass
    for other in opened_beside(path):
        reads(other)
        if kind_of(other) != "GTiff":
            raise BadInput(f"{other}: lies beside {path.name} and is no TIFF, which overviews and masks are; remove it")
        _require_no_other(other, "GTiff")


def mosaic(path: Path, access: Access) -> MemoryFile:
    """A mosaic, in memory, as GDAL may read it.

    Raises:
        BadInput: it asks for more than is allowed.
    """
    text = described(path, access, _look, _overviews(path))
    return MemoryFile(text, ext=".vrt")


def _look(source: Path | str) -> None:
    require_harmless(
        source, str(kind_of(source)) if isinstance(source, Path) else "GTiff"
    )  # elsewhere, only TIFFs are opened


def _overviews(path: Path) -> Path | None:
    """The file of overviews beside a mosaic."""
    require_harmless(path, "VRT")
    beside = list(opened_beside(path))
    if any(other.suffix.lower() == ".msk" for other in beside):
        raise BadInput(
            f"{beside[-1]}: a mask beside a mosaic is not read; state it in {path.name} as its MaskBand, or remove it"
        )
    return beside[0] if beside else None


def _require_no_other(path: Path | str, driver: str) -> None:
    """A file of this driver that names no file of overviews."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver=driver) as file:
                named: Any = file.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    except rasterio.errors.RasterioIOError as error:
        raise BadInput(f"{os.fspath(path)}: cannot be opened as a TIFF, or is truncated ({error})") from None
    if named is not None:
        raise BadInput(
            f"{path}: its metadata names another file for its overviews ({named[:60]!r}), which is not followed; remove OVERVIEW_FILE"
        )
