"""``fullconv.map_raster``: an image of any size to a store, in bounded memory, to be gone on with after any end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from fullconv import fingerprint, version
from fullconv.confirmation.asked import Confirm
from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.carded import activation_of, advice_of, as_trained, colours_in, preprocess_of
from fullconv.maps.classmap import ClassMap, class_index
from fullconv.maps.colours import Given
from fullconv.maps.features import at_layer, require_for_features
from fullconv.maps.probabilities import Asked
from fullconv.maps.ways import By, Finer, class_labels
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.transforms import told_of
from fullconv.rasters.view import Selection, View
from fullconv.results.encoding import Stored
from fullconv.results.layout import NO_CLASS
from fullconv.results.places import storage_of
from fullconv.results.record import Record
from fullconv.results.storage import Storage
from fullconv.results.store import Store
from fullconv.runtimes.runtime import Precision
from fullconv.stream.ahead import Ahead
from fullconv.stream.calibrate import calibrate
from fullconv.stream.confirm import is_own
from fullconv.stream.device.road import reserving
from fullconv.stream.engine import as_begun, compiling_where_it_pays, taken, with_engine
from fullconv.stream.expected import in_sections, timed
from fullconv.stream.followed import following, with_blocks
from fullconv.stream.job import Job, OnError, difference
from fullconv.stream.options import MapOptions, takes
from fullconv.stream.pipeline import run_tiles
from fullconv.stream.plan import StreamPlan, budget_within, keeping_rows, plan_stream
from fullconv.stream.watch import Report, Watch
from fullconv.stream.where import fingerprint as where_print
from fullconv.stream.where import where_of
from fullconv.stream.work import Worker, totals
from fullconv.stream.worker import Outcome
from fullconv.system.guard import guarded, reads
from fullconv.system.memory import available_bytes, peak_bytes
from fullconv.tiling.tiles import LONGEST, Tile


def job_of(
    model: Model,
    image: Any,
    out: Any,
    *,
    preprocess: str | Path | Preprocess | None = None,
    labels: str | Path | Sequence[str] | None = None,
    colours: Given = None,
    level: int | None = None,
    mpp: float | None = None,
    bands: str | Sequence[int | str] | None = None,
    nodata: float | None = None,
    missing: float = 0.5,
    where: str | Path | None = None,
    by: By = "cast",
    stride: int | None = None,
    finer: Finer = "auto",
    output: str | None = None,
    activation: Asked = "auto",
    runtime: str = "auto",
    precision: Precision = "fp32",
    batch: int = 16,
    keep: str | Sequence[str | int] = "all",
    stored: Stored = "float32",
    on_error: OnError = "stop",
    device_memory: int | None = None,
    confirm: float | str | None = None,
    confirm_class: str | int | None = None,
    confirm_threshold: float | None = None,
    trust: bool = False,
    allow_remote: bool = False,
    subdataset: str | None = None,
) -> Job:
    """A job from what a user says; what is wrong is told before any work."""
    asked_of = at_layer(model, output)
    if asked_of is not model:
        require_for_features({"keep": keep, "stored": stored, "confirm": confirm, "activation": activation})
    names = class_labels(model, labels, output, by)
    kept = kept_classes(names, keep)
    advice = advice_of(asked_of, names, output, activation)
    least = advice.threshold if confirm_threshold is None else confirm_threshold
    asked = None if confirm is None else Confirm.of(confirm, names, confirm_class, least)
    if asked is not None and not isinstance(kept, str) and not set(asked.classes) <= set(kept):
        raise BadInput(f"confirm {asked.what}: of a class whose scores are not kept; keep it too (--keep, keep=)")
    return Job(
        image=image, out=str(out), preprocess=Preprocess.of(preprocess_of(model, preprocess)), labels=names,
        select=as_trained(model, Selection(level, mpp, None, nodata, Access(trust, allow_remote, subdataset)), bands), by=by, stride=stride, finer=finer, output=output,
        activation=activation_of(asked_of, activation), runtime=runtime, precision=precision, batch=batch, keep=kept, stored=stored, missing=missing, device_memory=device_memory,
        where=None if where is None else str(where), on_error=on_error, confirm=None if asked is None or is_own(model, by, precision) else asked,
        origin=model.origin, colours=colours_in(asked_of, names, colours), advice=advice,
    )  # fmt: skip


def kept_classes(labels: Sequence[str], keep: str | Sequence[str | int]) -> str | tuple[int, ...]:
    """``all``, ``top1``, or the classes whose scores a store holds, by index."""
    if keep == "top1" and len(labels) > NO_CLASS:
        raise BadInput(
            f"keep top1: {len(labels)} classes, and winners are stored as numbers below {NO_CLASS}; keep all or some"
        )
    if isinstance(keep, str) and keep in ("all", "top1"):
        return keep
    named = keep.split(",") if isinstance(keep, str) else keep
    return tuple(dict.fromkeys(class_index(labels, name.strip() if isinstance(name, str) else name) for name in named))


@takes(job_of)
def map_raster(
    model: Model | str | Path,
    image: Any,
    out: str | Path,
    *,
    memory: int | None = None,
    restart: bool = False,
    client: Any = None,
    workers: int | None = None,
    scheduler: str | None = None,
    report: Report = lambda event, what: None,
    notes: Callable[[str], None] = lambda note: None,
    **options: Unpack[MapOptions],
) -> ClassMap:
    """Map an image of any size into a Zarr store, tile by tile, within a memory that you set.

    Ended at any moment, the same call goes on where it stopped and loses the tiles in flight at most.

    Args:
        model: a classifier, or one that is fully convolutional already.
        image: a path (GeoTIFF, slide, OME-TIFF, Zarr, ``.npy``, JPEG, ...), an address (``https://``, ``s3://``, ``gs://``), a PIL image, or an array of (H, W) or (H, W, C).
        out: a folder ``x.zarr``, or a URL of an object store.
        memory: bytes that the process may take; half of what is free by default.
        restart: start anew where ``out`` holds another result.
        client: a ``dask.distributed.Client`` whose workers do the tiles.
        workers: do them in so many processes of this machine.
        scheduler: address of a Dask scheduler.
        report: told ``plan``, ``tile``, ``levels`` and ``done`` events, or ``finished`` where nothing is left to do, with what they are about.
        notes: told what was decided on the way.
        options: preprocess, labels, colours, by, stride, finer, output, activation, runtime, precision, batch as for ``fullconv.map``; and
            level or mpp (at which resolution the network reads), bands (from 1 on), nodata and missing (share of a crop
            above which missing pixels leave a cell without an answer), where (a mask, polygons, ``auto`` or ``auto:SHARE``), keep
            (``all``, ``top1``, or class names), stored (``float32``, ``float16``, ``uint8``), on_error (``stop``, ``skip``),
            device_memory (bytes that the run takes of its GPU, with which two share one), trust, allow_remote and subdataset as for
            ``fullconv.map``; confirm (a level: so many of the winners are to be those of the crops;
            or ``detections`` or ``reported``, with a level or without: ``detections:0.95``), with confirm_class and confirm_threshold of the detections.

    Returns:
        The map, read from the store piece by piece.

    Raises:
        BadInput: something cannot be used as given; nothing that was computed is lost.
        Refused: the network cannot be cast, or takes the whole image together.
    """
    with guarded(image):
        return _map_raster(
            model, image, out, memory=memory, restart=restart, report=report, notes=notes, options={**options},
            cluster={"client": client, "workers": workers, "scheduler": scheduler},
        )  # fmt: skip


def _map_raster(
    model: Model | str | Path,
    image: Any,
    out: str | Path,
    *,
    memory: int | None,
    restart: bool,
    report: Report,
    notes: Callable[[str], None],
    options: dict[str, Any],
    cluster: dict[str, Any],
) -> ClassMap:
    model = load(model)
    job = job_of(model, image, out, **options)
    place = storage_of(out)
    reads(*model.files)
    with ExitStack() as stack:
        view = stack.enter_context(closing(View(image, job.select)))
        require_lock = stack.enter_context(place.lock())
        for remark in (*view.remarks, *told_of(options.get("preprocess"), model.image_shape[1:])):
            notes(remark)
        image_print, image_sum = fingerprint.with_sum(*_looked_at(job, view))
        request = request_of(model, view, job, image_print=image_print)
        if restart and place.exists():
            Store.record_of(place)  # what is no result of fullconv is never replaced
        old = None if restart else _earlier(place, request)
        said = job.said
        if old is not None and old.finished:
            if said != {key: getattr(old, key) for key in said}:
                notes(f"{place.name}: is finished; its colours, threshold and background are now those of this command")
                Store.restate(place, replace(old, **said))
            place.tidy()
            report("finished", {"out": place.name})
            return ClassMap.of_store(Store.open(place), image)
        client = None
        if any(given is not None for given in cluster.values()):
            from fullconv.stream.cluster import budget_of, connected, run_on_cluster, with_whole_paths

            with_whole_paths(job)  # before anything is started
            client = stack.enter_context(connected(**cluster))
            memory = budget_of(client) if memory is None and old is None else memory
        else:
            stack.enter_context(reserving(job))
        job, plan = _planned(model, view, job, memory, old, report, notes, options.get("confirm") is not None)
        if old is None:
            whole = plan if client is not None else keeping_rows(plan, view, job)
            plan = in_sections(whole, view, job)
            if plan.tiles.kept is None and not plan.is_sparse:  # else that saves more than engines differ by
                job, whole = with_engine(model, view, job, whole, memory, request["model"]["fingerprint"], notes)
                plan = in_sections(whole, view, job)
            request = {**request, "runtime": taken(plan, job)}
        plan = timed(plan, view, job)
        if client is None:
            plan = following(plan, view, job)
        stack.enter_context(compiling_where_it_pays(plan, taken(plan, job), notes))
        store = Store.resume(place, old) if old else Store.create(place, _record(plan, view, job, request))
        store.record = replace(store.record, **said)  # of one that goes on, as it is told now
        done = store.done()
        report("plan", {**plan.to_json(), "done": len(done), "text": str(plan)})
        left = [tile for tile in plan.tiles if tile.name not in done]
        watch = Watch(plan, left, report, Ahead.of(plan.tiles, plan.way, view, plan.read_grid, plan.grid, job))

        def is_done(tile: Tile, mark: str, peak: int) -> None:
            require_lock()
            watch.is_done(tile, mark, peak)

        def is_done_elsewhere(tile: Tile, outcome: Outcome) -> None:
            store.note(outcome.coarser)
            worker.timings.add_all(outcome.seconds)
            is_done(tile, outcome.mark, outcome.peak_bytes)

        worker = Worker(job, plan.way, view, store, plan.read_grid, plan.grid, plan.crops, plan.tiles)
        if client is not None:
            run_on_cluster(client, job, store.record.run, plan, left, is_done_elsewhere)
        else:
            run_tiles(
                worker, plan.tiles.steps(left), plan.buffer, lambda put: is_done(put.tile, put.note, peak_bytes())
            )
        require_lock()
        _require_same_image(job, view, image_sum)
        report("levels", {})
        done = store.done()
        failed, left_out, confirmed = totals(done)
        store.finish(failed, left_out, done, confirmed)
        summary = watch.summary(failed, left_out, worker.timings)
        report("done", summary if job.statement is None else {**summary, "confirmed": confirmed})
        return ClassMap.of_store(Store.open(place), image)


def _planned(
    model: Model, view: View, job: Job, memory: int | None, old: Record | None, report: Report, notes: Callable[[str], None], asked: bool
) -> tuple[Job, StreamPlan]:  # fmt: skip
    """The job with what it promises, and its tiles: as an earlier run has them, else found now."""
    if asked and job.confirm is None:
        notes("nothing to confirm: every cell is its crop's own already")
    if old is not None:
        job = as_begun(replace(job, statement=old.statement), old.request)
        return job, plan_stream(model, view, job, memory, old.tiles, notes)
    plan = plan_stream(model, view, job, memory, notes=notes)
    if job.confirm is None:
        return job, plan
    statement = calibrate(model, view, job, plan, memory, lambda done, of: report("sample", {"done": done, "of": of}))
    report("confirm", {**statement.to_json(), "text": str(statement)})
    notes(
        f"{statement.promise}: about {statement.expected:.1%} of the cells as crops, {statement.cost:.2f} of the cost of all crops "
        f"(by {statement.drawn:,} random ones)"
    )
    job, plan = replace(job, statement=statement), plan.confirming(statement.expected)
    if plan.seconds > LONGEST * len(plan.tiles):  # crops make tiles long that were cut without them
        plan = plan_stream(model, view, job, memory)
    return job, plan


@takes(job_of)
def plan_raster(
    model: Model | str | Path,
    image: Any,
    *,
    memory: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    notes: Callable[[str], None] = lambda note: None,
    **options: Unpack[MapOptions],
) -> StreamPlan:
    """What ``map_raster`` would do: tiles, work lost to halos, predicted peak memory. No pixel is read, and nothing is started.

    Args:
        workers, scheduler: the tiles are done by so many processes of this machine, or by those of a Dask scheduler, which keep no rows from tile to tile;
            the memory is that of each of them. What a scheduler's workers have free is not asked: without ``memory``, this machine's is planned with.
    """
    model = load(model)
    job = job_of(model, image, "the result", **options)
    if workers is not None and scheduler is None:
        memory = budget_within(available_bytes() // max(1, workers)) if memory is None else memory
    with closing(View(image, job.select)) as view:
        plan = plan_stream(model, view, job, memory, notes=notes)
        if workers is None and scheduler is None:
            return with_blocks(timed(in_sections(keeping_rows(plan, view, job), view, job), view, job), view, job)
        return replace(timed(in_sections(plan, view, job), view, job), by_workers=True)


def request_of(
    model: Model, view: View, job: Job, model_print: str | None = None, image_print: str | None = None
) -> dict[str, Any]:
    """What a run must share with an earlier one to go on with it.

    Args:
        model_print, image_print: ``fingerprint.of_model`` and ``of_image``, where they were made before.
    """
    rule = where_of(job.where, view)
    return job.request(
        model.path.name if model.path else "a network in memory", model_print or fingerprint.of_model(model),
        image_print or fingerprint.of_image(*_looked_at(job, view)), where_print(job.where, rule, view),
    )  # fmt: skip


def _looked_at(job: Job, view: View) -> tuple[Any, tuple[int, int], int, str | None]:
    """What the fingerprint of a job's image is made of."""
    return job.image, view.about.size, view.about.bands, job.select.access.subdataset


def _require_same_image(job: Job, view: View, before: int) -> None:
    """BadInput where the image has become another one while it was read (its sum ``before``), with the same size and time stamp even."""
    with suppress(OSError):
        if not isinstance(job.image, str | Path) or fingerprint.sum_of(*_looked_at(job, view)) == before:
            return
    raise BadInput(
        f"{view.about.name}: has changed while it was read, or is not there any more; start anew with --restart once it is whole"
    )


def _earlier(place: Storage, request: Mapping[str, Any]) -> Record | None:
    """Of the result that is there; None where nothing is; BadInput where it is of another request, or none of fullconv's."""
    if not place.exists():
        return None
    record = Store.record_of(place)
    parts = difference(record.request, request)
    if parts:
        lines = "\n  ".join(parts)
        raise BadInput(
            f"{place.name}: holds another result; it differs in\n  {lines}\ngive --restart to start anew, or another output"
        )
    return record


def _record(plan: StreamPlan, view: View, job: Job, request: Mapping[str, Any]) -> Record:
    about, keep = view.about, job.keep if isinstance(job.keep, str) else "some"
    return Record(
        request=request, labels=tuple(job.labels[i] for i in job.kept), keep=keep, stored=job.stored, grid=plan.grid, tiles=plan.tiles,
        output=plan.way.output, by=job.by, exactness=plan.way.exactness, version=version.__version__, pixel_size=about.pixel_size,
        unit=about.unit, transform=about.transform, crs=about.crs, score_kind=plan.way.score_kind, statement=job.statement,
        **job.said,
    )  # fmt: skip
