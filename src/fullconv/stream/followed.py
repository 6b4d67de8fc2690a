"""Blocks of an image that are kept from one row of tiles to the next, in memory that tiles leave over, so that none is decoded twice."""

from __future__ import annotations

from dataclasses import replace

from fullconv.rasters.source import Span
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan
from fullconv.stream.processor import read_by
from fullconv.tiling.tiles import Tile


def with_blocks(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The plan with room for these blocks, where its budget has it and tiles follow one another row by row; else as it is."""
    if plan.tiles.kept is not None:
        return plan
    room = view.room_beside(*_spans(plan, job))
    return replace(plan, blocks=room) if plan.peak_bytes + room <= plan.budget else plan


def following(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The same, and the image's reader keeps them from now on."""
    plan = with_blocks(plan, view, job)
    if plan.blocks is not None:
        view.follow(*_spans(plan, job))
    return plan


def _spans(plan: StreamPlan, job: Job) -> tuple[list[Span], list[Span]]:
    """Rows and columns of pixels that the tiles read."""
    y, x = plan.tiles.y, plan.tiles.x
    rows = [read_by(job, plan.way, Tile(i, 0, side, x[0]))[0] for i, side in enumerate(y)]
    return rows, [read_by(job, plan.way, Tile(0, i, y[0], side))[1] for i, side in enumerate(x)]
