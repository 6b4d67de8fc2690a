"""A result in an object store, by obstore (extra ``dask``): every put is whole or not there, and stays."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Event, Thread
from typing import Any

from fullconv.errors import BadInput, MissingExtra
from fullconv.results.storage import WORK

_LOCK = f"{WORK}/lock"
_FRESH = 120.0  # seconds after which a lock that was not renewed is a dead process's
_RENEWED = 30.0


class Remote:
    """A prefix of a bucket: ``s3://``, ``gs://``, ``az://``, ``https://``, ``memory://`` (for trials)."""

    def __init__(self, url: str) -> None:
        if find_spec("obstore") is None:
            raise MissingExtra(f"{url}: object stores need obstore; install it with: pip install 'fullconv[dask]'")
        from obstore.store import from_url

        self.name = url
        with _told(url):
            self._store = _memory(url) if url.startswith("memory://") else from_url(url)

    def exists(self) -> bool:
        import obstore

        with _told(self.name):
            first = next(iter(obstore.list(self._store, chunk_size=2)), [])
            return any(str(entry["path"]) != _LOCK for entry in first)

    def zarr(self, read_only: bool = False) -> Any:
        from zarr.storage import ObjectStore

        return ObjectStore(self._store, read_only=read_only)

    def create(self, build: Callable[[Any], None]) -> None:
        self._remove("")
        with _told(self.name):
            build(self.zarr())

    def settle(self, keys: Iterable[str]) -> None:
        """A put has settled when it returns."""

    def mark(self, name: str, text: str) -> None:
        import obstore

        with _told(self.name):
            obstore.put(self._store, f"{WORK}/done/{name}", text.encode() or b" ")

    def mark_of(self, name: str) -> str | None:
        import obstore

        with _told(self.name):
            try:
                return bytes(obstore.get(self._store, f"{WORK}/done/{name}").bytes()).decode().strip()
            except FileNotFoundError:
                return None

    def marks(self) -> Mapping[str, str]:
        import obstore

        found = {}
        with _told(self.name):
            for batch in obstore.list(self._store, f"{WORK}/done"):
                for entry in batch:
                    data = bytes(obstore.get(self._store, entry["path"]).bytes())
                    found[str(entry["path"]).rsplit("/", 1)[-1]] = data.decode().strip()
        return found

    def clear(self) -> None:
        self._remove(f"{WORK}/done")

    def _remove(self, prefix: str) -> None:
        import obstore

        with _told(self.name):
            for batch in obstore.list(self._store, prefix or None):
                paths = [entry["path"] for entry in batch if str(entry["path"]) != _LOCK]
                if paths:
                    obstore.delete(self._store, paths)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """An object that only one process can make; it is renewed while that process lives."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        key, who = _LOCK, json.dumps({"process": os.getpid(), "machine": socket.gethostname()}).encode()
        with _told(self.name):
            try:
                obstore.put(self._store, key, who, mode="create")
            except AlreadyExistsError:
                age = time.time() - obstore.head(self._store, key)["last_modified"].timestamp()
                if age < _FRESH:
                    raise BadInput(
                        f"{self.name}: another process writes it, or ended less than {_FRESH:.0f} seconds ago; wait, or choose another output"
                    ) from None
                obstore.put(self._store, key, who)
        over = Event()

        def renew() -> None:
            while not over.wait(_RENEWED):
                obstore.put(self._store, key, who)

        thread = Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with _told(self.name):
                obstore.delete(self._store, key)


_TRIALS: dict[str, Any] = {}


def _memory(url: str) -> Any:
    from obstore.store import MemoryStore

    return _TRIALS.setdefault(url, MemoryStore())


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell the library's errors as what they are: a store that does not answer, or gives no right."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        what = " ".join(str(error).split("Debug source")[0].split())[:300]
        raise BadInput(
            f"{name}: the object store refuses or does not answer ({what}); check its address and your rights"
        ) from None
