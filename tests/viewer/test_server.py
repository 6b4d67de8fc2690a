"""What the server gives is what the map, the image and the network say."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import fullconv
from fullconv.demonstration import demo_files
from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.results.local import Local
from fullconv.results.store import Store
from tests.viewer.conftest import SIZE, Mapped, Serve, pixels

TYPES = {"float32": "<f4", "float16": "<f2", "uint8": "u1"}


def tile_of(client: Any, about: dict[str, Any], level: int, row: int, col: int, plane: int | None = None) -> np.ndarray:
    """(classes, rows, cols) of a tile, decoded by what the description says of it."""
    answer = client.get(f"/api/0/scores/{level}/{row}/{col}" + ("" if plane is None else f"/{plane}"))
    assert answer.status_code == 200, answer.text
    rows, cols = (
        min(about["side"], end - at * about["side"]) for at, end in zip((row, col), about["levels"][level], strict=True)
    )
    raw = np.frombuffer(answer.content, TYPES[about["stored"]]).reshape(-1, rows, cols)
    if about["stored"] == "uint8":
        return np.where(raw == 255, np.nan, raw.astype(np.float32) / np.float32(254))
    return raw.astype(np.float32)


@pytest.mark.parametrize("stored", ["float32", "float16", "uint8"])
def test_tiles_hold_the_maps_own_scores(mapped: Mapped, serve: Serve, tmp_path: Path, stored: Any) -> None:
    result = mapped.result
    if stored != "float32":
        result = tmp_path / "other.zarr"
        fullconv.map_raster(fullconv.load(*mapped.net, check=False), mapped.image, result, stored=stored)
    found, client = ClassMap.load(result), serve(result)
    about = client.get("/api/0/about").json()["result"]
    rng = np.random.default_rng(1)
    for _ in range(100):
        row, col = int(rng.integers(found.grid.rows)), int(rng.integers(found.grid.cols))
        at = row + about["lead"][0], col + about["lead"][1]
        tile = tile_of(client, about, 0, at[0] // about["side"], at[1] // about["side"])
        np.testing.assert_array_equal(tile[:, at[0] % about["side"], at[1] % about["side"]], found.scores[:, row, col])


def test_coarser_tiles_are_means(mapped: Mapped, serve: Serve) -> None:
    found, client = np.asarray(ClassMap.load(mapped.result).scores), serve(mapped.result)
    about = client.get("/api/0/about").json()["result"]
    assert len(about["levels"]) > 1
    padded = np.pad(found, ((0, 0), (about["lead"][0], 1), (about["lead"][1], 1)), constant_values=np.nan)
    padded = padded[:, : 2 * (padded.shape[1] // 2), : 2 * (padded.shape[2] // 2)]
    blocks = padded.reshape(3, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2)
    tile = tile_of(client, about, 1, 0, 0)
    known = np.isfinite(blocks)
    count = known.sum(axis=(2, 4)).astype(np.float64)
    count[count == 0] = np.nan
    means = (np.where(known, blocks, 0).sum(axis=(2, 4)) / count)[:, : tile.shape[1], : tile.shape[2]]
    np.testing.assert_allclose(tile, means, atol=1e-6)


def test_a_map_in_a_file_has_the_same_tiles(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    stored, path = ClassMap.load(mapped.result), tmp_path / "map.npz"
    ClassMap(np.asarray(stored.scores), stored.grid, stored.labels).save(path)
    client = serve(path)
    about = client.get("/api/0/about").json()["result"]
    assert about["lead"] == [0, 0]
    scores = np.asarray(stored.scores)
    np.testing.assert_array_equal(tile_of(client, about, 0, 0, 1), scores[:, :256, 256:])
    np.testing.assert_allclose(
        tile_of(client, about, 1, 0, 0)[:, 3, 5], scores[:, 6:8, 10:12].mean(axis=(1, 2)), atol=1e-6
    )


@pytest.mark.parametrize("keep", ["all", "top1"])
def test_winners_are_the_maps_own(mapped: Mapped, serve: Serve, tmp_path: Path, keep: str) -> None:
    result = tmp_path / "winners.zarr"
    found = fullconv.map_raster(fullconv.load(*mapped.net, check=False), mapped.image, result, keep=keep)
    client = serve(result)
    about = client.get("/api/0/about").json()["result"]
    for level in range(len(about["levels"])):
        rows, cols = about["levels"][level]
        rows, cols = min(rows, about["side"]), min(cols, about["side"])
        data = client.get(f"/api/0/winners/{level}/0/0").content
        best = np.frombuffer(data, "<f4", rows * cols).reshape(rows, cols)
        won = np.frombuffer(data, "<u2", offset=4 * rows * cols).reshape(rows, cols)
        if level == 0 or keep == "top1":
            step = 2**level
            whole = np.pad(
                np.where(found.top1 < 0, 65535, found.top1),
                [(lead, 0) for lead in about["lead"]],
                constant_values=65535,
            )
            np.testing.assert_array_equal(won, whole[::step, ::step][:rows, :cols])
            top = np.pad(
                np.fmax.reduce(np.asarray(found.scores), axis=0),
                [(lead, 0) for lead in about["lead"]],
                constant_values=np.nan,
            )
            np.testing.assert_array_equal(best, top[::step, ::step][:rows, :cols])


def test_image_tiles_are_the_image(mapped: Mapped, serve: Serve) -> None:
    client, whole = serve(mapped.result, image=mapped.image), pixels()
    about = client.get("/api/0/about").json()["image"]
    assert (about["height"], about["width"]) == SIZE
    rng = np.random.default_rng(2)
    tiles: dict[tuple[int, int], np.ndarray] = {}
    for _ in range(100):
        y, x = int(rng.integers(SIZE[0])), int(rng.integers(SIZE[1]))
        key = y // about["side"], x // about["side"]
        if key not in tiles:
            tiles[key] = np.asarray(Image.open(io.BytesIO(client.get(f"/api/image/0/0/{key[0]}/{key[1]}").content)))
        assert tiles[key][y % about["side"], x % about["side"]] == whole[y, x]
    coarse = np.asarray(Image.open(io.BytesIO(client.get("/api/image/0/1/0/0").content))).astype(int)
    assert np.abs(coarse - whole[::2, ::2][:, :512].astype(int)).mean() < 3  # JPEG
    assert client.get("/api/image/0/9/0/0").status_code == 404


def test_deep_images_of_many_bands_are_seen_by_percentiles(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    deep = np.stack([pixels(seed=i).astype(np.uint16) * 10 + 500 * i for i in range(4)])
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.moveaxis(deep, 0, -1), photometric="minisblack", planarconfig="contig")
    client = serve(mapped.result, image=path)
    assert client.get("/api/0/about").json()["image"]["look"] == {"bands": [1, 2, 3], "cut": 1.0}
    seen = np.asarray(Image.open(io.BytesIO(client.get("/api/image/0/0/0/0?bands=4,1,2&cut=0").content))).astype(float)
    own = np.moveaxis(deep[[3, 0, 1], :512, :512], 0, -1).astype(float)
    low, high = deep[[3, 0, 1]].min(axis=(1, 2)), deep[[3, 0, 1]].max(axis=(1, 2))
    assert np.abs(seen - 255 * (own - low) / (high - low)).max() <= 2  # the ends are those of samples
    assert seen.max() > 250
    for bad in ("bands=5", "bands=0", "bands=1,2", "bands=", "bands=x", "cut=50", "cut=-1", "cut=nan", "cut=x"):
        assert client.get(f"/api/image/0/0/0/0?{bad}").status_code == 400, bad


def test_crops_are_what_the_cell_stands_for(mapped: Mapped, serve: Serve) -> None:
    client = serve(mapped.result, image=mapped.image)
    cell = client.get("/api/0/cell/80/31").json()
    x0, y0, x1, y1 = (int(side) for side in cell["box"])
    crop = np.asarray(Image.open(io.BytesIO(client.get("/api/0/crop/80/31").content)))
    np.testing.assert_array_equal(crop, pixels()[y0:y1, x0:x1])
    found = ClassMap.load(mapped.result)
    np.testing.assert_array_equal(np.array(cell["scores"], np.float32), found.scores[:, 80, 31])
    assert cell["centre"] == list(found.centre(80, 31))


def test_the_classifier_is_asked_on_exactly_this_crop(mapped: Mapped, serve: Serve) -> None:
    model = fullconv.load(*mapped.net)
    client = serve(mapped.result, image=mapped.image, model=model)
    x0, y0, x1, y1 = (int(side) for side in ClassMap.load(mapped.result).box(7, 90))
    alone = fullconv.map(model, pixels()[y0:y1, x0:x1], by="crops").scores[:, 0, 0]
    answer = client.post("/api/0/ask", json={"row": 7, "col": 90})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["crop"], alone, atol=1e-6)
    why = client.post("/api/0/why", json={"row": 7, "col": 90}).json()
    assert why["cells"] == 1
    assert why["shares"] == []  # an exact network has no layer that parts
    for wrong in ({"row": 7}, {"row": "7", "col": 1}, {"row": True, "col": 1}):
        assert client.post("/api/0/ask", json=wrong).status_code == 400
    assert client.post("/api/0/ask", json={"row": 7, "col": 100_000}).status_code == 404


def test_it_is_asked_as_the_map_was_made(serve: Serve, tmp_path: Path) -> None:
    """Of a padded network: the classes kept and how pixels are preprocessed are the result's own."""
    with demo_files() as data:
        model = fullconv.load(data / "padded.onnx", check=False)
        image = tmp_path / "part.png"
        Image.open(data / "page.png").convert("L").crop((200, 200, 420, 380)).save(image)
    made = {"preprocess": "unit"}
    result = fullconv.map_raster(model, image, tmp_path / "x.zarr", keep="7,2", **made)
    client = serve(tmp_path / "x.zarr", image=image, model=model)
    pixels = np.asarray(Image.open(image))
    for row, col in ((0, 0), (9, 20), (result.grid.rows - 1, result.grid.cols - 1)):
        x0, y0, x1, y1 = (int(side) for side in result.box(row, col))
        alone = fullconv.map(model, pixels[y0:y1, x0:x1], by="crops", **made).scores[[7, 2], 0, 0]
        answer = client.post("/api/0/ask", json={"row": row, "col": col}).json()
        np.testing.assert_allclose(answer["crop"], alone, atol=1e-6)
        why = client.post("/api/0/why", json={"row": row, "col": col}).json()
        assert why["shares"]
        assert why["total"] >= np.abs(np.asarray(result.scores[:, row, col]) - alone).max() - 1e-5


def test_another_network_or_image_is_not_asked(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    from tests import helpers as h

    other = h.model(h.LENET, seed=5)
    answer = serve(mapped.result, image=mapped.image, model=other).post("/api/0/ask", json={"row": 1, "col": 1})
    assert answer.status_code == 400
    assert "is not the network" in answer.json()["error"]
    image = tmp_path / "slide.tif"
    tifffile.imwrite(image, pixels(seed=9), tile=(256, 256))
    client = serve(mapped.result, image=image, model=fullconv.load(*mapped.net))
    client.shown.close()  # it has looked
    assert client.get("/api/0/state").json()["same"] is False
    assert "not the file" in client.post("/api/0/ask", json={"row": 1, "col": 1}).json()["error"]
    small = tmp_path / "small.png"
    Image.fromarray(pixels((100, 100))).save(small)
    with pytest.raises(BadInput, match="has 100×100 px"):
        serve(mapped.result, image=small)


def test_peaks_and_areas_are_the_maps_own(mapped: Mapped, serve: Serve) -> None:
    client, found = serve(mapped.result), ClassMap.load(mapped.result)
    own = found.peaks(0, 0.6)
    told = client.get("/api/0/peaks/0?threshold=0.6").json()
    assert told["count"] == len(own) > 0
    assert [(p["row"], p["col"], p["score"]) for p in told["finds"]] == [(p.row, p.col, p.score) for p in own]
    assert client.get("/api/0/areas").json()["cells"] == np.bincount(found.top1.ravel(), minlength=3).tolist()
    assert client.get("/api/0/peaks/0?threshold=x").status_code == 400


def test_verdicts_are_kept_beside_the_result(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    result = tmp_path / "own.zarr"
    shutil.copytree(mapped.result, result)
    client, path = serve(result), tmp_path / "own.zarr.verdicts.geojson"
    say = {"row": 5, "col": 6, "class": 1, "verdict": "relabel", "label": "=cmd()", "note": "<b>ö</b>"}
    assert client.post("/api/0/verdicts", json=say).status_code == 200
    client.post("/api/0/verdicts", json={"row": 5, "col": 6, "class": 0, "verdict": "accept"})
    written = json.loads(path.read_text(encoding="utf-8"))
    feature = written["features"][0]
    assert feature["properties"]["classification"]["name"] == "=cmd()"
    x0, y0, x1, y1 = ClassMap.load(result).box(5, 6)
    assert feature["geometry"]["coordinates"][0][:3] == [[x0, y0], [x1, y0], [x1, y1]]
    assert [each["verdict"] for each in serve(result).get("/api/0/verdicts").json()["verdicts"]] == [
        "relabel",
        "accept",
    ]
    rows = list(csv.DictReader(io.StringIO(client.get("/api/0/verdicts.csv").text)))
    assert rows[0]["label"] == "'=cmd()"  # no formula
    assert rows[1]["class"] == "plain"
    assert len(client.post("/api/0/verdicts", json={**say, "verdict": None}).json()["verdicts"]) == 1
    for wrong in ({"verdict": "maybe"}, {"class": 3}, {"class": -1}, {"row": 1.5}, {"label": ""}, {"note": "x" * 3000}):
        assert client.post("/api/0/verdicts", json={**say, **wrong}).status_code == 400, wrong
    assert client.post("/api/0/verdicts", json={**say, "row": 10**6}).status_code == 404
    path.write_text("another program's", encoding="utf-8")
    assert client.post("/api/0/verdicts", json=say).status_code == 400
    assert path.read_text(encoding="utf-8") == "another program's"


def test_what_is_written_of_verdicts_is_read_again(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any map: names of ten thousand letters, scores without end; and never more than is read."""
    scores = np.full((2, 3, 4), 0.5, np.float32)
    scores[0, 1, 1] = np.inf
    eight, middle = (Fraction(8), Fraction(8)), (Fraction(7, 2), Fraction(7, 2))
    grid = Grid(3, 4, eight, eight, middle, eight, (24, 32))
    ClassMap(scores, grid, ("x" * 10_000, "b")).save(tmp_path / "map.npz")
    client, path = serve(tmp_path / "map.npz"), tmp_path / "map.npz.verdicts.geojson"
    say = {"row": 1, "col": 1, "class": 0, "verdict": "accept"}
    assert client.post("/api/0/verdicts", json=say).json()["verdicts"][0]["score"] is None

    def none(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(path.read_text(encoding="utf-8"), parse_constant=none)
    assert client.post("/api/0/verdicts", json={**say, "col": 2}).status_code == 200
    before = path.read_bytes()
    half = client.post("/api/0/verdicts", content=json.dumps({**say, "note": "\ud800"}), headers={"content-type": "application/json"})  # fmt: skip
    assert half.status_code == 400
    monkeypatch.setattr("fullconv.viewer.verdicts._MOST", len(before) + 100)
    full = client.post("/api/0/verdicts", json={**say, "col": 3})
    assert full.status_code == 400
    assert "move it away" in full.json()["error"]
    assert path.read_bytes() == before
    assert len(client.get("/api/0/verdicts").json()["verdicts"]) == 2
    monkeypatch.setattr("fullconv.viewer.verdicts._VALUES", 10)  # small letters of great values
    assert "move it away" in client.get("/api/0/verdicts").json()["error"]


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_no_unicode_are_seen(serve: Serve, tmp_path: Path) -> None:
    eight, middle = (Fraction(8), Fraction(8)), (Fraction(7, 2), Fraction(7, 2))
    grid = Grid(3, 4, eight, eight, middle, eight, (24, 32))
    path = tmp_path / "h\udcf6lle.npz"  # as Latin-1 has it
    ClassMap(np.full((2, 3, 4), 0.5, np.float32), grid, ("a", "b\ud800")).save(path)
    client = serve(path)
    assert client.get("/api/about").json()["results"][0]["name"] == path.name
    told = client.get("/api/0/about").json()["result"]
    assert (told["name"], told["labels"]) == (path.name, ["a", "b\ud800"])
    say = {"row": 1, "col": 1, "class": 1, "verdict": "accept"}
    answer = client.post("/api/0/verdicts", json=say)
    assert answer.status_code == 400
    assert "--labels" in answer.json()["error"]
    assert client.post("/api/0/verdicts", json={**say, "class": 0}).status_code == 200


def test_labels_stay_text(mapped: Mapped, serve: Serve) -> None:
    answer = serve(mapped.result).get("/api/0/about")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["result"]["labels"][1] == "<img src=x onerror=alert(1)>"


def test_a_hostile_level_is_refused(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    """Coarser levels come from anyone as the finest does."""
    result = tmp_path / "hostile.zarr"
    shutil.copytree(mapped.result, result)
    (level,) = [path.parent for path in result.rglob("levels/1/zarr.json")]
    shutil.rmtree(level)
    zarr.create_array(level, shape=(3, 1 << 20, 1 << 20), chunks=(3, 1 << 14, 1 << 14), dtype="float32")
    answer = serve(result).get("/api/0/scores/1/0/0")
    assert answer.status_code == 400
    assert "is no array of" in answer.json()["error"]


def test_numbers_that_are_none_are_null(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    """A browser reads no NaN in JSON, and attributes come from anyone."""
    result, stored = tmp_path / "hostile.zarr", ClassMap.load(mapped.result)
    shutil.copytree(mapped.result, result)
    attributes = json.loads((result / "zarr.json").read_text(encoding="utf-8"))
    attributes["attributes"]["fullconv"] |= {
        "pixel_size": [float("nan"), float("inf")],
        "unit": "<b>",
        "score_kind": "<i>",
    }
    (result / "zarr.json").write_text(json.dumps(attributes), encoding="utf-8")
    about = serve(result).get("/api/0/about")
    assert about.status_code == 200
    assert about.json()["result"]["place"]["pixel_size"] == [None, None]
    scores = np.asarray(stored.scores).copy()
    scores[0, 20, 20], scores[1, 5, 5] = np.inf, -np.inf
    ClassMap(scores, stored.grid, stored.labels).save(tmp_path / "x.npz")
    client = serve(tmp_path / "x.npz")
    assert client.get("/api/0/cell/20/20").json()["scores"][0] is None
    assert client.get("/api/0/peaks/0?threshold=0.5").json()["finds"][0]["score"] is None


def test_a_run_in_progress_fills_in(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    whole = ClassMap.load(mapped.result)
    assert whole.record is not None
    running = Store.create(Local(str(tmp_path / "run.zarr")), replace(whole.record, finished=False))
    client = serve(running.storage.name)
    about = client.get("/api/0/about").json()["result"]
    empty = tile_of(client, about, 0, 0, 0)
    assert np.isnan(empty).all()
    state = client.get("/api/0/state").json()
    assert (state["finished"], state["count"], state["of"], state["epoch"]) == (False, 0, 1, 0)
    (tile,) = whole.record.tiles
    running.write(tile, np.asarray(whole.scores))
    state = client.get("/api/0/state?after=0").json()
    assert state["done"] == [[0, whole.grid.rows, 0, whole.grid.cols]]
    own = serve(mapped.result)
    for level in range(2):  # coarser ones are made of what is there, as the run will make them
        np.testing.assert_array_equal(tile_of(client, about, level, 0, 0), tile_of(own, about, level, 0, 0))
    running.finish([], 0)
    state = client.get("/api/0/state?after=1").json()
    assert (state["finished"], state["count"], state["done"]) == (True, 1, [])
    np.testing.assert_array_equal(tile_of(client, about, 1, 0, 0), tile_of(own, about, 1, 0, 0))


def test_another_run_in_its_place_is_seen(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    record = ClassMap.load(mapped.result).record
    assert record is not None
    place = str(tmp_path / "run.zarr")
    Store.create(Local(place), replace(record, finished=False))
    client = serve(place)
    Store.create(Local(place), replace(record, finished=False, labels=("a", "b", "c")))
    assert client.get("/api/0/state").json()["epoch"] == 1
    assert client.get("/api/0/about").json()["result"]["labels"] == ["a", "b", "c"]
    shutil.rmtree(place)
    answer = client.get("/api/0/state")
    assert answer.status_code == 400
    assert "no such result" in answer.json()["error"]
