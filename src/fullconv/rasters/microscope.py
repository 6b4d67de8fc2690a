"""What microscopes and scanners write beside the pixels of a TIFF: how large a pixel is, how many bits count."""

from __future__ import annotations

from math import isfinite
from typing import Any
from xml.etree.ElementTree import Element, ParseError, fromstring

_MICROMETRES = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_PER = {2: 25400.0, 3: 10000.0}  # resolution units: inch, centimetre, in micrometres
_GDAL = 42112  # the tag of GDAL's metadata
_PRINTED = 25  # µm from which a resolution is a printer's


def size_of_pixel(file: Any, page: Any) -> tuple[float, float] | None:
    """(y, x) in micrometres, from OME's description, Aperio's, or the resolution tags; None where none says a size that can be."""
    if file.is_ome:
        size = _of_ome(_pixels(file))
    elif file.is_svs:
        size = _of_aperio(page.description)
    else:
        size = _of_tags(page)
    return size if size is not None and all(isfinite(side) and side > 0 for side in size) else None


def significant_bits(file: Any) -> int | None:
    """Bits of a pixel that count, where OME's description says it."""
    pixels = _pixels(file) if file.is_ome else None
    stated = None if pixels is None else pixels.get("SignificantBits")
    return int(stated) if stated is not None and stated.isdecimal() else None


def names_of_channels(file: Any) -> tuple[str, ...]:
    """Names of the channels, empty for one without; () where OME's description has none, or one channel holds several bands."""
    pixels = _pixels(file) if file.is_ome else None
    found = [] if pixels is None else [each for each in pixels if each.tag.endswith("Channel")]
    if any(each.get("SamplesPerPixel", "1") != "1" for each in found):
        return ()
    return tuple((each.get("Name") or "").strip()[:100] for each in found)


def described_by_gdal(page: Any, samples: int) -> tuple[str, ...]:
    """What GDAL's metadata calls the samples, empty for one without; () where it calls none."""
    text = page.tags[_GDAL].value if _GDAL in page.tags else ""
    try:
        items = list(fromstring(text)) if isinstance(text, str) and text.strip() else []
    except ParseError:
        return ()
    found = [""] * samples
    for item in items:
        place = item.get("sample", "")
        if item.get("role") == "description" and place.isdecimal() and int(place) < samples:
            found[int(place)] = (item.text or "").strip()[:100]
    return tuple(found) if any(found) else ()


def _pixels(file: Any) -> Element | None:
    """The description of the first image's pixels."""
    try:
        found = fromstring(file.ome_metadata)  # the standard library resolves no outside entity
    except ParseError:
        return None
    return next((each for each in found.iter() if each.tag.endswith("Pixels")), None)


def _of_ome(pixels: Element | None) -> tuple[float, float] | None:
    sides = []
    for side in ("Y", "X"):
        size = None if pixels is None else pixels.get(f"PhysicalSize{side}")
        factor = None if pixels is None else _MICROMETRES.get(pixels.get(f"PhysicalSize{side}Unit", "µm"))
        if size is None or factor is None:
            return None
        try:
            sides.append(float(size) * factor)
        except ValueError:
            return None
    return sides[0], sides[1]


def _of_aperio(description: str) -> tuple[float, float] | None:
    for part in description.split("|"):
        name, _, value = part.partition("=")
        if name.strip() == "MPP":
            try:
                return float(value), float(value)
            except ValueError:
                return None
    return None


def _of_tags(page: Any) -> tuple[float, float] | None:
    unit = _PER.get(int(getattr(page, "resolutionunit", 1)))
    if unit is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None
    y, x = (page.tags[name].value for name in ("YResolution", "XResolution"))
    if not (x[0] and y[0] and x[1] and y[1]) or unit * x[1] / x[0] > _PRINTED:
        return None
    return unit * y[1] / y[0], unit * x[1] / x[0]
