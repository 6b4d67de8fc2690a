"""Pictures, by their pixels: heat lies where the cells' centres are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.pictures import to_picture
from fullconv.render import canvas
from fullconv.render.canvas import MARGIN
from fullconv.render.overlay import Look
from fullconv.render.page import width_of
from fullconv.render.palette import CATEGORIES, SCALES, class_colour, scale_colours
from fullconv.render.pictured import page_of


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
    blend = [255 + (np.array(colour) - 255) * alpha for colour, alpha in zip(CATEGORIES, (0.18, 0.6), strict=False)]
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


@pytest.mark.parametrize("name", SCALES)
def test_scales_rise_in_lightness(name: str) -> None:
    lightness = scale_colours(np.linspace(0, 1, 64), name) @ [0.2126, 0.7152, 0.0722]
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


def test_a_scale_bar_names_its_unit() -> None:
    page = canvas.start(None, example().grid)  # 180 px of room
    for size, unit in ((0.25, "micrometer"), (25.0, "micrometer"), (10.0, "meter"), (0.1, "meter")):
        canvas.scale_bar(page, 0, Place((size, size), unit))
    canvas.scale_bar(page, 0)
    assert [text.text for text in page.texts] == ["20 µm", "2 mm", "1 km", "10 m", "100 px"]


def test_the_image_keeps_its_colours_where_nothing_scores() -> None:
    found = example()
    pixels = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    area = np.asarray(found.overlay("thing", image=pixels))[MARGIN : MARGIN + 800, MARGIN : MARGIN + 800]
    np.testing.assert_array_equal(area[300:800, 0:500], pixels[300:800, 0:500])
    found.scores[:, 3, 3] = np.nan  # and where there is no answer
    winners = np.asarray(found.overlay(image=pixels))[MARGIN : MARGIN + 800, MARGIN : MARGIN + 800]
    np.testing.assert_array_equal(winners[350:450, 350:450], pixels[350:450, 350:450])


def test_no_two_of_many_classes_share_a_colour_and_the_first_stay_apart_for_the_colour_blind() -> None:
    assert len({class_colour(i) for i in range(120)}) == 120
    linear = (np.array(CATEGORIES) / 255) ** 2.2
    # Machado, Oliveira & Fernandes (2009): no red cones, no green cones.
    seen = [
        np.eye(3),
        np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
        np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    ]
    for matrix in seen:
        colours = np.clip(linear @ matrix.T, 0, 1) ** (1 / 2.2) * 255
        apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(len(colours))
        assert apart.min() > 25


@pytest.mark.parametrize("classes", [1, 2, 13, 100, 1000])
def test_a_legend_names_every_class_or_says_how_many_it_leaves_out_and_no_text_meets_another(classes: int) -> None:
    found = example(800, 10)
    winners = np.resize(np.arange(classes), found.grid.rows * found.grid.cols).reshape(found.grid.rows, found.grid.cols)
    scores = np.zeros((classes, *winners.shape), np.float32)
    np.put_along_axis(scores, winners[None], 1, axis=0)
    labels = tuple(f"class {i} of a long name, with commas, that will not fit" for i in range(classes))
    page = page_of(replace(found, scores=scores, labels=labels), None, None, Look())
    named = [text for text in page.texts if text.text.startswith("class ")]
    left = [int(text.text.split()[1]) for text in page.texts if text.text.startswith("and ")]
    assert len(named) + sum(left) == classes
    assert len(named) == classes or len(named) > 250
    boxes = []
    for text in page.texts:
        wide = width_of(text.text, text.size)
        x = text.x - {"l": 0, "m": wide / 2, "r": wide}[text.anchor]
        assert x >= 0
        assert x + wide <= page.image.width
        assert text.y + text.size <= page.image.height
        boxes.append((x, text.y, x + wide, text.y + text.size))
    some = np.array(boxes)
    over = [
        np.minimum(some[:, None, i + 2], some[None, :, i + 2]) - np.maximum(some[:, None, i], some[None, :, i])
        for i in (0, 1)
    ]
    assert not ((over[0] > 0) & (over[1] > 0) & ~np.eye(len(some), dtype=bool)).any()


def test_pictures_are_written_as_png_svg_and_pdf(tmp_path: Path) -> None:
    found = replace(example(), labels=("rest", "<thing> & é字"))
    for suffix in (".png", ".svg", ".pdf"):
        found.save_picture(tmp_path / f"x{suffix}", 1, dpi=200)
        found.save_picture(tmp_path / f"x{suffix}", 1, dpi=200)  # it is fullconv's own: written again
    with Image.open(tmp_path / "x.png") as written:
        assert written.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    root = ElementTree.parse(tmp_path / "x.svg").getroot()
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<thing> & é字" in texts
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    for bad, why in (
        ({"alpha": 0}, "alpha 0"),
        ({"alpha": 2}, "alpha 2"),
        ({"cmap": "jet"}, "cmap 'jet'"),
        ({"dpi": 0}, "dpi 0"),
    ):
        with pytest.raises(BadInput, match=why):
            found.save_picture(tmp_path / "x.png", 1, **bad)
    with pytest.raises(BadInput, match=r"pictures are \.png, \.svg, \.pdf"):
        found.save_picture(tmp_path / "x.jpg")
    faint = np.asarray(found.overlay(1, alpha=0.1)).astype(int)
    assert (faint[MARGIN : MARGIN + 800, MARGIN : MARGIN + 800][260:280, 560:580] > 200).all()


def test_an_image_of_16_bits_or_floats_is_stretched_to_be_seen() -> None:
    rng = np.random.default_rng(0)
    for pixels in (
        rng.normal(9, 1, (50, 60, 3)),
        rng.random((50, 60, 5)) * 0.2,
        rng.normal(9.5, 1, (50, 60, 1)).astype(np.float32),
    ):
        shown = np.asarray(to_picture(pixels))
        assert shown.shape == (50, 60, 3)
        assert np.percentile(shown, 5) < 40
        assert np.percentile(shown, 95) > 215
    plain = rng.integers(100, 130, (20, 20, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(to_picture(plain)), plain)


def test_a_map_without_its_image_takes_no_page_of_the_images_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    new = Image.new
    monkeypatch.setattr(
        Image, "new", lambda mode, size, *rest: (made.append(size[0] * size[1]), new(mode, size, *rest))[1]
    )
    found = replace(example(9000, 600), pixels=None)
    picture = found.overlay("thing")
    assert max(made) <= 4_000_000
    assert picture.size[1] == 1600 + 2 * MARGIN


def test_what_is_interpolated_is_no_finer_than_what_is_drawn() -> None:
    """Of a large map it would take gigabytes, of which nothing is seen."""
    step, size = (Fraction(8), Fraction(8)), (12_800, 12_800)
    grid = Grid(1599, 1599, step, (Fraction(16), Fraction(16)), (Fraction(15, 2), Fraction(15, 2)), (Fraction(16), Fraction(16)), size)  # fmt: skip
    scores = np.random.default_rng(0).random((1599, 1599)).astype(np.float32)
    for scale in (canvas.drawn_size(grid)[0], 0.1):
        finer, made = canvas.between(grid, scores, scale)
        assert made.shape == (finer.rows, finer.cols) == (1599, 1599)
    finer, made = canvas.between(grid, scores[:100, :100], 0.5)
    assert made.shape == (finer.rows, finer.cols)
    assert finer.stride == (2, 2)
    assert np.array_equal(made[::4, ::4], scores[:100, :100])


def test_cells_are_laid_on_every_row_and_column_of_the_image() -> None:
    """Whatever is blended at once."""
    grid = replace(example().grid, image=(1000, 700), rows=10, cols=7)
    grid = replace(grid, centre0=(Fraction(99, 2), Fraction(99, 2)))  # the cells' squares are the whole image
    page = canvas.start(None, grid)
    canvas.lay_cells(page, grid, np.full((10, 7, 3), (10, 200, 30), np.uint8), np.full((10, 7), 1.0))
    assert page.size == (700, 1000)
    assert (np.asarray(page.laid) == (10, 200, 30)).all()
