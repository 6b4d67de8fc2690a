"""What goes wrong with the files of a result, said as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from itertools import islice
from pathlib import Path

from zarr.errors import GroupNotFoundError

from fullconv.errors import BadInput, FullconvError
from fullconv.results.storage import Full
from fullconv.system.guard import is_folder, is_url

_LOOKED_AT = 10_000  # files of a folder that is no result


@contextmanager
def opening(name: str) -> Iterator[None]:
    """What a library raises over files that are none of ours, or damaged."""
    try:
        yield
    except (FullconvError, MemoryError):
        raise
    except GroupNotFoundError:
        raise BadInput(f"{name}: is not a result of fullconv: {_found_in(name)}") from None
    except Exception as error:  # zarr, its codecs and JSON, each with errors of its own
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{name}: is not a result of fullconv, or damaged ({told})") from None


def _found_in(name: str) -> str:
    """What a folder is that is no result, as far as it can be told."""
    folder = Path(name)
    with suppress(OSError):
        if not is_url(name) and is_folder(folder):
            maps = [path for path in islice(folder.iterdir(), _LOOKED_AT) if path.suffix in (".zarr", ".npz")]
            if maps:
                return (
                    f"it is a folder of them; give one, {min(maps)} say (fullconv view and report take all of a study)"
                )
    return "it holds no map (.zarr), nor a study of fullconv run (summary.csv)"


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
