"""Files beside an image that say where it lies: world files (.tfw, .jgw, .pgw, ...), .aux.xml and .prj; and what such files may say.

Georeference that the image itself holds comes first. Files that GDAL opens by itself (.ovr, .msk, and theirs) are known before it does: it
would open anything under these names, and go where it points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

from fullconv.errors import BadInput
from fullconv.geometry.place import Affine
from fullconv.rasters.source import About
from fullconv.rasters.vrt import sources_of
from fullconv.system.guard import reads

_LARGEST = 4 << 20  # bytes of a sidecar that is parsed
_OPENED = (".ovr", ".msk", ".OVR", ".MSK")
_DEEP = 8  # overviews of masks of overviews ...


def with_place(about: About, path: Path) -> About:
    """What is known of an image, with its place by the files beside it where it says none itself."""
    if about.transform is not None:
        return about
    aux = _aux(path)
    transform = _stated(aux, path) or _world(path)
    if transform is None and aux is None:
        return about
    nodata = about.nodata if about.nodata is not None else _nodata(aux)
    if transform is None:
        return replace(about, nodata=nodata)
    crs = about.crs or _text(aux, "SRS") or _text_of(path.with_suffix(".prj"))
    remark = f"{about.name}: its place is taken from a file beside it"
    return replace(about, transform=transform, crs=crs, nodata=nodata, remarks=(*about.remarks, remark), orientation=1)


def beside(path: Path) -> bool:
    """Whether a file lies beside an image that GDAL knows how to use: overviews or a mask."""
    return next(opened_beside(path), None) is not None


def opened_beside(path: Path, deep: int = 0) -> Iterator[Path]:
    """Files that GDAL opens by itself with an image: its overviews and masks, and theirs."""
    for suffix in _OPENED:
        other = _more(path, suffix)
        if _exists(other):
            if deep == _DEEP:
                raise BadInput(f"{other}: masks and overviews of each other, {_DEEP} deep; remove it")
            yield other
            yield from opened_beside(other, deep + 1)


def read_with(path: Path) -> list[Path]:
    """Files whose change is a change of the image: overviews, masks, what says where it lies, the sources of a mosaic with theirs, and the
    files that a slide or raster consists of."""
    names = [
        *opened_beside(path),
        _more(path, ".aux.xml"),
        path.with_suffix(".prj"),
        *_world_names(path),
        *_parts(path),
    ]
    if path.suffix.lower() == ".vrt":
        for source in sources_of(path):
            names += [source, *opened_beside(source), _more(source, ".aux.xml")]
    return sorted({name for name in names if _exists(name)} - {path})


def _parts(path: Path) -> Iterator[Path]:
    """Other files that hold pixels of an image of this kind."""
    suffix = path.suffix.lower()
    if suffix == ".dcm":  # the others of its series; which these are its reader finds by looking at all
        yield from (each for each in path.parent.iterdir() if _is_dicom(each))
    elif suffix == ".mrxs":
        yield from path.with_suffix("").rglob("*")
    elif suffix in (".vms", ".vmu"):
        values = (line.partition("=")[2].strip() for line in (_text_of(path) or "").splitlines())
        yield from (path.with_name(value) for value in values if value and "/" not in value and "\0" not in value)
    elif suffix == ".img":
        yield from (path.with_suffix(other) for other in (".ige", ".IGE", ".rrd", ".RRD"))


def _is_dicom(path: Path) -> bool:
    if not _exists(path):
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _more(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _world_names(path: Path) -> Iterator[Path]:
    """x.tfw, x.tifw and x.wld of x.tif, in lower and upper case."""
    letters = path.suffix[1:]
    short = letters[:1] + letters[-1:] + "w" if len(letters) > 2 else letters + "w"
    for suffix in (short, letters + "w", "wld"):
        yield path.with_suffix("." + suffix.lower())
        yield path.with_suffix("." + suffix.upper())


def _world(path: Path) -> Affine | None:
    """Six numbers, a line each: x per column, y per column, x per row, y per row, and the centre of the first pixel."""
    for name in _world_names(path):
        text = _text_of(name)
        if text is None:
            continue
        try:
            a, d, b, e, x, y = (float(line.replace(",", ".")) for line in text.split()[:6])
        except ValueError:
            raise BadInput(f"{name}: a world file holds six numbers, a line each; mend or remove it") from None
        return a, b, x - a / 2 - b / 2, d, e, y - d / 2 - e / 2
    return None


def _aux(path: Path) -> Element | None:
    text = _text_of(_more(path, ".aux.xml"))
    if text is None:
        return None
    try:
        return fromstring(text)  # the standard library resolves no outside entity
    except ParseError as error:
        raise BadInput(f"{_more(path, '.aux.xml')}: not XML that can be read ({error}); mend or remove it") from None


def _stated(aux: Element | None, path: Path) -> Affine | None:
    text = _text(aux, "GeoTransform")
    if text is None:
        return None
    try:
        c, a, b, f, d, e = (float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(
            f"{_more(path, '.aux.xml')}: its GeoTransform is {text[:80]!r}, not six numbers; mend or remove it"
        ) from None
    return a, b, c, d, e, f


def _nodata(aux: Element | None) -> float | None:
    """The value that all bands state."""
    values = [] if aux is None else [each.findtext("NoDataValue") for each in aux.iter("PAMRasterBand")]
    try:
        stated = {None if value is None else float(value) for value in values}
    except ValueError:
        return None
    return stated.pop() if len(stated) == 1 else None


def _text(aux: Element | None, name: str) -> str | None:
    found = None if aux is None else aux.findtext(name)
    return found.strip() or None if found else None


def _text_of(path: Path) -> str | None:
    if not _exists(path):
        return None
    reads(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(
                f"{path}: a file of {path.stat().st_size >> 20} MB is no world file or description; remove it"
            )
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
