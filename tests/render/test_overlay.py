"""Pictures, by their pixels: heat lies where the cells' centres are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.render import canvas
from fullconv.render.canvas import MARGIN
from fullconv.render.palette import CATEGORIES, viridis


def example(size: int = 800, step: int = 100) -> ClassMap:
    """A map whose cell (2, 5) alone scores, over a white image of size × size pixels."""
    cells = size // step - 1
    half = Fraction(2 * step - 1, 2)
    grid = Grid(
        cells,
        cells,
        (Fraction(step),) * 2,
        (Fraction(2 * step),) * 2,
        (half, half),
        (Fraction(2 * step),) * 2,
        (size, size),
    )
    scores = np.zeros((2, cells, cells), np.float32)
    scores[0] = 1
    scores[:, 2, 5] = 0, 1
    return ClassMap(scores, grid, ("rest", "thing"), "prob", pixels=np.full((size, size, 3), 255, np.uint8))


def test_heat_lies_around_the_centre_of_its_cell() -> None:
    found = example()
    page = np.asarray(found.overlay("thing")).astype(int)
    area = page[MARGIN : MARGIN + 800, MARGIN : MARGIN + 800]
    yellow = (area[:, :, 0] > 200) & (area[:, :, 2] < 120)  # viridis' top
    rows, cols = np.nonzero(yellow)
    x, y = found.centre(2, 5)
    assert (rows.min(), rows.max() + 1) == (y + 0.5 - 50, y + 0.5 + 50)
    assert (cols.min(), cols.max() + 1) == (x + 0.5 - 50, x + 0.5 + 50)
    corner = area[20, 20]
    assert (corner == 255).all()  # no cell's centre is here: the image is bare


def test_winners_have_their_own_colours() -> None:
    page = np.asarray(example().overlay()).astype(float)
    area = page[MARGIN : MARGIN + 800, MARGIN : MARGIN + 800]
    blend = [255 + (np.array(colour) - 255) * alpha for colour, alpha in zip(CATEGORIES, (0.25, 0.75), strict=False)]
    np.testing.assert_allclose(area[350, 350], blend[0], atol=1)
    np.testing.assert_allclose(area[300, 600], blend[1], atol=1)


@pytest.mark.parametrize("size", [16, 300, 3000])
def test_small_images_grow_and_large_ones_shrink(size: int) -> None:
    picture = example(size, size // 8).overlay("thing")
    assert 600 < picture.width < 2000


def test_empty_cells_are_left_bare() -> None:
    found = example()
    found.scores[:, 0, 0] = np.nan
    page = np.asarray(found.overlay("thing"))
    assert (page[MARGIN + 100, MARGIN + 100] == 255).all()


def test_a_loaded_map_takes_its_image(tmp_path) -> None:
    found = example()
    found.save(tmp_path / "m.npz")
    again = ClassMap.load(tmp_path / "m.npz")
    assert again.pixels is None
    again.overlay("thing")  # on white
    np.testing.assert_array_equal(
        np.asarray(again.overlay("thing", image=np.full((800, 800), 255, np.uint8))), np.asarray(found.overlay("thing"))
    )
    with pytest.raises(BadInput, match="the image is 9×8, the map is of 800×800"):
        again.overlay("thing", image=np.zeros((8, 9), np.uint8))


def test_scores_that_are_no_probabilities_have_their_own_scale() -> None:
    found = example()
    found.scores[...] *= 40
    assert isinstance(found.overlay("thing"), Image.Image)
    found.scores[...] = 3
    assert isinstance(found.overlay("thing"), Image.Image)


def test_viridis_rises_in_lightness() -> None:
    lightness = viridis(np.linspace(0, 1, 64)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_interpolation_is_asked_for_and_keeps_the_cells_own_scores() -> None:
    found = example()
    page = np.asarray(found.overlay("thing", interpolate=True)).astype(int)
    area = page[MARGIN : MARGIN + 800, MARGIN : MARGIN + 800]
    x, y = (int(v + 0.5) for v in found.centre(2, 5))
    row = area[y, x - 100 : x + 1, 0]
    assert len(np.unique(row)) > 8  # a slope from the neighbour's score to the cell's own
    assert (area[y, x] > [200, 200, 0]).all()
    assert area[y, x, 2] < 120


def test_a_scale_bar_names_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda draw, at, text, **how: told.append(text))
    page = canvas.start(None, example().grid)
    canvas.scale_bar(page, 0)
    canvas.scale_bar(page, 0, 0.25, "um")  # 180 px of room at 0.25 um a pixel: 45 um
    assert told == ["100 px", "20 um"]
