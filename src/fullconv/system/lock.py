"""A lock that ends with its process, by filelock: ``flock`` where there is one, Windows' own locks there."""

from __future__ import annotations

import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fullconv.errors import BadInput


@contextmanager
def locked(path: Path, name: str) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: the lock's own file; it is made, and removed again where the system lets an open file go.
        name: what is locked, for people.

    Raises:
        BadInput: another process holds it, the folder cannot be written, or the file system has no locks.
    """
    # Where a system or a file system has no locks, a file that names its process stands for one, and filelock warns of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import filelock
    lock = filelock.FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():  # the lock itself follows no link; this says so in words
            raise BadInput(f"{path}: is a symbolic link, and nothing is locked or written through one; remove it")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lock.acquire()
    except NotImplementedError:
        raise BadInput(f"{name}: the file system there has no locks; choose another place") from None
    except (filelock.Timeout, RuntimeError):
        if not path.exists():  # nobody holds a lock that is not there
            raise BadInput(
                f"{name}: cannot be written there (no file can be made: {path}); choose another place"
            ) from None
        raise BadInput(
            f"{name}: another process writes it{_holder(path)}; wait for it, or choose another output. "
            f"If none does, remove {path}"
        ) from None
    except OSError as error:
        raise BadInput(
            f"{name}: cannot be written there ({error.strerror or error}: the lock {path}); choose another place"
        ) from None
    try:
        if type(lock) is getattr(
            filelock, "UnixFileLock", None
        ):  # Windows lets nobody read a locked file, others note their own
            with suppress(OSError), _open_itself(path) as file:
                file.truncate(0)
                json.dump({"process": os.getpid(), "machine": socket.gethostname()}, file)
        yield
    finally:
        if os.name != "nt" and type(lock) is getattr(filelock, "UnixFileLock", None):
            with suppress(OSError):
                path.unlink()  # before it is released: who waits for this file sees that it has no name any more, and begins anew
        lock.release()


def _open_itself(path: Path):  # type: ignore[no-untyped-def]
    """The file to be written to, and nothing that a link leads to."""
    return os.fdopen(os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)), "w", encoding="utf-8")


def _holder(path: Path) -> str:
    """Who holds a lock, where that can be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")[:500])
        return f" (process {int(told['process'])} on {str(told['machine'])[:100]})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
