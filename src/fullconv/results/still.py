"""Whether a result that was opened is still the one that lies there: of one that was removed every chunk reads as cells without an answer."""

from __future__ import annotations

from pathlib import Path

from fullconv.errors import BadInput
from fullconv.results.store import Store
from fullconv.system.guard import is_url


class Still:
    """A store as it was opened."""

    def __init__(self, store: Store) -> None:
        self._storage, self._record = store.storage, store.record
        self._is_far = is_url(store.storage.name)
        self._seen = self._root()

    def require(self, *, answered: bool) -> None:
        """Behind every read.

        Args:
            answered: some cell of what was read has an answer.

        Raises:
            BadInput: it was removed, or made anew, since it was opened.
        """
        if answered if self._is_far else (seen := self._root()) is not None and seen == self._seen:
            return
        record, own = Store.record_of(self._storage), self._record
        if (record.request, record.arrays, record.labels) != (own.request, own.arrays, own.labels):
            raise BadInput(f"{self._storage.name}: was made anew since it was opened; open it again")
        self._seen = self._root()

    def _root(self) -> tuple[int, int, int] | None:
        """What the system says of the group's own file, on a disk."""
        if self._is_far:
            return None
        try:
            about = (Path(self._storage.name) / "zarr.json").stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size, about.st_ino
