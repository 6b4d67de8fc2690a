"""A picture of what a cell is: its crop, its receptive field and the grid of cells, over an image."""

from __future__ import annotations

from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.render import canvas as on
from fullconv.render.page import Rgb

_CROP: Rgb = (255, 205, 60)
_FIELD: Rgb = (90, 200, 255)
_MOST_DOTS = 40_000


def field_picture(
    grid: Grid, offset: tuple[float, float], picture: Image.Image | None, output: str, place: Place | None = None
) -> on.Canvas:
    """The middle cell's crop and field, every cell's centre, and where centre and crop's middle part.

    Args:
        grid: over the image.
        offset: (y, x) pixel at which cell (0, 0)'s field starts.
        picture: the image, or None for paper.
        output: its name.
        place: how large the image's pixels are.
    """
    page = on.start(picture, grid)
    row, col = grid.rows // 2, grid.cols // 2
    box = grid.box(row, col)
    x0, y0 = offset[1] + col * float(grid.stride[1]), offset[0] + row * float(grid.stride[0])
    field = (x0, y0, x0 + float(grid.field[1]), y0 + float(grid.field[0]))
    _dots(page, grid)
    height, width = grid.image
    inside = (max(0.0, field[0]), max(0.0, field[1]), min(float(width), field[2]), min(float(height), field[3]))
    on.outline(page, inside, _FIELD)
    on.outline(page, box, _CROP)
    x, y = grid.centre(row, col)
    middle = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    _mark(page, (x, y), _FIELD)
    _mark(page, middle, _CROP)
    cut = inside != field
    told = on.text_lines(
        page,
        on.MARGIN,
        [
            (f"a cell of {output}", 20, on.INK),
            (
                f"cell ({row}, {col}) of {grid.rows} x {grid.cols}, one every {grid.stride[1]} x {grid.stride[0]} px",
                13,
                on.FAINT,
            ),
        ],
    )
    told = _key(
        page,
        told + 10,
        _CROP,
        f"its crop, {grid.crop[1]} x {grid.crop[0]} px, what the classifier was given; the middle is at ({middle[0]:g}, {middle[1]:g})",
    )
    told = _key(
        page, told + 6, _FIELD,
        f"its receptive field, {grid.field[1]} x {grid.field[0]} px{', cut at the image here' if cut else ''}; centred at ({x:g}, {y:g})",
    )  # fmt: skip
    why = (
        "crop and field have the same middle"
        if (x, y) == middle
        else "padding and rounding move the field's centre away from the crop's middle"
    )
    told = on.text_lines(page, told + 8, [(why, 13, on.FAINT), ("dots are the centres of cells", 13, on.FAINT)])
    on.scale_bar(page, told + 10, place)
    return page


def _dots(page: on.Canvas, grid: Grid) -> None:
    every = 1
    while (grid.rows // every + 1) * (grid.cols // every + 1) > _MOST_DOTS:
        every += 1
    for row in range(0, grid.rows, every):
        for col in range(0, grid.cols, every):
            x, y = _drawn(page, grid.centre(row, col))
            page.draw.rectangle((x - 1, y - 1, x, y), fill=(120, 120, 120))


def _mark(page: on.Canvas, place: tuple[float, float], colour: Rgb) -> None:
    x, y = _drawn(page, place)
    for width, ink in ((5, on.INK), (3, colour)):
        page.draw.line((x - 8, y, x + 8, y), fill=ink, width=width)
        page.draw.line((x, y - 8, x, y + 8), fill=ink, width=width)


def _drawn(page: on.Canvas, place: tuple[float, float]) -> tuple[float, float]:
    """A pixel index as a point of the picture: pixel i's middle is drawn at (i + 0.5) · scale."""
    return on.MARGIN + (place[0] + 0.5) * page.scale, on.MARGIN + (place[1] + 0.5) * page.scale


def _key(page: on.Canvas, y: float, colour: Rgb, text: str) -> float:
    x = page.size[0] + 2 * on.MARGIN
    page.draw.rectangle((x, y + 3, x + 12, y + 13), fill=colour, outline=on.INK)
    return on.text_lines(page, y + 18, [(text, 13, on.INK)])
