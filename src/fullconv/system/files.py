"""Files written whole or not at all, and never over what is not fullconv's own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fullconv.errors import BadInput, BrokenPromise
from fullconv.system.guard import is_own, require_writable, same_name


def settle(path: Path) -> None:
    """Return when a file, or the names in a folder, would outlive a power cut."""
    if os.name == "nt" and path.is_dir():
        return  # Windows keeps the names of a folder itself, and opens none
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


Approve = Callable[[Sequence[Path]], None]  # raises where what was written is not what was meant


def unseen(parts: Sequence[Path]) -> None:
    """What was written takes its place as it is."""


@contextmanager
def written_whole(*targets: Path, approve: Approve = unseen) -> Iterator[list[Path]]:
    """Paths of the targets' names in a folder beside them, which take their places together when the block ends well.

    ``approve`` sees them first. What is written carries fullconv's mark (``system.guard``), so that it may be written again.

    Raises:
        BadInput: a target is read, or exists and is not fullconv's own; a folder cannot be written, or the disk is full. Nothing is
            left behind.
    """
    folders: dict[Path, Path] = {}
    try:
        _require_distinct(targets)
        for target in targets:
            require_writable(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent not in folders:
                folders[target.parent] = Path(tempfile.mkdtemp(prefix=".fullconv-", dir=target.parent))
        temporary = [folders[target.parent] / target.name for target in targets]
        yield temporary
        approve(temporary)
        for part, target in zip(temporary, targets, strict=True):
            if not is_own(part, target.suffix):
                raise BrokenPromise(f"{target}: was written without fullconv's mark, and could not be written again")
            settle(part)
            part.replace(target)
        for folder in folders:
            settle(folder)
    except OSError as error:
        where = ", ".join(map(str, targets))
        raise BadInput(
            f"{where}: cannot be written: {os.strerror(error.errno) if error.errno else error}; choose another place or free some space"
        ) from None
    except ValueError as error:
        if not any("\0" in str(target) for target in targets):
            raise
        raise BadInput(
            f"{', '.join(repr(str(target)) for target in targets)}: is no name of a file ({error})"
        ) from None
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _require_distinct(targets: tuple[Path, ...]) -> None:
    if len({same_name(target) for target in targets}) < len(targets):
        raise BadInput(f"{targets[0]}: two files would be written by this name; choose another one for the weights")
