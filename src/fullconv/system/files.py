"""Files written whole or not at all, and never over what is not fullconv's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fullconv.errors import BadInput, BrokenPromise
from fullconv.system.guard import is_own, require_writable, resolved


@contextmanager
def written_whole(*targets: Path) -> Iterator[list[Path]]:
    """Temporary paths beside the targets, which take their places together when the block ends well.

    What is written carries fullconv's mark (``system.guard``), so that it may be written again.

    Raises:
        BadInput: a target is read, or exists and is not fullconv's own; a folder cannot be written, or the disk is full. Nothing is
            left behind.
    """
    temporary: list[Path] = []
    try:
        _require_distinct(targets)
        for target in targets:
            require_writable(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".fullconv-", suffix=".part", dir=target.parent)
            os.close(handle)
            temporary.append(Path(name))
            temporary[-1].chmod(0o666 & ~_umask())
        yield temporary
        for part, target in zip(temporary, targets, strict=True):
            if not is_own(part, target.suffix):
                raise BrokenPromise(f"{target}: was written without fullconv's mark, and could not be written again")
            part.replace(target)
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
        for part in temporary:
            part.unlink(missing_ok=True)


def _require_distinct(targets: tuple[Path, ...]) -> None:
    if len({resolved(target) for target in targets}) < len(targets):
        raise BadInput(f"{targets[0]}: two files would be written by this name; choose another one for the weights")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
