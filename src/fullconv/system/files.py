"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fullconv.errors import BadInput


@contextmanager
def written_whole(*targets: Path) -> Iterator[list[Path]]:
    """Temporary paths beside the targets, which take their places together when the block ends well.

    Raises:
        BadInput: a folder cannot be written, or the disk is full; nothing is left behind.
    """
    temporary: list[Path] = []
    try:
        for target in targets:
            if target.is_dir():
                raise BadInput(f"{target}: is a folder; name a file")
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
            os.close(handle)
            temporary.append(Path(name))
            temporary[-1].chmod(0o666 & ~_umask())
        yield temporary
        for part, target in zip(temporary, targets, strict=True):
            part.replace(target)
    except OSError as error:
        where = ", ".join(map(str, targets))
        raise BadInput(
            f"{where}: cannot be written: {os.strerror(error.errno) if error.errno else error}; choose another place or free some space"
        ) from None
    finally:
        for part in temporary:
            part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
