"""Several scales: boxes in pixels of the original image, fusion against a plain loop, merged peaks, files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.demonstration import demo_files
from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.maps.mapping import map_image
from fullconv.rasters.pictures import resized

SCALES = (0.5, 1.0, 1.41)


def photo(height: int = 90, width: int = 110) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (height // 10, width // 10)), np.ones((10, 10))).astype(np.uint8)


def test_a_grid_over_a_resized_image_is_exact() -> None:
    pair = (Fraction(4), Fraction(4))
    grid = Grid(
        5,
        6,
        pair,
        (Fraction(28), Fraction(28)),
        (Fraction(27, 2), Fraction(27, 2)),
        (Fraction(28), Fraction(28)),
        (45, 50),
    )
    found = grid.over_original((90, 100))
    assert found.box(0, 0) == (0, 0, 56, 56)
    assert found.box(1, 2) == (16, 8, 72, 64)
    assert found.centre(0, 0) == (27.5, 27.5)  # the middle of 56 pixels, as a pixel index
    assert found.image == (90, 100)
    uneven = grid.over_original((91, 100))
    assert uneven.stride == (4 * Fraction(91, 45), Fraction(8))


@pytest.mark.parametrize("fuse", ["max", "mean"])
def test_fusion_against_a_plain_loop(lenet, fuse: str) -> None:
    image = photo()
    found = map_image(lenet, image, preprocess="unit", scales=SCALES, fuse=fuse)
    parts = []
    for scale in SCALES:
        size = round(90 * scale), round(110 * scale)
        part = map_image(lenet, image if scale == 1 else resized(image[:, :, None], *size), preprocess="unit")
        parts.append((part, size[0] / 90, size[1] / 110))
    assert found.scales == SCALES
    finest = parts[2][0]
    assert found.scores.shape == finest.scores.shape
    for row in range(0, found.grid.rows, 3):
        for col in range(0, found.grid.cols, 3):
            x, y = found.centre(row, col)
            here = []
            for part, sy, sx in parts:
                place = ((y + 0.5) * sy - 0.5 - 13.5) / 4, ((x + 0.5) * sx - 0.5 - 13.5) / 4
                r, c = (int(np.floor(p + 0.5)) for p in place)
                if 0 <= r < part.grid.rows and 0 <= c < part.grid.cols:
                    here.append((part.scores[:, r, c], part, r, c, sy, sx))
            stack = np.stack([each[0] for each in here])
            expected = stack.max(axis=0) if fuse == "max" else stack.mean(axis=0)
            np.testing.assert_allclose(found.scores[:, row, col], expected, atol=1e-6)
            best = max(here, key=lambda each: each[0].max())
            x0, y0, x1, y1 = best[1].box(best[2], best[3])
            np.testing.assert_allclose(found.box(row, col), (x0 / best[5], y0 / best[4], x1 / best[5], y1 / best[4]))


@pytest.mark.parametrize("size", [(80, 120), (81, 121)])
def test_a_cells_crop_is_the_one_that_its_scores_are_of(lenet, size: tuple[int, int]) -> None:
    """Also where its centre lies midway between two cells of the scale that won, which it does at every other one here."""
    image = photo(90, 130)[: size[0], : size[1]]
    found = map_image(lenet, image, preprocess="unit", scales=(0.5, 1.0), stride=2)
    at = [
        {part.grid.box(r, c): (r, c) for r in range(part.grid.rows) for c in range(part.grid.cols)}
        for part in found.parts
    ]
    for row in range(found.grid.rows):
        for col in range(found.grid.cols):
            won = int(found.won[row, col])
            r, c = at[won][found.box(row, col)]
            assert found.parts[won].scores[:, r, c].max() == found.scores[:, row, col].max(), (row, col)


def test_one_scale_of_one_is_the_map(lenet) -> None:
    image = photo()
    one, plain = map_image(lenet, image, preprocess="unit", scales=[1]), map_image(lenet, image, preprocess="unit")
    np.testing.assert_array_equal(one.scores, plain.scores)
    assert one.grid == plain.grid


def test_a_digit_twice_as_large_is_found_at_half_the_scale(tmp_path: Path) -> None:
    with demo_files() as data:
        model = fullconv.load(data / "digits.prototxt", data / "digits.caffemodel")
        page, labels = Image.open(data / "page.png").convert("L"), data / "labels.txt"
        twice = page.resize((page.width * 2, page.height * 2), Image.Resampling.BICUBIC).crop((0, 0, 640, 480))
        found = map_image(model, np.asarray(twice), preprocess="unit", labels=labels, scales=(0.5, 1.0))
        alone = map_image(model, np.asarray(page.crop((0, 0, 320, 240))), preprocess="unit", labels=labels)
    peaks = found.peaks("7", 0.9)
    assert peaks
    assert peaks[0].box[2] - peaks[0].box[0] == 64
    expected = alone.peaks("7", 0.9)
    large = [p for p in peaks if p.box[2] - p.box[0] == 64]
    for peak in expected:  # as where the page itself has them, in pixels of the larger page
        assert any(abs(p.box[0] - 2 * peak.box[0]) <= 8 and abs(p.box[1] - 2 * peak.box[1]) <= 8 for p in large)
    for i, one in enumerate(peaks):  # nothing is told twice
        for other in peaks[i + 1 :]:
            assert overlap(one.box, other.box) <= 0.3


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_files_keep_every_scale(lenet, tmp_path: Path) -> None:
    found = map_image(lenet, photo(), preprocess="unit", scales=SCALES)
    found.save(tmp_path / "map.npz")
    again = ClassMap.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(again.scores, found.scores)
    np.testing.assert_array_equal(again.won, found.won)
    assert again.scales == SCALES
    assert again.peaks("3", 0.5) == found.peaks("3", 0.5)
    assert again.box(2, 3) == found.box(2, 3)


def test_scales_too_small_are_left_out_and_told(lenet) -> None:
    notes: list[str] = []
    found = map_image(lenet, photo(), preprocess="unit", scales=[0.2, 1], notes=notes.append)
    assert found.scales == (1.0,)
    assert "at scale 0.2 the image is smaller than one crop: left out" in notes
    with pytest.raises(BadInput, match="smaller than one crop"):
        map_image(lenet, photo(), preprocess="unit", scales=[0.1])


@pytest.mark.parametrize("scales", [[], [0], [-1.0], [float("nan")], [100]])
def test_bad_scales(lenet, scales: list[float]) -> None:
    with pytest.raises(BadInput, match="must be numbers above 0"):
        map_image(lenet, photo(), scales=scales)
    with pytest.raises(BadInput, match="not max or mean"):
        map_image(lenet, photo(), scales=[1], fuse="sum")


def test_resizing_is_antialiased() -> None:
    """Stripes of one pixel become grey, not stripes of another width."""
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[:, :, None]
    small = resized(stripes, 16, 16)
    assert small.dtype == np.uint8
    assert np.abs(small.astype(int) - 127).max() <= 16
