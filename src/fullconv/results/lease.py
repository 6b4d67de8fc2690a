"""A lock in an object store: an object that one process makes and renews, and that another may take once it has expired.

Every put names the version that it replaces, so that of two processes that take an expired lock one gets it. How old a lock is says
the store, by its own clock: it is compared with an object put just now. A clock of a machine that jumps, or is set wrong, changes nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

from fullconv.errors import BadInput
from fullconv.results.remote import asking, version_of
from fullconv.results.storage import new_run

FRESH = 120.0  # seconds after which a lock that was not renewed is a dead process's
RENEWED = 30.0  # seconds between two renewals
_AGAIN = 3.0  # seconds after which a renewal that failed is tried again


@contextmanager
def leased(store: Any, key: str, name: str) -> Iterator[Callable[[], None]]:
    """Hold a lock; what it gives raises BadInput once it was lost.

    Raises:
        BadInput: another process holds it.
    """
    who = json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "holder": new_run()}).encode()
    lease = _Lease(store, key, name, who)
    lease.take()
    over = Event()
    thread = Thread(target=lease.keep, args=(over,), daemon=True)
    thread.start()
    try:
        yield lease.require
    finally:
        over.set()
        thread.join()
        lease.leave()


class _Lease:
    def __init__(self, store: Any, key: str, name: str, who: bytes) -> None:
        self._store, self._key, self._name, self._who = store, key, name, who
        self._version: Any = None
        self._renewed = time.monotonic()
        self._lost = ""

    def take(self) -> None:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with asking(self._name):
            try:
                self._put("create")
            except AlreadyExistsError:
                age, held = self._age()
                if held is not None and age < FRESH:
                    raise BadInput(
                        f"{self._name}: another process writes it{self._holder()}, or ended less than {FRESH:.0f} seconds ago; "
                        "wait, or choose another output"
                    ) from None
                try:
                    self._put("create" if held is None else held)
                except (AlreadyExistsError, PreconditionError):
                    raise BadInput(
                        f"{self._name}: another process has just begun to write it; wait, or choose another output"
                    ) from None

    def keep(self, over: Event) -> None:
        """Renew the lock until it is over or lost; a put that fails is tried again while the lock is fresh."""
        from obstore.exceptions import BaseError, PreconditionError

        wait = RENEWED
        while not over.wait(wait):
            try:
                self._put(self._version)
                wait = RENEWED
            except PreconditionError:
                if not self._is_own():  # a put may arrive whose answer did not
                    self._lost = "another process took it"
                    return
                wait = RENEWED
            except (BaseError, OSError, ValueError) as error:
                wait = min(_AGAIN, RENEWED)
                if time.monotonic() - self._renewed > FRESH:
                    self._lost = f"the store did not answer for {FRESH:.0f} seconds ({str(error)[:100]})"

    def require(self) -> None:
        if self._lost:
            raise BadInput(
                f"{self._name}: the lock was lost: {self._lost}; what is done is kept, and the same command goes on"
            )

    def leave(self) -> None:
        """Remove the lock, where nobody can have taken it since it was renewed."""
        import obstore
        from obstore.exceptions import BaseError

        if self._lost or time.monotonic() - self._renewed > FRESH / 2:
            return  # it expires
        with suppress(BaseError, OSError, ValueError):
            if self._is_own():
                obstore.delete(self._store, self._key)

    def _put(self, mode: Any) -> None:
        import obstore

        begun = time.monotonic()
        self._version = version_of(obstore.put(self._store, self._key, self._who, mode=mode))
        self._renewed = begun

    def _is_own(self) -> bool:
        """Whether the lock that is there is this process's; its version is known then."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            got = obstore.get(self._store, self._key)
            own = bytes(got.bytes()) == self._who
        except (BaseError, OSError, ValueError):
            return False
        if own:
            self._version, self._renewed = version_of(got.meta), time.monotonic()
        return own

    def _age(self) -> tuple[float, Any]:
        """Seconds since the lock was put, by the store's clock, and its version; None where it is gone."""
        import obstore

        probe = f"{self._key}-{new_run()}"
        obstore.put(self._store, probe, b" ")
        try:
            now = obstore.head(self._store, probe)["last_modified"]
            held = obstore.head(self._store, self._key)
        except FileNotFoundError:
            return 0.0, None
        finally:
            obstore.delete(self._store, probe)
        return (now - held["last_modified"]).total_seconds(), version_of(held)

    def _holder(self) -> str:
        import obstore

        with suppress(Exception):
            told = json.loads(bytes(obstore.get(self._store, self._key).bytes()))
            return f" (process {int(told['process'])} on {str(told['machine'])[:100]})"
        return ""
