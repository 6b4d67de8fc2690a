"""``fullconv.report``: a result, or a study, as one page that travels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.cards.card import Card
from fullconv.errors import BadInput, FullconvError
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.maps.labels import Named
from fullconv.maps.summary import image_name
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.render.components import FEATURES
from fullconv.render.pictured import as_mapped
from fullconv.reports.one import Subject, page_of_result
from fullconv.reports.pixels import Pixels
from fullconv.reports.study import agreed, is_study, page_of_study
from fullconv.results.places import storage_of
from fullconv.results.store import Store
from fullconv.stream.origin import is_same_image, options_of, require_network
from fullconv.study.outcome import Outcome
from fullconv.system.files import written_whole
from fullconv.system.guard import guarded, is_url, reads, require_writable
from fullconv.trust.agreement import CELLS, agreement, told_alike

SUFFIXES = (".html", ".htm")
_SPELT = {"classes": "class"}  # options that the command line calls otherwise
_NO_MODEL = "Not measured: no network was given to run crops with (--model); fullconv verify compares as many cells as you like."
_NO_IMAGE = "Not measured: without the image (--image) there are no crops."
_OTHER_IMAGE = "The image is not the file that this map was made of, or has changed since: map and picture may not belong together."


def report(
    result: ClassMap | str | Path,
    out: str | Path,
    *,
    image: Any = None,
    model: Model | str | Path | None = None,
    classes: Named | None = None,
    threshold: float | None = None,
    cells: int = CELLS,
    title: str | None = None,
    trust: bool = False,
    allow_remote: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a page (HTML, one file below 5 MB that loads nothing) of a map, or of a study.

    Args:
        result: a map, the path of a store or an ``.npz``, or the folder of a study (``fullconv.run``), whose page has all its images.
        out: the file, ``.html``.
        image: the image that was mapped; a map's own by default. Without one there are no crops, and the map is drawn on paper.
        model: the network that made the map, to be asked about some cells' crops.
        classes: that have a part of their own, several with commas between; by default the six that win most cells, without one that wins more than half of them.
        threshold: score from which cells and peaks count; by default that of the network's card, else 0.5 of probabilities and none of logits.
        cells: that are compared with their crops, at random, where there is a network.
        title: of the page; the image's name by default.
        trust, allow_remote: what a mosaic may name, as for ``fullconv.map``.
        overwrite: a file that exists and that fullconv did not write may be replaced.

    Returns:
        The file.

    Raises:
        BadInput: the result is none, the image is of another size, the network is not the one that made the map, or the file must not be written.
    """
    target = Path(out)
    if target.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{target}: a report is a page; name it {target.with_suffix('.html').name}")
    with guarded(image, overwrite=overwrite):
        require_writable(target)  # before the work
        if not isinstance(result, ClassMap) and is_study(result):
            _refuse_for_study(image=image, model=model, classes=classes, threshold=threshold)
            return written(target, page_of_study(Path(result), target.parent, title))
        found, access = result if isinstance(result, ClassMap) else ClassMap.load(result), Access(trust, allow_remote)
        network = None if model is None else load(model)
        if network is not None:
            reads(*network.files)
        outcome = _outcome_of(result)
        with _seen(found, image, access) as (pixels, source):
            subject = Subject(
                found, _store_of(found), _name(found, source), pixels, None if network is None else network.card,
                _measured(found, outcome, network, source, cells, access), None if outcome is None else outcome.seconds, classes, threshold,
                _warnings(found, source, pixels),
            )  # fmt: skip
            return written(target, page_of_result(subject, title or _title(subject)))


def report_mapped(
    found: ClassMap, image: Any, target: Path, measured: str, seconds: float, classes: Named | None, threshold: float | None, card: Card | None, access: Access,
) -> None:  # fmt: skip
    """Write the page of a map that has just been made, with what was found out of it."""
    with _seen(found, image, access) as (pixels, source):
        subject = Subject(
            found, _store_of(found), _name(found, source), pixels, card, measured, seconds, classes, threshold
        )
        written(target, page_of_result(subject, _title(subject)))


def _title(subject: Subject) -> str:
    return f"Report of {subject.image or 'a map'}"


def written(target: Path, page: str) -> Path:
    """Write a page, whole or not at all."""
    with written_whole(target) as (part,):
        part.write_text(page, encoding="utf-8")
    return target


def _refuse_for_study(**given: Any) -> None:
    for key, value in given.items():
        if value is not None:
            raise BadInput(
                f"--{_SPELT.get(key, key)} ({key}=) is of one map: a study's page shows its images as the study was run; make a report of one of its stores"
            )


def _store_of(found: ClassMap) -> Store | None:
    """The store that a map lies in."""
    name = getattr(found.scores, "name", None)
    return Store.open(storage_of(name)) if found.record is not None and isinstance(name, str) else None


@contextmanager
def _seen(found: ClassMap, image: Any, access: Access) -> Iterator[tuple[Pixels | None, Any]]:
    """The image of a map, as far as it is at hand, and what that is."""
    source = image if image is not None else found.image if found.image is not None else found.pixels
    if source is None:
        yield None, None
        return
    select = as_mapped(found.record)
    subdataset = None if select is None else select.access.subdataset
    shown = source
    if found.pixels is not None and source is found.pixels:
        shown = np.clip(np.rint(found.pixels), 0, 255).astype(np.uint8)
    with ExitStack() as stack:
        try:
            pixels = stack.enter_context(closing(Pixels(found, shown, Access(access.trust, access.remote, subdataset))))
        except (FullconvError, OSError):
            if image is not None:
                raise
            yield None, None  # an image that moved is no reason to show nothing
            return
        yield pixels, source


def _name(found: ClassMap, source: Any) -> str:
    own = image_name(found)
    return own or (
        str(source).replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(source, str | Path) else ""
    )


def _warnings(found: ClassMap, source: Any, pixels: Pixels | None) -> tuple[str, ...]:
    """Where the image is another one than the map's."""
    if pixels is None or found.record is None or not isinstance(source, str | Path):
        return ()
    select, about = as_mapped(found.record), pixels.about
    try:
        same = is_same_image(
            found.record.request,
            str(source),
            about.size,
            about.bands,
            None if select is None else select.access.subdataset,
        )
    except (OSError, FullconvError):
        return ()
    return () if same else (_OTHER_IMAGE,)


def _measured(
    found: ClassMap, outcome: Outcome | None, model: Model | None, image: Any, cells: int, access: Access
) -> str:
    """What some crops say of a map; where none were run, why.

    Raises:
        BadInput: the network is not the one that made the map, or the map does not say how it was made.
    """
    if found.by == "crops" or found.score_kind == FEATURES:
        return ""
    if model is None:
        return (
            _NO_MODEL
            if outcome is None or outcome.agreement is None
            else agreed(outcome.agreement, told_alike(found.side))
        )
    record = found.record
    if record is None:
        raise BadInput(
            "only a map in a store (.zarr) says how it was made, so that its network can be asked; leave out the network (--model)"
        )
    require_network(model, record.request, "this map")
    if image is None:
        return _NO_IMAGE
    return str(agreement(model, image, found, cells=cells, **options_of(record.request, access)))


def _outcome_of(result: Any) -> Outcome | None:
    """What a study kept beside a store, where it is of a study."""
    if isinstance(result, ClassMap) or is_url(str(result)):
        return None
    found = Outcome.load(Path(result).with_suffix(".json"))
    return found if found is not None and found.files and Path(found.files[0]).name == Path(result).name else None
