"""The one place where what a library says of a file becomes what a person can use.

Readers let every error of their libraries pass. Here it is told with the file's name and the pixels; what a reader gives is held to what it
said of itself, so that a file that contradicts itself is told and never mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from threading import Lock

from fullconv.errors import BadInput, FullconvError
from fullconv.rasters.blocks import Blocks
from fullconv.rasters.source import Source, Span, Unreadable, Window


def opened(name: str, kind: str, reader: Callable[[], Source]) -> Source:
    """The source that a reader makes.

    Args:
        name: of the file.
        kind: what it should be, in words: ``a TIFF``, ``a slide``.

    Raises:
        BadInput: it is none that can be read.
    """
    try:
        return _Checked(reader(), name)
    except FullconvError as error:
        if isinstance(error, BadInput) and name not in str(error):
            raise BadInput(f"{name}: {error}") from None
        raise
    except MemoryError:
        raise BadInput(f"{name}: says that it is larger than what memory there is; it may be damaged") from None
    except Exception as error:
        raise BadInput(f"{name}: cannot be opened as {kind}, or is truncated ({_words(error)})") from None


class _Checked:
    """A source whose errors are told, whose windows are what they should be, and that any number of threads may read."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self.about, self._name = source, source.about, name
        self._turn = nullcontext() if source.about.parallel else Lock()

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        try:
            with self._turn:
                found = self._source.read(level, rows, cols, bands)
        except FullconvError:
            raise
        except Exception as error:  # tifffile, GDAL, zarr, their codecs: each with errors of its own
            self._refuse(rows, cols, _words(error))
        shape = rows[1] - rows[0], cols[1] - cols[0], len(bands)
        if found.pixels.shape != shape or found.pixels.dtype != self.about.dtype:
            self._refuse(
                rows, cols, f"they are {found.pixels.shape} of {found.pixels.dtype}, not {shape} of {self.about.dtype}"
            )
        return found

    def _refuse(self, rows: Span, cols: Span, why: str) -> None:
        raise Unreadable(
            f"{self._name}: the pixels {cols[0]} to {cols[1]} × {rows[0]} to {rows[1]} do not decode ({why})"
        ) from None

    def close(self) -> None:
        with suppress(Exception):  # a damaged file may not even close, and nothing is lost by it
            self._source.close()


def blocks_of(source: Source) -> Blocks | None:
    """What decodes an image's blocks, so that it can be told of windows to come; None where none are decoded."""
    inner = source._source if isinstance(source, _Checked) else source
    return inner if isinstance(inner, Blocks) else None


def _words(error: BaseException) -> str:
    """What went wrong, by the error that says it: rasterio's point to those that they were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200] or type(error).__name__
