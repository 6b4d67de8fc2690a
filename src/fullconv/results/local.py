"""A result in a folder. A chunk is renamed into place, and a mark follows the fsync of what it marks.

What a run writes is made in a folder of its own, ``.fullconv/RUN``, which is there from the moment the store is and goes with it. A
rename from there is the one way to any place of the store: where another run's store has taken its place, the folder is not
there, and nothing that the older run writes, removes or marks arrives.
"""

from __future__ import annotations

import glob
import hashlib
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

from fullconv.errors import BadInput
from fullconv.results.storage import ROOT, WORK, Replaced
from fullconv.system.files import settle
from fullconv.system.guard import require_apart, require_folder
from fullconv.system.lock import locked

_AT_ONCE = 8  # files that are settled side by side
_LONGEST = 100  # characters of a name that is put into the names of files beside it


class Local:
    """A folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = str(path)
        self._named: set[Path] = set()  # folders whose names in the ones above have settled

    def exists(self) -> bool:
        return self.path.exists()

    def arrays(self, run: str) -> str:
        return ""

    def zarr(self) -> Any:
        from zarr.storage import LocalStore

        from fullconv.results.bounded import Bounded

        return Bounded(LocalStore(self.path, read_only=True))

    def put(self, run: str, key: str, data: bytes | None) -> None:
        target, part = self.path / key, self._parts(run) / token_hex(8)
        if data is None:
            self._remove(run, target, part)
            return
        try:
            with part.open("xb") as file:
                file.write(data)
            self._make(target.parent)
            part.replace(target)
        except FileNotFoundError:
            raise self._replaced() from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def create(self, run: str, files: Mapping[str, bytes]) -> None:
        self._require_itself()
        require_folder(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stem = f".{self._short}."
        for left in self.path.parent.glob(f"{glob.escape(stem)}*.part"):  # of a creation that a kill cut short
            shutil.rmtree(left, ignore_errors=True)
        fresh = self.path.with_name(f"{stem}{token_hex(4)}.part")
        try:
            fresh.mkdir()
            for key, data in files.items():
                _write(fresh / key, data)
            for folder in (fresh / WORK / run / "done", fresh / WORK / run / "part"):
                folder.mkdir(parents=True)
            for each in [*fresh.rglob("*"), fresh]:
                settle(each)
            if self.path.exists():
                old = fresh.with_name(f"{stem}{token_hex(4)}.old.part")
                self.path.rename(old)
                fresh.rename(self.path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                fresh.rename(self.path)
            settle(self.path.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def resume(self, run: str, files: Mapping[str, bytes]) -> None:
        self._require_itself()
        require_folder(self.path)
        for folder in (self._parts(run), self._done(run)):
            folder.mkdir(parents=True, exist_ok=True)
            settle(folder.parent)
        for left in self._parts(run).iterdir():
            left.unlink(missing_ok=True)
        for key, data in files.items():
            if not (self.path / key).exists():
                _write(self.path / key, data)
        settle(self.path)

    def require(self, run: str) -> None:
        if not self._done(run).is_dir():
            raise self._replaced()

    def commit(self, run: str, root: bytes) -> None:
        self._place(run, {self.path / "zarr.json": root})

    def restate(self, root: bytes) -> None:
        self._require_itself()
        part = self.path / f"{token_hex(8)}.partial"
        try:
            _write(part, root)
            part.replace(self.path / "zarr.json")
        finally:
            part.unlink(missing_ok=True)
        settle(self.path)

    def settle(self, keys: Iterable[str]) -> None:
        """Files first, then the folders that name them, and once for each folder the ones above."""
        paths = {self.path / key for key in keys}
        folders = {path.parent for path in paths}
        fresh = set()
        for folder in folders:
            while folder != self.path and folder not in self._named:
                fresh.add(folder)
                folder = folder.parent
        self._settle_all(paths)
        self._settle_all(folders | {folder.parent for folder in fresh})
        self._named |= fresh

    def sizes(self, run: str) -> Callable[[str], int]:
        def size(key: str) -> int:
            try:
                return (self.path / key).stat().st_size
            except FileNotFoundError:
                return 0

        return size

    def mark(self, run: str, texts: Mapping[str, str]) -> None:
        self._place(run, {self._done(run) / name: text.encode() for name, text in texts.items()})

    def mark_of(self, run: str, name: str) -> str | None:
        try:
            return (self._done(run) / name).read_bytes().decode(errors="replace")
        except FileNotFoundError:
            self.require(run)
            return None

    def marks(self, run: str) -> Mapping[str, str]:
        folder = self._done(run)
        if not folder.is_dir():
            return {}
        return {p.name: p.read_bytes().decode(errors="replace") for p in folder.iterdir() if p.is_file()}

    def clear(self, run: str) -> None:
        for left in self.path.rglob("*.partial"):  # of writes of an older fullconv that a kill cut short
            left.unlink(missing_ok=True)
        self.tidy()
        self.tidy()  # what an older run wrote meanwhile

    def tidy(self) -> None:
        shutil.rmtree(self.path / WORK, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """A lock that the system gives back when the process ends, however it ends."""
        self._require_itself()
        require_folder(self.path)
        path = self.path.with_name(f".{self._short}.lock")
        require_apart(path)
        with locked(path, self.name):
            yield lambda: None

    @property
    def _short(self) -> str:
        """The folder's name, for names beside it: a file system has a longest."""
        name = self.path.name
        if len(name) <= _LONGEST:
            return name
        return f"{name[: _LONGEST - 20]}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def _parts(self, run: str) -> Path:
        return self.path / WORK / run / "part"

    def _done(self, run: str) -> Path:
        return self.path / WORK / run / "done"

    def _place(self, run: str, files: Mapping[Path, bytes]) -> None:
        """Put files in their places, each once it has settled."""
        parts = {target: self._parts(run) / token_hex(8) for target in files}
        try:
            for target, part in parts.items():
                with part.open("xb") as file:
                    file.write(files[target])
            self._settle_all(parts.values())
            for target, part in parts.items():
                part.replace(target)
        except FileNotFoundError:
            raise self._replaced() from None
        finally:
            for part in parts.values():
                with suppress(OSError):
                    part.unlink(missing_ok=True)
        self._settle_all({target.parent for target in files})

    def _settle_all(self, paths: Collection[Path]) -> None:
        """Settle what is there of these, side by side: a disk takes many at once in about the time of one."""
        if len(paths) < 2:
            for path in paths:
                _settle(path)
        else:
            list(self._pool.map(_settle, paths))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_AT_ONCE, "settle")

    def _make(self, folder: Path) -> None:
        """A folder within; the result's own is never made anew, where it was removed meanwhile."""
        if folder != self.path and not folder.exists():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)

    def _remove(self, run: str, target: Path, part: Path) -> None:
        """By way of the run's own folder, as what is written goes: where that is gone, nothing of another run's is removed."""
        if not self._parts(run).exists():
            raise self._replaced()
        with suppress(FileNotFoundError, NotADirectoryError):
            target.rename(part)
        part.unlink(missing_ok=True)

    def _replaced(self) -> Replaced:
        """What became of a result whose run finds its folder no more."""
        if not self.path.exists():
            return Replaced(
                f"{self.name}: was removed while it was written, and what was done went with it; the same command starts anew"
            )
        return Replaced(
            f"{self.name}: another run wrote it anew or finished it meanwhile; nothing more of this run is written"
        )

    def _require_itself(self) -> None:
        """BadInput where the folder, or what a run writes through, is a link to elsewhere."""
        for path in (self.path, self.path / WORK, *(self.path / name for name in ROOT)):
            try:
                linked = path.is_symlink()
            except OSError as error:  # a name that no file can have
                raise BadInput(f"{path}: {error.strerror}") from None
            if linked:
                raise BadInput(
                    f"{path}: is a symbolic link, and nothing is written through one; name what it points to"
                )


def _settle(path: Path) -> None:
    with suppress(FileNotFoundError):  # a chunk of fill values alone is not stored
        settle(path)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    settle(path)
