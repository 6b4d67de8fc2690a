"""Blocks of an image that are kept from one row of tiles to the next, or from one strip of a band to the next, in memory that tiles leave over, so that none is decoded twice."""

from __future__ import annotations

from dataclasses import replace

from fullconv.rasters.kept import Windows
from fullconv.rasters.source import Span
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.plan import StreamPlan
from fullconv.stream.processor import looked_at
from fullconv.tiling.tiles import Tile


def with_blocks(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The plan with room for these blocks, where its budget has it; else as it is."""
    room = view.room_beside(_windows(plan, view, job))
    return replace(plan, blocks=room) if plan.peak_bytes + room <= plan.budget else plan


def following(plan: StreamPlan, view: View, job: Job) -> StreamPlan:
    """The same, and the image's reader keeps them from now on."""
    plan = with_blocks(plan, view, job)
    if plan.blocks is not None:
        view.follow(_windows(plan, view, job))
    return plan


def _windows(plan: StreamPlan, view: View, job: Job) -> Windows:
    """What the tiles read of the image."""
    tiles = plan.tiles
    if tiles.kept is not None:
        band = [Tile(i, 0, side, tiles.x[0]) for i, side in enumerate(tiles.y)]
        rows = [step.y.read for step in tiles.steps(band) if step is not None and step.y.read[0] < step.y.read[1]]
        return Windows(rows, [side.read for side in tiles.x], down=True)

    def read(tile: Tile) -> tuple[Span, Span]:
        return looked_at(job, plan.way, view, plan.read_grid, tile)

    rows = [read(Tile(i, 0, side, tiles.x[0]))[0] for i, side in enumerate(tiles.y)]
    return Windows(rows, [read(Tile(0, i, tiles.y[0], side))[1] for i, side in enumerate(tiles.x)])
