"""The image's tiles, asked for by many at once, and what is kept of them."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from fullconv.rasters.access import NONE
from fullconv.viewer.cache import Cache
from fullconv.viewer.picture import Look, Picture
from tests.viewer.conftest import pixels


def test_threads_that_choose_other_bands_get_their_own(tmp_path: Path) -> None:
    """More choices than views that are open at once: one is closed behind its last reader."""
    image = np.stack([pixels((300, 700), seed) for seed in range(3)], axis=-1)
    tifffile.imwrite(tmp_path / "x.tif", image, tile=(128, 128), photometric="rgb")
    picture = Picture(str(tmp_path / "x.tif"), NONE)
    looks = [Look((first, second, 1), None) for first, second in product((1, 2, 3), repeat=2)]

    def ask(look: Look, col: int) -> bool:
        tile = np.asarray(Image.open(io.BytesIO(picture.tile(0, 0, col, look)[0])))
        bands = [band - 1 for band in look.bands]
        return bool((tile == image[:, col * 512 : (col + 1) * 512][..., bands]).all())

    asked = [(look, col) for _ in range(2) for look in looks for col in (0, 1)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, *zip(*asked, strict=True)))
    picture.close()


def test_a_flat_file_ends_where_a_pixel_would_be_made_of_too_many(tmp_path: Path) -> None:
    wide = np.zeros((8, 70_000), np.uint8)
    wide[:, ::2] = 100
    tifffile.imwrite(tmp_path / "x.tif", wide, tile=(16, 1024), photometric="minisblack")
    picture = Picture(str(tmp_path / "x.tif"), NONE)
    assert picture.levels == 6  # 1, 2, ... 32
    coarse = np.asarray(Image.open(io.BytesIO(picture.tile(5, 0, 0, picture.plain)[0])))
    assert coarse.shape == (1, 512)
    assert abs(int(coarse[0, 100]) - 50) <= 1
    picture.close()


def test_what_is_kept_stays_within_bounds(tmp_path: Path) -> None:
    cache = Cache(held=100, kept=250)
    for i in range(10):
        cache.put(str(i), bytes([i]) * 60)
        assert cache.get("0") is not None or i > 3
        cache.get("0")
    assert sum(path.stat().st_size for path in cache._folder.iterdir()) <= 250
    assert cache.get("9") == bytes([9]) * 60
    assert cache.get("1") is None
    assert cache.get("0") == bytes(60)  # asked for again and again
    folder = cache._folder
    cache.close()
    assert not folder.exists()


def test_a_level_that_was_rounded_down_is_the_one_that_is_read(tmp_path: Path) -> None:
    """Scanners cut an odd row off when they halve: the finer level would be four times the work for the same pixels, or sixteen."""
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(np.full((1201, 1801), 10, np.uint8), tile=(256, 256), subifds=1, photometric="minisblack")
        ramp = np.tile(np.linspace(50, 250, 900).astype(np.uint8), (600, 1))
        writer.write(ramp, tile=(256, 256), subfiletype=1, photometric="minisblack")
    picture = Picture(str(tmp_path / "x.tif"), NONE)
    assert picture.size(1) == (601, 901)
    right = np.asarray(Image.open(io.BytesIO(picture.tile(1, 0, 1, picture.plain)[0])))
    left = np.asarray(Image.open(io.BytesIO(picture.tile(1, 1, 0, picture.plain)[0])))
    assert (left.shape, right.shape) == ((89, 512), (512, 389))
    seen = np.concatenate([left[0], right[-1]]).astype(float)
    np.testing.assert_allclose(seen, 50 + 200 * (np.arange(901) + 0.5) / 901, atol=3)  # over all of its width
    assert (
        np.asarray(Image.open(io.BytesIO(picture.tile(0, 0, 0, picture.plain)[0]))).max() == 10
    )  # the finest is the file's own
    picture.close()


def test_what_is_seen_first_is_there_before_it_is_asked_for(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", pixels((700, 2100)), tile=(256, 256), photometric="minisblack")
    picture = Picture(str(tmp_path / "x.tif"), NONE)
    picture.prepare()
    kept = {name.partition("-Look")[0] for name in picture.cache._kept}
    assert kept == {"3-0-0", "2-0-0", "2-0-1"}
    picture.close()
