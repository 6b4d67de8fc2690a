"""A result in a folder. A chunk is renamed into place, and a mark follows the fsync of what it marks."""

from __future__ import annotations

import glob
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.results.storage import WORK
from fullconv.system.guard import require_apart, require_folder


class Local:
    """A folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = str(path)

    def exists(self) -> bool:
        return self.path.exists()

    def zarr(self, read_only: bool = False) -> Any:
        from zarr.storage import LocalStore

        return LocalStore(self.path, read_only=read_only)

    def create(self, build: Callable[[Any], None]) -> None:
        from zarr.storage import LocalStore

        require_folder(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in self.path.parent.glob(
            f".{glob.escape(self.path.name)}.*.part"
        ):  # of a creation that a kill cut short
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent))
        try:
            fresh.chmod(0o777 & ~_umask())
            build(LocalStore(fresh))
            for found in [*fresh.rglob("*"), fresh]:
                _settle(found)
            if self.path.exists():
                old = fresh.with_name(f"{fresh.stem}.old.part")
                self.path.rename(old)
                fresh.rename(self.path)
                shutil.rmtree(old)
            else:
                fresh.rename(self.path)
            _settle(self.path.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def settle(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            path = self.path / key
            with suppress(FileNotFoundError):  # a chunk of fill values alone is not stored
                _settle(path)
            folders.add(path.parent)
        above = {
            parent
            for folder in folders
            for parent in (folder, *folder.parents)
            if self.path in (parent, *parent.parents)
        }
        for folder in above:
            with suppress(FileNotFoundError):
                _settle(folder)

    def mark(self, name: str, text: str) -> None:
        folder = self.path / WORK / "done"
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            for each in (folder.parent, self.path):
                _settle(each)
        part = folder / f".{name}.{os.getpid()}"
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / name)
        _settle(folder)

    def mark_of(self, name: str) -> str | None:
        try:
            return (self.path / WORK / "done" / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def marks(self) -> Mapping[str, str]:
        folder = self.path / WORK / "done"
        if not folder.is_dir():
            return {}
        return {p.name: p.read_text(encoding="utf-8") for p in folder.iterdir() if not p.name.startswith(".")}

    def clear(self) -> None:
        for left in self.path.rglob("*.partial"):  # of writes that a kill cut short
            left.unlink(missing_ok=True)
        shutil.rmtree(self.path / WORK, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """A lock that the system gives back when the process ends, however it ends."""
        require_folder(self.path)
        path = self.path.parent / f".{self.path.name}.lock"
        require_apart(path)
        with _held(path, self.name):
            yield


@contextmanager
def _held(path: Path, name: str) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # a system without it has no lock that ends with its process
        yield
        return
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{name}: cannot be written there ({error.strerror}); choose another place") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            who = file.read(500)
            file.close()
            raise BadInput(
                f"{name}: another process writes it{_told(who)}; wait for it, or choose another output"
            ) from None
        with suppress(OSError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                break
        file.close()  # the one that held it has just removed it
    try:
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _told(who: str) -> str:
    try:
        found = json.loads(who)
        return f" (process {found['process']} on {found['machine']})"
    except (ValueError, KeyError, TypeError):
        return ""


def _settle(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
