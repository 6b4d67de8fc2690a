"""What an older run writes after another has taken its place counts for nothing; what was removed is told, never a hole."""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fullconv import ClassMap
from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.results.places import storage_of
from fullconv.results.record import Record
from fullconv.results.storage import Replaced
from fullconv.results.store import Store
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile, Tiles

CELLS, CHUNK = 40, 20
_count = itertools.count()


def record(keep: str = "all", stored: str = "float32") -> Record:
    sides = tuple(Side((at, at + CHUNK), ((at, at + CHUNK + 4),)) for at in range(0, CELLS, CHUNK))
    one = (Fraction(1), Fraction(1))
    grid = Grid(
        CELLS, CELLS, one, (Fraction(5), Fraction(5)), (Fraction(2), Fraction(2)), (Fraction(5), Fraction(5)), (44, 44)
    )
    tiles = Tiles(sides, sides, (24, 24), (CHUNK, CHUNK), (CELLS, CELLS), (44, 44))
    return Record({"model": {"name": "x"}}, ("a", "b"), keep, stored, grid, tiles, "prob", "cast", "", "1")


def of_tile(store: Store, tile: Tile, value: float) -> None:
    store.write(tile, np.full((2, CHUNK, CHUNK), value, np.float32))


def all_of(store: Store, value: float) -> None:
    for tile in store.record.tiles:
        of_tile(store, tile, value)
    store.finish([], 0)


@pytest.fixture(params=["folder", "objects"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "x.zarr") if request.param == "folder" else f"memory://mixing/{next(_count)}.zarr"


def scores(target: str) -> np.ndarray:
    return np.asarray(ClassMap.load(target).scores)


@pytest.mark.parametrize("when", ["begun", "half", "finished"])
def test_a_zombie_writes_nothing_that_counts(target: str, when: str) -> None:
    """The store of an older run is open in a worker that wakes up; its file handles, arrays and marks lead nowhere."""
    zombie = Store.create(storage_of(target), record())
    first, second = list(zombie.record.tiles)[:2]
    of_tile(zombie, first, 1.0)
    fresh = Store.create(storage_of(target), record())
    assert fresh.record.run != zombie.record.run
    assert not fresh.done()
    if when != "begun":
        of_tile(fresh, second, 2.0)
    if when == "finished":
        all_of(fresh, 2.0)
    for value in (1.0, float("nan")):  # scores, and fill values, for which a chunk is removed
        with pytest.raises(Replaced, match="another run wrote it anew or finished it"):
            of_tile(zombie, second, value)
    with pytest.raises(Replaced):
        zombie.write(first, None)
    with pytest.raises(Replaced):
        zombie.storage.commit(zombie.record.run, b"{}")
    if when != "finished":
        assert set(fresh.done()) == (set() if when == "begun" else {second.name})
        all_of(fresh, 2.0)
    assert (scores(target) == 2).all()


def test_a_zombie_that_was_stopped_between_its_look_and_its_write(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has seen that the store is its own; then the other run begins and ends; then it goes on."""
    zombie = Store.create(storage_of(target), record())
    tile = next(iter(zombie.record.tiles))
    all_of(Store.create(storage_of(target), record()), 2.0)
    if "://" in target:
        monkeypatch.setattr(type(zombie.storage), "mark", lambda *args: None)
    else:
        monkeypatch.setattr(Path, "exists", lambda self: True)
    with suppress(Replaced):
        of_tile(zombie, tile, 1.0)
    monkeypatch.undo()
    assert (scores(target) == 2).all()


def test_runs_that_are_gone_leave_nothing(target: str) -> None:
    zombie = Store.create(storage_of(target), record())
    fresh = Store.create(storage_of(target), record())
    tile = next(iter(zombie.record.tiles))
    with pytest.raises(Replaced):
        of_tile(zombie, tile, 1.0)
    all_of(fresh, 2.0)
    if "://" in target:
        import obstore

        keys = {str(entry["path"]) for batch in obstore.list(storage_of(target)._store) for entry in batch}
        assert all(key == "zarr.json" or key.startswith(fresh.record.arrays) for key in keys)
    else:
        assert sorted(p.name for p in Path(target).iterdir()) == ["0", "x", "y", "zarr.json"]


def test_what_lies_beside_a_result_is_somebodys() -> None:
    """Another result under the same prefix of a bucket, or a note: a run removes what runs write, and nothing else."""
    import obstore

    target = f"memory://mixing/{next(_count)}.zarr"
    store = Store.create(storage_of(target), record())
    for key in ("other.zarr/zarr.json", "notes.txt", "10k.zarr/0/c/0"):
        obstore.put(store.storage._store, key, b"mine")
    store = Store.create(storage_of(target), record())
    all_of(store, 1.0)
    keys = {str(entry["path"]) for batch in obstore.list(store.storage._store) for entry in batch}
    assert {"other.zarr/zarr.json", "notes.txt", "10k.zarr/0/c/0"} <= keys
    assert (scores(target) == 1).all()


def test_tiles_that_are_marked_and_gone_are_made_again(target: str) -> None:
    """A mark says how many bytes its tile has: chunks that somebody removes are no holes in the map."""
    store = Store.create(storage_of(target), record())
    tiles = list(store.record.tiles)
    for tile in tiles:
        of_tile(store, tile, 1.0)
    key = f"{store.record.arrays}0/c/0/0/0"
    if "://" in target:
        import obstore

        obstore.delete(store.storage._store, key)
    else:
        Path(target, key).unlink()
    with pytest.raises(BadInput, match="parts of it were removed while it was written; the rest is kept"):
        store.finish([], 0)
    again = Store.resume(store.storage, Store.record_of(store.storage))
    assert set(again.done()) == {tile.name for tile in tiles[1:]}
    of_tile(again, tiles[0], 1.0)
    again.finish([], 0)
    assert (scores(target) == 1).all()


def test_an_array_that_is_removed_while_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    store = Store.create(storage_of(target), record())
    tiles = list(store.record.tiles)
    for tile in tiles[:2]:
        of_tile(store, tile, 1.0)
    shutil.rmtree(target / "0")
    for tile in tiles[2:]:
        of_tile(store, tile, 1.0)
    with pytest.raises(BadInput, match=r"parts of it were removed while it was written \(0/zarr.json\)"):
        store.finish([], 0)
    again = Store.resume(store.storage, Store.record_of(store.storage))
    assert set(again.done()) == {tile.name for tile in tiles[2:]}
    all_of(again, 1.0)
    assert (scores(str(target)) == 1).all()


def test_an_output_that_is_removed_while_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    store = Store.create(storage_of(target), record())
    shutil.rmtree(target)
    with pytest.raises(Replaced, match="was removed while it was written, and what was done went with it"):
        of_tile(store, next(iter(store.record.tiles)), 1.0)
    assert not target.exists(), "nothing is made anew in its place"


def test_a_creation_that_is_cut_short_is_nothing_yet(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storage_of(target)

    with monkeypatch.context() as patched:
        if "://" in target:
            patched.setattr(type(storage), "_put_root", _raising)
        else:
            patched.setattr("fullconv.results.local.settle", _raising)
        with pytest.raises(BadInput, match=r"cannot be written"):
            Store.create(storage, record())
    assert not storage.exists()
    all_of(Store.create(storage, record()), 3.0)
    assert (scores(target) == 3).all()


def _raising(*args: object) -> None:
    raise OSError(5, "gone")


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "x.zarr"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is a symbolic link, and nothing is written through one"):
        Store.create(storage_of(link), record())
    with pytest.raises(BadInput, match="is a symbolic link"), storage_of(link).lock():
        pass
    store = Store.create(storage_of(tmp_path / "y.zarr"), record())
    shutil.move(tmp_path / "y.zarr" / "0", tmp_path / "moved")
    (tmp_path / "y.zarr" / "0").symlink_to(tmp_path / "moved")
    with pytest.raises(BadInput, match=r"0: is a symbolic link"):
        Store.resume(store.storage, store.record)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / ".z.zarr.lock").symlink_to(precious)
    with pytest.raises(BadInput, match=r"\.z\.zarr\.lock: is a symbolic link"), storage_of(tmp_path / "z.zarr").lock():
        pass
    assert precious.read_text() == "mine"
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_store_of_before_is_read_and_not_written(tmp_path: Path) -> None:
    """Format 1 knew no runs."""
    import json

    target = tmp_path / "x.zarr"
    all_of(Store.create(storage_of(target), record()), 4.0)
    about = json.loads((target / "zarr.json").read_text())
    own = about["attributes"]["fullconv"]
    own["format"] = "fullconv map store 1"
    del own["run"], own["arrays"]
    (target / "zarr.json").write_text(json.dumps(about))
    assert (scores(str(target)) == 4).all()
    assert ClassMap.load(target).record == replace(record(), finished=True)


@pytest.mark.parametrize(
    "text",
    [b"{\xe8", b"", b"[]", b'{"bytes": 1e400}', b'{"bytes": true}', b'{"bytes": 40, "failed": 3}', b"[" * 100_000],
)
def test_a_damaged_mark_is_no_mark(text: bytes, tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    store = Store.create(storage_of(target), record())
    tiles = list(store.record.tiles)
    for tile in tiles:
        of_tile(store, tile, 1.0)
    (target / ".fullconv" / store.record.run / "done" / tiles[0].name).write_bytes(text)
    again = Store.resume(storage_of(target), Store.record_of(storage_of(target)))
    assert set(again.done()) == {tile.name for tile in tiles[1:]}
