"""The device's road against the usual one through the same engine: to the bit, whatever is kept and stored; and who takes it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullconv.errors import BadInput, FullconvError
from fullconv.loading import load
from fullconv.rasters.preprocess import Preprocess
from fullconv.stream.run import map_raster, plan_raster
from fullconv.system.parse import compiling
from tests.stream.runs import digest, digits

torch = pytest.importorskip("torch")

from tests.stream.device.tiles import same, scene, through  # noqa: E402

nn = torch.nn


def colours(seed: int = 0, classes: int = 5, pad: int = 1, **more: Any):
    """A padded network of colours with probabilities."""
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, pad), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, pad), nn.Tanh(), nn.Flatten(),
        nn.Linear(8 * 4 * 4 if pad else 8 * 3 * 3, classes), nn.Softmax(1),
    ).eval()  # fmt: skip
    return load(body, input_shape=(3, 16, 16), check=False, **more)


def noise(height: int = 230, width: int = 210, channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    numbers = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    return numbers.astype(dtype) if dtype == np.uint8 else numbers.astype(dtype) + dtype(0.25)


JOBS = {
    "all": {},
    "float16": {"stored": "float16"},
    "some": {"keep": "3,1", "stored": "uint8"},
    "top1": {"keep": "top1", "stored": "uint8", "preprocess": "caffe"},
    "bf16": {"precision": "bf16", "preprocess": "imagenet"},
    "crops": {"by": "crops", "stride": 16, "batch": 7},
    "shifts": {"stride": 2, "finer": "shifts"},
    "many shifts": {"stride": 1, "finer": "shifts", "keep": "top1", "stored": "uint8"},
}


@pytest.mark.parametrize("name", JOBS)
def test_numbers_are_those_of_the_usual_road(name: str) -> None:
    with scene(colours(), noise(), **JOBS[name]) as seen:
        tiles = seen.loaded(missing=0.2, unasked=0.0 if name == "crops" else 0.3)
        own = through(seen.device, tiles)
        for tile, done in zip(tiles, own, strict=True):
            assert same(seen.usual.finish(seen.usual.start(tile)), done, seen.job.stored)
        if seen.job.stored != "float32":
            assert all(done.scores is not None and done.scores.dtype == seen.job.stored for done in own)


@pytest.mark.parametrize("size", [(16, 16), (16, 17), (19, 16), (21, 30)])
def test_a_map_too_small_for_some_shifts(size: tuple[int, int]) -> None:
    with scene(colours(pad=0), noise(*size), stride=1, finer="shifts") as seen:
        (tile,) = seen.loaded()
        (done,) = through(seen.device, [tile])
        assert same(seen.usual.finish(seen.usual.start(tile)), done, "float32")


@pytest.mark.parametrize("image", ["grey", "floats", "wide"])
def test_pixels_go_up_as_they_were_read(image: str) -> None:
    pixels = {"grey": noise(channels=1), "floats": noise(dtype=np.float32), "wide": noise()}[image]
    model = digits() if image == "wide" else colours()
    with scene(model, pixels) as seen:
        tiles = seen.loaded(missing=0.1)
        for tile, done in zip(tiles, through(seen.device, tiles), strict=True):
            assert same(seen.usual.finish(seen.usual.start(tile)), done, "float32")


def test_crops_that_are_not_asked_for_are_not_run() -> None:
    with scene(colours(), noise(100, 90), by="crops", stride=8) as seen:
        (tile,) = seen.loaded(unasked=0.7)
        usual = seen.usual.finish(seen.usual.start(tile))
        done = through(seen.device, [tile])[0]
        assert usual.scores is not None
        assert done.scores is not None
        assert np.array_equal(np.isnan(usual.scores), np.isnan(done.scores))
        assert np.isnan(done.scores[0]).sum() == (~tile.answers).sum() > 0
        assert np.nanmax(np.abs(usual.scores - done.scores)) < 1e-6  # batches of other crops


def test_nan_is_told_with_its_layer_as_on_the_usual_road() -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 3)).eval()
    with torch.no_grad():
        body[0].weight[1, 0, 0, 0] = torch.nan
    model = load(body, input_shape=(3, 16, 16), check=False)
    with scene(model, noise()) as seen, pytest.raises(BadInput, match=r"NaN .*from layer"):
        through(seen.device, seen.loaded()[:1])


def test_scores_that_cannot_be_stored_are_told() -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(4 * 7 * 7, 3)).eval()
    with scene(load(body, input_shape=(3, 16, 16)), noise(), stored="uint8", preprocess="raw") as seen:
        (done,) = through(seen.device, seen.loaded()[:1])
        with pytest.raises(BadInput, match="not within 0"):
            same(done, done, "uint8")  # what stores them says so, as ever
    with torch.no_grad():
        body[0].weight[:] = 300.0
    with (
        scene(load(body, input_shape=(3, 16, 16)), noise(), precision="fp16", preprocess="raw") as seen,
        pytest.raises(FullconvError, match="precision fp16"),
    ):
        through(seen.device, seen.loaded()[:1])


def test_all_that_a_preprocessing_says_is_computed_on_the_device() -> None:
    """What it says beside these would be left out in silence: add it to ``Enter``."""
    assert {field.name for field in fields(Preprocess)} == {"channels", "scale", "mean", "std"}


@pytest.mark.parametrize(
    "kept", [{"keep": "top1", "stored": "float16"}, {"keep": "2,0", "stored": "uint8"}], ids=["top1", "some"]
)
def test_a_stream_by_torch_takes_it_and_the_store_is_the_same_to_the_byte(
    kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fullconv.stream import plan as plans
    from fullconv.stream import work
    from fullconv.stream.device.door import Device

    monkeypatch.setattr(plans, "_seconds", lambda *_: lambda *_: 0.0)  # a busy machine cuts no other tiles
    taken, finish = [], Device.finish
    monkeypatch.setattr(
        Device, "finish", lambda self, ticket: taken.append(ticket.loaded.tile.name) or finish(self, ticket)
    )
    model, image = colours(), noise(1100, 1060)  # so large that it has a coarser level
    image[:200, :300] = 255
    how = {"runtime": "torch:cpu", "preprocess": "unit", "memory": 230 << 20, "where": "auto"} | kept
    map_raster(model, image, tmp_path / "fast.zarr", **how)
    assert len(taken) > 1
    monkeypatch.setattr(work, "device_door", lambda *_: None)
    plan = plan_raster(model, image, **how)
    map_raster(model, image, tmp_path / "slow.zarr", **how)
    assert digest(tmp_path / "fast.zarr") == digest(tmp_path / "slow.zarr")
    assert any("/1/" in f"/{name}" for name in digest(tmp_path / "fast.zarr")), "a coarser level"
    assert {tile.name for tile in plan.tiles} == set(taken)


def test_several_devices_make_the_store_of_one(tmp_path: Path) -> None:
    model, image = colours(), noise()
    kept = {"keep": "top1", "preprocess": "unit", "memory": 300 << 20}
    one = map_raster(model, image, tmp_path / "one.zarr", runtime="torch:cpu", **kept)
    two = map_raster(model, image, tmp_path / "two.zarr", runtime="torch:cpu,cpu", **kept)
    assert np.array_equal(np.asarray(one.scores), np.asarray(two.scores), equal_nan=True)
    with pytest.raises(BadInput, match="devices of one kind"):
        map_raster(model, image, tmp_path / "x.zarr", runtime="torch:cpu,cuda", **kept)
    with pytest.raises(BadInput, match="onnxruntime computes on one device"):
        map_raster(model, image, tmp_path / "x.zarr", runtime="onnxruntime:cuda:0,cuda:1", **kept)


@pytest.mark.long
@pytest.mark.parametrize("name", ["top1", "crops"])
def test_a_compiled_network_gives_the_numbers_of_the_uncompiled_one(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with scene(colours(), noise(), **JOBS[name] | {"stored": "float32"}) as seen:
        tiles = seen.loaded(missing=0.2)
        with compiling(True):
            made = through(seen.device, tiles)
        for tile, done in zip(tiles, made, strict=True):
            usual = seen.usual.finish(seen.usual.start(tile))
            assert usual.scores is not None
            assert done.scores is not None
            np.testing.assert_allclose(done.scores, usual.scores, rtol=0, atol=2e-6, equal_nan=True)
    assert not [record for record in caplog.records if "cannot compile" in record.getMessage()]
