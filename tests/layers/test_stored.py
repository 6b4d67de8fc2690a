"""Features in a store: the same as in memory, by tiles, strips and processes, gone on with by the same layer alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv import map_raster
from fullconv.model import Model
from fullconv.stream import plan as planning
from tests.layers import nets
from tests.stream import runs

NOISE = 2e-6  # of the largest value


@pytest.fixture(scope="module")
def model() -> Model:
    return fullconv.load(nets.made(nets.Residual, True), input_shape=nets.SIZE)


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process takes no memory by itself, so that a small budget cuts tiles."""
    monkeypatch.setattr(planning, "_planned_base", lambda *_: 0)


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def near(found: np.ndarray, want: np.ndarray) -> bool:
    return found.shape == want.shape and bool(np.abs(found - want).max() <= NOISE * np.abs(want).max())


@pytest.mark.parametrize("layer", ["layer1", "layer2", "gate", "avgpool"])
@pytest.mark.parametrize("strips", [False, True])
def test_tiles_hold_what_the_whole_image_gives(
    model: Model, layer: str, strips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.stream.strips_plan.WORTH", -1.0 if strips else 2.0)
    image = pixels(411, 533)
    found = map_raster(model, image, tmp_path / "x.zarr", preprocess="unit", memory=3 << 20, output=layer)
    assert len(found.record.tiles) > 2
    assert (found.record.tiles.kept is not None) <= strips
    whole = fullconv.map(model, image, preprocess="unit", output=layer)
    assert near(np.asarray(found.scores), whole.scores)
    assert (found.grid, found.labels, found.output, found.score_kind) == (
        whole.grid,
        whole.labels,
        whole.output,
        "features",
    )
    if layer == "layer2":  # its own framework, without tiles or strips
        want = nets.hooked(nets.made(nets.Residual, True), image)[layer]
        assert near(np.asarray(found.scores), want[:, : found.grid.rows, : found.grid.cols])


def test_a_run_goes_on_with_the_same_layer_and_no_other(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, how = pixels(300, 420), {"preprocess": "unit", "memory": 4 << 20, "output": "layer1"}
    map_raster(model, image, tmp_path / "whole.zarr", **how)
    done: list[str] = []

    def failing(event: str, what: object) -> None:
        if event == "tile":
            done.append(event)
            if len(done) == 2:
                raise MemoryError

    with pytest.raises(MemoryError):
        map_raster(model, image, tmp_path / "x.zarr", report=failing, **how)
    for other in ("layer2", "layer1.0", None):
        with pytest.raises(fullconv.BadInput, match=f"output: layer1, now {other}"):
            map_raster(model, image, tmp_path / "x.zarr", **{**how, "output": other})
    seen: list[int] = []
    map_raster(
        model, image, tmp_path / "x.zarr", report=lambda e, w: seen.append(w["done"]) if e == "plan" else None, **how
    )
    assert seen[0] >= 1
    assert runs.digest(tmp_path / "x.zarr") == runs.digest(tmp_path / "whole.zarr")


def test_what_lies_behind_the_layer_is_not_there(model: Model) -> None:
    layer = model.layer("layer1.0")
    assert {node.name.split(".")[0] for node in layer.graph} == {"stem", "layer1"}
    made = layer.lowered({layer.graph.image: (1, *nets.SIZE)})
    assert sum(node.op_type == "Conv" for node in made.nodes) == 3
    assert len(made.weights) < len(model.cast().lowered({model.graph.image: (1, *nets.SIZE)}).weights)


def test_some_channels_are_kept_by_their_numbers(model: Model, tmp_path: Path) -> None:
    image = pixels(120, 150)
    found = map_raster(
        model, image, tmp_path / "x.zarr", preprocess="unit", output="layer1", keep="5,2", stored="float16"
    )
    whole = fullconv.map(model, image, preprocess="unit", output="layer1")
    assert found.labels == ("5", "2")
    assert np.abs(np.asarray(found.scores) - whole.scores[[5, 2]]).max() <= 1e-3 * np.abs(whole.scores).max()


def test_cells_without_data_have_no_features(model: Model, tmp_path: Path) -> None:
    image = pixels(128, 128).astype(np.float32)
    image[:70, :70] = -1
    found = map_raster(model, image, tmp_path / "x.zarr", preprocess="unit", output="layer1", nodata=-1.0)
    whole = fullconv.map(model, image, preprocess="unit", output="layer1", nodata=-1.0)
    gone = np.isnan(whole.scores[0])
    assert gone[:17, :17].all()
    assert not gone[18:].any()
    np.testing.assert_array_equal(np.isnan(np.asarray(found.scores)), np.isnan(whole.scores))
    assert fullconv.pca(found).cells == int((~gone).sum())


@pytest.mark.long
def test_workers_map_a_layer_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    image = runs.picture(tmp_path / "x.npy", 700, 600)
    how = {"preprocess": "unit", "output": "pool2", "memory": 600 << 20}
    alone = map_raster(runs.digits(), image, tmp_path / "alone.zarr", **how)
    both = map_raster(runs.digits(), image, tmp_path / "x.zarr", workers=1, **how)
    np.testing.assert_array_equal(np.asarray(both.scores), np.asarray(alone.scores))
    assert both.output == "pool2"
