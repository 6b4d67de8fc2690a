"""Cells that crops confirm, of a map by the device's road: the stores of the usual road to the byte, whatever is confirmed, kept and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullconv import map_raster
from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.model import Model
from fullconv.stream import plan, sides, warm, work
from fullconv.stream.run import plan_raster
from tests.stream import colours, runs

torch = pytest.importorskip("torch")

from fullconv.stream.device import door  # noqa: E402
from fullconv.stream.device.door import Device  # noqa: E402

HOW: dict[str, Any] = {"preprocess": "unit", "runtime": "torch:cpu", "confirm": 0.99, "memory": 274 * 10**6}
OF_ONE: dict[str, Any] = {"confirm_class": "0", "confirm_threshold": 0.5}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory as in a process of its own, tiles as on a quiet machine, and windows of crops as small as the pictures here."""
    monkeypatch.setattr(plan, "_planned_base", lambda *_: 180 << 20)
    monkeypatch.setattr(plan, "_seconds", lambda *_: lambda *_: 0.0)
    monkeypatch.setattr(plan, "_with_crops", lambda seconds, _: seconds)
    monkeypatch.setattr(warm, "resident_bytes", lambda: 150 << 20)
    monkeypatch.setattr(sides, "_WINDOW", 32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(colours.network(tmp_path_factory.mktemp("colours") / "colours.onnx"), check=False)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tiles that went through a device's door."""
    found: list[str] = []
    finish = Device.finish
    monkeypatch.setattr(
        Device, "finish", lambda self, ticket: found.append(ticket.loaded.tile.name) or finish(self, ticket)
    )
    return found


def by_the_usual_road(model: Model, image: Any, out: Path, **how: Any) -> ClassMap:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(work, "device_door", lambda *_: None)
        return map_raster(model, image, out, **how)


def require_same(model: Model, image: Any, folder: Path, taken: list[str], **how: Any) -> ClassMap:
    """The stores of both roads, with some cells by crops and some not."""
    found = map_raster(model, image, folder / "fast.zarr", **HOW | how)
    assert found.record is not None
    names = {tile.name for tile in found.record.tiles}
    assert names - set(taken) <= {"0-0"}, "where there may be nothing"
    count = len(taken)
    by_the_usual_road(model, image, folder / "slow.zarr", **HOW | how)
    assert len(taken) == count
    assert runs.digest(folder / "fast.zarr") == runs.digest(folder / "slow.zarr")
    own = np.asarray(found.confirmed)
    assert 0 < own.sum() < own.size
    return found


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"keep": "top1", "stored": "uint8"},
        {"keep": ("0", "2")},
        {"confirm": "reported:0.98", "stored": "float16", **OF_ONE},
        {"precision": "bf16"},
        {"runtime": "torch:cpu,cpu", "memory": 316 * 10**6},
    ],
    ids=str,
)
def test_a_store_is_that_of_the_usual_road(how: dict[str, Any], model: Model, taken: list[str], tmp_path: Path) -> None:
    found = require_same(model, colours.patches(), tmp_path, taken, **how)
    assert len(found.record.tiles) > 1


@pytest.mark.parametrize("finer", ["shifts", "dilation"])
def test_a_finer_map(finer: Any, model: Model, taken: list[str], tmp_path: Path) -> None:
    require_same(model, colours.patches(120, 110), tmp_path, taken, stride=2, finer=finer)


def test_missing_data_and_cells_that_nobody_asks_for(model: Model, taken: list[str], tmp_path: Path) -> None:
    pixels = colours.patches().astype(np.float32)
    pixels[:60, :80] = np.nan
    found = require_same(model, pixels, tmp_path, taken, where="auto:0.2")
    empty = np.isnan(np.asarray(found.scores)[0])
    assert empty.any()
    assert not np.asarray(found.confirmed)[empty].any()


def test_crops_that_reach_further_than_the_network_reads(taken: list[str], tmp_path: Path) -> None:
    model = load(colours.network(tmp_path / "x.onnx", crop=27, lopsided=True), check=False)
    found = require_same(model, colours.patches(188, 160), tmp_path, taken, confirm=0.95, memory=274 * 10**6)
    tiles = found.record.tiles
    assert len(tiles) > 1
    assert any((side.cells[1] - 1) * 4 + 27 > side.read[1] for side in tiles.y)


def test_a_tile_of_which_something_is_to_be_said_is_run_again_and_confirmed(
    model: Model, taken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "is_sound", lambda *_: False)
    require_same(model, colours.patches(), tmp_path, taken)


def test_a_crops_answer_that_is_no_number_is_told_as_on_the_usual_road(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fullconv.stream import confirm

    run = confirm.run_cells
    monkeypatch.setattr(confirm, "run_cells", lambda *given: run(*given) * np.float32(np.nan))
    with pytest.raises(BadInput) as fast:
        map_raster(model, colours.patches(), tmp_path / "fast.zarr", **HOW)
    with pytest.raises(BadInput) as slow:
        by_the_usual_road(model, colours.patches(), tmp_path / "slow.zarr", **HOW)
    assert "NaN" in str(fast.value)
    assert str(fast.value) == str(slow.value)


def test_memory_of_the_classifier_beside_is_planned(model: Model) -> None:
    how = {"preprocess": "unit", "runtime": "torch:cpu", "memory": 1 << 30, "device_memory": 200 << 20}
    image = colours.patches()
    alone, both = (plan_raster(model, image, **how | more) for more in ({}, {"confirm": 0.95}))
    assert alone.tiles.shape == both.tiles.shape
    assert alone.device_bytes < both.device_bytes <= 200 << 20
    assert alone.peak_bytes < both.peak_bytes
    whole = plan_raster(model, image, **how | {"confirm": 0.95, "keep": "top1", "stored": "uint8"})
    assert whole.device_bytes == both.device_bytes, "all scores come down, whatever is kept of them"
