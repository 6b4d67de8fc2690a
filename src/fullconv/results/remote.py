"""A result in an object store, by obstore (extra ``dask``): every put is whole or not there, and stays.

There is no rename here, and a worker that nobody awaits any more may put at any time. So a run's arrays and marks lie under its own
id, and the group's own file, which says which arrays count, is put only where it is still the one that was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from fullconv.errors import BadInput, MissingExtra
from fullconv.results.storage import WORK, Replaced

_AT_ONCE = 16  # marks that are asked for at once
_ROOT = "zarr.json"
_LOCK = f"{WORK}/lock"
_OF_RUNS = re.compile(rf"([0-9a-f]{{16}}|{re.escape(WORK)})/")
_OWN = re.compile(
    rf"([0-9a-f]{{16}}|{re.escape(WORK)}|[0-9]{{1,2}}|top1)/"
)  # all that a run writes, of older fullconvs too


class Remote:
    """A prefix of a bucket: ``s3://``, ``gs://``, ``az://``, ``https://``, ``memory://`` (for trials)."""

    def __init__(self, url: str) -> None:
        if find_spec("obstore") is None:
            raise MissingExtra(f"{url}: object stores need obstore; install it with: pip install 'fullconv[dask]'")
        from obstore.store import from_url

        self.name = url
        with asking(url):
            self._store = _memory(url) if url.startswith("memory://") else from_url(url)

    def exists(self) -> bool:
        import obstore

        if self._root()[0] is not None:
            return True
        with asking(self.name):
            return any(  # arrays of a creation that was cut short are nothing yet
                _OF_RUNS.match(str(entry["path"])) is None for batch in obstore.list(self._store) for entry in batch
            )

    def arrays(self, run: str) -> str:
        return f"{run}/"

    def zarr(self) -> Any:
        from zarr.storage import ObjectStore

        from fullconv.results.bounded import Bounded

        return Bounded(ObjectStore(self._store, read_only=True))

    def put(self, run: str, key: str, data: bytes | None) -> None:
        """What an older run puts lies under its own id, where nothing reads."""
        import obstore

        if data is not None:
            self._put(key, data)
            return
        with asking(self.name), suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def create(self, run: str, files: Mapping[str, bytes]) -> None:
        _, before = self._root()
        for key, data in files.items():
            if key != _ROOT:
                self._put(key, data)
        self._put_root(files[_ROOT], before)
        self._remove_all_but(run)

    def resume(self, run: str, files: Mapping[str, bytes]) -> None:
        have = self.sizes(run)
        for key, data in files.items():
            if key != _ROOT and not have(key):
                self._put(key, data)

    def require(self, run: str) -> None:
        found, _ = self._root()
        if found is None or _run_of(found) != run:
            raise self._replaced(found)

    def commit(self, run: str, root: bytes) -> None:
        found, version = self._root()
        if found is None or _run_of(found) != run:
            raise self._replaced(found)
        self._put_root(root, version)

    def restate(self, root: bytes) -> None:
        self._put_root(root, self._root()[1])

    def settle(self, keys: Iterable[str]) -> None:
        """A put has settled when it returns."""

    def sizes(self, run: str) -> Callable[[str], int]:
        import obstore

        with asking(self.name):
            found = {
                str(entry["path"]): int(entry["size"])
                for batch in obstore.list(self._store, f"{run}/")
                for entry in batch
            }
        return lambda key: found.get(key, 0)

    def mark(self, run: str, texts: Mapping[str, str]) -> None:
        self.require(run)
        for name, text in texts.items():
            self._put(f"{WORK}/{run}/done/{name}", text.encode() or b" ")

    def mark_of(self, run: str, name: str) -> str | None:
        import obstore

        with asking(self.name):
            try:
                return (
                    bytes(obstore.get(self._store, f"{WORK}/{run}/done/{name}").bytes())
                    .decode(errors="replace")
                    .strip()
                )
            except FileNotFoundError:
                return None

    def marks(self, run: str) -> Mapping[str, str]:
        import obstore

        def read(path: str) -> str:
            return bytes(obstore.get(self._store, path).bytes()).decode(errors="replace").strip()

        with asking(self.name), ThreadPoolExecutor(_AT_ONCE) as pool:
            listed = obstore.list(self._store, f"{WORK}/{run}/done")
            paths = [str(entry["path"]) for batch in listed for entry in batch]
            return {path.rsplit("/", 1)[-1]: text for path, text in zip(paths, pool.map(read, paths), strict=True)}

    def clear(self, run: str) -> None:
        self._remove_all_but(run, marks=False)

    def tidy(self) -> None:
        """Nothing: a store that is finished does not say any more whose the objects beside it are."""

    def lock(self) -> AbstractContextManager[Callable[[], None]]:
        """An object that only one process can make; it is renewed while that process lives."""
        from fullconv.results.lease import leased

        return leased(self._store, _LOCK, self.name)

    def _root(self) -> tuple[bytes | None, Any]:
        """The group's own file, and the version of it."""
        import obstore

        with asking(self.name):
            try:
                got = obstore.get(self._store, _ROOT)
            except FileNotFoundError:
                return None, None
            return bytes(got.bytes()), version_of(got.meta)

    def _put(self, key: str, data: bytes) -> None:
        import obstore

        with asking(self.name):
            obstore.put(self._store, key, data)

    def _put_root(self, data: bytes, before: Any) -> None:
        """Put the group's own file where it still is ``before`` (None: where there is none)."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with asking(self.name):
            try:
                obstore.put(self._store, _ROOT, data, mode="create" if before is None else before)
            except (AlreadyExistsError, PreconditionError):
                raise self._replaced(data) from None

    def _remove_all_but(self, run: str, marks: bool = True) -> None:
        import obstore

        kept = (f"{run}/", *((f"{WORK}/{run}/",) if marks else ()))
        with asking(self.name):
            for batch in obstore.list(self._store):
                paths = [str(entry["path"]) for entry in batch]
                # What lies under the same prefix and is none of a run's (another result, say) is somebody's.
                gone = [p for p in paths if p != _LOCK and _OWN.match(p) and not p.startswith(kept)]
                if gone:
                    obstore.delete(self._store, gone)

    def _replaced(self, found: bytes | None) -> Replaced:
        if found is None:
            return Replaced(
                f"{self.name}: was removed while it was written, and what was done went with it; the same command starts anew"
            )
        return Replaced(
            f"{self.name}: another run wrote it anew or finished it meanwhile; nothing more of this run counts"
        )


def version_of(meta: Any) -> Any:
    """What a put compares with, so that it replaces this version of an object alone."""
    return {key: meta[key] for key in ("e_tag", "version") if meta.get(key) is not None}


def _run_of(root: bytes) -> str | None:
    try:
        found = json.loads(root)["attributes"]["fullconv"]["run"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


_TRIALS: dict[str, Any] = {}


def _memory(url: str) -> Any:
    from obstore.store import MemoryStore

    return _TRIALS.setdefault(url, MemoryStore())


@contextmanager
def asking(name: str) -> Iterator[None]:
    """Tell the library's errors as what they are: a store that does not answer, or gives no right."""
    from obstore.exceptions import BaseError, NotSupportedError

    try:
        yield
    except (NotSupportedError, NotImplementedError):
        raise BadInput(
            f"{name}: the object store has no conditional puts, without which two runs could mix; choose another, or a folder"
        ) from None
    except (BaseError, OSError, ValueError) as error:
        what = " ".join(str(error).split("Debug source")[0].split())[:300]
        raise BadInput(
            f"{name}: the object store refuses or does not answer ({what}); check its address and your rights"
        ) from None
