"""``fullconv.view``: the viewer from Python, in a notebook's cell or in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.access import Access
from fullconv.system.guard import is_url, reads
from fullconv.system.notebook import counted
from fullconv.viewer.catalogue import store_of
from fullconv.viewer.extra import require_extra
from fullconv.viewer.notebook import Notebook, framed, notebook

if TYPE_CHECKING:
    from fullconv.model import Model
    from fullconv.viewer.served import Served

_LEAST, _MOST = 200, 4000  # px of a frame's height
_SERVERS = 16  # at once; beyond, the one that was longest not asked for is closed
_HUB = "On a JupyterHub a browser gets at it through jupyter-server-proxy: view(..., through='https://THE-HUB{prefix}proxy/{{port}}/')."

_opened: dict[tuple[Any, ...], Viewer] = {}
_lock = Lock()


class Viewer:
    """The viewer over results, served by this process until it is closed or ends.

    In a notebook it shows itself: as the last value of a cell. ``with fullconv.view(...) as viewer`` closes it behind the block.

    Attributes:
        address: opens it in a browser of this machine; whoever has it sees the maps and their image.
    """

    def __init__(self, served: Served, name: str, height: int, hint: str = "") -> None:
        self._served, self._name, self._height, self._hint = served, name, height, hint
        self.address = served.address

    @property
    def is_open(self) -> bool:
        return self._served.is_open

    def close(self) -> None:
        """End the server; a second time nothing happens."""
        self._served.close()

    def wait(self) -> None:
        """Go on when it is closed, or by Ctrl-C, which closes it: what a script does that has nothing else to do."""
        with suppress(KeyboardInterrupt):
            self._served.wait()
        self.close()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Viewer({self._name}, {self.address if self.is_open else 'closed'})"

    def _repr_html_(self) -> str:
        """What notebooks show: the page in a frame."""
        if not self.is_open:
            return "<p>This viewer is closed; view the map again.</p>"
        return framed(self.address, self._name, self._height, self._hint)


def view(
    results: ClassMap | str | Path | Sequence[ClassMap | str | Path],
    image: Any = None,
    *,
    model: Model | str | Path | None = None,
    height: int = 640,
    opens: bool = True,
    port: int = 0,
    through: str | None = None,
    subdataset: str | None = None,
    trust: bool = False,
    allow_remote: bool = False,
) -> Viewer:
    """Look at maps over their image, as ``fullconv view`` does: in a notebook's cell, elsewhere in the browser.

    The server is a thread of this process, for this machine alone. What is viewed already has its server, which is taken again.

    Args:
        results: a map, the path of a store (also of a run in progress) or an ``.npz``, the folder of a study, or several.
        image: the image that was mapped, a path or pixels, or the folder of a study's images; a map's own by default.
        model: the network that made the map, to be asked of cells' crops.
        height: of the frame in a notebook's cell, in px.
        opens: outside of notebooks, open the browser.
        port: to listen at; a free one by default.
        through: the address of a proxy that leads to this machine's ports, for a notebook on another machine: ``{port}`` stands in it for the port's number.
        subdataset: which image of a file of several; by default the one that was mapped.
        trust, allow_remote: what a mosaic may name, as for ``fullconv.map``.

    Raises:
        BadInput: a result is none, the image is of another size, or the port cannot be listened at.
        MissingExtra: the extra ``view`` is not installed.
    """
    require_extra()
    if not _LEAST <= height <= _MOST:
        raise BadInput(f"height {height}: from {_LEAST} to {_MOST} px")
    sources: Sequence[Any] = [results] if not isinstance(results, list | tuple) else results
    if not sources or not all(isinstance(each, ClassMap | str | Path) for each in sources):
        raise BadInput(f"{results!r:.60}: is no result; name a map, the path of one, or a list of these")
    given = [each if isinstance(each, ClassMap) else str(each) for each in sources]
    seen = str(image) if isinstance(image, Path) else image
    reads(*(each for each in (*given, seen) if isinstance(each, str)))
    access = Access(trust, allow_remote, _subdataset(given) if subdataset is None else subdataset)
    key = (tuple(map(_key, given)), _key(seen), _key(model), access, port, through)
    here = notebook()
    with _lock:
        viewer = _opened.pop(key, None)
        if viewer is None or not viewer.is_open:
            viewer = _started(given, seen, model, access, port, through, here, height)
        _opened[key] = viewer
        for closed in [each for each in _opened if not _opened[each].is_open]:
            del _opened[closed]
        while len(_opened) > _SERVERS:
            _opened.pop(next(iter(_opened))).close()
    if here is None and opens:
        webbrowser.open(viewer.address)
    return viewer


def _started(
    given: list[ClassMap | str], image: Any, model: Any, access: Access, port: int, through: str | None, here: Notebook | None, height: int,
) -> Viewer:  # fmt: skip
    from fullconv.loading import load
    from fullconv.viewer.served import Served
    from fullconv.viewer.shown import Shown

    network = None if model is None else load(model)
    shown = Shown(given, image, network, access)
    try:
        proxy = (lambda number: through) if here is None or through is not None else here.through
        served = Served(shown, port, proxy, () if here is None else here.ancestors)
    except BaseException:
        shown.close()
        raise
    entries = shown.catalogue.entries
    name = entries[0].name if len(entries) == 1 else counted(len(entries), "map")
    hint = _HUB.format(prefix=here.hub) if here is not None and here.hub and through is None else ""
    return Viewer(served, name, height, hint)


def _subdataset(given: list[ClassMap | str]) -> str | None:
    """Which image of a file the first map is of."""
    from fullconv.render.pictured import as_mapped

    first = given[0]
    select = None if not isinstance(first, ClassMap) else as_mapped(first.record)
    return None if select is None else select.access.subdataset


def _key(given: Any) -> Any:
    """What is the same when it is viewed again; maps and pixels live as long as their viewer."""
    if isinstance(given, ClassMap):
        given = store_of(given) or given
    if isinstance(given, str | Path):
        return str(given) if is_url(str(given)) else str(Path(given).absolute())
    return None if given is None else id(given)
