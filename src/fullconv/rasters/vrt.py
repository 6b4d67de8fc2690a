"""Mosaics (VRT) of strangers: read as data, held to what a mosaic needs, and written anew for GDAL.

A VRT is a small program to GDAL: it names files and addresses, reads any file as raw numbers, and computes. So none is opened as it lies
there. What is on the list below is copied into a description of its own, in which every source is the real path of an image; all else is
refused with its name. GDAL reads that copy alone, so that nothing can mean one thing here and another there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, tostring
from xml.parsers.expat import ExpatError, ParserCreate

from fullconv.errors import BadInput
from fullconv.rasters.access import Access
from fullconv.system.guard import reads

_LARGEST = 64 << 20  # bytes of a description
_ELEMENTS = 1 << 20
_SOURCES = 20_000  # files, each of which is looked at
_BLOCK = 1 << 14  # px a side of a block
_KERNEL = 1 << 10  # numbers of a filter
_HEAD = 64 << 10
_MAGIC = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff", b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG", b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}  # fmt: skip
_OTHER = re.compile(  # what makes GDAL take a file for a description of other files, wherever it stands in the first bytes
    rb"<VRTDataset|<GDALTileIndexDataset|<GDAL_W|<WMS_|<WCS_|<Dimap_Document|rs2prod|<level1Product|<Product_Obs|PDS_VERSION|IsisCube|<Table_of_"
)
_SOURCE_KINDS = ("SimpleSource", "ComplexSource", "AveragedSource", "KernelFilteredSource", "NoDataFromMaskSource")
_KEPT_DOMAINS = (None, "", "IMAGE_STRUCTURE", "RPC")
_SYSTEM = re.compile(
    r"\s*((PROJCS|GEOGCS|GEOCCS|LOCAL_CS|COMPD_CS|VERT_CS|[A-Z]*CRS|BOUNDCRS)\s*\[.*|(EPSG|ESRI|OGC|IAU):[\w:+]{1,40}|urn:ogc:def:crs:[\w:.]{1,80})\s*",
    re.DOTALL | re.IGNORECASE,
)
_FAR = re.compile(r"(?:/vsicurl/)?(https?://[^\s<>\"]+)|/?(?:vsi)?(s3|gs):?//?([^\s<>\"/][^\s<>\"]*)")
_FUNCTIONS = frozenset(  # of GDAL's own; none takes a name or a program
    [
        "real",
        "imag",
        "complex",
        "mod",
        "phase",
        "conj",
        "sum",
        "diff",
        "mul",
        "div",
        "cmul",
        "inv",
        "intensity",
        "sqrt",
        "log10",
        "dB",
        "exp",
        "dB2amp",
        "dB2pow",
        "pow",
        "scale",
        "norm_diff",
        "min",
        "max",
        "polar",
        "interpolate_linear",
        "interpolate_exp",
        "replace_nodata",
        "argmin",
        "argmax",
        "mean",
        "median",
        "geometric_mean",
        "harmonic_mean",
        "mode",
    ]
)
_TYPES = frozenset(["Byte", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64"])
_RECTANGLE = ("xOff", "yOff", "xSize", "ySize")
_LEAVES: dict[str, tuple[str, ...]] = {  # elements of a band or a source that are numbers and words, with their attributes
    "ColorInterp": (), "NoDataValue": ("le_hex_equiv",), "HideNoDataValue": (), "Description": (), "UnitType": (), "Offset": (), "Scale": (),
    "SourceBand": (), "SrcRect": _RECTANGLE, "DstRect": _RECTANGLE, "NODATA": (), "ScaleOffset": (), "ScaleRatio": (),
    "ColorTableComponent": (), "Exponent": (), "SrcMin": (), "SrcMax": (), "DstMin": (), "DstMax": (), "Clamp": (), "LUT": (),
    "UseMaskBand": (), "SourceProperties": ("RasterXSize", "RasterYSize", "DataType", "BlockXSize", "BlockYSize"),
    "MaskValueThreshold": (), "NoData": (), "RemappedValue": (),
}  # fmt: skip
_DROPPED = frozenset(  # of no use to a network, and opened by nobody
    ["CategoryNames", "Histograms", "GDALRasterAttributeTable"]
)


def described(path: Path, access: Access, look: Callable[[Path | str], None], overviews: Path | None = None) -> bytes:
    """A mosaic as GDAL may read it: every source by its real path, nothing but what a mosaic needs.

    Args:
        look: at each source, a path or GDAL's name of an address, before GDAL opens it: raises where it leads elsewhere.
        overviews: a file of its overviews that is known to be one.

    Raises:
        BadInput: it is no such description, or asks for more than ``access`` allows.
    """
    copy = _Mosaic(path, access, look).copied()
    if overviews is not None:
        item = SubElement(SubElement(copy, "Metadata", {"domain": "OVERVIEWS"}), "MDI", {"key": "OVERVIEW_FILE"})
        item.text = os.path.realpath(overviews)
    return bytes(tostring(copy, encoding="utf-8"))


def sources_of(path: Path) -> list[Path]:
    """The local files that a mosaic names, by their real paths."""
    folder = Path(os.path.realpath(path)).parent
    named = {
        os.path.realpath(folder / (each.text or "").strip() if _is_beside(each) else (each.text or "").strip())
        for each in _parsed(path).iter("SourceFilename")
    }
    return sorted(Path(name) for name in named)


def addresses_of(path: Path) -> list[str]:
    """The addresses that a mosaic names, of files on other machines."""
    names = ((each.text or "").strip() for each in _parsed(path).iter("SourceFilename"))
    found = {match[1] or f"{match[2]}://{match[3]}" for match in map(_FAR.fullmatch, names) if match is not None}
    return sorted(found)


def _is_beside(name: Element) -> bool:
    """Whether a source is named from the mosaic's folder."""
    return name.get("relativeToVRT", name.get("relativetoVRT", "0")).strip() not in ("0", "")


class _Mosaic:
    """One description that is being copied."""

    def __init__(self, path: Path, access: Access, look: Callable[[Path | str], None]) -> None:
        self._path, self._access, self._look = path, access, look
        self._folder = Path(os.path.realpath(path)).parent  # GDAL follows a link before it looks beside it, too
        self._sources: dict[str, str] = {}

    def copied(self) -> Element:
        root = _parsed(self._path)
        if root.tag != "VRTDataset":
            self._refuse(root, "and no mosaic (VRTDataset)")
        if root.get("subClass"):
            self._refuse(root, f"of the kind {root.get('subClass')}, which computes; write its pixels to a TIFF")
        out = Element("VRTDataset", self._sizes(root, ("rasterXSize", "rasterYSize"), 1 << 31))
        for child in root:
            if child.tag == "VRTRasterBand":
                self._band(child, out)
            elif child.tag == "MaskBand":
                self._mask(child, out)
            elif child.tag == "SRS":
                self._leaf(child, out, ("dataAxisToSRSAxisMapping", "coordinateEpoch"))
                self._require_system(child, child.text or "")
            elif child.tag == "GCPList":
                self._points(child, out)
            elif child.tag == "Metadata":
                self._metadata(child, out)
            elif child.tag in ("GeoTransform", "BlockXSize", "BlockYSize"):
                self._leaf(child, out, ())
            elif child.tag == "OverviewList":
                self._leaf(child, out, ("resampling",))
            else:
                self._refuse(child, "which no mosaic of images needs; write its pixels to a TIFF")
        return out

    def _band(self, band: Element, out: Element) -> None:
        kind = band.get("subClass", "VRTSourcedRasterBand")
        computed = kind == "VRTDerivedRasterBand"
        if computed and not self._access.trust:
            self._refuse(band, f"of the kind {kind}, which computes; {_TRUST}")
        if kind not in ("VRTSourcedRasterBand", "VRTDerivedRasterBand"):
            self._refuse(band, f"of the kind {kind}, which reads any file as numbers; write its pixels to a TIFF")
        if band.get("dataType", "Byte") not in _TYPES:
            self._refuse(band, f"of {band.get('dataType')}; an image is real numbers")
        into = SubElement(out, band.tag, {"dataType": band.get("dataType", "Byte")})
        into.attrib |= {name: band.attrib[name] for name in ("band",) if name in band.attrib}
        into.attrib |= self._sizes(band, tuple(n for n in ("blockXSize", "blockYSize") if n in band.attrib), _BLOCK)
        if computed:
            into.set("subClass", kind)
        for child in band:
            if child.tag in _SOURCE_KINDS:
                self._source(child, into)
            elif child.tag == "MaskBand":
                self._mask(child, into)
            elif child.tag == "Overview":
                self._source(child, into)
            elif child.tag == "Metadata":
                self._metadata(child, into)
            elif child.tag == "ColorTable":
                table = SubElement(into, child.tag)
                for entry in child:
                    self._leaf(entry, table, ("c1", "c2", "c3", "c4"), "Entry")
            elif computed and child.tag in ("PixelFunctionType", "PixelFunctionArguments", "SourceTransferType"):
                self._function(child, into)
            elif child.tag in _LEAVES:
                self._leaf(child, into, _LEAVES[child.tag])
            elif child.tag not in _DROPPED:
                self._refuse(child, "which no band of a mosaic needs; write its pixels to a TIFF")

    def _function(self, child: Element, into: Element) -> None:
        name = (child.text or "").strip()
        if child.tag == "PixelFunctionType" and name not in _FUNCTIONS:
            self._refuse(child, f"{name[:40]!r}, which is none of GDAL's own functions of numbers; none else is run")
        self._leaf(child, into, tuple(child.attrib) if child.tag == "PixelFunctionArguments" else ())

    def _mask(self, mask: Element, out: Element) -> None:
        into = SubElement(out, "MaskBand")
        for child in mask:
            if child.tag != "VRTRasterBand":
                self._refuse(child, "in a MaskBand, which holds one VRTRasterBand")
            self._band(child, into)

    def _source(self, source: Element, out: Element) -> None:
        into = SubElement(out, source.tag)
        into.attrib |= {n: source.attrib[n] for n in ("resampling",) if n in source.attrib}
        for child in source:
            if child.tag == "SourceFilename":
                named = SubElement(into, child.tag, {"relativeToVRT": "0"})
                named.text = self._file(child)
                if child.get("shared") in ("0", "1"):
                    named.set("shared", child.attrib["shared"])
            elif child.tag == "Kernel":
                self._kernel(child, into)
            elif child.tag in _LEAVES:
                self._leaf(child, into, _LEAVES[child.tag])
            else:
                self._refuse(child, "which no source of a mosaic needs; write its pixels to a TIFF")

    def _kernel(self, kernel: Element, into: Element) -> None:
        out = SubElement(into, "Kernel", {n: v for n, v in kernel.attrib.items() if n == "normalized"})
        for child in kernel:
            if child.tag not in ("Size", "Coefs") or len((child.text or "").split()) > _KERNEL:
                self._refuse(child, "in a Kernel, which holds a Size and up to a thousand Coefs")
            if child.tag == "Size" and not 1 <= _whole(child.text) <= _KERNEL:
                self._refuse(child, f"{(child.text or '')[:20]!r}, which is no size of a filter")
            self._leaf(child, out, ())

    def _points(self, points: Element, out: Element) -> None:
        self._require_system(points, points.get("Projection") or "")
        names = ("Projection", "dataAxisToSRSAxisMapping")
        into = SubElement(out, points.tag, {n: points.attrib[n] for n in names if n in points.attrib})
        for point in points:
            self._leaf(point, into, ("Id", "Info", "Pixel", "Line", "X", "Y", "Z"), "GCP")

    def _metadata(self, metadata: Element, out: Element) -> None:
        """What says something of the pixels. All else is left out: under OVERVIEWS, say, GDAL would look for files to open."""
        if metadata.get("domain") not in _KEPT_DOMAINS or metadata.get("format"):
            return
        into = SubElement(out, "Metadata", {n: v for n, v in metadata.attrib.items() if n == "domain"})
        for item in metadata:
            self._leaf(item, into, ("key",), "MDI")

    def _leaf(self, child: Element, out: Element, names: tuple[str, ...], tag: str | None = None) -> None:
        if len(child) or (tag is not None and child.tag != tag):
            inner = child if tag is not None and child.tag != tag else child[0]
            self._refuse(inner, "where numbers and words are")
        leaf = SubElement(out, child.tag, {name: child.attrib[name] for name in names if name in child.attrib})
        leaf.text = child.text

    def _sizes(self, element: Element, names: tuple[str, ...], most: int) -> dict[str, str]:
        for name in names:
            if not 1 <= _whole(element.get(name)) <= most:
                self._refuse(element, f"with {name} {str(element.get(name))[:20]!r}, not a number from 1 to {most:,}")
        return {name: element.attrib[name] for name in names}

    def _require_system(self, element: Element, text: str) -> None:
        """A reference system in words: GDAL also takes addresses and names of files for one."""
        if text.strip() and not _SYSTEM.fullmatch(text):
            self._refuse(element, f"{text.strip()[:60]!r}, which is no reference system as WKT or EPSG:n")

    def _file(self, element: Element) -> str:
        """The real path of a source."""
        name = (element.text or "").strip()
        beside = _is_beside(element)
        key = f"{beside} {name}"
        if key not in self._sources:
            if len(self._sources) >= _SOURCES:
                raise BadInput(
                    f"{self._path}: names more than {_SOURCES:,} files; map parts of it, or write it to a TIFF"
                )
            self._sources[key] = self._named(element, name, beside)
        return self._sources[key]

    def _named(self, element: Element, name: str, beside: bool) -> str:
        if re.match(r"/vsi|\\vsi|[a-z][a-z0-9+.-]*://", name, re.IGNORECASE):
            return self._far(element, name)
        if not name or "\0" in name or name.startswith("<"):
            self._refuse(element, f"{name[:60]!r}, which is no name of a file")
        whole = Path(os.path.realpath(self._folder / name if beside else name))
        inside = whole.is_relative_to(self._folder)
        if not inside and not self._access.trust:
            self._refuse(element, f"{name!r}, which lies outside the folder of the mosaic; {_TRUST}")
        if str(whole).startswith("/vsi") or not whole.is_file():
            self._refuse(element, f"{name!r}, which is no file here")
        reads(whole)
        kind = kind_of(whole)
        if kind is None:
            self._refuse(element, f"{name!r}, which is no TIFF, PNG, JPEG or JPEG 2000, as a mosaic's sources are")
        self._look(whole)
        return str(whole)

    def _far(self, element: Element, name: str) -> str:
        """A source on another machine, as GDAL names it."""
        found = _FAR.fullmatch(name)
        if found is None:
            self._refuse(element, f"{name[:80]!r}, which is no file here, nor one of https://, s3:// or gs://")
        if not self._access.remote:
            self._refuse(element, f"{name[:80]!r}, which lies on another machine; {_REMOTE}")
        whole = f"/vsicurl/{found[1]}" if found[1] else f"/vsi{found[2]}/{found[3]}"
        self._look(whole)
        return whole

    def _refuse(self, element: Element, why: str) -> NoReturn:
        raise BadInput(f"{self._path}: holds <{element.tag}> {why}")


_TRUST = "allow it with --trust (trust=True) where you know who wrote it"
_REMOTE = "allow it with --allow-remote (allow_remote=True)"


def kind_of(path: Path) -> str | None:
    """The driver of an image that holds its pixels itself, by its first bytes; None of anything else."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    return None if kind is not None and _OTHER.search(head) else kind


def _whole(text: str | None) -> int:
    try:
        value = float(text or "")
    except ValueError:
        return 0
    return int(value) if isfinite(value) and value == int(value) else 0


def _parsed(path: Path) -> Element:
    """The tree of a description; no document type, so that nothing expands or is fetched."""
    if path.stat().st_size > _LARGEST:
        raise BadInput(f"{path}: a description of {path.stat().st_size >> 20} MB; at most {_LARGEST >> 20} are read")
    builder, parser, count = TreeBuilder(), ParserCreate(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _ELEMENTS:
            raise BadInput(f"{path}: a description of more than {_ELEMENTS:,} elements; map parts of it")
        builder.start(tag, attributes)

    def doctype(*_: object) -> None:
        raise BadInput(f"{path}: holds a document type (<!DOCTYPE>), which no mosaic needs; remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, doctype
    try:
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except ExpatError as error:
        raise BadInput(f"{path}: not XML that can be read, as a mosaic is ({error}); it may be damaged") from None
