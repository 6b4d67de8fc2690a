"""Stores whose scores are given, or random: no cell is like the one beside it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.maps.classmap import ClassMap
from fullconv.results.local import Local
from fullconv.results.store import Store
from fullconv.tiling.tiles import Side, Tiles


def noise(
    result: Path,
    made: Path,
    *,
    cut: bool = False,
    undone: Collection[str] = (),
    failed: Collection[str] = (),
    **changes: Any,
) -> ClassMap:
    """A store like one that was made, of random scores with holes.

    Args:
        cut: a tile is a chunk.
        undone: tiles that a run in progress has not done yet.
        failed: tiles that did not decode.
        changes: of what the store says of itself.
    """
    record = replace(Store.open(Local(str(result))).record, **changes)
    if cut:
        record = replace(record, tiles=_in_chunks(record.tiles))
    assert {*undone, *failed} <= {tile.name for tile in record.tiles}
    store = Store.create(Local(str(made)), replace(record, finished=False, failed=()))
    rng = np.random.default_rng(5)
    for tile in record.tiles:
        size = tile.y.cells[1] - tile.y.cells[0], tile.x.cells[1] - tile.x.cells[0]
        scores = rng.random((record.classes, *size)).astype(np.float32)
        gone = rng.random(size) < 0.1
        gone |= tile.name in failed
        scores[:, gone] = np.nan
        winners = np.where(gone, 65535, rng.integers(0, len(record.labels), size)).astype(np.uint16)
        if tile.name not in undone:
            store.write(tile, scores, winners if record.keep == "top1" else None)
    if not undone:
        store.finish([(name, "its pixels do not decode") for name in failed], 0)
    return ClassMap.load(made)


def filled(result: Path, made: Path, scores: np.ndarray) -> ClassMap:
    """A store like one that was made, of these scores (classes, rows, cols)."""
    record = Store.open(Local(str(result))).record
    store = Store.create(Local(str(made)), replace(record, finished=False, failed=()))
    for tile in record.tiles:
        store.write(tile, scores[:, slice(*tile.y.cells), slice(*tile.x.cells)])
    store.finish([], 0)
    return ClassMap.load(made)


def _in_chunks(tiles: Tiles) -> Tiles:
    def sides(axis: int, one: Side) -> tuple[Side, ...]:
        edges = [0, *range(tiles.chunk[axis] - tiles.lead[axis], tiles.cells[axis], tiles.chunk[axis]), tiles.cells[axis]]  # fmt: skip
        return tuple(Side(cells, one.parts) for cells in pairwise(edges))

    return replace(tiles, y=sides(0, tiles.y[0]), x=sides(1, tiles.x[0]))
