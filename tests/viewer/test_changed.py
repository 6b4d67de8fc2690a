"""What is shown is of one result and one image: where another lies there by now, that is said, and no part of it is shown as the old one's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from fullconv.maps.classmap import ClassMap
from fullconv.results.local import Local
from fullconv.results.store import Store
from tests.viewer.conftest import Mapped, Serve, pixels


def test_a_finished_result_that_is_written_anew_is_not_mixed_with_the_old(
    mapped: Mapped, serve: Serve, tmp_path: Path
) -> None:
    whole, place = ClassMap.load(mapped.result), tmp_path / "x.zarr"
    shutil.copytree(mapped.result, place)
    client = serve(place)
    epoch = client.get("/api/0/about").json()["result"]["epoch"]
    for what in ("scores", "winners"):
        assert client.get(f"/api/0/{what}/0/0/0?epoch={epoch}").status_code == 200
    assert whole.record is not None
    other = Store.create(Local(str(place)), replace(whole.record, finished=False, labels=("p", "q", "r")))
    (tile,) = whole.record.tiles
    other.write(tile, np.asarray(whole.scores)[::-1].copy())
    other.finish([], 0)
    for what in ("scores", "winners", "scores"):
        answer = client.get(f"/api/0/{what}/0/0/0?epoch={epoch}")
        assert answer.status_code == 409
        assert "written anew" in answer.json()["error"]
    assert client.get("/api/0/state").json()["epoch"] == epoch + 1
    opened = client.get("/api/0/about").json()["result"]
    assert (opened["labels"], opened["epoch"]) == (["p", "q", "r"], epoch + 1)
    assert client.get(f"/api/0/scores/0/0/0?epoch={epoch + 1}").status_code == 200


def test_a_run_that_took_the_place_of_another_and_finished_is_another(
    mapped: Mapped, serve: Serve, tmp_path: Path
) -> None:
    record = ClassMap.load(mapped.result).record
    assert record is not None
    place = Local(str(tmp_path / "run.zarr"))
    Store.create(place, replace(record, finished=False))
    client = serve(place.name)
    other = Store.create(place, replace(record, finished=False, labels=("p", "q", "r")))
    (tile,) = record.tiles
    other.write(tile, np.zeros((3, record.grid.rows, record.grid.cols), np.float32))
    other.finish([], 0)
    assert client.get("/api/0/scores/0/0/0?epoch=0").status_code == 409
    assert client.get("/api/0/about").json()["result"]["labels"] == ["p", "q", "r"]


def test_an_image_that_is_written_to_is_not_shown_on(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    image = tmp_path / "slide.tif"
    shutil.copy(mapped.image, image)
    client = serve(mapped.result, image=image)
    assert client.get("/api/image/0/0/0/0").status_code == 200
    tifffile.imwrite(image, pixels(seed=9), tile=(256, 256))
    for path in ("/api/image/0/0/0/0", "/api/image/0/0/0/1", "/api/0/crop/3/3"):
        answer = client.get(path)
        assert answer.status_code == 400, path
        assert "was written to" in answer.json()["error"]


def test_scores_of_a_run_go_as_far_as_what_is_done(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    """Of logits, nothing is known before; a colour scale from 0 to 1 would show all of them as one."""
    record = ClassMap.load(mapped.result).record
    assert record is not None
    running = Store.create(Local(str(tmp_path / "run.zarr")), replace(record, finished=False, score_kind="logits"))
    client = serve(running.storage.name)
    assert client.get("/api/0/state").json()["range"] == [0, 1]
    (tile,) = record.tiles
    scores = np.random.default_rng(0).normal(0, 9, (3, record.grid.rows, record.grid.cols)).astype(np.float32)
    running.write(tile, scores)
    low, high = client.get("/api/0/state").json()["range"]
    assert low < -15
    assert high > 15
    running.finish([], 0)
    assert client.get("/api/0/state").json()["range"] != [0, 1]


def test_of_many_classes_winners_are_found_some_at_a_time(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    from fullconv.viewer import exhibit

    found = ClassMap.load(mapped.result)
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (40, found.grid.rows, found.grid.cols)).astype(np.float32)  # of equal ones the first
    scores[rng.random(scores.shape) < 0.4] = np.nan
    scores[:, :9, :9] = np.nan
    ClassMap(scores, found.grid, tuple(map(str, range(40))), score_kind="logits").save(tmp_path / "x.npz")
    client = serve(tmp_path / "x.npz")
    first = client.get("/api/0/winners/0/0/0").content
    before, exhibit._SLAB = exhibit._SLAB, 1 << 18
    try:
        assert client.get("/api/0/winners/0/0/0").content == first
    finally:
        exhibit._SLAB = before
    rows, cols = min(found.grid.rows, 256), min(found.grid.cols, 256)
    side = client.get("/api/0/about").json()["result"]["side"]
    rows, cols = min(rows, side), min(cols, side)
    won = np.frombuffer(first, "<u2", offset=4 * rows * cols).reshape(rows, cols)
    own = np.where(np.isnan(scores).all(0), 65535, np.where(np.isnan(scores), -np.inf, scores).argmax(0))
    np.testing.assert_array_equal(won, own[:rows, :cols])


def test_a_store_that_is_not_there_has_no_cells_without_an_answer(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    """What is removed reads as missing chunks, which are cells without an answer elsewhere; it is told however often it is asked for."""
    store = tmp_path / "own.zarr"
    shutil.copytree(mapped.result, store)
    client = serve(store)
    path = "/api/0/scores/0/0/0?epoch=0"
    before = client.get(path).content
    store.rename(tmp_path / "away")
    for _ in range(2):
        for each in (
            "/api/0/state",
            path,
            "/api/0/winners/0/0/0?epoch=0",
            "/api/0/cell/3/7",
            "/api/0/areas",
            "/api/0/peaks/0",
        ):
            assert client.get(each).status_code == 400, each
    (tmp_path / "away").rename(store)
    assert client.get("/api/0/state").json()["epoch"] == 0
    assert client.get(path).content == before
