"""What goes wrong with the files of a result, said as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC

from zarr.errors import GroupNotFoundError

from fullconv.errors import BadInput, FullconvError
from fullconv.results.storage import Full


@contextmanager
def opening(name: str) -> Iterator[None]:
    """What a library raises over files that are none of ours, or damaged."""
    try:
        yield
    except (FullconvError, MemoryError):
        raise
    except GroupNotFoundError:
        raise BadInput(
            f"{name}: is not a result of fullconv: it holds no map (.zarr), nor a study of fullconv run (summary.csv)"
        ) from None
    except Exception as error:  # zarr, its codecs and JSON, each with errors of its own
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{name}: is not a result of fullconv, or damaged ({told})") from None


@contextmanager
def reading(name: str) -> Iterator[None]:
    """A chunk that does not decode is told as that."""
    try:
        yield
    except (FullconvError, MemoryError, IndexError):
        raise
    except Exception as error:  # zarr and its codecs
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"{name}: a part of it does not decode ({told}): its files are damaged, or not all there; make it again with --restart"
        ) from None


@contextmanager
def writing(name: str) -> Iterator[None]:
    """A write that fails tells why, and that nothing is lost."""
    try:
        yield
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise Full(
                f"{name}: the disk is full; free some space and give the same command again: it goes on where it stopped"
            ) from None
        raise BadInput(
            f"{name}: cannot be written ({error.strerror or error}); nothing that was done is lost"
        ) from None
