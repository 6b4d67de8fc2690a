"""OME-Zarr (0.4 and 0.5) and plain Zarr arrays (v2 and v3)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import pairwise, product
from math import prod
from typing import Any

import numpy as np
import zarr

from fullconv.errors import BadInput
from fullconv.rasters import blocks
from fullconv.rasters.arrays import axes_of, size_of, window_of
from fullconv.rasters.bounded import bind, bounded
from fullconv.rasters.source import About, Level, Span, Window, bits_of, white_of

_LOOKED = 16  # chunks of a level
_PIECE = 4 << 20  # bytes that are asked for at once, or one chunk: zarr decodes all of a request's side by side
_COPIES = 3  # of a piece: its chunks packed and decoded, and the array that they are laid into
_ABOUT = ("zarr.json", ".zarray", ".zgroup")
_MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}


class Zarr:
    """An array, or the levels of the first multiscale image of a group.

    Args:
        name: for people.
        store: a folder, or a store of zarr's.
        subdataset: path of the array or group within it.
    """

    def __init__(self, name: str, store: Any, subdataset: str | None = None) -> None:
        self.name = name
        self._bits: int | None = None
        self._names: tuple[str, ...] = ()
        with bounded():
            self._arrays, named, size = self._levels(_named_in(zarr.open(store, mode="r"), name, subdataset))
        for array in self._arrays:
            self._require_plain(array)
            bind(array)
        first = self._arrays[0]
        self._axes = axes_of(first.shape, named or _named(first), self.name)
        levels = []
        for array in self._arrays:
            height, width, bands = size_of(array.shape, self._axes)
            tile = size_of(array.chunks, self._axes)[:2]
            levels.append(Level(height, width, (min(tile[0], height), min(tile[1], width))))
        kinds = {(size_of(array.shape, self._axes)[2], str(array.dtype)) for array in self._arrays}
        if len(kinds) != 1:
            raise BadInput(f"{self.name}: its levels hold pixels of different kinds: {sorted(kinds)}")
        _, _, bands = size_of(first.shape, self._axes)
        self._dtype = np.dtype(first.dtype).newbyteorder("=")
        self.about = About(
            self.name, bands, self._dtype.name, tuple(levels), pixel_size=size, unit="micrometer" if size else "",
            white=white_of(self._dtype, self._bits), names=self._names if len(self._names) == bands else (), held=max(self._held(array, bands) for array in self._arrays),
        )  # fmt: skip

    def _levels(self, found: Any) -> tuple[list[Any], str | None, tuple[float, float] | None]:
        if isinstance(found, zarr.Array):
            return [found], None, None
        about: Any = dict(found.attrs)
        scales = about.get("ome", about).get("multiscales")
        if not scales:
            names = [name for name, _ in found.arrays()]
            if len(names) != 1:
                raise BadInput(
                    f"{self.name}: a Zarr group without multiscales and with {len(names)} arrays; choose one with --subdataset (subdataset=): {', '.join(sorted(names)[:20]) or 'none'}"
                )
            return [found[names[0]]], None, None
        image = scales[0]
        axes = image.get("axes", [])
        letters = "".join(axis["name"] if isinstance(axis, dict) else axis for axis in axes) or None
        arrays = [found[level["path"]] for level in image["datasets"]]
        self._bits = _bits(about.get("ome", about).get("omero"))
        self._names = _labels(about.get("ome", about).get("omero"))
        return arrays, letters, _pixel_size(image, axes)

    def _require_plain(self, array: Any) -> None:
        """Refuse what is no array of numbers, and codecs that would run code of the file when it is read."""
        about = array.metadata
        codecs = [
            *(getattr(about, "filters", None) or ()),
            getattr(about, "compressor", None),
            *(getattr(about, "codecs", None) or ()),
        ]
        pickled = [
            codec for codec in codecs if "pickle" in f"{getattr(codec, 'codec_id', '')} {type(codec).__name__}".lower()
        ]
        if pickled or array.dtype.kind not in "fiub":
            what = "is pickled" if pickled else f"is of {array.dtype}"
            raise BadInput(
                f"{self.name}: the array {array.name or ''} {what}; an image is numbers, and pickled code is never run"
            )

    def _held(self, array: Any, bands: int) -> int:
        """Bytes that reading takes beside what it gives: of a piece, or of a chunk that ``Blocks`` keeps no more than what is packed."""
        high, wide, deep = size_of(array.chunks, self._axes)
        height, width, _ = size_of(array.shape, self._axes)
        chunk = high * wide * max(deep, bands) * self._dtype.itemsize
        if chunk > blocks.LARGE:
            return int(chunk)
        return int(_COPIES * min(max(_PIECE, chunk), height * width * bands * self._dtype.itemsize))

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        array = self._arrays[level]
        high, wide, _ = size_of(array.chunks, self._axes)
        line = high * wide * (max(bands) + 1 - min(bands)) * self._dtype.itemsize  # of one chunk
        across = min(max(1, _PIECE // line), -(-cols[1] // wide) - cols[0] // wide)
        down = max(1, _PIECE // (line * across))
        pieces = list(product(_pieces(rows, down * high), _pieces(cols, across * wide)))
        if len(pieces) == 1:
            pixels = window_of(array, self._axes, rows, cols, bands).astype(self._dtype, copy=False)
            return Window(pixels)
        out = np.empty((rows[1] - rows[0], cols[1] - cols[0], len(bands)), self._dtype)
        for y, x in pieces:
            into = out[y[0] - rows[0] : y[1] - rows[0], x[0] - cols[0] : x[1] - cols[0]]
            into[...] = window_of(array, self._axes, y, x, bands)
        return Window(out)

    def close(self) -> None:
        self._arrays = []


def _pieces(between: Span, step: int) -> list[Span]:
    """A range in parts that end where a step does."""
    edges = [*range(between[0] // step * step, between[1], step), between[1]]
    return [(max(a, between[0]), b) for a, b in pairwise(edges)]


def _named_in(found: Any, name: str, subdataset: str | None) -> Any:
    if subdataset is None:
        return found
    if isinstance(found, zarr.Array) or subdataset not in found:
        raise BadInput(f"{name}: holds no array or group {subdataset!r}")
    return found[subdataset]


def stored_at(url: str) -> Any:
    """zarr's store of an address.

    Raises:
        BadInput: no Zarr image is there, or it must not be read.
    """
    from fullconv.rasters.remote import store_of, told

    store = store_of(url)  # which says what is to be installed
    import obstore
    from zarr.storage import ObjectStore

    for name in _ABOUT:
        with suppress(FileNotFoundError), told(f"{url.rstrip('/')}/{name}", missing=True):
            obstore.head(store, name)
            return ObjectStore(store, read_only=True)
    raise BadInput(f"{url}: no Zarr image is there (none of {', '.join(_ABOUT)})")


def fingerprint_at(url: str, subdataset: str | None = None) -> str:
    """Of all that a Zarr image at an address says of itself, and of what its server says of its chunks: of each in a bucket that lists
    them; else, and by http, of some spread over each level."""
    import obstore

    from fullconv.rasters.remote import store_of, told

    store, image = store_of(url), Zarr(url, stored_at(url), subdataset)
    made = sha256()
    listed = _listed(store, url)
    for array in image._arrays:
        about = array.metadata
        made.update(repr(about.to_dict()).encode())
        if listed is not None:
            continue
        shape = array.shards or array.chunks
        counts = [-(-size // side) for size, side in zip(array.shape, shape, strict=True)]
        total = prod(counts)
        for i in sorted({total * i // _LOOKED for i in range(_LOOKED)}):
            key = "/".join(part for part in (array.path, about.encode_chunk_key(_chunk(i, counts))) if part)
            try:
                with told(f"{url}/{key}", missing=True):
                    found = obstore.head(store, key)
            except FileNotFoundError:  # a chunk of fill values
                made.update(b"none")
                continue
            made.update(repr((found["size"], found["e_tag"], str(found["last_modified"]))).encode())
    made.update(repr(listed).encode() if listed is not None else b"")
    return made.hexdigest()[:32]


def _listed(store: Any, url: str) -> str | None:
    """Of all objects below an address; None where they cannot be listed, or must not be."""
    if url.startswith("http"):
        return None
    import obstore

    from fullconv.rasters.remote import told

    total, count = 0, 0
    try:
        with told(url):
            for page in obstore.list(store):
                for found in page:
                    one = repr((found["path"], found["size"], found["e_tag"], str(found["last_modified"])))
                    total += int.from_bytes(sha256(one.encode()).digest())  # in whatever order they come
                    count += 1
    except BadInput:
        return None
    return f"{count} {total:x}"


def _chunk(index: int, counts: Sequence[int]) -> tuple[int, ...]:
    """Where the chunk of this number lies, in the order of the array."""
    along = []
    for count in reversed(counts):
        index, at = divmod(index, count)
        along.append(at)
    return tuple(reversed(along))


def _pixel_size(image: dict[str, Any], axes: list[Any]) -> tuple[float, float] | None:
    """(y, x) in micrometres, where the metadata says it."""
    sizes: dict[str, float] = {}
    for transform in image["datasets"][0].get("coordinateTransformations", []):
        for axis, scale in zip(axes, transform.get("scale", []), strict=False):
            if isinstance(axis, dict) and axis.get("unit") in _MICROMETRES:
                sizes[axis["name"]] = float(scale) * _MICROMETRES[axis["unit"]]
    return (sizes["y"], sizes["x"]) if {"y", "x"} <= sizes.keys() else None


def _named(array: Any) -> str | None:
    """The axes' letters, where an array of Zarr v3 names its dimensions y, x and c."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(name for name in names if isinstance(name, str) and len(name) == 1).lower()
    return letters if len(letters) == len(array.shape) and {"y", "x"} <= set(letters) <= set("tczyxs") else None


def _labels(omero: Any) -> tuple[str, ...]:
    """Names of the channels, empty for one without."""
    found = tuple(str(channel.get("label") or "").strip()[:100] for channel in (omero or {}).get("channels", ()))
    return found if any(found) else ()


def _bits(omero: Any) -> int | None:
    """Bits that count, where the windows in which channels are shown say it: 0 to 4,095, say."""
    windows = [channel.get("window") or {} for channel in (omero or {}).get("channels", ())]
    most = {window.get("max") for window in windows}
    if len(most) != 1 or any(window.get("min") for window in windows):
        return None
    (largest,) = most
    return bits_of(float(largest)) if isinstance(largest, int | float) else None
