"""What of a plan's work will be done, where few cells are asked for, and how long that takes."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from fullconv.rasters.view import View
from fullconv.stream.ahead import Ahead
from fullconv.stream.job import Job
from fullconv.stream.pace import measured
from fullconv.stream.plan import StreamPlan
from fullconv.stream.sparse import sections_of, takes_sections
from fullconv.stream.where import auto_share

_SPARSE = 0.8  # of the tiles' work, from which on less of it saves more than engines differ by


def in_sections(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The same map, of whose tiles the network runs on the parts that hold cells where few are asked for; else as it is."""
    if plan.tiles.kept is not None or not takes_sections(job, plan.way, view):
        return plan
    sections = sections_of(plan.tiles, plan.way, view, plan.read_grid)
    plan = with_share(replace(plan, tiles=replace(plan.tiles, sections=sections)), view, job)
    sparse = plan.share <= _SPARSE or auto_share(job.where) is not None
    return replace(plan, is_sparse=sections is not None and sparse)


def with_share(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The plan with what is known ahead of how much of its tiles' work is done, and how long that takes."""
    ahead = Ahead.of(plan.tiles, plan.way, view, plan.read_grid, plan.grid, job)
    work, whole = ahead.total(tuple(plan.tiles))
    share = 1.0 if ahead.where is None else work.pixels / whole.pixels
    if plan.tiles.kept is not None:
        work = replace(work, pixels=prod(plan.tiles.image) / (1 - plan.tiles.waste))
    return replace(plan, share=share, work=work).at(plan.pace)


def timed(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The same with the engine's own pace on parts as large as its tiles', where that is worth the time: all that is run is counted by it."""
    plan = with_share(plan, view, job)
    if plan.tiles.kept is not None:  # whose parts take less memory than the whole network does
        return plan
    pace = measured(plan.way, job, plan.tiles.shape, plan.work, plan.seconds)
    return plan if pace is None else plan.at(pace)
