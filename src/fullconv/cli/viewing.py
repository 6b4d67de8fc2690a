"""``map --view``: the viewer of a run, as a process of its own beside it, from the first tile until it is closed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread

from fullconv.cli.outputs import Target
from fullconv.cli.terminal import complain
from fullconv.errors import BadInput, FullconvError

_VIEW = [sys.executable, "-m", "fullconv", "view"]
_PAUSE = 0.3  # seconds between two looks for the store


def require_viewable(aims: Mapping[str, Target]) -> tuple[str, str]:
    """The image and the store that are to be looked at, before the work.

    Raises:
        BadInput: there is not one of each, or the viewer is not there.
    """
    from fullconv.viewer.extra import require_extra

    stores = [(image, target.store) for image, target in aims.items() if target.store is not None]
    if len(aims) != 1 or not stores:
        raise BadInput(
            "--view looks at one image that is mapped into a store: name it with -o x.zarr; others are looked at with fullconv view"
        )
    require_extra()
    from fullconv.viewer.serve import require_page

    require_page()
    return stores[0]


@contextmanager
def viewing(image: str, store: str) -> Iterator[None]:
    """While a run lasts, and then until the viewer is ended by Ctrl-C. A run that fails ends it."""
    command = [*_VIEW, store, "--image", image]
    started: list[subprocess.Popen[bytes]] = []
    ended = Event()

    def start() -> None:
        while not _is_there(store):
            if ended.wait(_PAUSE):
                return
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()))

    thread = Thread(target=start)
    thread.start()
    try:
        yield
        thread.join()
        complain("the map is done; the viewer goes on until Ctrl-C")
        with suppress(KeyboardInterrupt):
            started[0].wait()
    finally:
        ended.set()
        thread.join()
        for process in started:
            process.terminate()
            process.wait()


def _is_there(store: str) -> bool:
    from fullconv.results.places import storage_of
    from fullconv.results.store import Store

    try:
        Store.record_of(storage_of(store))
    except FullconvError:
        return False
    return True
