"""An adapted network's file in every command: what it says of itself, and that its crops are the classifier's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.maps.classmap import ClassMap
from fullconv.model import Model
from fullconv.stream import plan
from fullconv.surgery.head import Head
from fullconv.trust.blame import blame
from tests.cli.conftest import Run
from tests.heads import fitted, levels, network


@pytest.fixture
def adapted(tmp_path: Path) -> tuple[Model, Path]:
    """The untouched network, and the file of its adapted form."""
    model = network(tmp_path)
    head = fitted(
        Head("y", "z", 5, levels(model.cast())),
        crops=700,
        images=["a.tif", "b.tif"],
        agreement={"before": 0.5, "after": 0.75},
    )
    (path,) = model.adapted(head).save(tmp_path / "adapted.onnx")
    return model, path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (42, 60, 3), np.uint8)).save(path)
    return path


def test_what_a_file_says_of_itself(run: Run, adapted: tuple[Model, Path], tmp_path: Path) -> None:
    _, path = adapted
    shown = run("inspect", path)
    assert "fully convolutional already: map it as it is" in shown.out
    assert "fitted head in y" in shown.out
    assert "adapted: a fitted head moves its logits z of y by r1 (means of 3×3 regions)" in shown.out
    assert "  crops: 700\n" in shown.out
    assert "  images: a.tif, b.tif\n" in shown.out
    assert "out of step" not in shown.out
    told = json.loads(run("inspect", path, "--json").out)
    assert told["exact"] is False
    (head,) = told["heads"]
    assert head["levels"][0] == {
        "value": "r1",
        "channels": 4,
        "block": [4, 4],
        "step": [1, 1],
        "rows": [1, 2, 1],
        "cols": [1, 2, 1],
    }
    assert head["about"]["agreement"] == {"before": 0.5, "after": 0.75}
    assert "nothing to change: the network is fully convolutional already" in run("cast", path, "--dry-run").out
    finer = tmp_path / "finer.onnx"
    assert run("cast", path, "--stride", 2, "-o", finer).status == 0
    assert json.loads(run("inspect", finer, "--json").out)["heads"] == told["heads"]


def test_crops_are_the_classifiers(run: Run, adapted: tuple[Model, Path], scene: Path, tmp_path: Path) -> None:
    model, path = adapted
    own = fullconv.map(model, scene, by="crops")
    found = tmp_path / "crops.npz"
    assert run("map", path, scene, "--by", "crops", "-o", found).status == 0
    crops = ClassMap.load(found).scores
    assert crops == pytest.approx(own.scores, abs=1e-6)
    there = tmp_path / "map.npz"
    assert run("map", path, scene, "-o", there).status == 0
    moved = ClassMap.load(there)
    assert moved.exactness.startswith("not exact")
    agree = int((moved.scores.argmax(0) == crops.argmax(0)).sum())
    (report,) = json.loads(run("verify", path, scene, "--json").out)["reports"]
    assert report["compared"] == moved.scores[0].size
    assert report["agree"] == agree
    assert report["largest"] == pytest.approx(float(np.abs(moved.scores - crops).max()), rel=1e-3)


def test_shares_are_those_of_the_network_without_its_head(run: Run, adapted: tuple[Model, Path], scene: Path) -> None:
    model, path = adapted
    told = json.loads(run("verify", path, scene, "--cells", 5, "--blame", 3, "--json").out)
    (found,) = told["blame"]
    assert {share["node"] for share in found["shares"]} == {"Conv_0", "Conv_2", "Conv_4"}
    assert any("fitted head" in each for each in found["left_out"])
    assert found["total"] == pytest.approx(blame(model, scene, cells=3).total, rel=1e-3)


def test_a_streamed_map_is_that_of_an_image_in_memory(
    adapted: tuple[Model, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fullconv.load(adapted[1])
    image = tmp_path / "large.npy"
    np.save(image, np.random.default_rng(0).integers(0, 256, (402, 520, 3), np.uint8))
    monkeypatch.setattr(plan, "_planned_base", lambda *_: 180 << 20)
    found = fullconv.map_raster(model, image, tmp_path / "map.zarr", memory=184 << 20)
    assert found.record is not None
    assert len(list(found.record.tiles)) > 3
    assert np.asarray(found.scores) == pytest.approx(fullconv.map(model, np.load(image)).scores, abs=2e-5)


def test_a_finer_map_has_the_cells_of_the_other(adapted: tuple[Model, Path]) -> None:
    model = fullconv.load(adapted[1])
    image = np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8)
    finer, own = fullconv.map(model, image, stride=2), fullconv.map(model, image)
    assert finer.scores[:, ::2, ::2] == pytest.approx(own.scores, abs=2e-5)
    shifted = fullconv.map(model, image, stride=2, finer="shifts")
    assert shifted.scores[:, ::2, ::2] == pytest.approx(own.scores, abs=2e-5)
