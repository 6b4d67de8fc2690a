"""The image in tiles of 512 × 512 pixels, made when they are asked for, at every halving of its size, of any source.

Level z has ceil(height / 2^z) × ceil(width / 2^z) pixels, made of the coarsest level of the file that is no coarser. Levels end where one of
their pixels is made of more than 32 × 32 of the file's coarsest: what is behind that would be read for minutes.
"""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.errors import BadInput
from fullconv.fingerprint import State
from fullconv.rasters.access import Access
from fullconv.rasters.resample import Axis, resampled
from fullconv.rasters.view import Selection, View
from fullconv.viewer.cache import Cache
from fullconv.viewer.catalogue import last_part

Array = npt.NDArray[Any]
Span = tuple[int, int]
SIDE = 512
_READ = 32  # pixels a side of a source that one of a tile is made of, at most
_STRIP = 1 << 22  # numbers as stored that a tile is made of at once
_SAMPLED = 256  # px a side of a window whose numbers say the contrast
_SAMPLES = 5  # of those along a side
_CROP = 2048  # px a side of a crop that is shown as it is
_OPEN = 6  # views at once
_AT_ONCE = 4  # tiles that are made at once


@dataclass(frozen=True, slots=True)
class Look:
    """Which bands are shown, from 1 on: one or three; and the share of numbers, in percent, that is cut off at either end; None: 0 to 255."""

    bands: tuple[int, ...]
    cut: float | None

    def __post_init__(self) -> None:
        if len(self.bands) not in (1, 3):
            raise BadInput("bands: one, or three for red, green and blue")
        if self.cut is not None and not 0 <= self.cut < 50:
            raise BadInput(f"cut {self.cut}: percent at either end, from 0 to below 50")


@dataclass(slots=True)
class _Used:
    """An open view, and who has it: the picture, and each thread that reads."""

    view: View
    users: int = 1


class Picture:
    """An image, seen at any zoom: a path or an address, or pixels in memory."""

    def __init__(self, image: Any, access: Access) -> None:
        self.image, self._access = image, access
        self._state = State(image)
        with closing(View(image, Selection(access=access))) as view:
            self.about = view.about
        self.cache = Cache()
        self._lock, self._room = Lock(), BoundedSemaphore(_AT_ONCE)
        self._views: dict[tuple[int, tuple[int, ...]], _Used] = {}
        self._ends: dict[Look, tuple[Array, Array]] = {}

    @property
    def levels(self) -> int:
        """How many levels there are."""
        coarsest, count, most = self.about.levels[-1], 1, max(self.about.size)
        while most / 2 ** (count - 1) > SIDE and 2**count <= _READ * most / max(coarsest.height, coarsest.width):
            count += 1
        return count

    @property
    def plain(self) -> Look:
        """Bands and contrast by default: numbers of 0 to 255 as they are, others between their percentiles."""
        bands = (1, 2, 3) if self.about.bands >= 3 else (1,)
        return Look(bands, None if self.about.dtype in ("uint8", "bool") else 1.0)

    def size(self, z: int) -> tuple[int, int]:
        """(height, width) of a level."""
        if not 0 <= z < self.levels:
            raise IndexError(f"no level {z}")
        height, width = self.about.size
        return -(-height // 2**z), -(-width // 2**z)

    def tile(self, z: int, row: int, col: int, look: Look) -> tuple[bytes, str]:
        """A tile as a file, and its type: PNG where it is of the finest level or has missing pixels, else JPEG.

        Raises:
            IndexError: there is none.
            Unreadable: its pixels do not decode.
        """
        self._require_same()
        key = f"{z}-{row}-{col}-{look}"
        kept = self.cache.get(key)
        if kept is None:
            with self._room:
                pixels, gone = self._pixels(z, row, col, look.bands)
                kept = _encoded(self._toned(pixels, look), gone, z == 0)
            self.cache.put(key, kept)
        return kept, "image/png" if kept.startswith(b"\x89PNG") else "image/jpeg"

    def crop(self, box: tuple[int, int, int, int], look: Look) -> bytes:
        """The pixels (x0, y0, x1, y1) of the finest level as PNG, of more than 2,048 a side at a coarser one; those outside the image are transparent."""
        x0, y0, x1, y1 = box
        height, width = self.about.size
        if not (x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0):
            raise IndexError(f"no crop {box}")
        self._require_same()
        z = 0
        while max(x1 - x0, y1 - y0) > _CROP * 2**z and z + 1 < self.levels:
            z += 1
        height, width = self.size(z)
        x0, y0, x1, y1 = x0 >> z, y0 >> z, -(-x1 >> z), -(-y1 >> z)
        with self._room:
            inside = (max(0, y0), min(y1, height)), (max(0, x0), min(x1, width))
            pixels, gone = self._window(z, look.bands, *inside)
        lacks = (inside[0][0] - y0, y1 - inside[0][1]), (inside[1][0] - x0, x1 - inside[1][1])
        gone = np.zeros(pixels.shape[:2], np.bool_) if gone is None else gone
        whole = np.pad(self._toned(pixels, look), (*lacks, (0, 0)))
        return _encoded(whole, np.pad(gone, lacks, constant_values=True), True)

    def _require_same(self) -> None:
        if not self._state.is_same:
            raise BadInput(f"{last_part(self.image)}: was written to since it was opened; open the viewer anew")

    def overview(self) -> Image.Image | None:
        """The whole image in one tile; None where its file has no level that is coarse enough."""
        if max(self.size(self.levels - 1)) > SIDE:
            return None
        return Image.open(io.BytesIO(self.tile(self.levels - 1, 0, 0, self.plain)[0]))

    def prepare(self) -> None:
        """Make what is seen first: the whole image in one tile, and in the four of the level before, which a screen has pixels for."""
        if self.overview() is not None and self.levels > 1:
            z = self.levels - 2
            rows, cols = (-(-side // SIDE) for side in self.size(z))
            for row, col in np.ndindex(rows, cols):
                self.tile(z, row, col, self.plain)

    def close(self) -> None:
        with self._lock:
            for used in self._views.values():
                self._leave(used)
            self._views.clear()
        self.cache.close()

    def _pixels(self, z: int, row: int, col: int, bands: tuple[int, ...]) -> tuple[Array, Array | None]:
        """(H, W, C) of a tile on 0..255, and which pixels hold no data."""
        sides = self.size(z)
        if not (0 <= row * SIDE < sides[0] and 0 <= col * SIDE < sides[1]):
            raise IndexError(f"no tile {row}, {col} of level {z}")
        rows, cols = ((at * SIDE, min((at + 1) * SIDE, end)) for at, end in zip((row, col), sides, strict=True))
        return self._window(z, bands, rows, cols)

    def _window(self, z: int, bands: tuple[int, ...], rows: Span, cols: Span) -> tuple[Array, Array | None]:
        """The same of any window of a level."""
        sides = self.size(z)
        level = self._finer(sides)
        own = self.about.levels[level]
        axes = Axis(own.height, sides[0]), Axis(own.width, sides[1])
        if (own.height, own.width) == sides:
            return self._read(level, bands, rows, cols)
        parts = []
        wide = len(bands) * axes[1].scale * (cols[1] - cols[0]) * axes[0].scale
        step = max(1, int(_STRIP / wide))
        for top in range(rows[0], rows[1], step):
            part = top, min(top + step, rows[1])
            need = axes[0].needs(*part), axes[1].needs(*cols)
            parts.append(_made(*self._read(level, bands, *need), (need[0][0], need[1][0]), axes, part, cols))
        gone = np.concatenate([part[1] for part in parts])
        return np.concatenate([part[0] for part in parts]), gone if gone.any() else None

    def _finer(self, sides: tuple[int, int]) -> int:
        """The coarsest level of the file that has as many pixels, or one fewer: halves of an odd size are rounded down there, and up here."""
        if sides == self.about.size:
            return 0
        each = enumerate(self.about.levels)
        return max((i for i, level in each if level.height + 1 >= sides[0] and level.width + 1 >= sides[1]), default=0)

    def _read(self, level: int, bands: tuple[int, ...], rows: Span, cols: Span) -> tuple[Array, Array | None]:
        """Pixels of a level of the file; any number of threads read at once, and a view is closed behind its last one."""
        with self._lock:
            key = level, bands
            if key not in self._views:
                while len(self._views) >= _OPEN:
                    self._leave(self._views.pop(next(iter(self._views))))
                select = Selection(level=level, bands=bands, access=self._access)
                self._views[key] = _Used(View(self.image, select))
            used = self._views[key]
            used.users += 1
        try:
            return used.view.read(rows, cols)
        finally:
            with self._lock:
                self._leave(used)

    def _leave(self, used: _Used) -> None:
        used.users -= 1
        if not used.users:
            used.view.close()

    def _toned(self, pixels: Array, look: Look) -> Array:
        """(H, W, 1 or 3) uint8."""
        if look.cut is None:
            return np.rint(np.nan_to_num(pixels)).clip(0, 255).astype(np.uint8) if pixels.dtype != np.uint8 else pixels
        low, high = self._contrast(look)
        share = (np.nan_to_num(pixels.astype(np.float32)) - low) / np.maximum(high - low, np.float32(1e-12))
        toned: Array = np.rint(255 * share).clip(0, 255).astype(np.uint8)
        return toned

    def _contrast(self, look: Look) -> tuple[Array, Array]:
        """The numbers of each band that are black and white, by windows all over the image."""
        if look not in self._ends:
            level = len(self.about.levels) - 1
            own = self.about.levels[level]
            parts = []
            for y in np.linspace(0, max(0, own.height - _SAMPLED), _SAMPLES if own.height > _SAMPLED else 1):
                for x in np.linspace(0, max(0, own.width - _SAMPLED), _SAMPLES if own.width > _SAMPLED else 1):
                    rows, cols = (
                        (int(y), min(int(y) + _SAMPLED, own.height)),
                        (int(x), min(int(x) + _SAMPLED, own.width)),
                    )
                    pixels, gone = self._read(level, look.bands, rows, cols)
                    parts.append(pixels.reshape(-1, pixels.shape[2]) if gone is None else pixels[~gone])
            every = np.concatenate(parts).astype(np.float32)
            cut = float(look.cut or 0)
            ends = np.percentile(every, [cut, 100 - cut], axis=0) if every.size else np.array([[0.0], [255.0]])
            self._ends[look] = ends[0].astype(np.float32), ends[1].astype(np.float32)
        return self._ends[look]


def _made(
    pixels: Array, gone: Array | None, start: tuple[int, int], axes: tuple[Axis, Axis], rows: Span, cols: Span
) -> tuple[Array, Array]:  # fmt: skip
    """Pixels of a level, and which of them are made of missing ones by more than half; what is missing has no weight."""
    values = pixels.astype(np.float32)
    if gone is None:
        return resampled(values, start, axes, rows, cols), np.zeros((rows[1] - rows[0], cols[1] - cols[0]), np.bool_)
    there = (~gone).astype(np.float32)[:, :, None]
    made = resampled(np.concatenate([np.nan_to_num(values) * there, there], axis=2), start, axes, rows, cols)
    share = made[:, :, -1:]
    return np.divide(made[:, :, :-1], share, out=np.zeros_like(made[:, :, :-1]), where=share > 0), share[:, :, 0] < 0.5


def _encoded(pixels: Array, gone: Array | None, exact: bool) -> bytes:
    """A file of (H, W, 1 or 3) uint8."""
    mode = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    image, file = Image.fromarray(np.ascontiguousarray(mode)), io.BytesIO()
    if gone is not None and gone.any():
        image.putalpha(Image.fromarray(np.where(gone, 0, 255).astype(np.uint8)))
        exact = True
    if exact:
        image.save(file, "PNG", compress_level=1)
    else:
        image.save(file, "JPEG", quality=90)
    return file.getvalue()
