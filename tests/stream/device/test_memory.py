"""A device's memory: what does not fit runs in parts with the same cells; tiles are planned for it; two runs share a device or do not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullconv.errors import BadInput, FullconvError
from fullconv.stream.plan import plan_stream
from fullconv.tiling import tiles
from tests.stream.device.test_road import colours, noise
from tests.stream.runs import digits

torch = pytest.importorskip("torch")

from fullconv.stream.device import memory  # noqa: E402
from fullconv.stream.device import network as networks  # noqa: E402
from fullconv.stream.device.lock import reserved  # noqa: E402
from tests.stream.device.tiles import scene, through  # noqa: E402

Limit = Callable[[int], None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Let the device's network take so many pixels at once, all images together."""
    forward = networks.Network.forward

    def limited(most: int) -> None:
        def run(self: Any, values: torch.Tensor) -> torch.Tensor:
            if values.shape[0] * values.shape[2] * values.shape[3] > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(self, values)

        monkeypatch.setattr(networks.Network, "forward", run)

    return limited


@pytest.mark.parametrize(
    ("net", "share", "more"),
    [
        ("padded", 0.2, {}),
        ("plain", 0.7, {}),
        ("digits", 0.4, {}),
        ("padded", 0.3, {"stride": 2, "finer": "shifts"}),
        ("plain", 0.6, {"stride": 1, "finer": "shifts"}),
    ],
)
def test_a_tile_that_does_not_fit_runs_in_parts_with_the_same_cells(
    net: str, share: float, more: dict[str, Any], limit: Limit, caplog: pytest.LogCaptureFixture
) -> None:
    model = {"padded": colours, "plain": lambda: colours(pad=0), "digits": digits}[net]()
    with scene(model, noise(channels=1 if net == "digits" else 3), keep="1,2", **more) as seen:
        tiles = seen.loaded(missing=0.1, unasked=0.2)
        height, width = seen.plan.tiles.shape
        limit(int(share * height * width))
        for tile, done in zip(tiles, through(seen.device, tiles), strict=True):
            usual = seen.usual.finish(seen.usual.start(tile))
            assert usual.scores is not None
            assert done.scores is not None
            assert usual.mark == done.mark
            np.testing.assert_allclose(done.scores, usual.scores, rtol=0, atol=2e-6, equal_nan=True)
    told = [record.getMessage() for record in caplog.records if "short of memory" in record.getMessage()]
    assert len(told) == 1
    assert "with the same cells" in told[0]


@pytest.mark.parametrize("net", [colours, digits])
def test_no_value_of_a_tile_is_beyond_what_kernels_count_in_32_bits(
    net: Callable[[], Any], cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "LONGEST", inf)  # on a busy machine a crop takes long
    image = noise(900, 1100, channels=1 if net is digits else 3)
    with scene(net(), image, 4 << 30) as seen:
        assert len(seen.plan.tiles) == 1
    most = 1_000_000
    monkeypatch.setattr(memory, "_COUNTED", most)
    with scene(net(), image, 4 << 30) as seen:
        largest = 0
        way = seen.plan.way
        cut = [tuple(side.parts[0][1] - side.parts[0][0] for side in (tile.y, tile.x)) for tile in seen.plan.tiles]
        for size in {way.model.fitting(part, way.output) for part in cut}:
            body = networks.Network(way, "fp32", "cpu", (1, *size)).body
            counts = Counts(body)
            counts.run(torch.zeros(1, image.shape[2], *size))
            largest = max(largest, counts.most)
        assert len(seen.plan.tiles) > 1
        assert most / 2 < largest <= most


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan as for a GPU of 8 GiB."""
    monkeypatch.setattr(memory, "kind_of", lambda job: "cuda")
    monkeypatch.setattr(memory, "budget_of", lambda job, kind: (1, "cuda:0", 8 << 30))


@pytest.mark.usefixtures("cuda")
def test_a_least_tile_beyond_what_kernels_count_is_told_with_its_largest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_COUNTED", 1000)
    with (
        pytest.raises(BadInput, match=r"^the least tile, (\d+)×(\d+) px, is too large for cuda:0: ") as told,
        scene(digits(), noise(900, 1100, channels=1), 4 << 30),
    ):
        pass
    width, height = map(int, re.findall(r"(\d+)×(\d+) px", str(told.value))[0])
    numbers = 24 * (height - 4) * (width - 4)  # conv1: 24 channels by kernels of 5×5
    assert str(told.value).endswith(
        f"what layer 'conv1' (Convolution) gives has {numbers:,} numbers, and kernels there count to 1,000; give --device cpu, "
        "or another engine (--runtime onnxruntime)"
    )


@pytest.mark.usefixtures("cuda")
def test_what_a_tile_takes_is_a_size_whatever_kernels_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(digits(), noise(900, 1100, channels=1), 4 << 30) as seen:
        before = seen.plan.device_bytes
        monkeypatch.setattr(memory, "_COUNTED", 1000)
        begun = plan_stream(seen.model, seen.view, seen.job, 4 << 30, seen.plan.tiles)  # by an earlier version, say
        assert begun.device_bytes == before < 1 << 30
        with pytest.raises(
            BadInput, match=r"^a tile that the run was begun with, .* is too large for cuda:0: what layer 'conv1'"
        ):
            plan_stream(seen.model, seen.view, replace(seen.job, device_memory=1 << 30), 4 << 30, seen.plan.tiles)


@pytest.mark.usefixtures("cuda")
def test_no_value_of_a_batch_of_crops_is_beyond_what_kernels_count(monkeypatch: pytest.MonkeyPatch) -> None:
    of_one = 3 * 16 * 16  # its pixels; all that follows is smaller
    for most, batch in ((1 << 31, 1024), (100 * of_one, 100), (7 * of_one - 1, 6), (of_one, 1), (of_one - 1, 1)):
        monkeypatch.setattr(memory, "_COUNTED", most)
        with scene(colours(), noise(100, 90), 4 << 30, by="crops", stride=8, batch=7) as seen:
            assert memory.share_of(seen.plan.way, seen.view, seen.job).batch == batch


class Counts(torch.fx.Interpreter):
    """The numbers of a network's largest value."""

    most = 0

    def run_node(self, n: torch.fx.Node) -> Any:
        found = super().run_node(n)
        if n.op in ("placeholder", "call_function"):
            self.most = max(self.most, found.numel())
        return found


def test_a_tile_whose_least_part_does_not_fit_is_told(limit: Limit) -> None:
    with scene(colours(), noise()) as seen:
        limit(200)
        with pytest.raises(
            FullconvError, match=r"cpu has not the memory for the least part of a tile, .*what is done is kept"
        ):
            through(seen.device, seen.loaded()[:1])


def test_fewer_crops_are_run_at_once_where_memory_is_short(limit: Limit, caplog: pytest.LogCaptureFixture) -> None:
    with scene(colours(), noise(100, 90), by="crops", stride=8) as seen:
        door, (tile,) = seen.device, seen.loaded()
        limit(5 * 16 * 16)
        (done,) = through(door, [tile])
        usual = seen.usual.finish(seen.usual.start(tile))
        assert usual.scores is not None
        assert done.scores is not None
        np.testing.assert_allclose(done.scores, usual.scores, rtol=0, atol=2e-6)
        assert [r.getMessage() for r in caplog.records if "at a time" in r.getMessage()][-1].endswith(
            "crops are run 4 at a time"
        )
        limit(100)
        with pytest.raises(FullconvError, match="has not the memory for one crop"):
            through(door, [tile])


def test_tiles_are_cut_for_a_devices_memory() -> None:
    with scene(colours(), noise(), budget=1 << 30) as seen:
        assert len(seen.plan.tiles) == 1
        assert seen.plan.room is None  # the processor's memory is the process's
        sizes = []
        for budget in (30 << 20, 6 << 20, 2 << 20):
            plan = plan_stream(seen.model, seen.view, replace(seen.job, device_memory=budget), 1 << 30)
            assert 0 < plan.device_bytes <= budget
            assert plan.to_json()["device"] == {
                "name": "cpu",
                "budget_bytes": budget,
                "predicted_bytes": plan.device_bytes,
            }
            assert "predicted memory of cpu" in str(plan)
            sizes.append(len(plan.tiles))
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]
        with pytest.raises(BadInput, match=r"0.001 MB of cpu are too few: the least tile, .* give --device-memory"):
            plan_stream(seen.model, seen.view, replace(seen.job, device_memory=1 << 10), 1 << 30)


def test_memory_that_nobody_plans_is_not_asked_for() -> None:
    with (
        scene(colours(), noise(), runtime="onnxruntime") as seen,
        pytest.raises(BadInput, match=r"device_memory=.* is not planned here: another engine"),
    ):
        plan_stream(seen.model, seen.view, replace(seen.job, device_memory=1 << 30), 1 << 30)


PEAK = """
import sys
import numpy as np
from fullconv.stream import plan
from fullconv.stream.run import map_raster
from tests.stream.runs import digits
plan._seconds = lambda *_: lambda *_: 0.0  # a busy machine cuts no other tiles
image, seen = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), np.uint8), {}
map_raster(digits(), image, sys.argv[1], preprocess="unit", runtime=sys.argv[2], memory=700 * 10**6, report=lambda e, w: seen.update({e: w}))
print(seen["done"]["peak_bytes"], seen["done"]["predicted_bytes"], seen["plan"]["tiles"])
"""


@pytest.mark.long
@pytest.mark.parametrize("runtime", ["torch:cpu", "torch:cpu,cpu"])
def test_the_process_takes_no_more_than_what_is_predicted(runtime: str, tmp_path: Path) -> None:
    line = [sys.executable, "-c", PEAK, str(tmp_path / "x.zarr"), runtime]
    peak, predicted, count = map(int, subprocess.run(line, check=True, capture_output=True, text=True).stdout.split())
    assert count > 1
    assert peak <= predicted <= 700 * 10**6


HOLDER = """
import sys
from pathlib import Path
from fullconv.stream.device.lock import reserved
with reserved([("cuda:0", "cuda-x")], eval(sys.argv[2]), Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("theirs", "ours"), [(None, None), (None, 10), (10, None), (10, 20)])
def test_two_runs_share_a_device_where_both_say_how_much_they_take(
    theirs: int | None, ours: int | None, tmp_path: Path
) -> None:
    line = [sys.executable, "-c", HOLDER, str(tmp_path / "locks"), repr(theirs)]
    other = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with reserved([("cuda:1", "cuda-y")], None, tmp_path / "locks"):
            pass  # another device is free
        if theirs and ours:
            with reserved([("cuda:0", "cuda-x")], ours, tmp_path / "locks"):
                pass
        else:
            with (
                pytest.raises(
                    BadInput,
                    match=rf"cuda:0: another run computes on it \(process {other.pid}\); wait for it, .*give both runs",
                ),
                reserved([("cuda:0", "cuda-x")], ours, tmp_path / "locks"),
            ):
                pass
    finally:
        other.kill()
        other.wait()
        for pipe in (other.stdin, other.stdout):
            if pipe is not None:
                pipe.close()
    with reserved([("cuda:0", "cuda-x")], None, tmp_path / "locks"):  # a run that was killed has nothing any more
        assert len(list((tmp_path / "locks").glob("*.run"))) == 1


@pytest.mark.parametrize(
    ("crops", "most", "batch"),
    [(3672, 1024, 918), (81, 16, 14), (1024, 1024, 1024), (5, 16, 5), (17, 16, 9), (0, 16, 16)],
)
def test_a_tiles_crops_are_shared_evenly(crops: int, most: int, batch: int) -> None:
    assert memory.evenly(crops, most) == batch
    runs = -(-crops // batch)
    assert runs == -(-crops // most)
    assert 0 <= runs * batch - crops < max(1, runs)


def test_no_crop_is_run_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    forward = networks.Network.forward

    def counted(self: Any, values: torch.Tensor) -> torch.Tensor:
        sizes.append(len(values))
        return forward(self, values)

    with scene(colours(), noise(100, 90), by="crops", stride=8, batch=40) as seen:
        door, (tile,) = seen.device, seen.loaded()
        monkeypatch.setattr(networks.Network, "forward", counted)
        through(door, [tile])
    assert tile.answers.size == 110
    assert sizes == [37] * 3
