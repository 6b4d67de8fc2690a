"""Cells that are confirmed by their crops: they are the crops' own, the promise holds, and nothing else changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv import map_raster
from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.model import Model
from fullconv.stream import plan, sides
from fullconv.stream.run import plan_raster
from fullconv.stream.work import Worker
from tests.stream import colours, runs

HOW = {"preprocess": "unit", "memory": 220 << 20}
CROPS = {**HOW, "by": "crops"}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory as in a process of its own, and windows of crops as small as the pictures here."""
    monkeypatch.setattr(plan, "resident_bytes", lambda: 150 << 20)
    monkeypatch.setattr(sides, "_WINDOW", 32)


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
def mapped(model: Model, image: Path) -> np.ndarray:
    return np.asarray(fullconv.map(model, image, preprocess="unit").scores)


def agreement(found: ClassMap, crops: np.ndarray) -> float:
    return float((found.top1 == crops.argmax(axis=0)).mean())


def test_winners(model: Model, image: Path, crops: np.ndarray, mapped: np.ndarray, tmp_path: Path) -> None:
    events, notes = {}, []
    found = map_raster(
        model, image, tmp_path / "x.zarr", confirm=0.99, report=lambda event, what: events.update({event: what}), notes=notes.append, **HOW
    )  # fmt: skip
    own, scores = np.asarray(found.confirmed), np.asarray(found.scores)
    np.testing.assert_allclose(scores[:, own], crops[:, own], rtol=0, atol=2e-6)
    np.testing.assert_allclose(scores[:, ~own], mapped[:, ~own], rtol=0, atol=2e-6)
    assert np.abs(mapped - crops)[:, own].max() > 0.05, "which are others"
    assert (mapped.argmax(axis=0) == crops.argmax(axis=0)).mean() < 0.99 <= agreement(found, crops)
    said = found.statement
    assert said == ClassMap.load(tmp_path / "x.zarr").statement
    assert said.cells == own.sum() == events["done"]["confirmed"]
    assert said.expected == pytest.approx(own.mean(), abs=0.05)
    assert 0.02 < said.expected < said.cost < 0.4
    assert (said.level, said.confidence, said.drawn, said.crops, said.wrong) == (0.99, 0.95, 299, 299, 0)
    assert said.date == datetime.now(UTC).date().isoformat()
    margins = np.diff(np.sort(np.log(mapped), axis=0), axis=0)[-1]
    assert margins[own].max() <= said.surety < margins[~own].min()
    assert notes[-1].startswith(
        "with 95% confidence at least 99 % of the cells have the class that wins their crop: about "
    )
    assert f"{said.cost:.2f} of the cost of all crops" in notes[-1]
    assert events["confirm"]["surety"] == said.surety


def test_a_run_that_was_ended_goes_on_by_its_own_threshold(
    model: Model, image: Path, tmp_path: Path, monkeypatch
) -> None:
    how = {**HOW, "memory": 183 << 20}
    whole = map_raster(model, image, tmp_path / "whole.zarr", confirm=0.99, **how)
    assert len(whole.record.tiles) >= 2
    run, left = Worker.run, iter(range(1))

    def second_fails(self: Worker, loaded):
        if self.store is not None and next(left, None) is None:
            raise MemoryError
        return run(self, loaded)

    monkeypatch.setattr(Worker, "run", second_fails)
    with pytest.raises(MemoryError):
        map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, **how)
    monkeypatch.setattr(Worker, "run", run)
    assert len(runs.marks(tmp_path / "x.zarr")) == 1

    def calibrated_again(*_: object) -> None:
        raise AssertionError("an earlier run said it already")

    monkeypatch.setattr("fullconv.stream.run.calibrate", calibrated_again)
    map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, **how)
    assert runs.digest(tmp_path / "x.zarr") == runs.digest(tmp_path / "whole.zarr")
    with pytest.raises(BadInput, match="it differs in\n  confirm"):
        map_raster(model, image, tmp_path / "x.zarr", **how)


def test_workers_do_the_same(model: Model, image: Path, tmp_path: Path) -> None:
    how = {**HOW, "memory": 183 << 20}
    map_raster(model, image, tmp_path / "alone.zarr", confirm=0.99, **how)
    map_raster(model, image, tmp_path / "workers.zarr", confirm=0.99, workers=1, **how)
    assert runs.digest(tmp_path / "alone.zarr") == runs.digest(tmp_path / "workers.zarr")


def test_in_memory(model: Model, image: Path, tmp_path: Path) -> None:
    stored = map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, **HOW)
    found = fullconv.map(model, np.load(image), preprocess="unit", confirm="99%")
    assert isinstance(found.scores, np.ndarray)
    np.testing.assert_allclose(found.scores, np.asarray(stored.scores), rtol=0, atol=2e-6)
    np.testing.assert_array_equal(found.confirmed, np.asarray(stored.confirmed))
    found.save(tmp_path / "x.npz")
    again = ClassMap.load(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.confirmed, found.confirmed)
    assert again.statement == found.statement


@pytest.mark.parametrize("more", [{}, {"stored": "uint8"}, {"keep": "top1"}, {"keep": ("1", "2")}], ids=str)
def test_detections(model: Model, image: Path, crops: np.ndarray, more: dict, tmp_path: Path) -> None:
    found = map_raster(
        model, image, tmp_path / "x.zarr", confirm="detections:0.97", confirm_class="1", confirm_threshold=0.9, **more, **HOW
    )  # fmt: skip
    index = found.class_index("1")
    scores, own = np.asarray(found.scores[index]), np.asarray(found.confirmed)
    with np.errstate(invalid="ignore"):
        reported = scores >= np.float32(0.9)
    there = np.rint(crops[1] * 254) / 254 >= 0.9 if more.get("stored") == "uint8" else crops[1] >= 0.9
    assert reported.sum() > 500
    assert own[reported].all()
    assert there[reported].all()
    assert (there & ~reported).sum() <= 0.03 * there.sum()
    assert own.mean() < 0.6
    assert found.statement.crops >= 99
    assert "every cell that scores 0.9 or more for 1 does so by its crop" in str(found.statement)
    for peak in found.peaks(index, 0.9):
        assert own[peak.row, peak.col]


def test_detections_that_are_too_rare_are_said(model: Model, tmp_path: Path) -> None:
    how = {"confirm_class": "1", "confirm_threshold": 0.9, **HOW}
    with pytest.raises(
        BadInput, match=r"0\.99 cannot be certified: \d+ of \d+ random cells are found by their crops, and it takes 299"
    ):
        map_raster(model, colours.patches(120, 120), tmp_path / "x.zarr", confirm="detections", **how)
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize("stored", ["float16", "uint8"])
def test_winners_are_those_that_are_stored(
    model: Model, image: Path, crops: np.ndarray, stored: str, tmp_path: Path
) -> None:
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.98, stored=stored, **HOW)
    assert agreement(found, crops) >= 0.98
    own = np.asarray(found.confirmed)
    np.testing.assert_allclose(np.asarray(found.scores)[:, own], crops[:, own], rtol=0, atol=2.1e-3)


def test_winners_alone_and_some_classes(model: Model, image: Path, crops: np.ndarray, tmp_path: Path) -> None:
    top1 = map_raster(model, image, tmp_path / "top1.zarr", confirm=0.99, keep="top1", **HOW)
    assert agreement(top1, crops) >= 0.99
    some = map_raster(model, image, tmp_path / "some.zarr", confirm=0.99, keep=("0", "2"), **HOW)
    assert agreement(some, crops[[0, 2]]) >= 0.99
    assert 0 < np.asarray(some.confirmed).mean() < 0.4
    with pytest.raises(BadInput, match="winners of one class that is kept alone"):
        map_raster(model, image, tmp_path / "one.zarr", confirm=0.99, keep=("0",), **HOW)
    with pytest.raises(BadInput, match="of a class whose scores are not kept"):
        map_raster(model, image, tmp_path / "one.zarr", confirm="detections", confirm_class="1", keep=("0",), **HOW)


def test_one_class_lies_on_its_crops_side(image: Path, tmp_path: Path) -> None:
    model = load(colours.network(tmp_path / "one.onnx", "Sigmoid", 1))
    crops = by_crops(model, image)
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, confirm_threshold=0.6, **HOW)
    assert ((np.asarray(found.scores) >= 0.6) == (crops >= 0.6)).mean() >= 0.99
    assert "lie on their crop's side of 0.6" in str(found.statement)
    logits = load(colours.network(tmp_path / "logits.onnx", "", 1))
    with pytest.raises(BadInput, match="a threshold must be given: scores are logits"):
        map_raster(logits, image, tmp_path / "y.zarr", confirm=0.99, **HOW)


def test_logits_need_no_probabilities(image: Path, crops: np.ndarray, tmp_path: Path) -> None:
    logits = load(colours.network(tmp_path / "logits.onnx", ""))
    found = map_raster(logits, image, tmp_path / "x.zarr", confirm=0.99, **HOW)
    soft = map_raster(logits, image, tmp_path / "y.zarr", confirm=0.99, activation="softmax", **HOW)
    assert found.statement.scale == "plain"
    assert soft.statement.scale == "log"
    assert (np.asarray(found.confirmed) == np.asarray(soft.confirmed)).mean() > 0.999
    np.testing.assert_allclose(
        np.asarray(soft.scores)[:, np.asarray(soft.confirmed)], crops[:, np.asarray(soft.confirmed)], atol=2e-6
    )


def test_where_and_missing_data(model: Model, crops: np.ndarray, tmp_path: Path) -> None:
    pixels = colours.patches().astype(np.float32)
    pixels[:90, :110] = np.nan
    whole = map_raster(model, pixels, tmp_path / "crops.zarr", by="crops", where="auto:0.2", **HOW)
    found = map_raster(model, pixels, tmp_path / "x.zarr", confirm=0.99, where="auto:0.2", **HOW)
    empty = np.isnan(np.asarray(whole.scores)[0])
    assert 100 < empty.sum() < empty.size - 1000
    np.testing.assert_array_equal(empty, np.isnan(np.asarray(found.scores)[0]))
    own = np.asarray(found.confirmed)
    assert not own[empty].any()
    assert found.statement.cells == own.sum() > 0
    np.testing.assert_allclose(np.asarray(found.scores)[:, own], np.asarray(whole.scores)[:, own], rtol=0, atol=2e-6)
    assert (found.top1 == whole.top1)[~empty].mean() >= 0.99


@pytest.mark.parametrize("finer", ["shifts", "dilation"])
def test_a_finer_map(model: Model, finer: str, tmp_path: Path) -> None:
    image = colours.patches(150, 140)
    crops = by_crops(model, image, stride=2)
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.99, stride=2, finer=finer, **HOW)
    own = np.asarray(found.confirmed)
    np.testing.assert_allclose(np.asarray(found.scores)[:, own], crops[:, own], rtol=0, atol=2e-6)
    assert 0.01 < own.mean() < 0.5
    assert agreement(found, crops) >= 0.99


def test_crops_that_reach_further_than_the_network_reads(tmp_path: Path) -> None:
    """Of 27 pixels the last three are met by no window; a crop is all of them all the same."""
    model = load(colours.network(tmp_path / "x.onnx", crop=27, lopsided=True))
    image, memory = colours.patches(188, 160), 180 * 2**20 + 600_000
    tiles = plan_raster(model, image, preprocess="unit", memory=memory, confirm=0.95).tiles
    assert any((side.cells[1] - 1) * 4 + 27 > side.read[1] for side in tiles.y)
    crops = by_crops(model, image)
    found = map_raster(model, image, tmp_path / "x.zarr", confirm=0.95, preprocess="unit", memory=memory)
    own = np.asarray(found.confirmed)
    assert own.mean() > 0.02
    np.testing.assert_allclose(np.asarray(found.scores)[:, own], crops[:, own], rtol=0, atol=2e-6)


def test_what_cannot_be_confirmed_is_said_before_anything_is_written(model: Model, image: Path, tmp_path: Path) -> None:
    small = colours.patches(70, 70)
    out = tmp_path / "x.zarr"
    with pytest.raises(
        BadInput, match=r"0\.99 cannot be certified on 144 cells: that takes 299 .*\(0\.959 could be.*--by crops"
    ):
        map_raster(model, small, out, confirm=0.99, **HOW)
    with pytest.raises(BadInput, match=r"to confirm 0\.99 costs \d\.\d\d of what crops of all cells cost"):
        map_raster(model, np.full((100, 100, 3), 128, np.uint8), out, confirm=0.99, **HOW)
    with pytest.raises(BadInput, match="scales"):
        fullconv.map(model, image, preprocess="unit", confirm=0.99, scales=[1, 0.5])
    assert not out.exists()


@pytest.mark.parametrize("how", ["exact", "crops"])
def test_what_is_its_crops_own_already(how: str, model: Model, tmp_path: Path) -> None:
    notes = []
    if how == "exact":
        found = map_raster(
            runs.digits(),
            runs.picture(tmp_path / "x.npy", 100, 100),
            tmp_path / "x.zarr",
            confirm=0.99,
            notes=notes.append,
            **HOW,
        )
    else:
        found = map_raster(
            model, colours.patches(60, 60), tmp_path / "x.zarr", confirm=0.99, notes=notes.append, **CROPS
        )
    assert found.statement is None is found.confirmed
    assert "nothing to confirm: every cell is its crop's own already" in notes
