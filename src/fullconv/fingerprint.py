"""What tells one network, or one image, from another: short, and the same on every machine."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from fullconv.errors import CannotRun
from fullconv.rasters.remote import fingerprint as far_print
from fullconv.rasters.remote import is_remote
from fullconv.rasters.sidecars import read_with
from fullconv.rasters.vrt import addresses_of

if TYPE_CHECKING:
    from fullconv.model import Model

_WHOLE = 1 << 30  # bytes of an image that are all read
_PIECES, _PIECE, _AT_ONCE = 1024, 64 << 10, 1 << 20
_FAST = google_crc32c.implementation == "c"  # else slower than zlib's


def of_model(model: Model) -> str:
    """Of a network: every operator with its attributes as an engine gets them, and every weight.

    Two networks that can answer differently have different ones.
    """
    graph = model.graph
    made = hashlib.sha256()
    for node in graph:
        made.update(repr((node.name, node.op, node.inputs, node.outputs, node.touch)).encode())
    made.update(repr((graph.inputs, graph.outputs, [graph.values[name].shape for name in graph.inputs])).encode())
    try:
        shapes = {v: graph.values[v].shape for v in graph.inputs if graph.consumers(v) or v == graph.image}
        lowered = model.format.lower(model.native, shapes)
    except CannotRun:  # its own framework runs it, and holds its operators and weights
        framework = model.format.framework
        module = framework.module(model.native) if framework is not None else None
        made.update(str(getattr(module, "graph", "")).encode())
        for name, value in sorted(module.state_dict().items()) if module is not None else ():
            made.update(name.encode())
            made.update(value.detach().cpu().numpy().tobytes())
        return made.hexdigest()[:32]
    made.update(repr(sorted(lowered.opsets.items())).encode())
    for part in (*lowered.nodes, *lowered.constants):
        made.update(part.SerializeToString(deterministic=True))
    for name in sorted(lowered.weights):
        array = lowered.weights[name]
        made.update(repr((name, array.shape, str(array.dtype))).encode())
        made.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return made.hexdigest()[:32]


def of_image(image: Any, size: tuple[int, int], bands: int, subdataset: str | None = None) -> str:
    """Of an image and all that its pixels come from (``files_of``): every byte of files up to a gigabyte, and of larger ones pieces all over
    the file, its size and its time stamp, so that a slide of many gigabytes takes milliseconds; of objects on other machines what their
    server says of them.

    Args:
        subdataset: which image of several, where only that one is to be looked at.
    """
    made = hashlib.sha256()
    for part in _seen(image, size, bands, subdataset):
        made.update(part)
    return made.hexdigest()[:32]


def with_sum(image: Any, size: tuple[int, int], bands: int, subdataset: str | None = None) -> tuple[str, int]:
    """``of_image``, and ``sum_of`` the very bytes that it saw."""
    made, added = hashlib.sha256(), 0
    for part in _seen(image, size, bands, subdataset):
        made.update(part)
        added = _added(added, part)
    return made.hexdigest()[:32], added


def sum_of(image: Any, size: tuple[int, int], bands: int, subdataset: str | None = None) -> int:
    """A check sum of what ``of_image`` sees, for a tenth of its time: it tells whether an image is still what it was, and not one image from all others."""
    added = 0
    for part in _seen(image, size, bands, subdataset):
        added = _added(added, part)
    return added


def _added(added: int, part: bytes | memoryview) -> int:
    return google_crc32c.extend(added, part) if _FAST and isinstance(part, bytes) else zlib.crc32(part, added)


def _seen(image: Any, size: tuple[int, int], bands: int, subdataset: str | None) -> Iterator[bytes | memoryview]:
    """What tells an image from another, part by part."""
    yield repr((size, bands)).encode()
    if not isinstance(image, str | Path):
        array = np.asarray(image)
        yield repr((array.shape, str(array.dtype))).encode()
        yield np.ascontiguousarray(array).view(np.uint8).reshape(-1).data
        return
    if is_remote(image):
        yield far_print(image, subdataset).encode()
        return
    path = Path(image)
    files = files_of(path)
    whole = sum(part.stat().st_size for part in files) <= _WHOLE
    pieces = max(2, _PIECES // len(files))
    for part in files:
        about = part.stat()
        yield repr((_name_in(path, part), about.st_size, None if whole else about.st_mtime_ns)).encode()
        yield from _bytes_of(part, about.st_size, None if whole else pieces)
    for address in addresses_of(path) if path.suffix.lower() == ".vrt" else ():
        yield repr((address, far_print(address))).encode()


def files_of(path: Path) -> list[Path]:
    """The files of this machine that an image's pixels come from."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    return [path, *read_with(path)]


def _name_in(path: Path, part: Path) -> str:
    """What a file is called within an image, or beside it: the same wherever the whole lies."""
    return part.relative_to(path).as_posix() if part.is_relative_to(path) else part.name


def _bytes_of(path: Path, length: int, pieces: int | None) -> Iterator[bytes]:
    """All bytes of a file, or so many pieces spread over it."""
    with path.open("rb", buffering=0) as file:
        if pieces is None or length <= pieces * _PIECE:
            while part := file.read(_AT_ONCE):
                yield part
            return
        for i in range(pieces):
            file.seek((length - _PIECE) * i // (pieces - 1))
            yield file.read(_PIECE)


class State:
    """What changes when one of an image's files is written to, or another comes beside it: sizes, times and places on the disk.

    The chunks of a Zarr image are too many to be asked about at every tile: they are when its map is finished.
    """

    def __init__(self, image: Any) -> None:
        self._files: list[Path] = []
        if isinstance(image, str | Path) and not is_remote(image):
            path = Path(image)
            self._files = [path] if path.is_dir() else files_of(path)
        self._first = self._now()

    def _now(self) -> list[tuple[int, ...]]:
        return [_about(path) for path in self._files]

    @property
    def is_same(self) -> bool:
        return self._now() == self._first


def _about(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return (-1,)
    return found.st_size, found.st_mtime_ns, found.st_ino
