"""Colours of classes from the files of other programs, in pictures, stores, viewers and exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fullconv
from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.maps.colours import colours_of
from fullconv.render.palette import class_colour
from tests.stream import runs

LABELS = ("Tumor", "Stroma", "fat")
RED, GREEN = (200, 0, 0), (150, 200, 150)
FILES = {
    "plain.json": json.dumps({"tumor": "#c80000", "Stroma": [150, 200, 150], "other": "#000000"}),
    "numbers.json": json.dumps({"0": "c80000", "1": [150, 200, 150]}),
    "classes.json": json.dumps({"pathClasses": [{"name": "Tumor", "color": -3670016}, {"name": "Stroma", "color": [150, 200, 150]}]}),  # QuPath, old and new
    "titles.csv": "class,colour\nTumor,#C80000\nStroma,150 200 150\n",
    "plain.csv": 'Tumor,#c80000\nStroma,"150,200,150"\n',
    "style.qml": '<!DOCTYPE qgis><qgis><pipe><rasterrenderer type="paletted"><colorPalette><paletteEntry value="7" label="Tumor" color="#c80000" alpha="255"/>'
    '<paletteEntry value="1" label="" color="#96c896"/></colorPalette></rasterrenderer></pipe></qgis>',
    "map.clr": "0 200 0 0 255 Tumor\n1 150 200 150 255 Stroma\n",
    "qgis.txt": "# QGIS Generated Color Map Export File\nINTERPOLATION:EXACT\n0,200,0,0,255,Tumor\n1,150,200,150,255,Stroma\n",
}  # fmt: skip
WRONG: dict[str, tuple[str, str]] = {
    "none.json": (json.dumps({"a": "#000000"}), r"names no class of the map \(it names 'a'"),
    "bad.json": (json.dumps({"fat": "red"}), "the colour of 'fat' is 'red'"),
    "big.json": (json.dumps({"fat": [0, 0, 300]}), "three numbers from 0 to 255"),
    "list.json": ("[1, 2]", "holds no colours"),
    "cut.qml": ("<qgis>", "not valid XML"),
    "other.qml": ("<qgis/>", "no paletteEntry"),
    "bomb.qml": ('<!DOCTYPE x [<!ENTITY a "b">]><qgis/>', "defines entities"),
    "short.csv": ("fat\n", "too few columns"),
    "x.clr": ("a b c d\n", "no value with three numbers"),
    "x.xml": ("", "colours are read from"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_the_same_colours(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    assert colours_of(tmp_path / name, LABELS) == {0: RED, 1: GREEN}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str, tmp_path: Path) -> None:
    text, words = WRONG[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=words) as told:
        colours_of(tmp_path / name, LABELS)
    assert name in str(told.value)


def test_they_go_everywhere(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 120, 140)
    given: dict[str, Any] = {"7": (1, 2, 3), "3": "#0a0b0c"}
    held = fullconv.map(runs.digits(), np.load(image), preprocess="unit", colours=given)
    stored = fullconv.map_raster(
        runs.digits(), image, tmp_path / "x.zarr", preprocess="unit", colours=given, keep="3,7"
    )
    held.save(tmp_path / "x.npz")
    seven, three, four = held.class_index("7"), held.class_index("3"), held.class_index("4")
    for found in (held, ClassMap.load(tmp_path / "x.npz")):
        assert (found.colour(seven), found.colour(three), found.colour(four)) == (
            (1, 2, 3),
            (10, 11, 12),
            class_colour(four),
        )
    for found in (stored, ClassMap.load(tmp_path / "x.zarr")):
        assert (found.colour(0), found.colour(1)) == ((10, 11, 12), (1, 2, 3))  # 3 and 7 are what is kept
    channels = dict(zarr.open_group(tmp_path / "x.zarr", mode="r").attrs)["ome"]["omero"]["channels"]
    assert [each["color"] for each in channels] == ["0A0B0C", "010203"]
    fullconv.export(held, tmp_path / "a.geojson", what="winners")
    fullconv.export(held, tmp_path / "b.geojson", what="winners", colours={"7": "#ffffff"})
    own, other = (_colours(tmp_path / f"{name}.geojson") for name in "ab")
    seen = {held.labels[i] for i in np.unique(held.top1)}
    assert set(own) == seen
    assert "7" not in seen or (own["7"], other["7"]) == ([1, 2, 3], [255, 255, 255])
    assert "3" not in seen or own["3"] == other["3"] == [10, 11, 12]


def _colours(path: Path) -> dict[str, list[int]]:
    features = json.loads(path.read_text())["features"]
    return {
        each["properties"]["classification"]["name"]: each["properties"]["classification"]["color"] for each in features
    }


def test_damaged_colours_of_a_store_are_told(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 60, 60)
    fullconv.map_raster(runs.digits(), image, tmp_path / "x.zarr", preprocess="unit", colours={"7": "#010203"})
    path = tmp_path / "x.zarr" / "zarr.json"
    path.write_text(path.read_text().replace("#010203", "#01020x"))
    with pytest.raises(BadInput, match="damaged"):
        ClassMap.load(tmp_path / "x.zarr")
