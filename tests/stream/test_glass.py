"""Clear glass by a coarser level: what is left unread is blank, whatever the cut, and a level that lies drops nothing."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from fullconv.geometry.grid import Grid
from fullconv.maps.missing import share_of
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.view import Selection, View
from fullconv.stream.blank import blank, own_square
from fullconv.stream.glass import Glass, clear_pixels, glass_of, level_for
from fullconv.stream.job import Job
from fullconv.stream.work import Worker
from fullconv.tiling.cut import Side
from fullconv.tiling.tiles import Tile

SIDE = 1536


def slide() -> np.ndarray:
    """Pink patches with fibres, a dark one and a pale one, on noisy glass; (H, W, 3) uint8."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE]
    out = np.full((SIDE, SIDE, 3), 243.0)
    for top, left, high, wide, colour in (
        (200, 150, 180, 260, (205, 140, 180)),
        (900, 700, 130, 90, (60, 30, 80)),
        (1100, 200, 200, 150, (236, 222, 231)),
    ):
        inside = ((y - top) / high) ** 2 + ((x - left) / wide) ** 2 < 1 + 0.2 * np.sin(x / 17) * np.cos(y / 11)
        out[inside] = colour
    out[1300:1303, 900:1400] = (150, 90, 120)  # a fibre of three pixels
    return np.clip(out + rng.normal(0, 3, out.shape), 0, 255).astype(np.uint8)


SLIDE = slide()


def shrunk(pixels: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor * factor for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def pyramid(path: Path, *levels: np.ndarray) -> Path:
    with tifffile.TiffWriter(path) as file:
        for i, level in enumerate(levels):
            how = {"subifds": len(levels) - 1} if i == 0 else {"subfiletype": 1}
            file.write(level, tile=(128, 128), photometric="rgb", compression="deflate", **how)
    return path


def honest(path: Path) -> Path:
    return pyramid(path, SLIDE, shrunk(SLIDE, 4), shrunk(SLIDE, 16))


def cells(step: int = 32, crop: int = 64, size: tuple[int, int] = (SIDE, SIDE)) -> Grid:
    pair, side = (Fraction(step),) * 2, (Fraction(crop),) * 2
    counts = [(length - crop) // step + 1 for length in size]
    return Grid(counts[0], counts[1], pair, side, (Fraction(crop - 1, 2),) * 2, side, size)


def shows(grid: Grid, pixels: np.ndarray) -> np.ndarray:
    """Share of each cell's own square that is not blank, by all pixels."""
    (top, left), own = own_square(grid)
    rows, cols = (np.arange(count) * 32 + first for count, first in ((grid.rows, top), (grid.cols, left)))
    return 1 - share_of(blank(pixels), rows, cols, own)


def test_clear_cells_are_blank_and_most_blank_ones_are_clear(tmp_path: Path) -> None:
    with closing(View(honest(tmp_path / "x.tif"))) as view:
        grid = cells()
        assert level_for(view, grid) == 2
        glass = glass_of(view, grid, 0.1)
        assert glass is not None
        clear = glass.clear((0, grid.rows), (0, grid.cols))
        shown = shows(grid, SLIDE)
        assert not (clear & (shown >= 0.02)).any()
        assert clear.sum() > 0.5 * (shown < 0.1).sum()
        # Around a cell that shows anything no cell is clear: a level that is off by a cell's own square drops nothing.
        for row, col in zip(*np.nonzero(shown >= 0.5), strict=True):
            assert not clear[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2].any()
        for step in (1, 5, 17):
            for row in range(0, grid.rows, step):
                part = (row, min(row + step, grid.rows)), (7, 7 + step)
                np.testing.assert_array_equal(glass.clear(*part), clear[part[0][0] : part[0][1], 7 : 7 + step])


@pytest.mark.parametrize(("step", "level"), [(8, 1), (16, 1), (32, 2), (64, 2)])
def test_a_level_is_chosen_by_the_cells(step: int, level: int, tmp_path: Path) -> None:
    with closing(View(honest(tmp_path / "x.tif"))) as view:
        assert level_for(view, cells(step, 128)) == level


def test_what_is_read_coarser_asks_a_coarser_level_still(tmp_path: Path) -> None:
    with closing(View(honest(tmp_path / "x.tif"), Selection(level=1))) as view:
        assert level_for(view, cells(32, 64, view.size)) == 2
    with closing(View(honest(tmp_path / "x.tif"), Selection(level=2))) as view:
        assert level_for(view, cells(32, 64, view.size)) is None


def _shifted(level: np.ndarray, by: int) -> np.ndarray:
    return np.roll(level, (by, by), axis=(0, 1))


LIES = {
    "blank": np.full((96, 96, 3), 243, np.uint8),
    "another": np.ascontiguousarray(shrunk(SLIDE, 16)[::-1, ::-1]),
    "shifted": _shifted(shrunk(SLIDE, 16), 8),
    "black": np.zeros((96, 96, 3), np.uint8),
    "brightened": np.clip(shrunk(SLIDE, 16).astype(int) + 90, 0, 255).astype(np.uint8),
    "narrow": np.ascontiguousarray(np.full((96, 60, 3), 243, np.uint8)),
}


@pytest.mark.parametrize(
    "overview", [512, 64]
)  # the picture on which borders are looked for: by the full pixels, or by the lie
@pytest.mark.parametrize("lie", LIES)
def test_a_level_that_lies_drops_nothing(
    lie: str, overview: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.stream.glass._OVERVIEW", overview)
    with closing(View(pyramid(tmp_path / "x.tif", SLIDE, shrunk(SLIDE, 4), LIES[lie]))) as view:
        grid = cells()
        assert level_for(view, grid) == (1 if lie == "narrow" else 2)
        glass = glass_of(view, grid, 0.1)
        assert (glass is not None) == (lie in ("black", "narrow"))
        if glass is not None:
            assert not (glass.clear((0, grid.rows), (0, grid.cols)) & (shows(grid, SLIDE) >= 0.1)).any()


def test_a_part_of_a_level_that_does_not_decode_is_left_to_the_full_pixels(tmp_path: Path) -> None:
    path = honest(tmp_path / "x.tif")
    with tifffile.TiffFile(path) as file:
        page = file.series[0].levels[2].keyframe
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * count)
    with closing(View(path)) as view:
        grid = cells()
        assert not Glass(view, grid, 2).clear((0, grid.rows), (0, grid.cols)).any()


def _loaded(image: object, each: int, where: str = "auto") -> tuple[np.ndarray, int]:
    """Which cells are mapped, tile by tile of so many cells a side, and how many pixels were read for it."""
    with closing(View(image)) as view:
        grid, read, own = cells(), [], view.read
        job = Job(image, "", Preprocess.of("unit"), (), where=where)
        worker = Worker(job, SimpleNamespace(model=SimpleNamespace(image_shape=(3, 64, 64))), view, None, grid, grid)
        assert worker._glass is None or image is not SLIDE  # what it is believed by is read before
        view.read = lambda rows, cols: read.append((rows[1] - rows[0]) * (cols[1] - cols[0])) or own(rows, cols)
        mapped = np.zeros((grid.rows, grid.cols), bool)
        for row in range(0, grid.rows, each):
            for col in range(0, grid.cols, each):
                spans = [(a, min(a + each, count)) for a, count in ((row, grid.rows), (col, grid.cols))]
                sides = [Side(span, ((span[0] * 32, (span[1] - 1) * 32 + 64),)) for span in spans]
                loaded = worker.load(Tile(row, col, sides[0], sides[1]))
                assert (loaded.pixels is None) == (not loaded.answers.any())
                mapped[slice(*spans[0]), slice(*spans[1])] = loaded.answers
        return mapped, sum(read)


def test_blank_tiles_are_not_read_and_the_cells_are_those_of_the_flat_image(tmp_path: Path) -> None:
    path = honest(tmp_path / "x.tif")
    flat, every = _loaded(SLIDE, 6)
    assert 0.1 < flat.mean() < 0.5
    assert every > SIDE**2
    found, few = _loaded(path, 6)
    np.testing.assert_array_equal(found, flat)
    assert few < 0.6 * every
    for each in (3, 11, 60):
        np.testing.assert_array_equal(_loaded(path, each)[0], flat)


def test_what_holds_no_data_is_no_clear_glass() -> None:
    pixels = np.full((3, 4, 3), 240, np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[0, 2], pixels[0, 3] = 229, (230, 240, 241), (230, 240, 240), 230
    missing = np.zeros((3, 4), bool)
    missing[2, 1:3] = True
    expected = np.ones((3, 4), bool)
    expected[0, :2] = expected[2, 1:3] = False
    np.testing.assert_array_equal(clear_pixels(pixels, missing), expected)
