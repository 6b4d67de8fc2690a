"""The benchmark's slide of repeated tiles is an image like any other: what each reader makes of it is made of the tiles of a real file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from benchmarks.gpu.slide import repeated  # noqa: E402
from benchmarks.scene import jpeg_tiff  # noqa: E402

from fullconv.rasters.view import View  # noqa: E402

SIDE, TILE = 1100, 512


def test_a_slide_of_repeated_tiles_is_read_as_one(tmp_path: Path) -> None:
    path = repeated(tmp_path / "slide.tif", SIDE)
    tiles = tifffile.imread(jpeg_tiff(tmp_path / "tiles.tif", SIDE))
    known = {tiles[y : y + 64, x : x + 64].tobytes() for y in range(0, SIDE, TILE) for x in range(0, SIDE, TILE)}
    whole = tifffile.imread(path)
    assert whole.shape == (SIDE, SIDE, 3)
    assert all(
        whole[y : y + 64, x : x + 64].tobytes() in known for y in range(0, SIDE, TILE) for x in range(0, SIDE, TILE)
    )
    with closing(View(path)) as view:
        np.testing.assert_array_equal(view.read((0, SIDE), (0, SIDE))[0], whole)
    assert path.stat().st_size < 2 * (tmp_path / "tiles.tif").stat().st_size
    repeated(tmp_path / "large.tif", 40 * TILE)
    assert (tmp_path / "large.tif").stat().st_size < 8 << 20
    with closing(View(tmp_path / "large.tif")) as view:
        assert view.size == (40 * TILE, 40 * TILE)
        assert view.read((20000, 20010), (20000, 20010))[0].shape == (10, 10, 3)
