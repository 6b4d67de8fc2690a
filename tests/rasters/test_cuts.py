"""What a pixel is does not depend on the window in which it is read; and blocks are read once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from fullconv.rasters import blocks, zarrs
from fullconv.rasters import kept as kept_blocks
from fullconv.rasters.blocks import Blocks
from fullconv.rasters.open import open_source
from fullconv.rasters.resample import Axis, resampled
from fullconv.rasters.source import About, Level, Window
from fullconv.rasters.view import Selection, View
from tests.rasters import pictures

SCENE = pictures.scene(403, 397)


@given(
    st.integers(5, 90), st.floats(0.15, 7.0), st.integers(0, 10**6), st.integers(0, 10**6)
)  # fmt: skip
def test_a_window_of_a_resampled_image_is_the_whole_bit_for_bit(length: int, scale: float, a: int, b: int) -> None:
    rng = np.random.default_rng(a)
    values = rng.normal(0, 100, (length, 2 * length, 2)).astype(np.float32)
    axes = Axis(length, max(1, round(length / scale))), Axis(2 * length, max(1, round(2 * length / scale)))
    whole = resampled(values, (0, 0), axes, (0, axes[0].count), (0, axes[1].count))
    first = a % axes[0].count, b % axes[1].count
    last = first[0] + 1 + b % (axes[0].count - first[0]), first[1] + 1 + a % (axes[1].count - first[1])
    need = axes[0].needs(first[0], last[0]), axes[1].needs(first[1], last[1])
    part = values[slice(*need[0]), slice(*need[1])]
    made = resampled(part, (need[0][0], need[1][0]), axes, (first[0], last[0]), (first[1], last[1]))
    np.testing.assert_array_equal(made, whole[first[0] : last[0], first[1] : last[1]])


@pytest.mark.parametrize("size", [(150, 91), (403, 200), (806, 700)])
def test_resampling_is_pillows(size: tuple[int, int]) -> None:
    """Pillow's bilinear filter, of a whole image, is the same triangle."""
    from PIL import Image

    plane = SCENE[:, :, 0].astype(np.float32)
    expected = np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR))
    axes = Axis(403, size[0]), Axis(397, size[1])
    made = resampled(plane[:, :, None], (0, 0), axes, (0, size[0]), (0, size[1]))
    np.testing.assert_allclose(made[:, :, 0], expected, rtol=1e-5, atol=1e-3)


def _cuts(view: View) -> None:
    """The whole, and the whole put together of windows, are the same pixels."""
    height, width = view.size
    whole, _ = view.read((0, height), (0, width))
    for step in ((37, 53), (height, 29), (64, width)):
        for top in range(0, height, step[0]):
            for left in range(0, width, step[1]):
                rows, cols = (top, min(top + step[0], height)), (left, min(left + step[1], width))
                np.testing.assert_array_equal(view.read(rows, cols)[0], whole[slice(*rows), slice(*cols)])


@pytest.mark.parametrize("reader", ["tifffile", "openslide"])
@pytest.mark.parametrize("select", [Selection(level=1), Selection(mpp=1.3), Selection(mpp=0.37)])
def test_levels_of_a_slide_do_not_depend_on_the_cut(
    reader: str, select: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level of 403 / 4 px is no whole part of the finest: openslide interpolates where a window does not start on one of its pixels."""
    if reader == "openslide":
        monkeypatch.setattr("fullconv.rasters.open._reads_tiff", lambda: False)
        monkeypatch.setattr("fullconv.rasters.slide._BLOCK", 32)
    with closing(View(pictures.svs(tmp_path / "x.svs", SCENE), select)) as view:
        _cuts(view)


def test_both_readers_give_a_slide_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pictures.svs(tmp_path / "x.svs", SCENE)
    with closing(View(path)) as own:
        monkeypatch.setattr("fullconv.rasters.open._reads_tiff", lambda: False)
        with closing(View(path)) as vendors:
            both = [view.read((0, 403), (0, 397))[0].astype(int) for view in (own, vendors)]
            assert np.abs(both[0] - both[1]).max() <= 2  # two builds of one JPEG decoder
            for view in (own, vendors):
                assert view.about.pixel_size == (0.5, 0.5)
                assert [(level.height, level.width) for level in view.about.levels] == [(403, 397), (100, 99), (25, 24)]


def test_missing_pixels_have_no_weight_in_their_neighbours(tmp_path: Path) -> None:
    values = np.full((80, 80, 1), 100, np.float32)
    values[20:40, 30:60] = np.nan
    pictures.geotiff(tmp_path / "x.tif", values)
    with closing(View(tmp_path / "x.tif", Selection(mpp=25))) as view:
        pixels, missing = view.read((0, view.size[0]), (0, view.size[1]))
        _cuts(view)
    assert missing is not None
    assert 60 < missing.sum() < 130  # 600 pixels of 2.5² each
    np.testing.assert_allclose(pixels[~missing], 100, rtol=1e-5)


def test_what_is_transparent_has_no_weight_in_its_neighbours(tmp_path: Path) -> None:
    """What shows nothing at all is laid over white and missing; beside it the colour is as it was written."""
    values = np.full((80, 80, 4), (100, 60, 20, 255), np.uint8)
    values[20:40, 30:60, 3] = 0
    pictures.geotiff(tmp_path / "x.tif", values, alpha=True)
    with closing(View(tmp_path / "x.tif", Selection(mpp=25))) as view:
        pixels, missing = view.read((0, view.size[0]), (0, view.size[1]))
        _cuts(view)
    assert missing is not None
    assert 60 < missing.sum() < 130
    assert np.abs(pixels[~missing].astype(int) - (100, 60, 20)).max() <= 1


class _Counted:
    """A source that counts what is read of it."""

    def __init__(self, tile: tuple[int, int]) -> None:
        self.about = About("x", 3, "uint8", (Level(403, 397, tile),), white=255)
        self.windows: list[tuple[tuple[int, int], tuple[int, int]]] = []

    def read(self, level, rows, cols, bands) -> Window:
        self.windows.append((rows, cols))
        return Window(SCENE[slice(*rows), slice(*cols)][:, :, list(bands)])

    def close(self) -> None:
        pass


@pytest.mark.parametrize("tile", [(403, 397), (200, 397), (100, 128)])
def test_blocks_are_read_once_and_counted(tile: tuple[int, int]) -> None:
    source = _Counted(tile)
    kept = Blocks(source)
    for top in range(0, 403, 50):
        for left in range(0, 397, 60):
            rows, cols = (top, min(403, top + 70)), (left, min(397, left + 80))
            np.testing.assert_array_equal(
                kept.read(0, rows, cols, (2, 1)).pixels, SCENE[slice(*rows), slice(*cols)][:, :, [2, 1]]
            )
    assert len(source.windows) == len(set(source.windows)) == -(-403 // tile[0]) * -(-397 // tile[1])
    assert kept.about.held >= 403 * 397 * 3
    assert kept.about.levels[0].once


def test_no_more_blocks_are_kept_than_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_blocks, "KEPT", 1000)
    source = _Counted((100, 128))
    kept = Blocks(source)
    for top in range(0, 403, 50):
        kept.read(0, (top, min(403, top + 70)), (0, 397), range(3))
        assert len(kept._kept) <= 4
        assert kept._kept.bytes <= 4 * 100 * 128 * 3
    assert kept.about.held == 5 * 100 * 128 * 3


@pytest.mark.parametrize("kind", ["strip.tif", "strip-deflate.tif", "one-chunk.zarr"])
def test_one_block_is_decoded_once_and_counted(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TIFF of one strip, an array of one chunk: what is kept of them is in the plan's memory."""
    monkeypatch.setattr(blocks, "LARGE", 2000)
    path = tmp_path / kind
    if kind.endswith("zarr"):
        zarr.create_array(path, data=SCENE, chunks=SCENE.shape)
    else:
        compression = "deflate" if "deflate" in kind else None
        tifffile.imwrite(path, SCENE, photometric="rgb", rowsperstrip=403, compression=compression)
    source = open_source(path)
    plain = kind == "strip.tif"  # its rows lie in the file as they are
    packed = SCENE.nbytes if kind.endswith("zarr") else 0  # the chunk as it lies there, at most
    assert source.about.held == (0 if plain else 2 * SCENE.nbytes + packed)
    for rows, cols in (((0, 40), (0, 50)), ((300, 403), (100, 397))):
        np.testing.assert_array_equal(source.read(0, rows, cols, range(3)).pixels, SCENE[slice(*rows), slice(*cols)])
    source.close()


def test_a_window_of_many_chunks_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zarr decodes all chunks of a request side by side, whatever that takes; so no request is of more than a few."""
    monkeypatch.setattr(zarrs, "_PIECE", 9000)
    zarr.create_array(tmp_path / "x.zarr", data=SCENE, chunks=(40, 50, 3))
    asked: list[int] = []
    window = zarrs.window_of

    def counted(array: object, axes: str, rows: tuple[int, int], cols: tuple[int, int], bands: object) -> np.ndarray:
        asked.append((rows[1] - rows[0]) * (cols[1] - cols[0]) * 3)
        return window(array, axes, rows, cols, bands)

    monkeypatch.setattr(zarrs, "window_of", counted)
    source = open_source(tmp_path / "x.zarr")
    for rows, cols in (((0, 403), (0, 397)), ((39, 41), (49, 351)), ((45, 47), (3, 9))):
        np.testing.assert_array_equal(source.read(0, rows, cols, range(3)).pixels, SCENE[slice(*rows), slice(*cols)])
    np.testing.assert_array_equal(source.read(0, (5, 99), (7, 120), (2, 0)).pixels, SCENE[5:99, 7:120, [2, 0]])
    source.close()
    assert max(asked) <= 9000
    assert len(asked) > 60
