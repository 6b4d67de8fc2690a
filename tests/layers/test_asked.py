"""What is asked of a layer: by which names, what means nothing for features and is refused, and what commands say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv import export, map_raster
from fullconv.layer import value_named
from fullconv.maps.classmap import ClassMap
from fullconv.model import Model
from tests import helpers as h
from tests.cli.conftest import Run, image, net, run
from tests.stream import runs

__all__ = ["image", "net", "run"]  # fixtures of the command line
PIXELS = np.random.default_rng(0).integers(0, 256, (61, 75), np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    return runs.digits()


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    out = tmp_path_factory.mktemp("features") / "x.zarr"
    map_raster(model, PIXELS, out, preprocess="unit", output="pool2")
    return out


def test_names_are_values_layers_and_modules() -> None:
    graph = h.graph(
        h.data(1, 1, 8, 8) + h.conv("a", "data", 2, 3) + h.layer("r", "ReLU", "a", "a") + h.pool("p", "a", 2, 2)
    )
    names = {
        "a": "a",
        "r": "a",
        "a@1": "a@1",
        "p": "p",
    }  # a blob is what the last layer that writes it leaves, as in Caffe
    assert {name: value_named(graph, name, "x") for name in names} == names
    for wrong, told in (
        ("q", "no output is named 'q', and no layer"),
        ("data", "no output is named 'data', and no layer"),
    ):
        with pytest.raises(fullconv.BadInput, match=told):
            value_named(graph, wrong, "x")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"output": "pool3"}, r"no output is named 'pool3', and no layer; did you mean .*'pool1'.*outputs are prob"),
        ({"output": "pool2", "activation": "softmax"}, "features are taken as they are"),
        ({"output": "pool2", "keep": "top1"}, "keep top1: of a layer's features"),
        ({"output": "pool2", "stored": "uint8"}, "stored uint8: of a layer's features"),
        ({"output": "pool2", "confirm": 0.99}, "confirm: not of a layer's features"),
        ({"output": "pool2", "labels": ["a", "b"]}, "holds 2 labels"),
        ({"output": "pool2", "stride": 3}, "stride 3: the network steps by 4×4 px"),
    ],
)
def test_what_means_nothing_for_features_is_refused(model: Model, tmp_path: Path, options: dict, told: str) -> None:
    with pytest.raises(fullconv.BadInput, match=told):
        map_raster(model, PIXELS, tmp_path / "x.zarr", preprocess="unit", **options)
    assert not (tmp_path / "x.zarr").exists()


def test_what_decides_is_asked_of_outputs_alone(model: Model, tmp_path: Path) -> None:
    found = fullconv.map(model, PIXELS, preprocess="unit", output="pool2")
    calls = {
        "scales": lambda how: fullconv.map(model, PIXELS, scales=[0.5, 1], **how),
        "verify": lambda how: fullconv.verify(model, PIXELS, **how),
        "blame": lambda how: fullconv.blame(model, PIXELS, **how),
        "agreement": lambda how: fullconv.agreement(model, PIXELS, found, **how),
        "adapt": lambda how: fullconv.adapt(model, [PIXELS], **how),
        "run counts": lambda how: fullconv.run(model, [PIXELS], tmp_path, **how),
    }
    for told, call in calls.items():
        with pytest.raises(fullconv.BadInput, match=told):
            call({"preprocess": "unit", "output": "pool2"})


def test_a_vector_that_lays_out_several_cells_is_refused_by_the_map_that_it_lays_out() -> None:
    text = (
        h.data(1, 1, 16, 16)
        + h.conv("c", "data", 3, 3, "stride: 2")
        + h.layer("flat", "Flatten", "c")
        + h.fc("f", "flat", 4)
        + h.fc("g", "f", 2)
    )
    model = h.model(text)
    with pytest.raises(fullconv.BadInput, match=r"layer 'flat' gives no map of features: .* take 'c'"):
        model.layer("flat")
    vectors = fullconv.map(model, PIXELS[:40, :40], output="f")
    assert vectors.grid.crop == (16, 16)
    crop = model.run(PIXELS[None, None, 4:20, 6:22].astype(np.float32), outputs=["f"])["f"]
    np.testing.assert_allclose(vectors.scores[:, 2, 3], crop[0], rtol=0, atol=2e-6 * np.abs(crop).max())


def test_a_cards_labels_threshold_and_activation_are_not_a_layers(tmp_path: Path) -> None:
    model = h.model(h.data(1, 1, 16, 16) + h.conv("c", "data", 3, 3) + h.conv("d", "c", 3, 3) + h.fc("f", "d", 3))
    files = model.save(tmp_path / "net.prototxt")
    card = tmp_path / "net.toml"
    card.write_text(
        f'network = "{files[0].name}"\nweights = "{files[1].name}"\nactivation = "softmax"\nthreshold = 0.5\nlabels = ["x", "y", "z"]\n'
    )
    scores, found = (fullconv.map(card, PIXELS, output=output) for output in (None, "c"))
    assert (scores.labels, scores.score_kind, scores.advice.threshold) == (("x", "y", "z"), "probabilities", 0.5)
    assert (found.labels, found.score_kind, found.advice.threshold) == (("0", "1", "2"), "features", None)
    assert found.scores.min() < 0


@pytest.mark.parametrize(
    ("name", "about", "told"),
    [
        ("x.csv", {}, "win nothing"), ("x.tif", {"what": "winners"}, "win nothing"), ("x.csv", {"what": "areas"}, "win nothing"),
        ("x.geojson", {}, "a threshold must be given"), ("x.png", {"what": "pca", "name": "3"}, "class has no effect on pca"),
    ],
)  # fmt: skip
def test_exports_of_what_wins_are_refused(features: Path, tmp_path: Path, name: str, about: dict, told: str) -> None:
    with pytest.raises(fullconv.BadInput, match=told):
        export(features, tmp_path / name, **about)


def test_what_a_feature_map_says_of_itself(features: Path) -> None:
    stored, held = ClassMap.load(features), fullconv.map(runs.digits(), PIXELS, preprocess="unit", output="pool2")
    for found in (stored, held):
        assert repr(found) == "ClassMap(48 channels, 12 × 15 cells every 4 × 4 px, of 75 × 61 px, 'pool2' by cast)"
        html = found._repr_html_()
        assert "48 channels" in html
        assert "value on its crop alone" in html
    assert "first principal components of each cell" in held._repr_html_()
    assert held.extent == (5.5, 65.5, 53.5, 5.5)
    labelled = pytest.importorskip("xarray") and held.to_xarray()
    assert labelled.dims == ("class", "y", "x")
    assert labelled.name == "pool2"
    assert (float(labelled.x[0]), float(labelled.x[1])) == (7.5, 11.5)
    np.testing.assert_array_equal(labelled.sel(y=15.5, x=19.5), held.scores[:, 2, 3])


def test_commands_take_a_layer(run: Run, net: tuple[Path, Path], image: Path, tmp_path: Path) -> None:
    how = (net[0], "-w", net[1], image, "-p", "unit", "--head", "pool1")
    stored = run("map", *how, "-o", tmp_path / "f.zarr")
    assert stored.status == 0
    assert "channels of pool1" in stored.out
    assert "winning class" not in stored.out
    with Image.open(tmp_path / "f.png") as drawn:
        assert drawn.size[0] > 640
    told = json.loads(run("info", tmp_path / "f.zarr", "--json").out)
    assert (told["channels"], told["classes"]) == (len(ClassMap.load(tmp_path / "f.zarr").labels), [])
    assert "principal components" in run("info", tmp_path / "f.zarr").out
    one = run("map", *how, "-o", tmp_path / "one.png", "--class", "2")
    assert "the strongest places of '2'" in one.out
    inspected = run("inspect", net[0], "-w", net[1], "--head", "pool1")
    assert "layer pool1: pool1: one cell every 2 × 2 px" in inspected.out
    assert json.loads(run("inspect", net[0], "-w", net[1], "--head", "pool1", "--json").out)["layer"]["stride"] == [
        "2",
        "2",
    ]
    table = run("map", *how, "-o", tmp_path / "x.npz", "--summary", tmp_path / "x.csv")
    assert table.status == 2
    assert "counts what wins" in table.err
    assert run("compare", tmp_path / "f.zarr", tmp_path / "f.zarr").status == 2
    wrong = run("map", *how, "-o", tmp_path / "x.npz", "--fail-if", "2 > 3")
    assert wrong.status == 2
    assert "no rule" in wrong.err
    assert run("export", tmp_path / "f.zarr", "-o", tmp_path / "pca.png", "--image", image).status == 0
