"""Lanes beside one another: copies hide behind work, nothing is written over that is still to be read, answers keep their order, faults end a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fullconv.errors import BrokenPromise, FullconvError  # noqa: E402
from fullconv.results.store import Put  # noqa: E402
from fullconv.stream.device.door import Device  # noqa: E402
from fullconv.stream.device.lanes import Here  # noqa: E402
from fullconv.stream.device.many import Many  # noqa: E402
from fullconv.stream.door import Done, Door  # noqa: E402
from fullconv.stream.pipeline import run_tiles  # noqa: E402
from fullconv.stream.timings import Timings  # noqa: E402
from tests.stream.device.simulated import Simulated, Sums, tiles, total  # noqa: E402
from tests.stream.device.tiles import through  # noqa: E402

EVEN = {"up": 0.02, "run": 0.03, "down": 0.02}
JOB: Any = SimpleNamespace(stored="float32", precision="fp32", keep="all")


def door_over(lanes: Any) -> Device:
    def never() -> Door:
        raise AssertionError("nothing is to be said of these")

    return Device(JOB, Sums(), lanes, (16, 24), never, Timings())


def right(given: list[Any], found: list[Done]) -> bool:
    return [done.tile for done in found] == [tile.tile for tile in given] and all(
        done.scores is not None and (done.scores == total(tile)).all() for tile, done in zip(given, found, strict=True)
    )


def hidden(lanes: Simulated) -> int:
    """Uploads that began before the work of the tile before them ended."""
    return sum(lanes.marks["up"][i + 1].begun < mark.ended for i, mark in enumerate(lanes.marks["run"][:-1]))


def test_copies_hide_behind_work() -> None:
    given = tiles(8)
    lanes = Simulated(EVEN)
    assert right(given, through(door_over(lanes), given))
    assert hidden(lanes) >= 5  # of 7, on a machine that has other things to do
    alone = Simulated(EVEN, depth=1)
    assert right(given[:3], through(door_over(alone), given[:3]))
    assert hidden(alone) == 0  # which this test would see


@pytest.mark.parametrize("takes", [EVEN, {"up": 0.03, "run": 0, "down": 0}, {"up": 0, "run": 0, "down": 0.03}])
def test_nothing_is_written_over_that_is_still_to_be_read(takes: dict[str, float]) -> None:
    given = tiles(9)
    assert right(given, through(door_over(Simulated(takes)), given))


def test_a_slot_that_two_tiles_have_would_be_seen() -> None:
    door, given = door_over(Simulated(EVEN)), tiles(4)
    slot = door._free.get()
    for _ in range(3):
        door._free.put(slot)
    door._free.get()
    assert not right(given, through(door, given))


def worker_over(door: Door, given: list[Any], stored: list[str]) -> Any:
    by_name = {loaded.tile.name: loaded for loaded in given}
    return SimpleNamespace(
        timings=Timings(), door=lambda shape: door, load=lambda tile: by_name[tile.name], put=lambda done: Put(done.tile, {}, {}, {}), commit=lambda puts: stored.extend(put.tile.name for put in puts)
    )  # fmt: skip


@pytest.mark.parametrize("lane", ["up", "run", "down"])
@pytest.mark.parametrize("many", [False, True])
def test_a_device_that_falls_out_ends_the_run_with_what_is_done_kept(lane: str, many: bool) -> None:
    fault = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nand more")
    door: Door = door_over(Simulated(EVEN, faults={(lane, 2): fault}))
    if many:
        door = Many([door])
    given, stored = tiles(7), []
    with pytest.raises(
        FullconvError, match=r"cpu failed at tile 0-2 .*illegal memory access was encountered; what is done is kept"
    ):
        run_tiles(worker_over(door, given, stored), [loaded.tile for loaded in given], (3, 16, 24), lambda done: None)
    assert stored == ["0-0", "0-1"]


def test_want_of_memory_and_other_failures_are_told() -> None:
    for fault, told in {torch.OutOfMemoryError("x"): "has not the memory for tile 0-0", RuntimeError("no kernel"): "PyTorch failed .*no kernel"}.items():  # fmt: skip
        with pytest.raises(FullconvError, match=told):
            through(door_over(Simulated(EVEN, faults={("run", 0): fault})), tiles(1))


def test_tiles_go_to_whichever_device_is_free_and_come_back_in_order() -> None:
    slow, fast = Simulated({"up": 0, "run": 0.15, "down": 0}), Simulated({"up": 0, "run": 0.01, "down": 0})
    door, given = Many([door_over(slow), door_over(fast)]), tiles(30)
    assert right(given, through(door, given))
    assert 0 < len(slow.marks["run"]) < len(fast.marks["run"])
    assert len(slow.marks["run"]) + len(fast.marks["run"]) == 30
    door.close()


def test_pixels_that_are_not_all_of_a_tile_are_no_image_that_ends_there() -> None:
    (part,) = tiles(1)
    part.pixels = part.pixels[:, :20]
    with pytest.raises(BrokenPromise, match="16×20 px were read of 16×24"):
        door_over(Simulated(EVEN)).start(part)


def test_without_lanes_work_is_done_when_somebody_waits_for_it() -> None:
    door, given = door_over(Here(torch.device("cpu"), shares=True)), tiles(5)
    ticket = door.start(given[0])
    assert not ticket.slot._given
    assert right(given[:1], [door.finish(ticket)])
    assert right(given, through(door, given))
