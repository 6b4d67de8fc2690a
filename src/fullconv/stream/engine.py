"""The engine that a stored map is made by: the faster one of the processor's where nobody says which, and of a run that goes on the one that began it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.maps.engines import faster_engine
from fullconv.maps.mapping import filled_to, prepare
from fullconv.model import Model
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import View
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.runtime import require_engine
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan, plan_stream
from fullconv.system.memory import give_back, peak_bytes, resident_bytes
from fullconv.system.parse import compiles, compiling

Array = npt.NDArray[Any]
_COMPILED = 60.0  # seconds of a map from which on compiling pays


def as_begun(job: Job, request: Mapping[str, Any]) -> Job:
    """The job with the engine that its result was begun by.

    Raises:
        BadInput: it is not here.
    """
    runtime = Engine.of(job.runtime).as_begun(str(request["runtime"]))
    try:
        require_engine(runtime, job.precision)
    except BadInput as error:
        raise BadInput(
            f"{job.out}: was begun by {request['runtime']} ({error}); --restart starts anew with another engine"
        ) from None
    return replace(job, runtime=runtime)


def with_engine(
    model: Model, view: View, job: Job, plan: StreamPlan, memory: int | None, model_print: str, notes: Callable[[str], None]
) -> tuple[Job, StreamPlan]:  # fmt: skip
    """The job with the faster engine, and the same tiles planned with it; as they are where there is nothing to choose.

    Where crops confirm cells, ONNX Runtime runs both, since one session of it serves crops by any number.
    """
    if job.confirm is not None or plan.peak_bytes + plan.measuring_bytes > plan.budget:
        return job, plan

    def parts(size: tuple[int, int]) -> list[Array]:
        return [_part(view, job, model.image_shape[0], size, share) for share in (1 / 3, 2 / 3)]

    tile = plan.seconds / len(plan.tiles)
    found = faster_engine(
        plan.way, job.runtime, job.precision, plan.tiles.shape, tile, plan.seconds, lambda: model_print, parts
    )
    if found is None:
        return job, plan
    notes(str(found))
    plan = _with_tried(plan)
    if not found.changes:
        return job, plan
    other = replace(job, runtime=found.engine)
    plan.way.model.let_go()
    give_back()
    for tiles in (plan.tiles, None):  # the same ones, or smaller ones where these take more memory by the other engine
        try:
            planned = plan_stream(model, view, other, memory, tiles)
        except BadInput:
            continue
        if found.gain * (1 - planned.tiles.waste) > 1 - plan.tiles.waste:
            return other, _with_tried(planned)
    notes(f"engine onnxruntime all the same: within the memory that may be taken {found.engine} gains nothing")
    plan.way.model.let_go()
    return job, plan


def _with_tried(plan: StreamPlan) -> StreamPlan:
    """The plan with what the process holds now that both engines were tried, and took meanwhile."""
    give_back()
    held = resident_bytes() + plan.tiles.run_bytes + plan.tiles.stage_bytes
    more = max(0, max(held, peak_bytes()) - plan.peak_bytes)
    return replace(plan, base=plan.base + more)


def compiling_where_it_pays(
    plan: StreamPlan, engine: str, notes: Callable[[str], None]
) -> AbstractContextManager[None]:
    """While it lasts, PyTorch compiles the network where nobody says whether: on CUDA, for maps that take longer than that.

    Args:
        engine: that runs, as ``taken`` says.
    """
    if engine != "torch:cuda" or compiles() is not None:
        return nullcontext()
    pays = plan.seconds >= _COMPILED
    how, other = ("compiled", "--no-compile leaves that out") if pays else ("not compiled", "--compile does")
    notes(
        f"the network is {how}: the map takes about {plan.seconds:,.0f} s as it is, and compiling some tens of seconds once; {other}"
    )
    return compiling(pays)


def taken(plan: StreamPlan, job: Job) -> str:
    """The engine that runs, and on what kind of device."""
    return plan.way.model.engine((1, *plan.way.model.image_shape), plan.way.output, job.runtime, job.precision)


def _part(view: View, job: Job, channels: int, size: tuple[int, int], share: float) -> Array:
    """Network input (1, C, H, W) of a part of the image, that far between its beginning and its end; noise where it does not decode."""
    y, x = (int(max(0, have - want) * share) for have, want in zip(view.size, size, strict=True))
    rows, cols = (y, min(y + size[0], view.size[0])), (x, min(x + size[1], view.size[1]))
    try:
        pixels, missing = view.read(rows, cols)
    except Unreadable:
        view.reopen()
        shape = rows[1] - rows[0], cols[1] - cols[0], channels
        pixels, missing = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32), None
    values, _ = prepare(pixels, job.preprocess, channels, view.ordered)
    if missing is not None:
        values[:, :, missing] = 0
    return filled_to(values, size)
