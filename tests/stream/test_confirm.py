"""Cells that are confirmed by their crops: they are the crops' own, the promise holds, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fullconv
from fullconv import map_raster
from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.model import Model
from fullconv.results.record import Record
from fullconv.stream import plan, sides, warm
from fullconv.stream.processor import Processor
from fullconv.stream.run import plan_raster
from tests.stream import colours, runs

HOW: dict[str, Any] = {"preprocess": "unit", "memory": 220 << 20}
TILED: dict[str, Any] = {**HOW, "memory": 183 << 20}
NOISE = 2e-6


@pytest.fixture(scope="module", autouse=True)
def _fresh() -> Iterator[None]:
    """Memory as in a process of its own, and windows of crops as small as the pictures here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_planned_base", lambda *_: 180 << 20)
        patched.setattr(warm, "resident_bytes", lambda: 150 << 20)
        patched.setattr(sides, "_WINDOW", 32)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("colours")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(colours.network(folder / "colours.onnx"))


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    np.save(folder / "patches.npy", colours.patches())
    return folder / "patches.npy"


def by_crops(model: Model, image, **more) -> np.ndarray:
    return np.asarray(fullconv.map(model, image, preprocess="unit", by="crops", **more).scores)


@pytest.fixture(scope="module")
def crops(model: Model, image: Path) -> np.ndarray:
    return by_crops(model, image)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Events and notes of the run below."""
    return {"notes": []}


@pytest.fixture(scope="module")
def found(model: Model, image: Path, folder: Path, told: dict[str, Any]) -> ClassMap:
    def report(event: str, what: Any) -> None:
        told[event] = what

    return map_raster(model, image, folder / "x.zarr", confirm=0.99, report=report, notes=told["notes"].append, **HOW)


@pytest.fixture(scope="module")
def tiled(model: Model, image: Path, folder: Path) -> dict[str, str]:
    whole = map_raster(model, image, folder / "tiled.zarr", confirm=0.99, **TILED)
    assert len(whole.record.tiles) >= 2
    return runs.digest(folder / "tiled.zarr")


def agreement(found: ClassMap, crops: np.ndarray) -> float:
    return float((found.top1 == crops.argmax(axis=0)).mean())


def require_own(found: ClassMap, crops: np.ndarray, tolerance: float = NOISE) -> np.ndarray:
    """The confirmed cells, which have their crops' scores and are some of all."""
    own = np.asarray(found.confirmed)
    np.testing.assert_allclose(np.asarray(found.scores)[:, own], crops[:, own], rtol=0, atol=tolerance)
    assert found.statement is not None
    assert found.statement.cells == own.sum()
    assert 0.01 < own.mean() < 0.5
    return own


def test_winners(
    found: ClassMap, told: dict[str, Any], model: Model, image: Path, crops: np.ndarray, folder: Path
) -> None:
    own = require_own(found, crops)
    mapped = np.asarray(fullconv.map(model, image, preprocess="unit").scores)
    np.testing.assert_allclose(np.asarray(found.scores)[:, ~own], mapped[:, ~own], rtol=0, atol=NOISE)
    assert np.abs(mapped - crops)[:, own].max() > 0.05, "which are others"
    assert (mapped.argmax(axis=0) == crops.argmax(axis=0)).mean() < 0.99 <= agreement(found, crops)
    said = found.statement
    assert said == ClassMap.load(folder / "x.zarr").statement
    assert said.cells == told["done"]["confirmed"]
    assert said.expected == pytest.approx(own.mean(), abs=0.05)
    assert 0.02 < said.expected < said.cost < 0.4
    assert (said.level, said.confidence, said.drawn, said.crops, said.wrong) == (0.99, 0.95, 299, 299, 0)
    assert said.date == datetime.now(UTC).date().isoformat()
    margins = np.diff(np.sort(np.log(mapped), axis=0), axis=0)[-1]
    assert margins[own].max() <= said.surety < margins[~own].min()
    (note,) = told["notes"]
    promise = "with 95 % confidence at least 99 % of the cells have the class that wins their crop: about "
    assert note.startswith(promise)
    assert f"{said.cost:.2f} of the cost of all crops" in note
    assert told["confirm"]["surety"] == said.surety


def test_a_run_that_was_ended_goes_on_by_its_own_threshold(
    tiled, model: Model, image: Path, tmp_path: Path, monkeypatch
) -> None:
    finish, left = Processor.finish, iter(range(1))

    def second_fails(self: Processor, ticket):
        if self.job.statement is not None and next(left, None) is None:
            raise MemoryError
        return finish(self, ticket)

    with monkeypatch.context() as patched:
        patched.setattr(Processor, "finish", second_fails)
        with pytest.raises(MemoryError):
            map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, **TILED)
    assert len(runs.marks(tmp_path / "x.zarr")) == 1

    def calibrated_again(*_: object) -> None:
        raise AssertionError("an earlier run said it already")

    monkeypatch.setattr("fullconv.stream.run.calibrate", calibrated_again)
    map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, **TILED)
    assert runs.digest(tmp_path / "x.zarr") == tiled
    with pytest.raises(BadInput, match="it differs in\n  confirm"):
        map_raster(model, image, tmp_path / "x.zarr", confirm=0.9, **TILED)


@pytest.mark.long
def test_workers_do_the_same(tiled, model: Model, image: Path, tmp_path: Path) -> None:
    map_raster(model, image, tmp_path / "workers.zarr", confirm=0.99, workers=1, **TILED)
    assert runs.digest(tmp_path / "workers.zarr") == tiled


def test_in_memory(found: ClassMap, model: Model, image: Path, tmp_path: Path) -> None:
    held = fullconv.map(model, np.load(image), preprocess="unit", confirm="99%")
    assert isinstance(held.scores, np.ndarray)
    np.testing.assert_allclose(held.scores, np.asarray(found.scores), rtol=0, atol=NOISE)
    np.testing.assert_array_equal(held.confirmed, np.asarray(found.confirmed))
    np.testing.assert_array_equal(held.confirmed[3:20, 5:-1], found.confirmed[3:20, 5:-1])
    held.save(tmp_path / "x.npz")
    again = ClassMap.load(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.confirmed, held.confirmed)
    assert again.statement == held.statement


@pytest.mark.long
@pytest.mark.parametrize("more", [{}, {"stored": "uint8"}, {"keep": "top1"}], ids=str)
def test_detections(model: Model, image: Path, crops: np.ndarray, more: dict, tmp_path: Path) -> None:
    found = map_raster(
        model, image, tmp_path / "x.zarr", confirm="detections:0.97", confirm_class="1", confirm_threshold=0.9, **more, **HOW
    )  # fmt: skip
    scores, own = np.asarray(found.scores[1]), np.asarray(found.confirmed)
    with np.errstate(invalid="ignore"):
        reported = scores >= np.float32(0.9)
    there = np.rint(crops[1] * 254) / 254 >= 0.9 if "stored" in more else crops[1] >= 0.9
    assert reported.sum() > 500
    assert own[reported].all()
    assert there[reported].all()
    assert (there & ~reported).sum() <= 0.03 * there.sum()
    assert own.mean() < 0.6
    assert found.statement.crops >= 99
    assert "every cell that scores 0.9 or more for 1 does so by its crop" in str(found.statement)
    assert all(own[peak.row, peak.col] for peak in found.peaks(1, 0.9))


def test_detections_that_are_too_rare_are_said(model: Model, tmp_path: Path) -> None:
    how = {"confirm_class": "1", "confirm_threshold": 0.9, **HOW}
    told = (
        r"detections:0\.99 cannot be certified by fewer crops than all: \d+ of 256 random cells are found by their crops, and it takes 299 such ones: "
        r"about \d+ of 625 cells \(0\.9\d+ could be, with \d+\)\. For what is rare there is --confirm reported"
    )
    with pytest.raises(BadInput, match=told):
        map_raster(model, colours.patches(120, 120), tmp_path / "x.zarr", confirm="detections", **how)
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.long
def test_what_is_missed_is_a_share_of_all_cells(model: Model, image: Path, crops: np.ndarray, tmp_path: Path) -> None:
    how = {"confirm_class": "0", "confirm_threshold": 0.5, **HOW}
    there = crops[0] >= 0.5
    for asked, most in (("reported", 0.035), ("reported:0.995", 0.005)):
        found = map_raster(model, image, tmp_path / "x.zarr", confirm=asked, restart=True, **how)
        scores, own = np.asarray(found.scores[0]), require_own(found, crops)
        reported = scores >= 0.5
        assert own[reported].all()
        assert there[reported].all()
        missed = (there & ~reported).mean()
        said = found.statement
        assert missed <= 1 - said.level <= most * 1.001
        assert asked != "reported" or missed > 0.005
        assert f"at most {(1 - said.level) * 100:.6g} % of all cells are others whose crops do" in str(said)
        assert said.crops == said.drawn >= (299 if asked == "reported" else 598)


@pytest.mark.long
def test_winners_are_those_that_are_stored(model: Model, image: Path, crops: np.ndarray, tmp_path: Path) -> None:
    small = map_raster(model, image, tmp_path / "x.zarr", confirm=0.98, stored="uint8", **HOW)
    assert agreement(small, crops) >= 0.98
    require_own(small, crops, 2.1e-3)
    top1 = map_raster(model, image, tmp_path / "top1.zarr", confirm=0.99, keep="top1", **HOW)
    assert agreement(top1, crops) >= 0.99
    some = map_raster(model, image, tmp_path / "some.zarr", confirm=0.99, keep=("0", "2"), **HOW)
    assert agreement(some, crops[[0, 2]]) >= 0.99
    assert 0 < np.asarray(some.confirmed).mean() < 0.4


def test_storage_is_blamed_for_its_own_winners_alone(model: Model, image: Path, tmp_path: Path) -> None:
    """A softmax that saturates is as sure of what it has wrong as of the rest, whatever it is stored as; scores that all but tie are lost by uint8."""
    out = tmp_path / "x.zarr"
    with pytest.raises(BadInput, match="of what crops of all cells cost"):
        map_raster(model, image, out, confirm=0.99, stored="float16", **{**HOW, "preprocess": "raw"})
    close = np.full((160, 150, 3), (100, 100, 0), np.float32)
    red, green, _ = np.log(by_crops(model, close)[:, 0, 0])  # apart by 2 and what a crop's rim leaves of 4 · 100 / 255
    share = (2 - (red - green)) / (4 * 100 / 255)
    close[:, :, 1] += (red - green) * 255 / (64 * share)  # all but a tie
    close[:, :, 1] += np.random.default_rng(0).normal(0, 0.02, close.shape[:2])
    with pytest.raises(BadInput, match="other ones once they are stored as uint8"):
        map_raster(model, close, out, confirm=0.9, stored="uint8", **HOW)
    assert not out.exists()


def test_one_class_lies_on_its_crops_side(image: Path, tmp_path: Path) -> None:
    model = load(colours.network(tmp_path / "one.onnx", "Sigmoid", 1))
    crops = by_crops(model, image)
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, confirm_threshold=0.6, **HOW)
    assert ((np.asarray(found.scores) >= 0.6) == (crops >= 0.6)).mean() >= 0.99
    assert "lie on their crop's side of 0.6" in str(found.statement)


def test_an_activation_behind_logits(found: ClassMap, image: Path, crops: np.ndarray, tmp_path: Path) -> None:
    logits = load(colours.network(tmp_path / "logits.onnx", ""))
    soft = map_raster(logits, image, tmp_path / "y.zarr", confirm=0.99, activation="softmax", **HOW)
    own = require_own(soft, crops)
    assert (np.asarray(found.confirmed) == own).mean() > 0.999


def test_where_and_missing_data(model: Model, tmp_path: Path) -> None:
    pixels = colours.patches().astype(np.float32)
    pixels[:60, :80] = np.nan
    how = {"where": "auto:0.2", **HOW}
    whole = map_raster(model, pixels, tmp_path / "crops.zarr", by="crops", **how)
    found = map_raster(model, pixels, tmp_path / "x.zarr", confirm=0.99, **how)
    empty = np.isnan(np.asarray(whole.scores)[0])
    assert 100 < empty.sum() < empty.size - 1000
    np.testing.assert_array_equal(empty, np.isnan(np.asarray(found.scores)[0]))
    assert not require_own(found, np.asarray(whole.scores))[empty].any()
    assert (found.top1 == whole.top1)[~empty].mean() >= 0.99


@pytest.mark.parametrize("finer", ["shifts", "dilation"])
def test_a_finer_map(model: Model, finer: str, tmp_path: Path) -> None:
    image = colours.patches(120, 110)
    crops = by_crops(model, image, stride=2)
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, stride=2, finer=finer, **HOW)
    require_own(found, crops)
    assert agreement(found, crops) >= 0.99


def test_crops_that_reach_further_than_the_network_reads(tmp_path: Path) -> None:
    """Of 27 pixels the last three are met by no window; a crop is all of them all the same."""
    model = load(colours.network(tmp_path / "x.onnx", crop=27, lopsided=True))
    image, memory = colours.patches(188, 160), 180 * 2**20 + 600_000
    tiles = plan_raster(model, image, preprocess="unit", memory=memory, confirm=0.95).tiles
    assert any((side.cells[1] - 1) * 4 + 27 > side.read[1] for side in tiles.y)
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.95, preprocess="unit", memory=memory)
    require_own(found, by_crops(model, image))


def test_what_cannot_be_confirmed_is_said_before_anything_is_written(model: Model, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"

    def refused(told: str, image=image, model=model, **how) -> None:
        with pytest.raises(BadInput, match=told):
            map_raster(model, image, out, **how, **HOW)

    small = colours.patches(70, 70)
    refused(
        r"0\.99 cannot be certified on 144 cells: that takes 299 .*\(0\.959 could be, with 72\).*--by crops",
        small,
        confirm=0.99,
    )
    refused(r"to confirm 0\.99 costs 1\.\d\d of what crops of all cells cost", colours.patches(94, 94), confirm=0.99)
    refused("winners of one class that is kept alone", confirm=0.99, keep=("0",))
    refused("of a class whose scores are not kept", confirm="detections", confirm_class="1", keep=("0",))
    refused("of which class", confirm="detections")
    logits = load(colours.network(tmp_path / "logits.onnx", "", 1))
    refused("a threshold must be given: scores are logits", model=logits, confirm=0.99)
    with pytest.raises(BadInput, match="scales"):
        fullconv.map(model, image, preprocess="unit", confirm=0.99, scales=[1, 0.5])
    assert not out.exists()


def test_what_is_its_crops_own_already(model: Model, tmp_path: Path) -> None:
    digits = runs.digits(), runs.picture(tmp_path / "x.npy", 100, 100), "cast"
    for i, (each, image, by) in enumerate([digits, (model, colours.patches(60, 60), "crops")]):
        notes: list[str] = []
        found = map_raster(each, image, tmp_path / f"{i}.zarr", by=by, confirm=0.99, notes=notes.append, **HOW)
        assert found.statement is None is found.confirmed
        assert "nothing to confirm: every cell is its crop's own already" in notes


@pytest.mark.parametrize(
    "damage",
    [
        {"level": "high"},
        {"cells": -1},
        {"surety": float("inf")},
        {"what": "all"},
        {"labels": [1]},
        {"date": 5},
        {"drawn": True},
    ],
    ids=str,
)
def test_a_damaged_statement(damage: dict, found: ClassMap, folder: Path, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "x.zarr", attributes={"fullconv": {**found.record.to_json()}})
    about = dict(group.attrs)["fullconv"]
    about["statement"] |= damage
    group.attrs["fullconv"] = about
    with pytest.raises(BadInput, match="attributes are damaged"):
        ClassMap.load(tmp_path / "x.zarr")


@pytest.mark.long
def test_an_adapted_network_is_confirmed_by_its_classifier(
    model: Model, image: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    adapted = fullconv.adapt(model, [image], crops=200, preprocess="unit").model
    adapted.save(tmp_path / "adapted.onnx")
    read = load(tmp_path / "adapted.onnx")
    found = map_raster(read, image, tmp_path / "x.zarr", confirm=0.995, **HOW)
    require_own(found, crops)
    assert agreement(found, crops) >= 0.995


def test_a_store_of_an_earlier_version_promises_nothing(found: ClassMap, folder: Path, tmp_path: Path) -> None:
    about = found.record.to_json()
    del about["statement"]
    assert Record.from_json(about, "x").statement is None
    assert Record.from_json(found.record.to_json(), "x").statement == found.statement
