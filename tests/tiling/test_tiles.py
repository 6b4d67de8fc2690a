"""The planner, without a pixel: every cell once, whole chunks, one shape, within the budget, with little waste."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullconv.errors import BadInput
from fullconv.tiling.cut import Line, cuts
from fullconv.tiling.tiles import Cost, Tiles, plan_tiles
from fullconv.tiling.window import Reach

COST = Cost(run=lambda h, w: 100 * h * w, stage=lambda h, w, rows, cols: 30 * h * w + 40 * rows * cols, base=10_000_000)


def line(length: int, step: int, before: int, after: int, granule: int = 1, shifts: int = 1, lead: int = 0) -> Line:
    """An axis whose cells are ``step`` pixels apart and read ``before`` and ``after`` more."""
    coarse = step * shifts
    cells = max(1, (length - coarse) // step)
    reaches = tuple(
        Reach(
            length - i * step,
            Fraction(coarse),
            coarse * granule,
            Fraction(before),
            Fraction(length - i * step - after),
            granule,
        )
        for i in range(shifts)
    )
    return Line(reaches, cells, length, lead * granule * shifts)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(50, 12000),
    st.sampled_from([1, 2, 4, 8, 32]),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 9),
)
def test_cuts(length: int, step: int, before: int, after: int, granule: int, shifts: int, lead: int) -> None:
    if step * granule * shifts * 2 > length:
        return
    axis = line(length, step, before, after, granule, shifts, lead)
    found = cuts(axis)
    assert found[0].count == 1
    assert [cut.length for cut in found] == sorted({cut.length for cut in found}, reverse=True)
    for cut in found:
        assert cut.cells[0][0] == 0
        assert cut.cells[-1][1] == axis.cells
        for (_, last), (first, _) in zip(cut.cells, cut.cells[1:], strict=False):
            assert last == first
            assert (axis.lead + first) % cut.chunk == 0, "a tile owns whole chunks"
        for side in cut.sides():
            for shift, (start, stop) in enumerate(side.parts):
                reach = axis.reaches[shift]
                own = start - shift * int(reach.step / shifts), stop - shift * int(reach.step / shifts)
                assert own[0] % reach.period == 0
                assert (reach.length - own[1]) % reach.period == 0
                assert 0 <= own[0] < own[1] <= reach.length
                need = axis.part(shift, *side.cells)
                assert own[0] <= need[0]
                assert own[1] >= need[1]
        assert {tuple(stop - start for start, stop in side.parts) for side in cut.sides()} == {cut.lengths}


def test_a_budget_is_kept_and_used() -> None:
    y, x = line(20000, 32, 217, 217), line(20000, 32, 217, 217)
    peaks = []
    for budget in (100, 300, 1000, 4000):
        tiles = plan_tiles(y, x, COST, budget * 10**6)
        assert tiles.peak_bytes <= budget * 10**6
        peaks.append((tiles.peak_bytes / budget / 1e6, tiles.waste))
        assert min(tiles.chunk) >= min(16, *(side.cells[1] - side.cells[0] for side in tiles.y + tiles.x)), "few files"
    assert all(used > 0.7 for used, _ in peaks)
    assert [waste for _, waste in peaks] == sorted((waste for _, waste in peaks), reverse=True)
    assert peaks[-1][1] < 0.16  # 2 % of it for chunks of 16 cells and more


def test_tiles_at_the_borders_hold_more_cells_and_no_halo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tiles a side of 20000 px with a field of 435 px: outer halos would cost 3 % more."""
    monkeypatch.setattr("fullconv.tiling.cut._LEAST_CHUNK", 1)
    monkeypatch.setattr("fullconv.tiling.cut._DEARER", 0.0001)
    axis = line(20000, 32, 217, 217)
    four = next(cut for cut in cuts(axis) if cut.count == 4)
    assert four.length <= (20000 + 6 * 217) / 4 + 3 * 32
    assert four.sides()[0].read[0] == 0
    assert four.sides()[-1].read[1] == 20000


def test_a_budget_below_the_least_tile_says_what_it_takes() -> None:
    y = x = line(5000, 4, 30, 30)
    with pytest.raises(
        BadInput, match=r"too small: the least tile, \d+×\d+ px, takes \d+ MB, 10 MB of it before"
    ) as caught:
        plan_tiles(y, x, COST, 10_000_001)
    least = int(str(caught.value).split("--memory ")[1].split("MB")[0])
    assert plan_tiles(y, x, COST, least * 10**6).peak_bytes <= least * 10**6


def test_tiles_of_the_source_are_read_few_times() -> None:
    """Of cuts that cost the engine nearly the same, the one is taken that decodes less."""
    y = x = line(20000, 4, 14, 14)
    sources = (1, 1), (4096, 4096)
    small, large = (plan_tiles(y, x, COST, 300 * 10**6, source) for source in sources)

    def decoded(tiles: Tiles) -> int:
        return sum((-(-(s.read[1]) // 4096) - s.read[0] // 4096) for s in tiles.y) * sum(
            (-(-(s.read[1]) // 4096) - s.read[0] // 4096) for s in tiles.x
        )

    assert decoded(large) < decoded(small)
    assert large.waste < small.waste + 0.1


def test_plans_survive_json() -> None:
    tiles = plan_tiles(line(3000, 4, 14, 14), line(2000, 4, 14, 14, shifts=2), COST, 60 * 10**6)
    again = Tiles.from_json(tiles.to_json())
    assert list(again) == list(tiles)
    assert (again.shape, again.chunk, again.cells) == (tiles.shape, tiles.chunk, tiles.cells)


def test_planning_reads_nothing() -> None:
    """Neither numpy nor an engine is needed to plan."""
    code = "import fullconv.tiling.tiles, fullconv.tiling.window, fullconv.tiling.memory, sys; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_tiles_take_a_minute_at_most_unless_that_costs_a_tenth_of_the_work() -> None:
    """A bar that stands at 0 of 2 for minutes tells nothing, and a kill then loses half."""
    y, x = line(20000, 32, 40, 40), line(20000, 32, 40, 40)

    def seconds(rate: float) -> Cost:
        return replace(COST, seconds=lambda height, width, rows, cols: height * width * rate)

    free = plan_tiles(y, x, COST, 10**12)
    assert len(free) == 1
    for rate in (2e-7, 1e-6):
        tiles = plan_tiles(y, x, seconds(rate), 10**12)
        assert tiles.shape[0] * tiles.shape[1] * rate <= 60
        assert tiles.computed <= free.computed * 1.1
    slow = plan_tiles(y, x, seconds(1e-2), 10**12)  # a minute is a part of 77 px then, which would be halo alone
    assert slow.computed <= free.computed * 1.11
    assert slow.shape[0] * slow.shape[1] * 1e-2 > 60
