"""Disks that fill up, that become read-only, and an upgrade half-way: the same command goes on, and the bytes are those of one run."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from itertools import repeat
from math import prod
from pathlib import Path

import numpy as np
import pytest

from fullconv import map_raster, version
from fullconv.errors import BadInput
from fullconv.results.local import Local
from fullconv.stream import plan
from fullconv.stream.processor import Processor
from fullconv.tiling.tiles import Tile, Tiles
from tests.stream import runs

HOW = {"preprocess": "unit", "memory": 195 << 20}


def _namespace() -> bool:
    """Whether this system lets a user have mounts of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.skipif(not _namespace(), reason="no mounts of one's own here")
def test_a_real_disk_that_fills_and_one_that_is_read_only(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 700, 600)
    disk = tmp_path / "disk"
    disk.mkdir()
    run = " ".join(f"'{part}'" for part in runs.command(image, disk / "x.zarr", memory="220MB"))
    script = f"""
    set -u
    mount -t tmpfs -o size=500k tmpfs '{disk}'
    {run}; echo "first $?"
    mount -o remount,size=40M,ro '{disk}'
    {run}; echo "third $?"
    mount -o remount,rw '{disk}'
    {run}; echo "fourth $?"
    ls -A '{disk}'
    cp -r '{disk}/x.zarr' '{tmp_path}/copy.zarr'
    """
    done = subprocess.run(["unshare", "-rm", "bash", "-c", script], capture_output=True, text=True, check=False)
    told = done.stdout.splitlines()
    assert [line for line in told if line.split()[0] in ("first", "third", "fourth")] == [
        "first 2", "third 2", "fourth 0",
    ], done.stderr  # fmt: skip
    assert done.stderr.count("the disk is full; free some space and give the same command again") == 1
    assert done.stderr.count("Read-only file system") == 1
    assert told[-1] == "x.zarr", "nothing is left beside it"
    subprocess.run(runs.command(image, tmp_path / "whole.zarr", memory="220MB"), capture_output=True, check=True)
    assert runs.digest(tmp_path / "copy.zarr") == runs.digest(tmp_path / "whole.zarr")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tiles, dict[str, str]]:
    """An image, the tiles of its map, and the bytes of that."""
    folder = tmp_path_factory.mktemp("whole")
    image = runs.picture(folder / "x.npy", 700, 600)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "_planned_base", lambda *_: 180 << 20)
        found = map_raster(runs.digits(), image, folder / "x.zarr", **HOW)
    return image, found.record.tiles, runs.digest(folder / "x.zarr")


@pytest.mark.parametrize(
    ("number", "where"),
    [(errno.EROFS, "chunk"), (errno.EIO, "mark"), (errno.ENOSPC, "root"), (errno.EROFS, "root")],
)
def test_a_disk_that_fails_half_way(
    whole, number: int, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, tiles, expected = whole
    model = runs.digits()
    assert len(tiles) > 3
    kind, name, after = {
        "chunk": (Local, "put", sum(map(_chunks, repeat(tiles), list(tiles)[:2]))),
        "mark": (Local, "mark", 1),
        "root": (Local, "commit", 0),
    }[where]
    original, calls = getattr(kind, name), []

    def failing(*args: object, **more: object) -> object:
        calls.append(args)
        if len(calls) > after:
            raise OSError(number, os.strerror(number))
        return original(*args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(kind, name, failing)
        with pytest.raises(
            BadInput, match="the disk is full" if number == errno.ENOSPC else "nothing that was done is lost"
        ):
            map_raster(model, image, tmp_path / "x.zarr", **HOW)
    kept = len(runs.marks(tmp_path / "x.zarr"))
    assert kept == {"chunk": 2, "root": len(tiles)}.get(where, kept)
    assert 1 <= kept <= len(tiles)
    map_raster(model, image, tmp_path / "x.zarr", **HOW)
    assert runs.digest(tmp_path / "x.zarr") == expected


def _chunks(tiles: Tiles, tile: Tile) -> int:
    """Files of scores that a tile has."""
    sides = zip((tile.y, tile.x), tiles.lead, tiles.chunk, strict=True)
    return prod(-(-(side.cells[1] + lead) // size) - (side.cells[0] + lead) // size for side, lead, size in sides)


def _stopped(image: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **how: object) -> None:
    """A run that ends at its third tile."""
    original, count = Processor.finish, []

    def failing(self: Processor, ticket: object) -> object:
        count.append(ticket)
        if len(count) == 3:
            raise MemoryError
        return original(self, ticket)

    with monkeypatch.context() as patched:
        patched.setattr(Processor, "finish", failing)
        with pytest.raises(MemoryError):
            map_raster(runs.digits(), image, out, **HOW, **how)
    assert len(runs.marks(out)) == 2


def test_an_upgrade_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version that computes the same goes on; one that computes otherwise says so."""
    image, out = runs.picture(tmp_path / "x.npy", 700, 600), tmp_path / "x.zarr"
    _stopped(image, out, monkeypatch)
    done = []
    monkeypatch.setattr(version, "__version__", "99.0")
    with monkeypatch.context() as patched:
        patched.setattr(version, "NUMERICS", 99)
        with pytest.raises(
            BadInput, match=r"how fullconv computes: another version of it made that result.*\n.*--restart"
        ):
            map_raster(runs.digits(), image, out, **HOW)
    map_raster(runs.digits(), image, out, report=lambda event, what: done.append((event, what)), **HOW)
    assert done[0][1]["done"] == 2, "what was done before is not done again"


def test_missing_data_that_is_no_number_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN equals nothing, itself neither; as what stands for no data it is the same as before."""
    image, out = runs.picture(tmp_path / "x.npy", 700, 600), tmp_path / "x.zarr"
    pixels = np.load(image).astype(np.float32)
    pixels[100:200, 100:200] = np.nan
    np.save(image, pixels)
    _stopped(image, out, monkeypatch, nodata=float("nan"))
    told = []
    how = {**HOW, "nodata": float("nan"), "report": lambda event, what: told.append((event, what))}
    map_raster(runs.digits(), image, out, **how)
    assert told[0][1]["done"] == 2
    map_raster(runs.digits(), image, out, **how)
    assert told[-1][0] == "finished"


@pytest.mark.long
def test_an_output_that_is_removed_meanwhile(whole, tmp_path: Path) -> None:
    image, _, expected = whole
    out = tmp_path / "x.zarr"
    for what, told in (
        ("all", "was removed while it was written"),
        ("0", "parts of it were removed while it was written"),
    ):
        count: list[int] = []

        def removing(event: str, _: object, what: str = what, count: list[int] = count) -> None:
            if event == "tile":
                count.append(1)
                if len(count) == 2:
                    (out if what == "all" else out / what).rename(tmp_path / f"gone {what}")  # others write meanwhile

        with pytest.raises(BadInput, match=told):
            map_raster(runs.digits(), image, out, report=removing, **HOW)
        map_raster(runs.digits(), image, out, **HOW)
        assert runs.digest(out) == expected
        shutil.rmtree(out)
