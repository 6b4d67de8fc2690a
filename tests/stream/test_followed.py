"""Blocks of an image that are kept from one row of tiles to the next: each is decoded once, within the budget, and the result is the same."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import tifffile
from torch import nn

from fullconv import map_raster, plan_raster
from fullconv.loading import load
from fullconv.rasters import kept
from fullconv.rasters.kept import Windows
from fullconv.rasters.tiff import Tiff
from fullconv.rasters.view import View
from fullconv.stream import plan, run
from fullconv.stream.followed import with_blocks
from fullconv.stream.run import job_of
from tests.rasters import pictures
from tests.stream import runs

MEMORY = 4 << 30  # more than tiles take that run for a minute
HOW: dict[str, dict[str, Any]] = {
    "cast": {},
    "between levels": {"mpp": 1.3},
    "crops of some": {"confirm": 0.9, "confirm_threshold": 0.5},
}


@pytest.fixture
def slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "KEPT", 20 * 64 * 64)
    monkeypatch.setattr(plan, "_seconds", lambda way, of_crop: lambda high, wide, rows, cols: high * wide / 5_000)
    path, scene = tmp_path / "x.tif", pictures.scene(1700, 1500, 1)[:, :, 0]
    tifffile.imwrite(path, scene, tile=(64, 64), compression="deflate", resolution=(10_000, 10_000), resolutionunit=3)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen, read = [], Tiff.read

    def counting(self: Tiff, level: int, rows: Any, cols: Any, bands: Any) -> Any:
        seen.append((rows, cols))
        return read(self, level, rows, cols, bands)

    monkeypatch.setattr(Tiff, "read", counting)
    return seen


@pytest.mark.parametrize("how", HOW)
def test_each_block_is_decoded_once(
    how: str, slide: Path, decoded: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = runs.digits(), []

    def report(event: str, what: Any) -> None:
        if event == "plan":
            decoded.clear()  # a sample was read before
        if event == "levels":
            seen[:] = decoded

    options = {"preprocess": "unit", "memory": MEMORY, "runtime": "onnxruntime", "report": report, **HOW[how]}
    found = map_raster(model, slide, tmp_path / "kept.zarr", **options)
    assert len(found.record.tiles.y) > 1
    assert len(found.record.tiles.x) > 1
    assert len(seen) == len(set(seen)) == 27 * 24
    monkeypatch.setattr(run, "following", lambda plan, view, job: plan)
    map_raster(model, slide, tmp_path / "alone.zarr", **options)
    assert len(seen) > 1.05 * 27 * 24
    assert runs.digest(tmp_path / "kept.zarr") == runs.digest(tmp_path / "alone.zarr")


def test_what_is_kept_is_planned_and_within_the_budget(slide: Path) -> None:
    model = runs.digits()
    planned = plan_raster(model, slide, preprocess="unit", memory=MEMORY)
    alone = replace(planned, blocks=None)
    assert planned.blocks == planned.peak_bytes - alone.peak_bytes > 0
    found, before = planned.to_json()["predicted_bytes"], alone.to_json()["predicted_bytes"]
    assert found == {**before, "stages": before["stages"] + planned.blocks, "peak": planned.peak_bytes}
    job = job_of(model, slide, "x.zarr", preprocess="unit")
    with closing(View(slide)) as view:
        for budget, blocks in ((planned.peak_bytes, planned.blocks), (planned.peak_bytes - 1, None)):
            assert with_blocks(replace(alone, budget=budget), view, job).blocks == blocks


def test_crops_that_reach_further_than_their_network_reads(
    slide: Path, decoded: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are looked at for missing data, windows end behind the tiles'."""
    net = nn.Sequential(nn.Conv2d(1, 4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    model = load(net, input_shape=(1, 12, 12), check=False)
    windows: list[Any] = []
    read = View.read

    def reading(self: View, rows: Any, cols: Any) -> Any:
        windows.append((rows, cols))
        return read(self, rows, cols)

    monkeypatch.setattr(View, "read", reading)
    told: list[Windows] = []
    monkeypatch.setattr(View, "follow", lambda self, windows: told.append(windows))
    monkeypatch.setattr(run, "in_sections", lambda plan, view, job: plan)
    map_raster(model, slide, tmp_path / "x.zarr", preprocess="unit", memory=MEMORY, runtime="onnxruntime", nodata=0)
    assert len(windows) == len(set(windows)) > 1
    assert set(windows) == set(product(told[0].rows, told[0].cols))


def test_workers_keep_none(slide: Path) -> None:
    """Theirs are tiles in any order."""
    assert plan_raster(runs.digits(), slide, preprocess="unit", memory=MEMORY, workers=2).blocks is None
