"""What QuPath and QGIS open: read back by an XML parser, by GDAL and by our own reader of colours; no name in a script is code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import fullconv
from fullconv.errors import BadInput
from fullconv.exports.export import Asked
from fullconv.exports.programs import write_for
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.maps.colours import colours_of
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # a fixture
from tests.stream import runs

HOSTILE = "'; new File('/tmp/x').delete() //\" <b>&"


@pytest.fixture(scope="module")
def found() -> ClassMap:
    made = fullconv.map(
        runs.digits(), np.random.default_rng(0).integers(0, 256, (80, 120), np.uint8), preprocess="unit"
    )
    scores = np.random.default_rng(1).random(made.scores.shape, np.float32)
    return replace(made, scores=scores, labels=(HOSTILE, *made.labels[1:]))


def test_qgis_has_the_winners_names_and_colours(found: ClassMap, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    written, style = write_for(found, tmp_path / "w.tif", "qgis", Asked())
    assert (written.what, style.name) == ("winners", "w.qml")
    root = ElementTree.fromstring(style.read_text(encoding="utf-8"))
    entries = root.findall("pipe/rasterrenderer[@type='paletted']/colorPalette/paletteEntry")
    assert [each.get("label") for each in entries] == list(found.labels)
    with rasterio.open(tmp_path / "w.tif") as raster:
        table = raster.colormap(1)
        assert set(np.unique(raster.read(1))) <= {int(each.get("value", "")) for each in entries}
    for each in entries:
        assert bytes(table[int(each.get("value", ""))][:3]).hex() == each.get("color", "")[1:]
    assert colours_of(style, found.labels) == {i: found.colour(i) for i in range(11)}


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_qgis_has_the_scale_of_one_class(found: ClassMap, kind: str, tmp_path: Path) -> None:
    shown = replace(found, score_kind=kind, scores=found.scores * (1 if kind == "probabilities" else 7))
    _, style = write_for(shown, tmp_path / "s.tif", "qgis", Asked(name="7"))
    items = ElementTree.fromstring(style.read_text(encoding="utf-8")).findall(".//colorrampshader/item")
    values = [float(each.get("value", "")) for each in items]
    own = shown.scores[7]
    ends = (0.0, 1.0) if kind == "probabilities" else (float(own.min()), float(own.max()))
    assert (values[0], values[-1]) == pytest.approx(ends, rel=1e-6)
    assert values == sorted(values)
    with pytest.raises(BadInput, match="one class's scores"):
        write_for(shown, tmp_path / "s.tif", "qgis", Asked(what="scores"))


def test_qupath_gets_regions_and_a_script_without_names(found: ClassMap, tmp_path: Path) -> None:
    pytest.importorskip("shapely")
    folder = tmp_path / "it's $here"
    folder.mkdir()
    written, script = write_for(found, folder / "r.geojson", "qupath", Asked())
    assert written.what == "winners"
    features = json.loads((folder / "r.geojson").read_text())["features"]
    assert {each["properties"]["classification"]["name"] for each in features} <= set(found.labels)
    text = script.read_text(encoding="utf-8")
    for name in (HOSTILE, "it's", "$here"):
        assert name not in text
    assert "getWidth() != 120" in text
    assert "getHeight() != 80" in text
    assert text.count("importObjectsFromFile(") == 1
    assert text.count("{") == text.count("}")
    with pytest.raises(BadInput, match=r"name a \.geojson"):
        write_for(found, tmp_path / "r.tif", "qupath", Asked())
    placed = replace(found, place=Place((1.0, 1.0), "meter", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "EPSG:32632"))
    with pytest.raises(BadInput, match="place on the earth"):
        write_for(placed, tmp_path / "r.geojson", "qupath", Asked())


def test_the_command_line(found: ClassMap, tmp_path: Path, run: Run) -> None:
    found.save(tmp_path / "x.npz")
    made = run("export", tmp_path / "x.npz", "-o", tmp_path / "x.tif", "--to", "qgis")
    assert made.status == 0
    assert f"wrote {tmp_path / 'x.qml'}" in made.out
    theirs = tmp_path / "y.qml"
    theirs.write_text("<qgis/>")
    assert run("export", tmp_path / "x.npz", "-o", tmp_path / "y.tif", "--to", "qgis").status == 2
    assert theirs.read_text() == "<qgis/>"
    assert not (tmp_path / "y.tif").exists()
