"""Chunks that are written by hand are zarr's own, byte for byte; and coarser levels are those of the whole, whatever comes when."""

from __future__ import annotations

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.results import layout, levels
from fullconv.results.chunks import Chunks
from fullconv.results.encoding import decoded, encoded
from fullconv.results.levels import halved, levels_of
from fullconv.results.places import storage_of
from fullconv.results.record import Record
from fullconv.results.store import Store
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tiles


@pytest.mark.parametrize(
    ("kind", "fill"), [("float32", np.nan), ("float16", np.nan), ("uint8", 255), ("uint16", 65535), ("bool", False)]
)
@pytest.mark.parametrize(("shape", "sides"), [((7, 50, 33), (3, 16, 16)), ((2, 5, 9), (2, 5, 9)), ((45, 64), (16, 17))])
def test_chunks_are_those_of_zarr(
    kind: str, fill: float, shape: tuple[int, ...], sides: tuple[int, ...], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(shape) * 100).astype(kind)
    values[..., :16] = fill  # chunks that are not stored
    written = {}
    for name in ("own", "zarr"):
        group = zarr.open_group(tmp_path / name, mode="w", zarr_format=3)
        array = group.create_array(
            "0", shape=shape, chunks=sides, dtype=kind, fill_value=fill, compressors=ZstdCodec(level=1, checksum=True)
        )
        if name == "zarr":
            array[...] = values
        else:
            chunks = Chunks(array, "0", lambda key, data: written.__setitem__(key, data))
            sizes = dict(
                chunks.put(at, chunks.part(at, values, (0,) * len(shape))) for at in np.ndindex(*chunks.counts)
            )
    theirs = {
        str(p.relative_to(tmp_path / "zarr")): p.read_bytes()
        for p in (tmp_path / "zarr").rglob("*")
        if "c/" in str(p) and p.is_file()
    }
    assert {key: data for key, data in written.items() if data is not None} == theirs
    assert sizes == {key: len(data or b"") for key, data in written.items()}


def record(
    rows: int,
    cols: int,
    chunk: tuple[int, int],
    tile: tuple[int, int],
    lead: tuple[int, int],
    stored: str,
    classes: int,
) -> Record:
    def sides(length: int, size: int, before: int) -> tuple[Side, ...]:
        ends = [*range(size - before, length, size), length]
        return tuple(Side((a, b), ((a, b),)) for a, b in itertools.pairwise([0, *ends]))

    one, two = (Fraction(1), Fraction(1)), (Fraction(2), Fraction(2))
    grid = Grid(rows, cols, one, one, two, one, (rows, cols))
    tiles = Tiles(
        sides(rows, tile[0], lead[0]), sides(cols, tile[1], lead[1]), tile, chunk, (rows, cols), (rows, cols), lead=lead
    )
    labels = tuple(f"c{i}" for i in range(classes))
    return Record({"model": {"name": "x"}}, labels, "all", stored, grid, tiles, "prob", "cast", "", "1")


CUTS = {
    "even chunks": (61, 50, (4, 4), (12, 8), (0, 0)),
    "odd chunks": (61, 50, (5, 3), (10, 9), (0, 0)),
    "a chunk a tile": (40, 64, (8, 8), (8, 8), (0, 0)),
    "a lead": (45, 47, (4, 4), (12, 12), (3, 2)),
    "one column": (64, 3, (4, 4), (8, 4), (0, 0)),
}


def _levels(whole: np.ndarray, stored: str, count: int) -> list[np.ndarray]:
    made = [encoded(whole, stored)]
    for _ in range(count - 1):
        made.append(encoded(halved(decoded(made[-1])), stored))
    return made


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize(
    "stored", ["float32", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("float16", "uint8"))]
)
@pytest.mark.parametrize("cut", CUTS)
def test_levels_are_those_of_the_whole_map(
    cut: str, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order of tiles, with tiles of nothing, by several threads, in one run or two."""
    monkeypatch.setattr(layout, "LEAST", 4)
    monkeypatch.setattr(layout, "CHUNK_BYTES", 130)  # few planes a chunk
    rows, cols, chunk, tile, lead = CUTS[cut]
    about = record(rows, cols, chunk, tile, lead, stored, 3)
    rng = np.random.default_rng(1)
    scores = rng.random((3, rows, cols), np.float32)
    scores[:, rng.random((rows, cols)) < 0.3] = np.nan
    blank = {t.name for t in about.tiles if rng.random() < 0.2}
    for t in about.tiles:
        if t.name in blank:
            scores[:, slice(*t.y.cells), slice(*t.x.cells)] = np.nan
    found = []
    for how in ("in order", "at random", "threads", "two runs"):
        monkeypatch.setattr(
            levels, "_WAITING", {"at random": 0, "threads": 300}.get(how, 4 << 20)
        )  # means that are kept
        store = Store.create(storage_of(tmp_path / how), about)
        monkeypatch.setattr(levels, "_BETWEEN", 1 << 18 if how == "in order" else 16)  # planes together, or one by one
        if how == "threads":
            store._tiled.__dict__["pool"] = ThreadPoolExecutor(3)
        else:
            store._tiled.__dict__["pool"] = None
        tiles = list(about.tiles)
        if how != "in order":
            rng.shuffle(tiles)
        for i, t in enumerate(tiles):
            if how == "two runs" and i == len(tiles) // 2:
                store = Store.resume(storage_of(tmp_path / how), store.record)
            part = scores[:, slice(*t.y.cells), slice(*t.x.cells)]
            store.write(t, None if t.name in blank else part.copy())
        store.finish([], 0)
        found.append({k: v for k, v in _digest(tmp_path / how).items() if k != "zarr.json"})
    assert found[0] == found[1] == found[2] == found[3]
    group = zarr.open_group(tmp_path / "in order", mode="r")
    whole = np.full((3, rows + lead[0], cols + lead[1]), np.nan, np.float32)
    whole[:, lead[0] :, lead[1] :] = scores
    sizes = levels_of(about.stored_grid, 4)
    for level, expected in enumerate(_levels(whole, stored, len(sizes))):
        np.testing.assert_array_equal(group[f"levels/{level}" if level else "0"][:], expected)


@pytest.mark.parametrize(("chunk", "waiting", "read_back"), [(4, 0, False), (16, 4 << 20, False), (16, 600, True)])
def test_levels_are_made_while_tiles_are_written(
    chunk: int, waiting: int, read_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, so that nothing is left for the end; and what is in memory is not read back: tiles that have their chunks by twos, or means that wait."""
    monkeypatch.setattr(layout, "LEAST", 4)
    monkeypatch.setattr(levels, "_WAITING", waiting)
    about = record(64, 64, (chunk, chunk), (16, 16), (0, 0), "float32", 2)
    store = Store.create(storage_of(tmp_path / "x.zarr"), about)
    read = []
    original = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: (read.append(self.name), original(self, key))[1])
    for t in about.tiles:
        store.write(t, np.random.default_rng(0).random((2, 16, 16), np.float32))
    assert ("/0" in read) == read_back
    made = store._tiled.levels
    assert not made._waiting
    assert made._room == waiting
    left = made.finish(store.storage.sizes(store.record.run), None)
    assert left == []
    store.finish([], 0)


def test_a_level_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LEAST", 4)
    about = record(32, 32, (4, 4), (16, 16), (0, 0), "float32", 2)
    digests = []
    for name in ("whole", "gone"):
        store = Store.create(storage_of(tmp_path / name), about)
        for t in about.tiles:
            store.write(t, np.random.default_rng(0).random((2, 16, 16), np.float32))
        if name == "gone":
            gone = next(p for p in sorted((tmp_path / name / "levels" / "1" / "c").rglob("*")) if p.is_file())
            gone.unlink()
        store.finish([], 0)
        digests.append({k: v for k, v in _digest(tmp_path / name).items() if k != "zarr.json"})
    assert digests[0] == digests[1]


def test_a_neighbour_that_is_damaged_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LEAST", 4)
    monkeypatch.setattr(levels, "_WAITING", 0)  # it is read back
    about = record(16, 16, (4, 4), (4, 4), (0, 0), "float32", 2)
    store = Store.create(storage_of(tmp_path / "x.zarr"), about)
    tiles = list(about.tiles)
    values = np.random.default_rng(0).random((2, 4, 4), np.float32)
    store.write(tiles[0], values)
    chunk = next(p for p in (tmp_path / "x.zarr" / "0" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-4] + b"\0\0\0\0")
    store.write(tiles[1], values)
    store.write(tiles[4], values)
    with pytest.raises(BadInput, match="does not decode"):
        store.write(tiles[5], values)
