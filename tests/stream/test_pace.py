"""What an engine takes follows from its runs, their pixels and changes of shape, each measured on parts of the tiles' own size."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

from fullconv import plan_raster
from fullconv.stream import pace
from fullconv.stream.pace import Pace, Work
from fullconv.stream.run import job_of
from tests.stream.runs import digits

RUN, PIXEL, ANEW = 1e-3, 3e-6, 1e-6
TILE = (600, 400)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What an engine of such a pace is tried on."""
    found: list[tuple[int, int]] = []

    def timed(way: Any, job: Any, size: tuple[int, int]) -> float:
        other = bool(found) and found[-1] != size
        found.append(size)
        return RUN + (PIXEL + ANEW * other) * prod(size)

    monkeypatch.setattr(pace, "_timed", timed)
    return found


def tried(work: Work, seconds: float, **more: Any) -> Pace | None:
    model = digits()
    job = job_of(model, np.zeros((900, 900), np.uint8), "out", **{"runtime": "onnxruntime"} | more)
    return pace.measured(job.way(model), job, TILE, work, seconds)


def test_a_pace_is_found_on_parts_as_large_as_runs_are_on_average(shapes: list[tuple[int, int]]) -> None:
    found = tried(Work(runs=100, pixels=100 * 150 * 100, anew=0, cells=1), 1000.0)
    assert found is not None
    assert (found.run, found.pixel, found.anew) == pytest.approx((RUN, PIXEL, ANEW))
    assert found.seconds(Work(5, 1e6, 2e5)) == pytest.approx(5 * RUN + 1e6 * PIXEL + 2e5 * ANEW)
    assert max(shapes) == (150, 100), "a quarter of the tile's sides, as runs have on average"


def test_no_more_is_tried_than_a_part_of_the_maps_time(shapes: list[tuple[int, int]]) -> None:
    whole = Work(runs=10, pixels=10 * prod(TILE), anew=0, cells=1)
    assert tried(whole, 1e6) is not None
    assert max(shapes) == TILE
    shapes.clear()
    assert tried(whole, 8.0) is None, "a short map is told from crops"
    assert shapes == []
    assert tried(whole, 20.0) is not None
    assert 0 < max(map(prod, shapes)) * PIXEL < 0.05 * 20 / 2


def test_an_engine_that_compiles_for_every_shape_is_not_tried(shapes: list[tuple[int, int]]) -> None:
    whole = Work(runs=10, pixels=10 * prod(TILE), anew=0, cells=1)
    pytest.importorskip("openvino")
    assert tried(whole, 1e6, runtime="openvino") is None
    assert tried(whole, 1e6, by="crops") is None
    assert shapes == []


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_a_crop_that_something_held_up_makes_no_pixel_cost_less_than_nothing(part: float) -> None:
    found = Pace.of_runs((100, 0.5), (1000, part), part)
    assert found.pixel > 0
    assert found.run == pytest.approx(0)
    assert found.anew == 0


def test_a_plan_tells_its_time_by_the_pace(shapes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_WORTH", 0.0)
    image = np.zeros((900, 1100), np.uint8)
    plan = plan_raster(digits(), image, preprocess="unit", runtime="onnxruntime", memory=4 << 30)
    assert shapes
    assert plan.seconds == pytest.approx(plan.pace.seconds(plan.work))
    assert plan.work.pixels == plan.tiles.computed
    assert plan.work.runs == len(plan.tiles)
    assert plan.work.anew == 0
