"""Crops that are moved within a window, and cells that see the image alone: held against PyTorch by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

import fullconv
from fullconv.maps.mapping import prepare
from fullconv.model import Model
from fullconv.rasters.view import Selection, View
from fullconv.stream import sides
from fullconv.stream.edges import Edges
from fullconv.stream.run import job_of
from fullconv.stream.sides import sides_of
from tests.rasters.pictures import scene
from tests.trust.test_verify_anywhere import CROP, STEP, module, padded  # noqa: F401


def moved(
    model: Model, image: np.ndarray, by: tuple[int, int], **options
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """(cell, its moved crop's answer), all cells in one window or in several."""
    job = job_of(model, image, "a test", preprocess="unit", **options)
    with closing(View(image, job.select)) as view:
        tiles, crops = sides_of(model, view, job, None, None, lambda note: None, margin=1)
        for cells in tiles.every():
            for part, window in crops.windows(tiles.answered(cells)):
                there, answers = crops.moved(window, part, by)
                yield from zip(there, answers, strict=True)


@pytest.mark.parametrize("by", [(1, 1), (-1, -1), (0, 1), (-1, 1)])
def test_crops_moved_by_a_pixel(padded: Model, by: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(sides, "_WINDOW", 20)  # so that windows meet within the image
    pixels = scene(60, 67)
    values = torch.from_numpy(prepare(pixels, "unit", 3)[0])
    found = dict(moved(padded, pixels, by))
    net, seen = module(), 0
    for row in range((60 - CROP) // STEP + 1):
        for col in range((67 - CROP) // STEP + 1):
            y, x = row * STEP + by[0], col * STEP + by[1]
            if y < 0 or x < 0 or y + CROP > 60 or x + CROP > 67:
                assert (row, col) not in found
                continue
            with torch.no_grad():
                own = net(values[:, :, y : y + CROP, x : x + CROP])[0].numpy()
            np.testing.assert_allclose(found[row, col], own, atol=2e-6)
            seen += 1
    assert len(found) == seen > 50


def test_a_moved_crop_that_holds_too_little_data_is_none(padded: Model) -> None:  # noqa: F811
    pixels = scene(40, 80)
    pixels[:, 44:] = 0
    found = {by: dict(moved(padded, pixels, by, nodata=0, missing=0)) for by in ((1, 1), (0, -1))}
    assert {col for _, col in found[0, -1]} == {1, 2, 3, 4, 5}  # the first has no pixel on its left
    assert {col for _, col in found[1, 1]} == {0, 1, 2, 3, 4}  # the last would hold one column without data


def test_no_further_than_the_margin(padded: Model) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="margin of 1"):
        list(moved(padded, scene(40, 40), (2, 0)))


class Uneven(nn.Module):
    """Sees more on the left than on the right. Its branches meet for even sizes alone: of an odd image the last row or column is cut."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(1, 4, (4, 5))
        self.left, self.right = nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 2, stride=2)
        self.head = nn.Linear(4 * 64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.softplus(self.first(nn.functional.pad(x, (3, 1, 2, 1))))
        return self.head(nn.functional.softplus(self.left(y) + self.right(y)).flatten(1))


@pytest.mark.parametrize("how", [{}, {"stride": 1, "finer": "shifts"}])
@pytest.mark.parametrize("size", [(34, 31), (35, 40)])
def test_interior_cells_are_those_that_what_lies_around_the_image_does_not_reach(
    how: dict, size: tuple[int, int]
) -> None:
    """By trial: the image laid into other surroundings. Cells that keep their answer in all of them are interior."""
    model = fullconv.load(Uneven().eval(), input_shape=(1, 16, 16))
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    job = job_of(model, image, "a test", preprocess="unit", **how)
    with closing(View(image, Selection())) as view:
        tiles, _ = sides_of(model, view, job, None, None, lambda note: None)
        edges = Edges.of(tiles.plan.way, tiles.plan.read_grid)
    plain = fullconv.map(model, image, preprocess="unit", **how).scores
    step = how.get("stride", 2)
    kept = np.ones(plain.shape[1:], bool)
    for seed, value in ((1, None), (2, 255)):
        rng = np.random.default_rng(seed)
        wide = (
            rng.integers(0, 256, (size[0] + 32, size[1] + 32), np.uint8)
            if value is None
            else np.full((size[0] + 32, size[1] + 32), value, np.uint8)
        )
        wide[16:-16, 16:-16] = image
        within = fullconv.map(model, wide, preprocess="unit", **how).scores[:, 16 // step :, 16 // step :]
        kept &= (np.abs(within[:, : plain.shape[1], : plain.shape[2]] - plain) < 1e-6).all(axis=0)
    rows, cols = np.indices(kept.shape)
    np.testing.assert_array_equal(edges.interior(rows.ravel(), cols.ravel()).reshape(kept.shape), kept)
    assert 0 < kept.sum() < kept.size
