"""One run a device: a second one is told who has it, unless both say how much of its memory they take. By locks that end with their processes."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.system.lock import locked

_ENTERING = 20.0  # seconds that another run may take to look around
_ALL = "all"


@contextmanager
def reserved(devices: Sequence[tuple[str, str]], memory: int | None, folder: Path | None = None) -> Iterator[None]:
    """Have devices for a run.

    Args:
        devices: name for people, and what tells each from all others of this machine.
        memory: bytes that the run takes of each; None: all that it needs.
        folder: of the locks; the user's own by default.

    Raises:
        BadInput: another run has one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of file systems without locks
        import filelock
    folder = _folder() if folder is None else folder
    with ExitStack() as stack:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_own(folder)
            with filelock.FileLock(folder / "entering.lock", timeout=_ENTERING):  # one looks around at a time
                for name, key in devices:
                    _require_free(folder, name, key, memory)
                for name, key in devices:
                    own = folder / f"{key}.{_ALL if memory is None else memory}.{os.getpid()}-{os.urandom(3).hex()}.run"
                    stack.enter_context(locked(own, name))
        except (OSError, filelock.Timeout) as error:
            raise BadInput(
                f"{folder}: no lock of a device can be made there ({error}); set XDG_RUNTIME_DIR to a folder of yours"
            ) from None
        yield


def _require_free(folder: Path, name: str, key: str, memory: int | None) -> None:
    import filelock

    for path in folder.glob(f"{key}.*.run"):
        other = path.name.removeprefix(f"{key}.").split(".")[0]
        if memory is not None and other != _ALL:
            continue
        lock = filelock.FileLock(path, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise BadInput(
                f"{name}: another run computes on it{_holder(path)}; wait for it, choose another --device, or give both runs --device-memory, "
                "so that they share it"
            ) from None
        with suppress(OSError):
            path.unlink()  # its process ended
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return f" (process {int(json.loads(path.read_text(encoding='utf-8')[:500])['process'])})"
    return ""


def _require_own(folder: Path) -> None:
    """Nobody else's folder by the same name, nor a link to one."""
    if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        raise BadInput(f"{folder}: is another user's, or a link; set XDG_RUNTIME_DIR to a folder of yours")


def _folder() -> Path:
    """A folder of the user's that the system empties when it starts."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if own and Path(own).is_dir():
        return Path(own) / "fullconv"
    who = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"fullconv-{who}"
