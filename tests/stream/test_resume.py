"""Ended at any moment, the same command goes on, and the result is byte for byte that of an undisturbed run."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from fullconv import map_raster, version
from fullconv.errors import BadInput
from fullconv.results.levels import halved
from fullconv.results.local import Local
from fullconv.results.places import storage_of
from fullconv.results.store import Put, Store
from fullconv.stream.processor import Processor
from fullconv.stream.work import Worker
from fullconv.tiling.tiles import Tile
from tests.rasters import pictures
from tests.stream import runs


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("whole")
    image = runs.picture(folder / "x.npy", 2600, 2400)
    done = subprocess.run(runs.command(image, folder / "x.zarr"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return image, runs.digest(folder / "x.zarr")


def test_ended_between_its_end_and_its_tidying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, out = runs.picture(tmp_path / "x.npy", 400, 300), tmp_path / "x.zarr"
    map_raster(runs.digits(), image, tmp_path / "whole.zarr")
    with monkeypatch.context() as patched:
        patched.setattr(Local, "clear", _raising(OSError(errno.EIO, "gone"), 0))
        with pytest.raises(BadInput, match="nothing that was done is lost"):
            map_raster(runs.digits(), image, out)
    assert any(name.startswith(".fullconv/") for name in runs.digest(out))
    assert map_raster(runs.digits(), image, out).record.finished
    assert runs.digest(out) == runs.digest(tmp_path / "whole.zarr")


@pytest.mark.long
def test_killed_at_random_moments(undisturbed, tmp_path: Path) -> None:
    image, expected = undisturbed
    chance = random.Random(0)
    out = tmp_path / "x.zarr"
    kills = 0
    for _ in range(12):
        process = runs.start(image, out)
        try:
            process.communicate(timeout=chance.uniform(0.8, 3.0))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    done = subprocess.run(runs.command(image, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert runs.digest(out) == expected
    assert kills >= 1
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["x.zarr"]


@pytest.mark.long
def test_stopped_by_the_keyboard(undisturbed, tmp_path: Path) -> None:
    image, expected = undisturbed
    out = tmp_path / "x.zarr"
    stopped = runs.interrupted(image, out, "--json")
    assert stopped.returncode == 130
    assert "the same command goes on from there" in stopped.stderr
    done_before = len(runs.marks(out))
    assert 1 <= done_before < json.loads(stopped.stdout.splitlines()[0])["tiles"]
    again = subprocess.run(runs.command(image, out, "--json"), capture_output=True, text=True)
    assert again.returncode == 0
    assert f'"done": {done_before}' in again.stdout.splitlines()[0]
    assert runs.digest(out) == expected


def test_only_tiles_that_are_not_done_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = runs.picture(tmp_path / "x.npy")
    count = []
    original = Processor.finish

    def failing(self: Processor, ticket):
        count.append(ticket.tile.name)
        if len(count) == 3:
            raise MemoryError
        return original(self, ticket)

    monkeypatch.setattr(Processor, "finish", failing)
    how = {"preprocess": "unit", "memory": 205 << 20}
    with pytest.raises(MemoryError):
        map_raster(runs.digits(), image, tmp_path / "x.zarr", **how)
    assert set(runs.marks(tmp_path / "x.zarr")) == set(count[:2]), "what was run before is kept"
    monkeypatch.setattr(
        Processor, "finish", lambda self, ticket: (count.append(ticket.tile.name), original(self, ticket))[1]
    )
    marked = len(runs.marks(tmp_path / "x.zarr"))
    seen = len(count)
    map_raster(runs.digits(), image, tmp_path / "x.zarr", **how)
    found = map_raster(runs.digits(), image, tmp_path / "x.zarr", **how)
    assert len(count) - seen == len(found.record.tiles) - marked


@pytest.mark.parametrize(
    "at", ["chunk", "mark", *(pytest.param(at, marks=pytest.mark.long) for at in ("coarser", "levels"))]
)
def test_a_disk_that_fills_loses_nothing(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = runs.picture(tmp_path / "x.npy", 1200, 1100)
    model = runs.digits()
    how = {"preprocess": "unit", "memory": 200 << 20}
    whole = map_raster(model, image, tmp_path / "whole.zarr", **how)
    with monkeypatch.context() as patched:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if at == "levels":
            patched.setattr("fullconv.results.levels.Levels.finish", _raising(full, after=0))
        elif at == "coarser":  # in the middle of a tile
            patched.setattr("fullconv.results.levels.halved", _raising(full, after=3, then=halved))
        elif at == "mark":
            patched.setattr(Local, "mark", _raising(full, after=1, then=Local.mark))
        else:
            chunks = [p for p in (tmp_path / "whole.zarr" / "0" / "c").rglob("*") if p.is_file()]
            patched.setattr(Local, "put", _raising(full, after=len(chunks) * 2 // 3, then=Local.put))
        with pytest.raises(BadInput, match="the disk is full; free some space and give the same command again"):
            map_raster(model, image, tmp_path / "x.zarr", **how)
    kept = len(runs.marks(tmp_path / "x.zarr"))
    assert kept == len(whole.record.tiles) if at == "levels" else kept < len(whole.record.tiles)
    assert kept or at == "coarser", "what was written before is marked"
    map_raster(model, image, tmp_path / "x.zarr", **how)
    assert runs.digest(tmp_path / "x.zarr") == runs.digest(tmp_path / "whole.zarr")


def _raising(error: OSError, after: int, then=None):
    """A function that is ``then`` for some calls, and fails from there on."""
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) > after:
            raise error
        return then(*args, **kwargs)

    return wrapped


def test_a_mark_follows_the_fsync_of_what_it_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename alone may reach the disk before what was renamed: after a power cut a mark must not stand for chunks that are gone."""
    settled: set[str] = set()
    original, handles = os.fsync, "/proc/self/fd"
    if not os.path.isdir(handles):  # noqa: PTH112
        pytest.skip("this system does not say which file a handle is of")

    def watching(handle: int) -> None:
        settled.add(os.readlink(f"{handles}/{handle}"))  # noqa: PTH115
        original(handle)

    marked, written = [], {}
    mark, put = Local.mark, Store.put

    def noting(self: Store, tile: Tile, *args: object) -> Put:
        written[tile.name] = put(self, tile, *args)
        return written[tile.name]

    def checking(self: Local, run: str, texts: dict[str, str]) -> None:
        for name in texts:
            chunks = {str(self.path / key) for key in (*written[name].sizes, *written[name].coarser)}
            chunks = {chunk for chunk in chunks if Path(chunk).exists()}
            assert chunks, "a tile has chunks"
            assert chunks <= settled, "every chunk that is there has reached the disk"
            above = {p for chunk in chunks for p in Path(chunk).parents if self.path in (p, *p.parents)}
            assert {str(p) for p in above} <= settled, "and so have the folders that name them"
            marked.append(name)
        mark(self, run, texts)
        assert any(p.endswith("/done") for p in settled)

    monkeypatch.setattr(Store, "put", noting)
    monkeypatch.setattr(os, "fsync", watching)
    monkeypatch.setattr(Local, "mark", checking)
    image = runs.picture(tmp_path / "x.npy", 700, 600)
    map_raster(runs.digits(), image, tmp_path / "x.zarr", preprocess="unit", memory=200 << 20)
    assert len(marked) > 1


@pytest.mark.long
def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 3000, 3000)
    out = tmp_path / "x.zarr"
    first = runs.start(image, out)
    try:
        for _ in range(200):
            if out.exists():
                break
            time.sleep(0.05)
        second = subprocess.run(runs.command(image, out), capture_output=True, text=True)
        assert second.returncode == 2
        assert f"another process writes it (process {first.pid} on" in second.stderr
    finally:
        first.kill()
        first.communicate()
    with storage_of(out).lock():
        pass  # the lock of a process that is gone is no lock


CHANGES = [
    ({"preprocess": "raw"}, "preprocess: "),
    ({"keep": "top1"}, "keep: all, now top1"),
    ({"stored": "float16"}, "stored: float32, now float16"),
    ({"stride": 2}, "stride: None, now 2"),
    ({"labels": [str(10 - i) for i in range(11)]}, "labels: "),
    ({"where": "auto"}, "where: None, now auto, 0.1 of a cell"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_a_result_of_another_request_is_not_mixed_in(change: dict, told: str, tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 300, 300)
    model = runs.digits()
    how = {"preprocess": "unit"}
    map_raster(model, image, tmp_path / "x.zarr", **how)
    with pytest.raises(BadInput, match="holds another result; it differs in") as caught:
        map_raster(model, image, tmp_path / "x.zarr", **{**how, **change})
    assert told in str(caught.value)
    assert str(caught.value).count("\n") == 2, "one difference, and what to do"
    again = map_raster(model, image, tmp_path / "x.zarr", restart=True, **{**how, **change})
    assert again.record.finished


def test_of_another_model_image_or_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lenet) -> None:
    image = runs.picture(tmp_path / "x.npy", 300, 300)
    made = map_raster(runs.digits(), image, tmp_path / "x.zarr").record.version
    with pytest.raises(BadInput, match=r"model: digits.prototxt is another one than lenet.prototxt, or has changed"):
        map_raster(lenet, image, tmp_path / "x.zarr")
    np.save(tmp_path / "x.npy", np.zeros((300, 300), np.uint8))
    with pytest.raises(BadInput, match=r"image: x.npy is another one than x.npy, or has changed"):
        map_raster(runs.digits(), image, tmp_path / "x.zarr")
    runs.picture(tmp_path / "x.npy", 300, 300)
    with monkeypatch.context() as patched:
        patched.setattr(version, "__version__", "9.9")
        again = map_raster(runs.digits(), image, tmp_path / "x.zarr")
        assert again.record.version == made, "a finished map stays what it is through an upgrade"
    monkeypatch.setattr(version, "NUMERICS", 99)
    with pytest.raises(BadInput, match="how fullconv computes: another version of it made that result"):
        map_raster(runs.digits(), image, tmp_path / "x.zarr")


def test_what_is_no_result_is_left_alone(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 300, 300)
    other = tmp_path / "other.zarr"
    zarr.create_array(other, data=np.ones((4, 4)))
    folder = tmp_path / "folder.zarr"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine")
    group = tmp_path / "group.zarr"
    zarr.open_group(group, mode="w").attrs["mine"] = True
    before = runs.digest(tmp_path)
    for place in (other, folder, group):
        for restart in (False, True):
            with pytest.raises(BadInput, match=r"no result of fullconv|not a result of fullconv"):
                map_raster(runs.digits(), image, place, restart=restart)
    assert runs.digest(tmp_path) == before


def test_less_memory_than_the_tiles_begun_with_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = runs.picture(tmp_path / "x.npy")
    model = runs.digits()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "finish", _raising(OSError(errno.EIO, "gone"), 0))
        with pytest.raises(OSError, match="gone"):
            map_raster(model, image, tmp_path / "x.zarr", memory=400 << 20)
    with pytest.raises(BadInput, match=r"was begun with tiles that take .* give --memory .* to go on, or --restart"):
        map_raster(model, image, tmp_path / "x.zarr", memory=195 << 20)
    assert map_raster(model, image, tmp_path / "x.zarr", memory=600 << 20).record.finished


def test_an_image_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = runs.picture(tmp_path / "x.npy")
    original = Worker.load
    count = []

    def touching(self: Worker, tile):
        count.append(tile)
        if len(count) == 3:
            os.utime(image, (1, 1))
        return original(self, tile)

    monkeypatch.setattr(Worker, "load", touching)
    with pytest.raises(BadInput, match=r"x\.npy: has changed while it was read"):
        map_raster(runs.digits(), image, tmp_path / "x.zarr", memory=200 << 20)
    assert len(runs.marks(tmp_path / "x.zarr")) <= 2


def test_an_image_that_is_rewritten_under_the_same_time(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 700, 600)
    before = image.stat()
    rewritten = []

    def rewrite(event: str, what) -> None:
        if event == "tile" and not rewritten:
            rewritten.append(event)
            with image.open("r+b") as file:
                file.seek(200)
                file.write(bytes(300_000))
            os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(BadInput, match=r"x\.npy: has changed while it was read"):
        map_raster(runs.digits(), image, tmp_path / "x.zarr", memory=200 << 20, report=rewrite)
    assert not Store.record_of(storage_of(tmp_path / "x.zarr")).finished


def test_pixels_that_do_not_decode(tmp_path: Path) -> None:
    """By default the run stops and says where; told to skip, the block's own pixels are missing, and its tile is listed."""
    import tifffile

    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pictures.scene(1024, 1024, 1)[:, :, 0], tile=(128, 128), compression="deflate")
    clean = shutil.copy(path, tmp_path / "clean.tif")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages.first.dataoffsets[36], file.pages.first.databytecounts[36]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * count)
    model, how = runs.digits(), {"preprocess": "unit", "memory": 195 << 20}
    with pytest.raises(BadInput, match=r"do not decode .*; the tiles before it are kept\. --on-error skip"):
        map_raster(model, path, tmp_path / "x.zarr", **how)
    before = runs.marks(tmp_path / "x.zarr")
    found = map_raster(model, path, tmp_path / "y.zarr", on_error="skip", **how)
    assert found.record.failed
    bad = {name for name, _ in found.record.failed}
    for _, reason in found.record.failed:
        edges = re.search(r"the pixels (\d+) to (\d+) × (\d+) to (\d+) do not decode", reason)
        assert edges
        assert all(512 <= int(edge) <= 640 for edge in edges.groups()), "no more than the block is told"
    order = [tile.name for tile in found.record.tiles]
    assert before
    assert set(before) == set(order[: order.index(min(bad, key=order.index))]), "all before it are kept"
    whole = tifffile.imread(clean)
    expected = np.asarray(map_raster(model, whole, tmp_path / "z.zarr", **how).scores)
    scores, grid = np.asarray(found.scores), found.grid
    step, crop = int(grid.stride[0]), int(grid.crop[0])
    hurt = np.zeros(whole.shape)
    hurt[512:640, 512:640] = 1
    share = np.array(
        [
            [hurt[r * step : r * step + crop, c * step : c * step + crop].mean() for c in range(grid.cols)]
            for r in range(grid.rows)
        ]
    )
    assert (np.isnan(scores[0]) == (share > 0.5)).all(), "the block's own pixels are missing, and nothing else"
    np.testing.assert_allclose(scores[:, share == 0], expected[:, share == 0], atol=2e-6)
