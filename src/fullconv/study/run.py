"""``fullconv.run``: many images by one network, gone on with after any end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty
from threading import Event, Thread
from typing import Any, Unpack

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.carded import advice_of
from fullconv.maps.features import require_classes
from fullconv.maps.labels import WINNER, classes_named
from fullconv.maps.threshold import least_score
from fullconv.maps.ways import class_labels
from fullconv.model import Model
from fullconv.reports.report import written
from fullconv.reports.study import page_of_outcomes
from fullconv.stream.options import MapOptions, takes
from fullconv.stream.run import job_of, map_raster
from fullconv.study.asked import EXPORTS, PAGE, Asked, exports_of
from fullconv.study.one import Mapper, Notes, Report
from fullconv.study.outcome import Outcome
from fullconv.study.table import write_table
from fullconv.system.guard import guarded, is_url, reads, require_writable, same_name
from fullconv.system.lock import locked
from fullconv.system.notebook import as_html, counted
from fullconv.system.parse import limited_threads
from fullconv.system.processors import processors

Told = Callable[[str, str, Mapping[str, Any]], None]
_POLL = 0.1
_SUMMARY = "summary.csv"


@dataclass(frozen=True, slots=True)
class Study:
    """What became of all images.

    Attributes:
        outcomes: one an image, in the order in which they were given.
        before: images that were done before, and were left as they are.
        summary: the table.
    """

    outcomes: tuple[Outcome, ...]
    before: int
    summary: Path

    @property
    def failed(self) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if not each.mapped)

    def report(self, path: str | Path, *, title: str | None = None, overwrite: bool = False) -> Path:
        """Write a page of all images that travels with their folder, see ``fullconv.report``."""
        target, folder = Path(path), self.summary.parent
        with guarded(overwrite=overwrite):
            return written(target, page_of_outcomes(self.outcomes, folder, target.parent, title))

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"Study({counted(len(self.outcomes), 'image')}{failed}, {self.summary})"

    def _repr_html_(self) -> str:
        """What notebooks show: an image a row, those that failed with their reason."""
        titles = ("image", "size", "cells", "most cells", "seconds", "failed")
        rows = [
            (
                each.image,
                f"{each.width} × {each.height} px",
                f"{each.answered:,}",
                each.winner,
                f"{each.seconds:.1f}",
                "",
            )
            if each.mapped
            else (each.image, "", "", "", "", each.error)
            for each in (*self.failed, *(each for each in self.outcomes if each.mapped))
        ]
        return as_html("Study", {"table": self.summary}, [titles, *rows])

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and names."""
        return {
            "images": [each.to_json() for each in self.outcomes], "before": self.before, "failed": len(self.failed),
            "summary": str(self.summary),
        }  # fmt: skip


@takes(job_of, map_raster)
def run(
    model: Model | str | Path,
    images: Sequence[str | Path],
    out: str | Path,
    *,
    classes: str | int | None = None,
    threshold: float | None = None,
    exports: str | Sequence[str] = EXPORTS,
    by_class: bool = False,
    fail_if: Sequence[str] = (),
    verify: bool = True,
    jobs: int = 1,
    memory: int | None = None,
    restart: bool = False,
    overwrite: bool = False,
    report: Told = lambda image, event, what: None,
    notes: Notes = lambda note: None,
    **options: Unpack[MapOptions],
) -> Study:
    """Map many images, and write of each a store ``NAME.zarr``, a picture, exports, and a row of ``summary.csv``, all in one folder.

    An image that fails stops no other; the same call goes on where it stopped, and leaves what is done as it is.

    Args:
        images: paths, of names that differ by more than their folder and suffix.
        out: the folder.
        classes: whose peaks are counted and whose regions are exported, several with commas between; winners and areas of all without.
        threshold: of their scores; that of the network's card by default, else 0.5 of probabilities. Of logits, without one, winners alone are counted.
        exports: suffixes of what is written of each map beside the store and its picture: geojson, csv, tif, ome.tif, gpkg, fgb, parquet, svg, pdf, html (a
            page, and ``summary.html`` of all).
        by_class: write ``NAME.CLASS.geojson`` with the regions of each of ``classes`` too.
        fail_if: rules, which of them hold stands in the table.
        verify: compare some cells of a map that is not exact with their crops.
        jobs: images at once, each in a process of its own with its share of processors and memory.
        memory: bytes that all of them may take together.
        restart: maps of another request are made anew.
        report: told an image's name, the event and what it is about: those of ``map_raster``, ``writing``, and ``image`` with its outcome.
        notes: told what was decided on the way.
        options: of ``fullconv.map_raster``.

    Raises:
        BadInput: two images have one name, an option is wrong, or the folder is another run's just now.
    """
    with guarded(overwrite=overwrite):
        model = load(model)
        names = [str(image) for image in images]
        asked = _asked(
            model, Path(out), classes, threshold, exports, by_class, fail_if, verify, memory, restart, options
        )
        _require(model, names, asked, jobs)
        reads(*model.files, *names)
        path = asked.out / _SUMMARY
        with ExitStack() as stack:
            asked.out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(asked.out / f"{_SUMMARY}.lock", str(asked.out)))
            require_writable(path)
            labels = _columns(model, asked)
            outcomes: dict[str, Outcome] = {}
            before = 0
            for name, outcome, again in _outcomes(model, names, asked, jobs, overwrite, report, notes):
                outcomes[name] = outcome
                before += again
                report(name, "image", {**outcome.to_json(), "before": again, "done": len(outcomes), "of": len(names)})
                write_table(path, [outcomes[each] for each in names if each in outcomes], labels, asked.threshold)
            study = Study(tuple(outcomes[name] for name in names), before, path)
            if PAGE.lstrip(".") in asked.exports:
                study.report(path.with_suffix(PAGE))
            return study


def _asked(
    model: Model, out: Path, classes: str | int | None, threshold: float | None, exports: str | Sequence[str], by_class: bool,
    fail_if: Sequence[str], verify: bool, memory: int | None, restart: bool, options: Mapping[str, Any],
) -> Asked:  # fmt: skip
    require_classes(model, options.get("output"), "run counts what wins")
    labels = class_labels(model, options.get("labels"), options.get("output"), options.get("by", "cast"))
    chosen = () if classes is None else classes_named(labels, classes)
    if by_class and not chosen:
        raise BadInput("a GeoJSON a class: of which? name them (--class, classes=)")
    kind = _score_kind(model, options)
    advice = advice_of(model, labels, options.get("output"), options.get("activation", "auto"))
    if kind == "winner":
        if threshold is not None or chosen or fail_if:
            raise BadInput(
                "the network gives the winner's number alone: no classes, threshold or rules are judged by it; leave them out"
            )
    elif threshold is not None or advice.threshold is not None or kind not in ("logits", "log-probabilities"):
        threshold = least_score(kind, threshold, advice.threshold)
    elif chosen:
        least_score(kind, None)  # says what to do
    return Asked(
        out, chosen, threshold, exports_of(exports if isinstance(exports, str) else ",".join(exports) or "none"), by_class, verify,
        tuple(fail_if), memory, restart, dict(options), advice,
    )  # fmt: skip


def _score_kind(model: Model, options: Mapping[str, Any]) -> str:
    job = job_of(
        model,
        "an image",
        "",
        **{key: value for key, value in options.items() if key not in ("workers", "scheduler", "client")},
    )
    return job.way(model).score_kind


def _require(model: Model, images: Sequence[str], asked: Asked, jobs: int) -> None:
    """BadInput, before the work, for what cannot be a study."""
    if not images:
        raise BadInput("no image was given")
    if jobs < 1:
        raise BadInput(f"jobs {jobs}: a number from 1 on")
    if jobs > 1 and model.origin is None:
        raise BadInput(
            "jobs: other processes read the network from its file, and this one is in memory; save it, or take one job"
        )
    if is_url(str(asked.out)):
        raise BadInput(
            f"{asked.out}: a study fills a folder of this machine; map to an address by fullconv map -o 's3://.../{{name}}.zarr'"
        )
    named: dict[str, str] = {}
    for image in images:
        other = named.setdefault(same_name(asked.base(image)), image)
        if other != image:
            raise BadInput(
                f"{other} and {image} would both be written as {asked.base(image)}.zarr; run them into two folders"
            )
    if any(Path(name).stem == Path(_SUMMARY).stem for name in images):
        raise BadInput(f"an image named {Path(_SUMMARY).stem!r} would be written as the study's own table; rename it")


def _columns(model: Model, asked: Asked) -> list[str]:
    options = asked.options
    labels = class_labels(model, options.get("labels"), options.get("output"), options.get("by", "cast"))
    if labels == (WINNER,):
        return []
    return [labels[i] for i in asked.classes or range(len(labels))]


def _outcomes(
    model: Model, images: Sequence[str], asked: Asked, jobs: int, overwrite: bool, report: Told, notes: Notes
) -> Iterator[tuple[str, Outcome, bool]]:
    """Each image's outcome as it comes, and whether it is an earlier run's."""
    mapper = Mapper(model, asked)
    left = []
    for image in images:
        found = _earlier(mapper, image)
        if found is None:
            left.append(image)
        else:
            yield image, found, True
    if jobs == 1 or len(left) < 2:
        for image in left:
            yield image, mapper.map(image, _of(report, image), notes), False
        return
    yield from _side_by_side(model, left, asked, min(jobs, len(left)), overwrite, report, notes)


def _earlier(mapper: Mapper, image: str) -> Outcome | None:
    try:
        return mapper.earlier(image)
    except BadInput:  # said when it is mapped
        return None


def _of(report: Told, image: str) -> Report:
    return lambda event, what: report(image, event, what)


# Several at once ---------------------------------------------------------------------------------

_mine: Mapper | None = None
_tells: Any = None


def _start(origin: Mapping[str, Any], asked: Asked, overwrite: bool, tells: Any) -> None:
    """A process of its own: the network is read once."""
    global _mine, _tells
    _tells = tells
    with guarded(overwrite=overwrite):
        _mine = Mapper(load(**origin, check=False), asked)  # its cast was checked by who started this


def _map(image: str, overwrite: bool) -> Outcome:
    assert _mine is not None, "a process is started with its network"
    with guarded(overwrite=overwrite):
        return _mine.map(
            image,
            lambda event, what: _tells.put((image, event, dict(what))),
            lambda note: _tells.put((image, "note", {"text": note})),
        )


def _side_by_side(
    model: Model, images: Sequence[str], asked: Asked, jobs: int, overwrite: bool, report: Told, notes: Notes
) -> Iterator[tuple[str, Outcome, bool]]:
    """Images by processes; each has its share of the processors and of the memory."""
    from fullconv.stream.plan import default_budget

    each = (asked.memory if asked.memory is not None else default_budget()) // jobs
    context = multiprocessing.get_context("spawn")
    tells = context.Queue()
    ended = Event()

    def listen() -> None:
        while not (ended.is_set() and tells.empty()):
            try:
                image, event, what = tells.get(timeout=_POLL)
            except (Empty, EOFError, OSError):
                continue
            notes(what["text"]) if event == "note" else report(image, event, what)

    listener = Thread(target=listen, daemon=True)
    told = (dict(model.origin or {}), replace(asked, memory=each), overwrite, tells)
    with limited_threads(max(1, processors() // jobs)), ProcessPoolExecutor(jobs, context, _start, told) as pool:
        listener.start()
        waiting: dict[Future[Outcome], str] = {pool.submit(_map, image, overwrite): image for image in images}
        try:
            for future in as_completed(waiting):
                image = waiting[future]
                try:
                    yield image, future.result(), False
                except BrokenProcessPool:
                    raise BadInput(
                        f"a process that mapped ended by itself, for want of memory most likely; what is done is kept. Give --memory, or fewer --jobs than {jobs}"
                    ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            ended.set()
            listener.join()
            tells.close()
