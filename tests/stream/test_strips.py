"""Maps in strips that keep rows: the whole image's cells, and byte for byte the same from wherever a run goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import fullconv
from fullconv import map_raster
from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.model import Model
from fullconv.rasters import kept
from fullconv.rasters.boundary import blocks_of
from fullconv.rasters.view import View
from fullconv.stream.followed import following
from fullconv.stream.run import job_of, plan_raster
from fullconv.stream.strips import Strips
from fullconv.stream.strips_plan import _stands
from fullconv.stream.work import Worker
from tests.stream import runs

NOISE = 2e-6  # of the largest answer: the engine's own, between shapes of its input
_MEMORY = 22 << 20


class Block(nn.Module):
    def __init__(self, ins: int, outs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.a = nn.Conv2d(ins, outs, 3, stride, dilation, dilation)
        self.b = nn.Conv2d(outs, outs, 3, 1, 1)
        self.short = nn.Conv2d(ins, outs, 1, stride) if (ins, 1) != (outs, stride) else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.b(torch.relu(self.a(x))) + self.short(x))


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Block(16, 16), Block(16, 32, 2), Block(32, 32, 1, 2), Block(32, 64, 2),
        Block(64, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip


def plain() -> nn.Module:
    """No padding here, much there; a pool that counts only what is inside, one in ceil mode."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5), nn.ReLU(), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Conv2d(16, 24, 5, 1, 4), nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(24, 32, 3, 1, 2, 2), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip


def drawn(seed: int) -> nn.Module:
    chance, channels = random.Random(seed), 3
    layers: list[nn.Module] = []
    strides = 3
    for _ in range(chance.randint(4, 5)):
        outs, kernel, dilation = chance.choice((8, 16, 24)), chance.choice((1, 3, 5)), chance.choice((1, 1, 2))
        stride = 2 if strides and chance.random() < 0.4 else 1
        strides -= stride - 1
        pad = (kernel // 2 + chance.randint(-1, 1)) * dilation if kernel > 1 else 0
        layers += [nn.Conv2d(channels, outs, kernel, stride, pad, dilation), nn.ReLU()]
        if chance.random() < 0.4:
            layers.append(chance.choice((nn.MaxPool2d, nn.AvgPool2d))(3, 1, 1))
        if chance.random() < 0.5:
            layers.append(Block(outs, outs))
        channels = outs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))


def loaded(module: nn.Module) -> Model:
    torch.manual_seed(0)
    with torch.no_grad():
        module(torch.zeros(1, 3, 64, 64))
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape) / max(1, weight[0].numel()) ** 0.5)
    return load(module.eval(), input_shape=(3, 64, 64), check=False)


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(autouse=True)
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are kept however small the map, and the process takes no memory by itself."""
    monkeypatch.setattr("fullconv.stream.strips_plan.WORTH", -1.0)
    monkeypatch.setattr("fullconv.stream.plan._planned_base", lambda *_: 0)


@pytest.mark.parametrize(
    ("net", "size", "memory"),
    [
        (residual, (900, 700), 5), (residual, (731, 1009), 9), (plain, (641, 643), 8),
        *((lambda seed=seed: drawn(seed), (700 + 37 * seed, 600 - 11 * seed), 5) for seed in (1, 3)),
    ],
)  # fmt: skip
def test_cells_are_the_whole_images(net, size: tuple[int, int], memory: int, tmp_path: Path) -> None:
    model, image = loaded(net()), pixels(*size)
    found = map_raster(model, image, tmp_path / "x.zarr", preprocess="unit", memory=memory << 20)
    kept = found.record.tiles.kept
    assert kept is not None
    assert any(piece.exact for link in kept.links for piece in link.rows), "some are run without padding"
    whole = fullconv.map(model, image, preprocess="unit")
    assert found.scores.shape == whole.scores.shape
    assert np.abs(np.asarray(found.scores) - whole.scores).max() <= NOISE * np.abs(whole.scores).max()


@pytest.fixture(scope="module")
def net() -> Model:
    return loaded(residual())


@pytest.mark.parametrize("known", [True, False])
def test_no_block_of_a_band_is_decoded_twice(
    known: bool, net: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "KEPT", 4 * 64 * 64 * 3)
    tifffile.imwrite(tmp_path / "x.tif", pixels(1000, 2200), photometric="rgb", tile=(64, 64), compression="deflate")
    job = job_of(net, tmp_path / "x.tif", tmp_path / "x.zarr", preprocess="unit")
    plan = plan_raster(net, tmp_path / "x.tif", preprocess="unit", memory=7 << 20)
    with closing(View(tmp_path / "x.tif", job.select)) as view:
        if known:
            alone = replace(plan, blocks=None, budget=1 << 40)
            plan = following(alone, view, job)
            assert plan.blocks == plan.peak_bytes - alone.peak_bytes > 0
        worker = Worker(job, plan.way, view, None, plan.read_grid, plan.grid, tiles=plan.tiles)
        source = blocks_of(view._source)
        decoded, read = [], source._source.read
        monkeypatch.setattr(source._source, "read", lambda *window: decoded.append(window[:3]) or read(*window))
        twice, bands = 0, set()
        for step in plan.tiles.steps(plan.tiles):
            if step.col not in bands:
                twice += len(decoded) - len(set(decoded))
                decoded.clear()
            bands.add(step.col)
            worker.load(step)
    assert len(bands) > 1
    assert (twice + len(decoded) - len(set(decoded)) == 0) == known


@pytest.mark.long
def test_goes_on_after_any_strip(net: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, how = pixels(1000, 2200), {"preprocess": "unit", "memory": 7 << 20}
    whole = map_raster(net, image, tmp_path / "whole.zarr", **how)
    tiles = whole.record.tiles
    assert tiles.kept is not None
    assert min(len(tiles.y), len(tiles.x) + 1) >= 3, "strips in bands"
    expected = runs.digest(tmp_path / "whole.zarr")
    original = Strips.finish
    begun = []
    for ends in (3, 8):
        out, count = tmp_path / f"{ends}.zarr", [0]

        def failing(self: Strips, ticket, count=count, ends=ends):
            count[0] += 1
            begun.extend([ticket.tile.row] if ticket.tile.kept.anew else [])
            if count[0] > ends:
                raise MemoryError
            return original(self, ticket)

        for _ in range(2):
            monkeypatch.setattr(Strips, "finish", failing)
            count[0] = 0
            with pytest.raises(MemoryError):
                map_raster(net, image, out, **how)
        monkeypatch.setattr(Strips, "finish", original)
        map_raster(net, image, out, **how)
        assert runs.digest(out) == expected
    assert max(begun) > 0, "some run went on within a band"


@pytest.mark.long
def test_goes_on_with_strips_of_before(net: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result whose links all have padding, as those of earlier versions: the same bytes, whoever ends it."""
    image, how = pixels(1000, 1200), {"preprocess": "unit", "memory": 7 << 20}
    original = Strips.finish

    def stops(self: Strips, ticket):
        if ticket.tile.row > 1:
            raise MemoryError
        return original(self, ticket)

    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr("fullconv.stream.strips_parts.exact", lambda *_: None)
        whole = map_raster(net, image, tmp_path / "whole.zarr", **how)
        earlier.setattr(Strips, "finish", stops)
        with pytest.raises(MemoryError):
            map_raster(net, image, tmp_path / "x.zarr", **how)
    kept = whole.record.tiles.kept
    assert kept is not None
    assert not any(piece.exact for link in kept.links for piece in link.rows)
    map_raster(net, image, tmp_path / "x.zarr", **how)
    assert runs.digest(tmp_path / "x.zarr") == runs.digest(tmp_path / "whole.zarr")


def go_on(out: str, parts: int) -> None:
    """What a process does that is killed behind so many parts."""
    original, left = Strips.finish, [parts]

    def killed(self: Strips, ticket):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, ticket)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fullconv.stream.strips_plan.WORTH", -1.0)
        patched.setattr("fullconv.stream.plan._planned_base", lambda *_: 0)
        patched.setattr(Strips, "finish", killed)
        map_raster(loaded(residual()), pixels(1000, 2200), out, preprocess="unit", memory=7 << 20)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a process is killed so on POSIX alone")
def test_killed_behind_any_part(net: Model, tmp_path: Path) -> None:
    map_raster(net, pixels(1000, 2200), tmp_path / "whole.zarr", preprocess="unit", memory=7 << 20)

    def process(parts: int) -> int:
        code = f"from tests.stream.test_strips import go_on; go_on({str(tmp_path / 'x.zarr')!r}, {parts})"
        return subprocess.run([sys.executable, "-c", code], check=False).returncode

    assert [process(parts) for parts in (3, 1, 7)] == [-signal.SIGKILL] * 3
    assert process(10**6) == 0
    assert runs.digest(tmp_path / "x.zarr") == runs.digest(tmp_path / "whole.zarr")


def test_what_is_run_again_is_what_is_needed(net: Model) -> None:
    plan = plan_raster(net, pixels(2100, 1500), preprocess="unit", memory=_MEMORY // 2)
    tiles, kept = plan.tiles, plan.tiles.kept
    assert kept is not None
    assert "rows kept from tile to tile" in str(plan)
    assert plan.to_json()["rows_kept"]
    every = list(tiles.steps(tiles))
    assert sum(step.is_made for step in every) == len(tiles)
    assert len(every) >= len(kept.links[0].rows) * len(tiles.x)
    some = list(tiles)[-2:]
    steps = list(tiles.steps(some))
    assert steps[0].kept.anew
    assert not any(step.kept.anew for step in steps[1:])
    assert steps[0].kept.part > 0, "parts above those that are needed are not run"
    assert [step.name for step in steps if step.is_made] == [tile.name for tile in some]
    assert type(tiles).from_json(json.loads(json.dumps(tiles.to_json()))).kept == kept


def test_tiles_stand_alone_where_cells_may_be_left_out(net: Model) -> None:
    image = pixels(700, 600)
    asked = {
        "nothing": {},
        "some": {"where": "auto"},
        "spoiled": {"on_error": "skip"},
        "torch": {"runtime": "torch"},
        "missing": {"nodata": 0.0},
    }
    stands = {}
    for name, options in asked.items():
        job = job_of(net, image, "x", **options)
        with closing(View(image, job.select)) as view:
            stands[name] = _stands(job.way(net), view, job)
    assert stands == {"nothing": True, "some": False, "spoiled": False, "torch": False, "missing": False}


def test_strips_of_another_network_are_refused(net: Model, tmp_path: Path) -> None:
    image, how = pixels(1500, 1300), {"preprocess": "unit", "memory": _MEMORY}
    out = tmp_path / "x.zarr"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Strips, "finish", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            map_raster(net, image, out, **how)
    about = out / "zarr.json"
    told = json.loads(about.read_text())
    (where,) = [value for value in told["attributes"].values() if isinstance(value, dict) and "tiles" in value]
    where["tiles"]["kept"]["links"][0]["rows"][1][2] += 4
    about.write_text(json.dumps(told))
    with pytest.raises(BadInput, match="strips that are not this network's"):
        map_raster(net, image, out, **how)
