"""Where few cells of a tile are asked for, the network runs on parts of it: the same cells, of less work, whatever is kept of them and however it is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from fullconv import map_raster, plan_raster
from fullconv.loading import load
from fullconv.model import Model
from fullconv.runtimes.onnxruntime import OnnxRuntimeSession
from fullconv.stream import plan as planning
from fullconv.stream import run as running
from fullconv.stream.plan import StreamPlan
from fullconv.stream.sparse import Gathered, bits_of
from fullconv.stream.work import Worker
from tests.stream import colours, runs

HEIGHT, WIDTH = 700, 620
MEMORY = 196 << 20  # some tiles


@pytest.fixture(autouse=True)
def _as_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_seconds", lambda *_: lambda *_: 0.0)  # a busy machine cuts no other tiles


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(colours.network(tmp_path_factory.mktemp("net") / "n.onnx"), check=False)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return colours.patches(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def islands(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    Image.fromarray(spots()).save(path)
    return str(path)


def spots() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for row, col, radius in ((20, 30, 40), (340, 300, 60), (650, 90, 30), (600, 600, 25), (130, 500, 12)):
        mask[(y - row) ** 2 + (x - col) ** 2 < radius**2] = 255
    return mask


def mapped(model: Model, image: Any, out: Path, **how: Any) -> tuple[Any, dict[str, Any]]:
    seen: dict[str, Any] = {}
    options = {"preprocess": "unit", "runtime": "onnxruntime", "memory": MEMORY} | how
    found = map_raster(model, image, out, report=lambda event, what: seen.update({event: what}), **options)
    return found, seen


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Maps by whole tiles, cut as those with sections are."""

    def run(*args: Any, **how: Any) -> tuple[Any, dict[str, Any]]:
        with monkeypatch.context() as patched:
            patched.setattr(running, "in_sections", lambda plan, view, job: plan)
            return mapped(*args, **how)

    return run


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"finer": "shifts", "stride": 2},
        {"keep": "top1"},
        {"keep": [2, 0], "stored": "uint8"},
        {"runtime": "torch:cpu", "stored": "float16", "memory": 240 << 20},
        {"confirm": 0.9, "memory": 2 << 30},
    ],
    ids=["all", "shifts", "top1", "uint8", "device", "confirmed"],
)
def test_cells_are_those_of_whole_tiles(
    model: Model, image: np.ndarray, islands: str, tmp_path: Path, whole: Any, how: dict[str, Any]
) -> None:
    found, seen = mapped(model, image, tmp_path / "a.zarr", where=islands, **how)
    expected, before = whole(model, image, tmp_path / "b.zarr", where=islands, **how)
    assert seen["plan"]["sections"]
    assert not before["plan"]["sections"]
    assert seen["plan"]["tiles"] == before["plan"]["tiles"] > (0 if "confirm" in how else 1)
    assert seen["plan"]["share"] < 0.6, "there is work to be saved"
    assert seen["done"]["left_out"] == before["done"]["left_out"] > 0
    scores, own = (np.asarray(each.scores[:], np.float32) for each in (found, expected))
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(own))
    step = {"uint8": 1.01 / 254, "float16": 1e-3}.get(how.get("stored", ""), 1e-6)
    np.testing.assert_allclose(scores, own, rtol=0, atol=step)
    if how.get("keep") == "top1":
        np.testing.assert_array_equal(found.top1[:], expected.top1[:])
    if "confirm" in how:
        assert seen["done"]["confirmed"] == before["done"]["confirmed"]
        np.testing.assert_array_equal(found.confirmed[:, :], expected.confirmed[:, :])


def test_missing_data_and_auto_leave_out_the_same_cells(
    model: Model, image: np.ndarray, tmp_path: Path, whole: Any
) -> None:
    there = spots()[:, :, None] > 0
    for name, pixels, how in (
        ("auto", np.where(there, image, np.uint8(255)), {"where": "auto"}),
        ("gone", np.where(there, np.maximum(image, 1), np.uint8(0)), {"nodata": 0, "missing": 0.3}),
    ):
        found, seen = mapped(model, pixels, tmp_path / f"{name}.zarr", **how)
        expected, _ = whole(model, pixels, tmp_path / f"{name}-whole.zarr", **how)
        assert seen["plan"]["sections"]
        assert 0.02 < np.mean(~np.isnan(found.scores[0])) < 0.3
        np.testing.assert_allclose(found.scores[:], expected.scores[:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", [{"nodata": 0}, {"where": "auto:0.5"}], ids=["gone", "auto"])
def test_whole_crops_say_whether_a_cell_has_an_answer(
    how: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the network reads less of a crop: two rows and columns of 12 here, of which tiles at most see some."""
    monkeypatch.setattr(planning, "_planned_base", lambda *_: 0)
    net = nn.Sequential(nn.Conv2d(3, 4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    model = load(net, input_shape=(3, 12, 12), check=False)
    random = np.random.default_rng(0)
    pixels = random.integers(30, 200, (400, 391, 3), np.uint8)
    gone = random.random(pixels.shape[:2]) < 0.9 * random.random(pixels.shape[1])
    pixels[gone] = 0
    found, seen = mapped(model, pixels, tmp_path / "a.zarr", memory=2 << 20, missing=0.5, **how)
    assert seen["plan"]["tiles"] > 3
    crops = np.lib.stride_tricks.sliding_window_view(gone, (12, 12))[::3, ::3]
    asked = crops.mean((2, 3)) <= 0.5
    assert 0.1 < asked.mean() < 0.9
    np.testing.assert_array_equal(~np.isnan(found.scores[0]), asked)


def test_less_is_run_and_read(
    model: Model, image: np.ndarray, islands: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:100, 50:180] = mask[500:560, 100:140] = mask[640:660, 580:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    islands, shapes = str(tmp_path / "mask.png"), list[tuple[int, ...]]()
    read: list[int] = []
    run, load_ = OnnxRuntimeSession.run, Worker.load

    def counted(self: OnnxRuntimeSession, feeds: Any, names: Any) -> Any:
        shapes.append(next(iter(feeds.values())).shape[2:])
        return run(self, feeds, names)

    def loading(self: Worker, tile: Any) -> Any:
        loaded = load_(self, tile)
        read.append(0 if loaded.pixels is None else loaded.pixels.shape[0] * loaded.pixels.shape[1])
        return loaded

    monkeypatch.setattr(OnnxRuntimeSession, "run", counted)
    monkeypatch.setattr(Worker, "load", loading)
    _, seen = mapped(model, image, tmp_path / "a.zarr", where=islands)
    tile = np.prod(seen["plan"]["tile"])
    runs_ = [shape for shape in shapes if shape != (colours.CROP, colours.CROP)]
    work = sum(map(np.prod, runs_)) / tile / seen["plan"]["tiles"]
    assert work == pytest.approx(seen["plan"]["share"], abs=0.03), "as was said before"
    assert work < 0.6
    assert len(set(runs_)) <= 9
    assert sum(read) < 0.6 * tile * seen["plan"]["tiles"]
    told = plan_raster(model, image, preprocess="unit", runtime="onnxruntime", memory=MEMORY, where=islands).work
    assert (told.runs, told.pixels) == (len(runs_), sum(map(np.prod, runs_)))
    assert told.anew == sum(np.prod(shape) for shape, last in zip(runs_[1:], runs_, strict=False) if shape != last)
    assert told.anew > 0
    assert seen["tile"]["seconds_left"] == 0


def test_time_left_counts_work_and_not_tiles(model: Model, image: np.ndarray, tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[HEIGHT // 2 :] = 255  # all of the work lies in the last tiles
    Image.fromarray(mask).save(tmp_path / "half.png")
    told: list[dict[str, Any]] = []
    map_raster(
        model, image, tmp_path / "a.zarr", preprocess="unit", runtime="onnxruntime", memory=MEMORY, where=str(tmp_path / "half.png"),
        report=lambda event, what: told.append(dict(what)) if event == "tile" else None,
    )  # fmt: skip
    first = told[0]
    assert first["of"] > 2
    assert first["seconds_left"] > 5 * first["seconds"] * (first["of"] - 1), "the first tile had next to none"


def test_a_run_that_goes_on_gives_the_same_bytes(tmp_path: Path, islands: str) -> None:
    image = runs.picture(tmp_path / "image.npy", HEIGHT * 3 // 2, WIDTH * 3 // 2)
    how = ("--where", islands, "--runtime", "onnxruntime")

    def whole(out: str) -> None:
        subprocess.run(runs.command(image, tmp_path / out, *how), check=True, capture_output=True, timeout=120)

    whole("once.zarr")
    stopped = runs.interrupted(image, tmp_path / "again.zarr", *how)
    assert stopped.returncode == 130, stopped.stderr
    assert len(runs.marks(tmp_path / "again.zarr")) > 0
    whole("again.zarr")
    assert runs.digest(tmp_path / "again.zarr") == runs.digest(tmp_path / "once.zarr")
    record = json.loads((tmp_path / "once.zarr" / "zarr.json").read_text())["attributes"]["fullconv"]
    assert "sections" in record["tiles"]


def test_a_run_that_was_begun_by_whole_tiles_goes_on_so(
    model: Model, image: np.ndarray, islands: str, tmp_path: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier version began it."""
    whole(model, image, tmp_path / "whole.zarr", where=islands)
    put, count = Worker.put, [0]

    def failing(self: Worker, done: Any) -> Any:
        count[0] += 1
        if count[0] > 2:
            raise KeyboardInterrupt
        return put(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "put", failing)
        with pytest.raises(KeyboardInterrupt):
            whole(model, image, tmp_path / "again.zarr", where=islands)
    _, seen = mapped(model, image, tmp_path / "again.zarr", where=islands)
    assert seen["plan"]["done"] == 2
    assert not seen["plan"]["sections"]
    ours, others = (
        {k: v for k, v in runs.digest(tmp_path / name).items() if k.startswith(("0/", "levels"))}
        for name in ("again.zarr", "whole.zarr")
    )
    assert ours == others


def test_what_is_planned_says_it(
    model: Model, image: np.ndarray, islands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(**how: Any) -> StreamPlan:
        return plan_raster(model, image, preprocess="unit", memory=MEMORY, **how)

    sparse = planned(where=islands, runtime="onnxruntime")
    assert f"{sparse.share:.0%} of it where cells are asked for" in str(sparse)
    assert planned(runtime="onnxruntime").tiles.sections is None, "all cells are asked for"
    crops = planned(where=islands, by="crops")
    assert crops.tiles.sections is None
    assert crops.work.cells == crops.work.runs < 0.3 * crops.grid.rows * crops.grid.cols, "others are not run"
    assert crops.share == pytest.approx(crops.work.cells / (crops.grid.rows * crops.grid.cols))
    assert planned(runtime="onnxruntime").work.cells == sparse.grid.rows * sparse.grid.cols


def test_what_is_planned_for_workers_is_what_they_do(
    model: Model, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "keeping_rows", lambda plan, view, job: pytest.fail("workers keep no rows"))
    plan = plan_raster(model, image, preprocess="unit", workers=2, memory=MEMORY)
    assert "predicted peak memory of a worker" in str(plan)
    shares = [plan_raster(model, image, preprocess="unit", workers=count).budget for count in (1, 4)]
    assert shares[0] >= 2 * shares[1]


def test_a_result_of_another_networks_sections_is_not_gone_on_with(
    model: Model, image: np.ndarray, islands: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Worker, "put", lambda self, done: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mapped(model, image, tmp_path / "a.zarr", where=islands)
    path = tmp_path / "a.zarr" / "zarr.json"
    told = json.loads(path.read_text())
    for damage, message in (
        (lambda y: [0, y[1]], "damaged"),
        (lambda y: [y[0], [[8, [y[1][-1][1][0] + 1]]]], "--restart"),
    ):
        spoilt = json.loads(json.dumps(told))
        tiles = spoilt["attributes"]["fullconv"]["tiles"]
        tiles["sections"]["y"] = damage(tiles["sections"]["y"])
        path.write_text(json.dumps(spoilt))
        with pytest.raises(Exception, match=message):
            mapped(model, image, tmp_path / "a.zarr", where=islands)


def test_blocks_are_asked_for_where_any_cell_is() -> None:
    answers = np.zeros((7, 10), bool)
    answers[0, 9] = answers[6, 0] = answers[3, 4] = True
    assert bits_of(answers, (3, 4)) == (0b100, 0b010, 0b001)
    assert Gathered.__doc__
