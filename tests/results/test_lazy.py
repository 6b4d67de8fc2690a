"""Scores in a store are indexed as a NumPy array is: the same values, shapes and types, or an IndexError where NumPy has one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr

from fullconv import ClassMap, export, load, map_raster
from fullconv.errors import BadInput
from fullconv.results.bounded import unpacked_bytes
from fullconv.results.lazy import winners_of
from fullconv.results.places import storage_of
from fullconv.results.still import Still
from fullconv.results.store import Store
from tests.results.test_mixing import CHUNK, record
from tests.stream import colours

KEYS: list[Any] = [
    1, (..., 3), (1, ..., 2), (slice(None), 2), -1, (-1, -2, -3), ([1, 0],), ([1, 1, 1], slice(0, 4), slice(None)),
    (0, [1, 2], [3, 4]), ([0, 1], 2, slice(None)), ([0, 1], slice(None), 2), (slice(None, None, -1),),
    (slice(4, 0, -2), slice(1, 36, 3)), (None, 1), (slice(None), None, 3, ...), (slice(0, 0),), np.array([[0, 1], [1, 0]]),
    (slice(None), np.eye(40, dtype=bool)), np.array([True, False]), (..., np.array([0, 39])), (np.int64(1), np.uint8(1)), [],
    (slice(None), [], 2), (...,), (), ([0], [1], [2]), (np.array([0, 1])[:, None], np.array([2, 3])), (slice(1, 100), slice(-3, None)),
    (1, 2, 3), (1, slice(None), [1, 1, 0]), ([-1],), np.array(1), (np.zeros((2, 40, 40), bool),),
]  # fmt: skip
WRONG: list[Any] = [
    5, (0, 0, 0, 0), (..., ...), 1.5, "a", (0, 70), -6, ([7],), np.array([True]), (slice(None), slice(None), 90), ({},),
    (..., np.ones((3, 40), bool)), (True, 1, 1, 1, 1),
]  # fmt: skip


@pytest.fixture(scope="module", params=["all", "top1"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, np.ndarray]:
    """A store's scores, and the array that they are."""
    folder = tmp_path_factory.mktemp("lazy") / "x.zarr"
    rng = np.random.default_rng(0)
    plain = record(request.param)
    led = replace(plain, tiles=replace(plain.tiles, lead=(CHUNK, 2 * CHUNK)))  # whole chunks, as tiles must have them
    store = Store.create(storage_of(folder), led)
    whole = np.full((2, 40, 40), np.nan, np.float32)
    for tile in store.record.tiles:
        rows, cols = slice(*tile.y.cells), slice(*tile.x.cells)
        scores = rng.random((2, CHUNK, CHUNK), np.float32)
        scores[:, 3, 4] = np.nan
        if request.param == "top1":
            winners, best = winners_of(scores)
            store.write(tile, best[None], np.where(winners < 0, 65535, winners).astype(np.uint16))
            scores = np.where(winners == np.arange(2)[:, None, None], best, np.float32(np.nan))
        else:
            store.write(tile, scores)
        whole[:, rows, cols] = scores
    store.finish([], 0)
    return ClassMap.load(folder).scores, whole


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_as_numpy(pair: tuple[Any, np.ndarray], key: Any) -> None:
    stored, whole = pair
    mine, expected = stored[key], whole[key]
    assert type(mine) is type(expected)
    assert np.shape(mine) == np.shape(expected)
    np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("key", WRONG, ids=repr)
def test_no_key(pair: tuple[Any, np.ndarray], key: Any) -> None:
    stored, whole = pair
    with pytest.raises(IndexError):
        whole[key]
    with pytest.raises(IndexError):
        stored[key]


def test_as_an_array(pair: tuple[Any, np.ndarray]) -> None:
    stored, whole = pair
    np.testing.assert_array_equal(np.asarray(stored), whole)
    assert np.asarray(stored, np.float64).dtype == np.float64
    assert (len(stored), stored.size, stored.nbytes) == (2, whole.size, whole.nbytes)
    np.testing.assert_array_equal(np.stack(list(stored)), whole)
    with pytest.raises(ValueError, match="always a copy"):
        np.array(stored, copy=False)


@pytest.mark.parametrize("stored", ["uint8", "float16", "float32"])
def test_every_type_answers_a_cell(stored: str, tmp_path: Path) -> None:
    store = Store.create(storage_of(tmp_path / "x.zarr"), record(stored=stored))
    for tile in store.record.tiles:
        scores = np.full((2, CHUNK, CHUNK), 0.5, np.float32)
        scores[1, 0, 0] = np.nan
        store.write(tile, scores)
    store.finish([], 0)
    found = ClassMap.load(tmp_path / "x.zarr")
    assert found.at(2, 2)[0] == found.scores[0, 0, 0] == 0.5
    assert np.isnan(found.scores[1, 0, 0])
    assert found.scores[0, 0, 0].dtype == np.float32


def test_no_answer_wins_nothing(tmp_path: Path) -> None:
    """-1 in ``top1``, wherever the scores lie; a map of winners alone that is saved knows them too."""
    scores = np.array([[[0.2, np.nan, np.nan]], [[0.1, np.nan, 0.3]]], np.float32)
    one = (Fraction(1), Fraction(1))
    from fullconv.geometry.grid import Grid

    found = ClassMap(scores, Grid(1, 3, one, one, (Fraction(0), Fraction(0)), one, (1, 3)), ("a", "b"))
    assert found.top1.tolist() == [[0, -1, 1]]
    store = Store.create(storage_of(tmp_path / "x.zarr"), record())
    for tile in store.record.tiles:
        store.write(tile, None)
    store.finish([], 1600)
    blank = ClassMap.load(tmp_path / "x.zarr")
    assert (blank.top1 == -1).all()
    blank.save(tmp_path / "x.npz")
    again = ClassMap.load(tmp_path / "x.npz")
    assert (again.top1 == -1).all()
    assert again.overlay().width > 0
    with pytest.raises(BadInput, match="no cell of the map has an answer"):
        _ = blank.best


@pytest.mark.parametrize("damage", ["bits", "cut", "bomb", "unsized", "words"])
def test_a_damaged_chunk(damage: str, tmp_path: Path) -> None:
    store = Store.create(storage_of(tmp_path / "x.zarr"), record())
    for tile in store.record.tiles:
        store.write(tile, np.random.default_rng(0).random((2, CHUNK, CHUNK), np.float32))
    store.finish([], 0)
    path = tmp_path / "x.zarr" / "0" / "c" / "0" / "1" / "0"
    data = bytearray(path.read_bytes())
    if damage == "bits":
        data[len(data) // 2] ^= 4
    elif damage == "cut":
        del data[-100:]
    elif damage == "bomb":
        data = bytearray(b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + bytes(data[9:]))
    elif damage == "unsized":
        data[4] = 0
    else:
        data = bytearray(b"no chunk")
    path.write_bytes(data)
    found = ClassMap.load(tmp_path / "x.zarr")
    assert found.scores[0, 0, 0] > 0, "what is whole is read"
    for read in (lambda: np.asarray(found.scores), lambda: found.top1, lambda: found.at(5, 30), lambda: found.peaks(0)):
        with pytest.raises(BadInput, match=r"a part of it does not decode .* its files are damaged"):
            read()


def test_the_size_that_a_frame_says() -> None:
    from numcodecs.zstd import Zstd

    for length in (0, 1, 255, 256, 65791, 65792, 100_000, 5 << 20):
        assert unpacked_bytes(bytes(Zstd(1).encode(bytes(length)))[:18]) == length


@pytest.mark.parametrize(
    "change",
    [
        {"fill_value": 0.5}, {"shape": [2, 40, 41]}, {"data_type": "float64"}, {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "zstd", "configuration": {"level": 1, "checksum": True}}]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 40, 10]}}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
    ],
    ids=str,
)  # fmt: skip
def test_an_array_that_is_another_than_the_record_says(change: dict[str, Any], tmp_path: Path) -> None:
    """One word of its description gives other scores."""
    import json

    store = Store.create(storage_of(tmp_path / "x.zarr"), record())
    about = tmp_path / "x.zarr" / "0" / "zarr.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), **change}))
    with pytest.raises(BadInput, match="is not a result of fullconv, or damaged"):
        ClassMap.load(tmp_path / "x.zarr")
    assert isinstance(store.scores, zarr.Array)


def test_winners(pair: tuple[Any, np.ndarray]) -> None:
    """Of any part, whatever a store keeps."""
    stored, whole = pair
    for rows, cols in ((slice(None), slice(None)), (slice(3, 25), slice(-20, None)), *stored.blocks()):
        winners, best = stored.winners(rows, cols)
        expected = winners_of(whole[:, rows, cols])
        np.testing.assert_array_equal(winners, expected[0])
        np.testing.assert_array_equal(best, expected[1])


def test_a_result_that_is_gone_or_another_now_is_told(tmp_path: Path) -> None:
    """Every chunk that is not there reads as cells without an answer, and another map's scores as this one's."""
    pixels = colours.patches(60, 70)
    model = load(colours.network(tmp_path / "net.onnx"))
    found = map_raster(model, pixels, tmp_path / "x.zarr", preprocess="unit")
    best = found.best
    shutil.move(tmp_path / "x.zarr", tmp_path / "away.zarr")
    for ask in (
        lambda: found.scores[0, :2], lambda: found.scores[[0], [1], [2]], lambda: found.at(30, 30), lambda: found.peaks(0), lambda: found.top1,
        lambda: found.save(tmp_path / "x.npz"), lambda: found.overlay(), lambda: export(found, tmp_path / "x.csv"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match="no such result"):
            ask()
    assert not (tmp_path / "x.csv").exists()
    shutil.move(tmp_path / "away.zarr", tmp_path / "x.zarr")
    assert found.best == best
    again = map_raster(model, pixels, tmp_path / "x.zarr", preprocess="raw", restart=True)
    with pytest.raises(BadInput, match="made anew since it was opened"):
        found.at(30, 30)
    assert np.isfinite(again.scores[0]).all()


@pytest.mark.parametrize("change", ["the labels", "nothing"])
def test_a_result_far_away_is_looked_at_again_where_no_cell_has_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """There nobody says when a file was written; what has an answer is there still."""
    asked: list[str] = []
    own = SimpleNamespace(request={}, arrays={}, labels=("a", "b"))
    now = SimpleNamespace(request={}, arrays={}, labels=("a",) if change == "the labels" else ("a", "b"))
    storage: Any = SimpleNamespace(name="s3://bucket/map.zarr")
    monkeypatch.setattr(Store, "record_of", staticmethod(lambda storage: asked.append(storage.name) or now))
    still = Still(SimpleNamespace(storage=storage, record=own))  # type: ignore[arg-type]
    still.require(answered=True)
    assert asked == []
    if change == "the labels":
        with pytest.raises(BadInput, match=r"s3://bucket/map\.zarr: was made anew since it was opened"):
            still.require(answered=False)
    else:
        still.require(answered=False)
    assert asked == ["s3://bucket/map.zarr"]
