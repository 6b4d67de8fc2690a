"""Images that several threads read: the same pixels, each block decoded once, the same errors, and nothing closed under a reader."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Event, Lock, Thread

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from fullconv.rasters import again, blocks
from fullconv.rasters import kept as kept_blocks
from fullconv.rasters.blocks import Blocks
from fullconv.rasters.boundary import blocks_of
from fullconv.rasters.kept import Windows
from fullconv.rasters.source import About, Level, Unreadable, Window
from fullconv.rasters.view import Selection, View
from fullconv.stream.spoiled import read_around
from tests.rasters import pictures

SCENE = pictures.scene(403, 397)
WINDOWS = [((top, min(top + 90, 403)), (left, min(left + 120, 397))) for top in range(0, 403, 61) for left in range(0, 397, 83)]  # fmt: skip


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "processors", lambda: 4)
    monkeypatch.setattr(blocks, "threads", lambda: None)


def _hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=SCENE, chunks=(64, 64, 3), compression="gzip")
    return path


def _tiff(path: Path, **how: object) -> Path:
    tifffile.imwrite(path, SCENE, photometric="rgb", **how)
    return path


def _zarr(path: Path) -> Path:
    zarr.create_array(path, data=SCENE, chunks=(64, 64, 3))
    return path


def _npy(path: Path) -> Path:
    np.save(path, SCENE)
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "tiles.tif": lambda path: _tiff(path, tile=(64, 64), compression="deflate"),
    "strips.tif": lambda path: _tiff(path, rowsperstrip=16, compression="deflate"),
    "planar.tif": lambda path: _tiff_planar(path),
    "geo.tif": lambda path: pictures.geotiff(path, SCENE, blockxsize=64, blockysize=64),
    "geo_strips.tif": lambda path: pictures.geotiff(path, SCENE, tiled=False, blockysize=16),
    "x.zarr": _zarr,
    "x.h5": _hdf5,
    "x.npy": _npy,
    "x.png": lambda path: pictures.png(path, SCENE),
}


def _tiff_planar(path: Path) -> Path:
    planes = np.ascontiguousarray(SCENE.transpose(2, 0, 1))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=(64, 64), compression="deflate")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_threads_read_what_one_reads(kind: str, tmp_path: Path) -> None:
    """Windows stay what they were, too, while others are read."""
    with closing(View(KINDS[kind](tmp_path / kind))) as view, ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda window: view.read(*window)[0], WINDOWS * 2))
        for (rows, cols), pixels in zip(WINDOWS * 2, read, strict=True):
            np.testing.assert_array_equal(pixels, SCENE[slice(*rows), slice(*cols)])


@pytest.mark.parametrize("reader", ["tifffile", "openslide"])
@pytest.mark.parametrize("select", [Selection(), Selection(mpp=1.3)])
def test_threads_read_a_slide(reader: str, select: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reader == "openslide":
        monkeypatch.setattr("fullconv.rasters.open._reads_tiff", lambda: False)
        monkeypatch.setattr("fullconv.rasters.slide._BLOCK", 64)
    monkeypatch.setattr(kept_blocks, "KEPT", 20 * 64 * 64 * 4)
    with closing(View(pictures.svs(tmp_path / "x.svs", SCENE, tile=64), select)) as view, ThreadPoolExecutor(4) as pool:
        height, width = view.size
        whole, _ = view.read((0, height), (0, width))
        parts = [((top, min(top + 50, height)), (0, width)) for top in range(0, height, 31)]
        for (rows, cols), (pixels, _) in zip(parts, pool.map(lambda part: view.read(*part), parts), strict=True):
            np.testing.assert_array_equal(pixels, whole[slice(*rows), slice(*cols)])


class _Slow:
    """A source of which several blocks are decoded at a time, or else it waits for ever; counts them."""

    def __init__(self, at_once: int, spoiled: tuple[tuple[int, int], ...] = ()) -> None:
        self.about = About("x", 3, "uint8", (Level(403, 397, (64, 64)),), white=255, parallel=True)
        self._gate, self._spoiled, self._lock = Barrier(at_once, timeout=20), spoiled, Lock()
        self.read_: list[tuple[int, int]] = []
        self.closed = False

    def read(self, level, rows, cols, bands) -> Window:
        self._gate.wait()
        with self._lock:
            self.read_.append((rows[0], cols[0]))
        if (rows[0], cols[0]) in self._spoiled:
            raise ValueError(f"block {rows[0]}, {cols[0]}")
        assert not self.closed
        return Window(SCENE[slice(*rows), slice(*cols)][:, :, list(bands)])

    def close(self) -> None:
        self.closed = True


def test_blocks_of_a_window_are_decoded_side_by_side() -> None:
    source = _Slow(4)
    kept = Blocks(source)
    found = kept.read(0, (0, 250), (0, 256), range(3))  # 16 blocks, four at a time
    np.testing.assert_array_equal(found.pixels, SCENE[:250, :256])
    assert kept.about.held == 7 * 7 * 64 * 64 * 3 + 3 * 4 * 64 * 64 * 3
    kept.close()
    assert source.closed


def test_no_more_threads_decode_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "threads", lambda: 1)
    source = _Slow(1)
    kept = Blocks(source)
    kept.read(0, (0, 250), (0, 256), range(3))
    assert kept._pool is None
    assert source.read_ == sorted(source.read_)
    kept.close()


def test_two_windows_share_their_blocks() -> None:
    source = _Slow(1)
    kept = Blocks(source)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: kept.read(0, (0, 403), (0, 397), range(3)).pixels, range(8)))
    assert all((pixels == SCENE).all() for pixels in read)
    assert len(source.read_) == len(set(source.read_)) == 49
    kept.close()


def test_what_the_next_tile_shares_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles follow each other from left to right: of a window larger than what is kept, its last columns are."""
    monkeypatch.setattr(kept_blocks, "KEPT", 2 * 7 * 64 * 64 * 3)  # two columns of seven
    source = _Slow(1)
    kept = Blocks(source)
    kept.read(0, (0, 403), (0, 256), range(3))
    assert sorted(key[1:3] for key in kept._kept._last) == [(y, x) for y in range(0, 403, 64) for x in (128, 192)]
    kept.read(0, (0, 403), (150, 397), range(3))
    assert len(source.read_) == len(set(source.read_)) == 49
    assert kept._kept.bytes <= 2 * 7 * 64 * 64 * 3
    kept.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_what_the_tile_below_shares_is_kept_where_a_row_has_room(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of whole rows follow each other downwards: no block is decoded twice, and no more is held than is planned. Where a row has no room, some are."""
    block = 64 * 64 * 3
    sides = [[(0, 140), (130, 250), (230, 330), (325, 403)], [(0, 150), (130, 270), (260, 397)]]
    monkeypatch.setattr(blocks, "threads", lambda: threads)
    for room, once in ((7 + 2 * 3, True), (7 + 2 * 3 - 1, False)):
        monkeypatch.setattr(kept_blocks, "KEPT", room * block)
        source = _Slow(1)
        kept = Blocks(source)
        for rows in sides[0]:
            for cols in sides[1]:
                found = kept.read(0, rows, cols, range(3))
                np.testing.assert_array_equal(found.pixels, SCENE[slice(*rows), slice(*cols)])
                assert kept._kept.bytes <= room * block
                held = [len(each) for each in (kept._kept._last, kept._kept._above, kept._kept._below)]
                assert sum(held) * block == kept._kept.bytes
        assert len(set(source.read_)) == 49
        assert (len(source.read_) == 49) == once
        kept.close()
        assert kept._kept.bytes == 0


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("down", [False, True], ids=["row by row", "in bands"])
@pytest.mark.parametrize("select", [Selection(), Selection(mpp=1.7)], ids=["as stored", "between levels"])
def test_windows_that_are_known_decode_no_block_twice(
    select: Selection, down: bool, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of any overlap; no more is held than was told. Unknown ones decode what two rows of tiles share twice."""
    monkeypatch.setattr(blocks, "threads", lambda: threads)
    monkeypatch.setattr(kept_blocks, "KEPT", 8 * 16 * 16 * 3)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, SCENE, photometric="rgb", tile=(16, 16), compression="deflate", resolution=(10_000, 10_000), resolutionunit=3)  # fmt: skip
    rng = np.random.default_rng(0)
    twice = 0
    for case in range(12):
        known = case % 3 > 0
        with closing(View(path, select)) as view:
            side = min(view.size)
            starts = sorted({0, *map(int, rng.integers(1, side - 40, int(rng.integers(0, 5))))})
            ends = sorted(min(side, end + int(rng.integers(0, 60))) for end in starts[1:])
            spans = [*zip(starts, (*ends, side + 9), strict=True)]  # what lies past the image is padding
            windows = Windows(spans, spans, down)
            told = kept_blocks.KEPT + view.room_beside(windows)
            if known:
                view.follow(windows)
            if case % 3 == 2:
                view.reopen()
            source = blocks_of(view._source)
            decoded, read = [], source._source.read
            source._source.read = lambda *window, own=read, seen=decoded: seen.append(window[:3]) or own(*window)
            for first in spans:
                for second in spans:
                    rows, cols = (second, first) if down else (first, second)
                    view.read(rows, cols)
                    assert source._kept.bytes <= told
                if known:
                    assert len(decoded) == len(set(decoded))
                twice += len(decoded) - len(set(decoded))
                if down:
                    decoded.clear()
    assert twice > 100


@pytest.mark.parametrize("down", [False, True], ids=["row by row", "in bands"])
def test_an_image_that_has_room_is_decoded_once_also_where_its_windows_are_known(down: bool) -> None:
    source = _Slow(1)
    with closing(Blocks(source)) as kept:
        assert kept.about.levels[0].once
        rows, cols = [(0, 200), (180, 403)], [(0, 150), (130, 280), (260, 397)]
        kept.follow(0, Windows(rows, cols, down))
        for top in rows:
            for left in cols:
                kept.read(0, top, left, (0, 1, 2))
    assert len(source.read_) == len(set(source.read_)) == 49


def test_a_row_that_is_kept_is_right_whatever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows anywhere, by several threads, of blocks some of which fail."""
    monkeypatch.setattr(kept_blocks, "KEPT", 15 * 64 * 64 * 3)
    source = _Slow(1, spoiled=((128, 128), (320, 64)))
    kept = Blocks(source)
    rng = np.random.default_rng(0)
    windows = [
        (tuple(sorted(map(int, rng.choice(404, 2, False)))), tuple(sorted(map(int, rng.choice(398, 2, False))))) for _ in range(200)
    ]  # fmt: skip

    def read(window: tuple[tuple[int, int], tuple[int, int]]) -> bool:
        rows, cols = window
        spoiled = any(
            y < rows[1] and y + 64 > rows[0] and x < cols[1] and x + 64 > cols[0] for y, x in ((128, 128), (320, 64))
        )
        try:
            found = kept.read(0, rows, cols, range(3)).pixels
        except ValueError:
            return spoiled
        return not spoiled and np.array_equal(found, SCENE[slice(*rows), slice(*cols)])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, windows))
    held = sum(map(len, (kept._kept._last, kept._kept._above, kept._kept._below)))
    assert kept._kept.bytes == held * 64 * 64 * 3 <= 16 * 64 * 64 * 3
    kept.close()


def test_what_is_kept_and_decoded_is_in_what_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_blocks, "KEPT", 400_000)
    scene = pictures.scene(1500, 1600)
    tifffile.imwrite(tmp_path / "x.tif", scene, photometric="rgb", tile=(128, 128), compression="deflate")
    with closing(View(tmp_path / "x.tif")) as view:
        view.read((0, 100), (0, 100))
        planned = view.stage_bytes(700, 700)
        assert planned < 700 * 700 * 3 + 400_000 + 3 * 4 * 128 * 128 * 3 + 1
        tracemalloc.start()
        for top in range(0, 800, 300):
            for left in range(0, 900, 300):
                view.read((top, top + 700), (left, left + 700))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 700 * 700 * 3 + 300_000 < peak <= planned


def test_a_helper_without_a_turn_holds_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it waits in the pool's queue, and the next window would be made in fresh memory."""
    monkeypatch.setattr(again, "_LEAST", 1)
    kept, busy = Blocks(_Slow(1)), Event()
    for _ in range(4):
        kept._started().submit(busy.wait, 20)
    for left in (0, 50, 100, 150, 147):
        kept.read(0, (0, 403), (left, left + 250), range(3))
    assert len(kept._again._all) == 1
    busy.set()
    kept.close()


def test_the_first_block_that_fails_is_told() -> None:
    source = _Slow(1, spoiled=((320, 0), (64, 128), (128, 64)))
    kept = Blocks(source)
    for _ in range(2):  # a block that failed is no block that is kept
        with pytest.raises(ValueError, match="block 64, 128"):
            kept.read(0, (0, 403), (0, 397), range(3))
    np.testing.assert_array_equal(kept.read(0, (192, 256), (0, 397), range(3)).pixels, SCENE[192:256])
    kept.close()


def _spoil(path: Path, block: int) -> None:
    """Overwrite one block of a TIFF with what does not decode."""
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[block], file.pages[0].databytecounts[block]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * count)


@pytest.mark.parametrize("kind", ["tiles.tif", "strips.tif", "geo.tif", "slide.svs"])
def test_what_does_not_decode_is_one_block_and_found_in_a_few_reads(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a small image, or of rows, no pixel is decoded twice; still what does not decode is a block, and not sought pixel by pixel."""
    if kind == "slide.svs":
        path = pictures.svs(tmp_path / kind, SCENE, tile=64)
        monkeypatch.setattr("fullconv.rasters.open._reads_tiff", lambda: False)
        monkeypatch.setattr("fullconv.rasters.slide._BLOCK", 64)
    else:
        path = KINDS[kind](tmp_path / kind)
    _spoil(path, 8)
    with closing(View(path)) as view:
        with pytest.raises(Unreadable, match=r"pixels 10 to 390 × 5 to 400 do not decode"):
            view.read((5, 400), (10, 390))
        reads = []
        read = view.read
        monkeypatch.setattr(view, "read", lambda *window: reads.append(window) or read(*window))
        pixels, missing, why = read_around(view, (0, 403), (0, 397))
    assert "do not decode" in why
    assert len(reads) < 60
    gone = np.zeros((403, 397), bool)
    if kind == "strips.tif":
        gone[128:144] = True
    else:
        gone[64:128, 64:128] = True
    np.testing.assert_array_equal(missing, gone)
    apart = np.abs(pixels[~gone].astype(int) - SCENE[~gone])
    assert apart.mean() < 8 if kind == "slide.svs" else not apart.any()  # JPEG


def test_a_block_that_fails_spoils_no_other_threads_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """openslide gives up on a slide after one error, whoever asked."""
    monkeypatch.setattr("fullconv.rasters.open._reads_tiff", lambda: False)
    monkeypatch.setattr("fullconv.rasters.slide._BLOCK", 64)
    monkeypatch.setattr(kept_blocks, "KEPT", 0)
    path = pictures.svs(tmp_path / "x.svs", SCENE, tile=64)
    _spoil(path, 8)
    rows = [((top, top + 64), (0, 397)) for top in (0, 64, 128, 192, 256)] * 4

    with closing(View(path)) as view, ThreadPoolExecutor(4) as pool:

        def read(window):
            try:
                return view.read(*window)[0]
            except Unreadable as error:
                return error

        for window, found in zip(rows, pool.map(read, rows), strict=True):
            assert isinstance(found, Unreadable) == (window[0][0] == 64), window


def test_an_image_is_opened_anew_when_nobody_reads(tmp_path: Path) -> None:
    with closing(View(KINDS["tiles.tif"](tmp_path / "x.tif"))) as view:
        inside, go, order = Event(), Event(), []
        source = view._source
        read, close = source.read, source.close

        def slow(*window):
            inside.set()
            assert go.wait(20)
            found = read(*window)
            order.append("read")
            return found

        source.read, source.close = slow, lambda: (order.append("closed"), close())
        reader = Thread(target=lambda: view.read((0, 100), (0, 100)))
        reader.start()
        assert inside.wait(20)
        opener = Thread(target=view.reopen)
        opener.start()
        opener.join(0.05)
        assert opener.is_alive()
        assert not order
        go.set()
        for thread in (reader, opener):
            thread.join(20)
        assert order == ["read", "closed"]
        np.testing.assert_array_equal(view.read((0, 403), (0, 397))[0], SCENE)


def test_what_cannot_be_missing_costs_nothing(tmp_path: Path) -> None:
    """A value for no data that the type does not have, or none: the pixels are those that were read, 8 bits deep, and not copied."""
    with closing(View(SCENE, Selection(nodata=-9999))) as view:
        pixels, missing = view.read((0, 403), (0, 397))
        assert not view.may_miss
        assert missing is None
        assert pixels.dtype == np.uint8
        assert np.shares_memory(pixels, SCENE)
    with closing(View(SCENE, Selection(nodata=float(SCENE[3, 5, 0])))) as view:
        before = SCENE.copy()
        _, missing = view.read((0, 403), (0, 397))
        np.testing.assert_array_equal(SCENE, before)
        expected = (SCENE[3, 5, 0] == SCENE).all(axis=2)
        assert (missing is None and not expected.any()) or np.array_equal(missing, expected)
    grey = SCENE[:, :, :1]
    with closing(View(grey, Selection(nodata=100))) as view:
        pixels, missing = view.read((0, 403), (0, 397))
        np.testing.assert_array_equal(missing, grey[:, :, 0] == 100)
        assert pixels.dtype == np.uint8
        assert not pixels[missing].any()
    numbers = SCENE.astype(np.float32)
    with closing(View(numbers)) as view:
        pixels, missing = view.read((0, 403), (0, 397))
        assert missing is None
        assert np.shares_memory(pixels, numbers)
