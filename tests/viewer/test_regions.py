"""Regions that the viewer lists are those of the map, counted here by scipy; what is said of them is kept as polygons, and as crops to train on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import fullconv
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.viewer import regions
from tests.viewer.conftest import Mapped, Serve
from tests.viewer.stores import filled


@pytest.fixture
def stored(mapped: Mapped, tmp_path: Path) -> tuple[Path, ClassMap]:
    """A store of smooth scores: regions of many sizes, with holes."""
    grid = ClassMap.load(mapped.result).grid
    field = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((3, grid.rows, grid.cols)), (0, 3, 3))
    scores = (1 / (1 + np.exp(-4 * field / field.std()))).astype(np.float32)
    scores[:, 40:44, 50:90] = np.nan
    return tmp_path / "x.zarr", filled(mapped.result, tmp_path / "x.zarr", scores)


def own(found: ClassMap, plane: int, threshold: float) -> list[dict[str, Any]]:
    """All regions, by scipy."""
    scores = np.asarray(found.scores[plane])
    numbers, count = ndimage.label(scores >= threshold)
    every = []
    for i in range(1, count + 1):
        inside = numbers == i
        row, col = np.unravel_index(np.where(inside, scores, -1).argmax(), scores.shape)
        every.append({"row": row, "col": col, "score": scores[inside].max(), "mean": scores[inside].mean(), "cells": int(inside.sum()), "mask": inside})  # fmt: skip
    return every


def covered(rings: list[list[int]], shape: tuple[int, int]) -> np.ndarray:
    """The cells within rings of corners: those left of which an odd number of sides is."""
    sides = np.zeros((shape[0], shape[1] + 1), np.int64)
    for ring in rings:
        corners = np.array(ring).reshape(-1, 2)
        for (col, row), (other, end) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if col == other:
                sides[min(row, end) : max(row, end), col] += 1
    return (np.cumsum(sides, axis=1)[:, :-1] % 2).astype(bool)


@pytest.mark.parametrize("order", ["best", "mean", "cells"])
def test_they_are_the_maps_own_in_every_order(stored: Any, serve: Serve, order: str) -> None:
    result, found = stored
    client, every = serve(result), own(found, 1, 0.6)
    told = client.get(f"/api/0/regions/1?threshold=0.6&order={order}").json()
    assert told["count"] == len(every) == len(told["finds"]) > 20
    assert told["threshold"] == 0.6
    by = {(each["row"], each["col"]): each for each in every}
    key = {"best": "score"}.get(order, order)
    values = [find["region"].get(key, find["score"]) for find in told["finds"]]
    assert values == sorted(values, reverse=True)
    for find in told["finds"]:
        same = by.pop((find["row"], find["col"]))
        assert (find["score"], find["region"]["cells"]) == (same["score"], same["cells"])
        assert find["region"]["mean"] == pytest.approx(same["mean"], rel=1e-5)
        np.testing.assert_array_equal(covered(find["region"]["rings"], same["mask"].shape), same["mask"])
        rows, cols = np.nonzero(same["mask"])
        (x, y), (right, low) = found.centre(rows.min(), cols.min()), found.centre(rows.max(), cols.max())
        step = found.grid.stride
        assert find["box"] == pytest.approx([x + 0.5 - step[1] / 2, y + 0.5 - step[0] / 2, right + 0.5 + step[1] / 2, low + 0.5 + step[0] / 2])  # fmt: skip


def test_what_is_asked_wrongly_is_told(stored: Any, serve: Serve) -> None:
    client = serve(stored[0])
    assert client.get("/api/0/regions/1").json()["threshold"] == 0.5
    assert client.get("/api/0/regions/3").status_code == 404
    for wrong in ("threshold=x", "threshold=2", "threshold=-1e300", "order=size"):
        assert client.get(f"/api/0/regions/1?{wrong}").status_code == 400, wrong


def test_work_and_answers_are_bounded(stored: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    result, found = stored
    monkeypatch.setattr(regions, "_RUNS", 50)
    answer = serve(result).get("/api/0/regions/1?threshold=0.6")
    assert answer.status_code == 400
    assert "more than 50 stretches; choose a higher threshold" in answer.json()["error"]
    monkeypatch.undo()
    monkeypatch.setattr(regions, "_CORNERS", 100)
    monkeypatch.setattr(regions, "_LISTED", 9)
    told = serve(result).get("/api/0/regions/1?threshold=0.6&order=cells").json()
    assert told["count"] == len(own(found, 1, 0.6))
    assert len(told["finds"]) == 9
    sent = [find["region"]["rings"] for find in told["finds"]]
    assert sent.count(None) > 3
    monkeypatch.setattr("fullconv.viewer.server._COUNTED", 1000)
    answer = serve(result).get("/api/0/regions/1")
    assert "fullconv export --what regions" in answer.json()["error"]


def test_verdicts_are_polygons_and_crops_to_train_on(stored: Any, serve: Serve) -> None:
    result, found = stored
    client, path = serve(result), Path(f"{result}.verdicts.geojson")
    largest = client.get("/api/0/regions/1?threshold=0.6&order=cells").json()["finds"][0]
    say = {"row": largest["row"], "col": largest["col"], "class": 1, "cells": largest["region"]["cells"], "threshold": 0.6, "verdict": "accept", "note": "ö"}  # fmt: skip
    assert client.post("/api/0/verdicts", json=say).status_code == 200
    client.post("/api/0/verdicts", json={"row": say["row"], "col": say["col"], "class": 1, "verdict": "reject"})
    fullconv.export(result, out := path.with_name("regions.geojson"), name=1, what="regions", threshold=0.6)
    (exported,) = [each for each in json.loads(out.read_text(encoding="utf-8"))["features"] if each["properties"]["measurements"]["cells"] == say["cells"]]  # fmt: skip
    region, cell = json.loads(path.read_text(encoding="utf-8"))["features"]
    shapely = pytest.importorskip("shapely")
    kept, same = (shapely.from_geojson(json.dumps(each["geometry"])) for each in (region, exported))
    assert kept.equals(same)
    assert region["properties"]["classification"] == exported["properties"]["classification"]
    assert region["properties"]["measurements"]["max score"] == exported["properties"]["measurements"]["max score"]
    assert cell["properties"]["classification"]["name"].startswith("rejected: ")
    again = serve(result)  # read from the file
    told = again.get("/api/0/verdicts").json()["verdicts"]
    assert [(each["cells"], each["verdict"]) for each in told] == [(say["cells"], "accept"), (None, "reject")]
    again.post("/api/0/verdicts", json={**say, "row": 0, "col": 0, "cells": None, "verdict": "accept"})
    assert json.loads(path.read_text(encoding="utf-8"))["features"][0] == region  # written anew, as it was
    rows = list(csv.DictReader(io.StringIO(again.get("/api/0/verdicts.csv").text)))
    crops, mask = [row for row in rows if row["region"]], own(found, 1, 0.6)
    inside = next(each["mask"] for each in mask if each["cells"] == say["cells"])
    assert {row["region"] for row in crops} == {"1"}
    assert [row["verdict"] for row in rows if not row["region"]] == ["reject", "accept"]
    boxes = np.array([[float(row[side]) for side in ("x0", "y0", "x1", "y1")] for row in crops])
    places = [(int(row["row"]), int(row["col"])) for row in crops]
    assert (say["row"], say["col"]) in places
    assert len(crops) > 3
    for (row, col), box, told_of in zip(places, boxes, crops, strict=True):
        assert inside[row, col]
        assert tuple(box) == found.box(row, col)
        assert float(told_of["score"]) == found.scores[1, row, col]
        assert (told_of["class"], told_of["verdict"], told_of["note"]) == (found.labels[1], "accept", "ö")
    lies_apart = (boxes[:, None, :2] >= boxes[None, :, 2:]) | (boxes[None, :, :2] >= boxes[:, None, 2:])
    assert (lies_apart.any(axis=2) | np.eye(len(boxes), dtype=bool)).all()
    assert len(again.post("/api/0/verdicts", json={**say, "verdict": None}).json()["verdicts"]) == 2
    for wrong in ({"cells": say["cells"] + 1}, {"threshold": 0.7}):
        assert again.post("/api/0/verdicts", json={**say, **wrong}).status_code == 404, wrong
    for wrong in (
        {"cells": 1.5},
        {"threshold": "x"},
        {"threshold": 10**400},
        {"threshold": -1e300},
        {"class": -1},
        {"class": "1"},
        {"verdict": "maybe"},
    ):
        assert again.post("/api/0/verdicts", json={**say, **wrong}).status_code in (400, 404), wrong


def test_a_region_has_at_most_so_many_crops(stored: Any) -> None:
    _, found = stored
    runs = np.array([[row, 0, found.grid.cols] for row in range(found.grid.rows)])
    every = regions.crops_of(found, 0, runs, (33, 71), 10**6)
    some = regions.crops_of(found, 0, runs, (33, 71), len(every) // 3)
    assert len(every) // 20 < len(some) <= len(every) // 3
    assert (33, 71) in {crop[:2] for crop in some}
    assert np.ptp([row for row, _, _ in some]) > found.grid.rows / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [1, 1], [0, 0]]]}},
        {"geometry": {"type": "Polygon", "coordinates": []}},
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, float("inf")], [1, 1], [0, 0]]]}},
        {"geometry": None},
        {"crops": [[1, 2, 0.5, 0, 0, 1]]},
        {"crops": 3},
        {"cells": "7"},
        {"measurements": [1]},
        {"threshold": "x"},
        {"threshold": float("nan")},
        {"measurements": {"cells": float("inf")}},
        {"crops": [[1, 2, 0.5, 0, 0, 1, float("nan")]]},
        {"box": [0, 0, float("nan"), 1]},
        {"box": [0, 0, 10**400, 1]},
        {"row": -1},
        {"row": 10**400},
        {"note": "\ud800"},
    ],
)
def test_a_damaged_file_is_told_and_kept(stored: Any, serve: Serve, wrong: dict[str, Any]) -> None:
    result, _ = stored
    client, path = serve(result), Path(f"{result}.verdicts.geojson")
    find = client.get("/api/0/regions/1?threshold=0.6").json()["finds"][0]
    say = {"row": find["row"], "col": find["col"], "class": 1, "cells": find["region"]["cells"], "threshold": 0.6, "verdict": "accept"}  # fmt: skip
    client.post("/api/0/verdicts", json=say)
    file = json.loads(path.read_text(encoding="utf-8"))
    feature = file["features"][0]
    for name, value in wrong.items():
        (feature if name == "geometry" else feature["properties"])[name] = value
    path.write_text(text := json.dumps(file), encoding="utf-8")
    answer = client.post("/api/0/verdicts", json={**say, "cells": None})
    assert answer.status_code == 400
    assert "move it away" in answer.json()["error"]
    assert len(answer.json()["error"]) < 300 + 2 * len(str(path))
    assert client.get("/api/0/verdicts.csv").status_code == 400
    assert path.read_text(encoding="utf-8") == text


def test_areas_are_told_where_the_image_has_a_place(stored: Any, serve: Serve, tmp_path: Path) -> None:
    _, found = stored
    place = Place(pixel_size=(0.5, 0.25), unit="micrometer")
    ClassMap(np.asarray(found.scores), found.grid, found.labels, score_kind="probabilities", place=place).save(
        tmp_path / "x.npz"
    )
    client = serve(tmp_path / "x.npz")
    find = client.get("/api/0/regions/2?threshold=0.6").json()["finds"][0]
    say = {"row": find["row"], "col": find["col"], "class": 2, "cells": find["region"]["cells"], "threshold": 0.6, "verdict": "reject"}  # fmt: skip
    client.post("/api/0/verdicts", json=say)
    (feature,) = json.loads((tmp_path / "x.npz.verdicts.geojson").read_text(encoding="utf-8"))["features"]
    area = float(found.grid.stride[0] * found.grid.stride[1]) * 0.5 * 0.25
    assert client.get("/api/0/about").json()["result"]["area"] == area
    assert feature["properties"]["measurements"]["area µm^2"] == pytest.approx(say["cells"] * area)
    assert feature["properties"]["classification"]["name"] == f"rejected: {found.labels[2]}"
