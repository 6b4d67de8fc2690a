"""A result in a folder. A chunk is renamed into place, and a mark follows the fsync of what it marks.

What a run writes is made in a folder of its own, ``.fullconv/RUN``, which is there from the moment the store is and goes with it. A
rename from there is the one way to any place of the store: where another run's store has taken its place, the folder is not
there, and nothing that the older run writes, removes or marks arrives.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from fullconv.errors import BadInput
from fullconv.results.storage import ROOT, WORK, Replaced
from fullconv.system.files import settle
from fullconv.system.guard import require_apart, require_folder
from fullconv.system.lock import locked

_LONGEST = 100  # characters of a name that is put into the names of files beside it


class Local:
    """A folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = str(path)

    def exists(self) -> bool:
        return self.path.exists()

    def arrays(self, run: str) -> str:
        return ""

    def zarr(self, run: str = "") -> Any:
        from zarr.storage import LocalStore

        if not run:
            from fullconv.results.bounded import Bounded

            return Bounded(LocalStore(self.path, read_only=True))
        from fullconv.results.staged import Staged

        return Staged(self.path, self._parts(run), self._replaced)

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
        self._place(run, self.path / "zarr.json", root)

    def settle(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            path = self.path / key
            with suppress(FileNotFoundError):  # a chunk of fill values alone is not stored
                settle(path)
            folders.add(path.parent)
        above = {
            parent
            for folder in folders
            for parent in (folder, *folder.parents)
            if self.path in (parent, *parent.parents)
        }
        for folder in above:
            with suppress(FileNotFoundError):
                settle(folder)

    def sizes(self, run: str) -> Callable[[str], int]:
        def size(key: str) -> int:
            try:
                return (self.path / key).stat().st_size
            except FileNotFoundError:
                return 0

        return size

    def mark(self, run: str, name: str, text: str) -> None:
        self._place(run, self._done(run) / name, text.encode())

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
        shutil.rmtree(self.path / WORK, ignore_errors=True)
        shutil.rmtree(self.path / WORK, ignore_errors=True)  # what an older run wrote meanwhile

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

    def _place(self, run: str, target: Path, data: bytes) -> None:
        part = self._parts(run) / token_hex(8)
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except FileNotFoundError:
            raise self._replaced() from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        settle(target.parent)

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


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    settle(path)
