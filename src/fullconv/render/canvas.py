"""What every picture shares: the image in its colours at a readable size, cells laid where their centres are, a legend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.render.page import Page, Rgb, width_of

LEGEND = 260  # px, width of a column of the legend beside the image
MARGIN = 16
LEAST_HEIGHT = 420
_LEAST, _MOST = 640, 1600  # px, the longer side of the image as drawn
_BAND = 128  # rows of a page that are blended at once
INK: Rgb = (32, 32, 32)
FAINT: Rgb = (110, 110, 110)
_LARGER = {"micrometer": ("µm", 1000, "mm"), "meter": ("m", 1000, "km")}


@dataclass
class Canvas(Page):
    """A picture of an image. ``scale`` is drawn pixels an image pixel, ``size`` the image as drawn: width, height."""

    scale: float = 1.0
    size: tuple[int, int] = (1, 1)

    @property
    def laid(self) -> Image.Image:
        """The image with what lies over it, without a legend."""
        return self.image.crop((MARGIN, MARGIN, MARGIN + self.size[0], MARGIN + self.size[1]))


def drawn_size(grid: Grid) -> tuple[float, tuple[int, int]]:
    """Drawn pixels an image pixel, and the image as drawn: width, height."""
    height, width = grid.image
    longer = max(width, height)
    scale: float = 1.0
    if longer < _LEAST:
        scale = float(-(-_LEAST // longer))  # whole steps keep pixels square and sharp
    elif longer > _MOST:
        scale = _MOST / longer
    return scale, (max(1, round(width * scale)), max(1, round(height * scale)))


def start(picture: Image.Image | None, grid: Grid, least_height: int = LEAST_HEIGHT, columns: int = 1) -> Canvas:
    """The image on white, with room for a legend of so many columns."""
    scale, drawn = drawn_size(grid)
    resample = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    # Without the image no page of its size is made: that of a slide takes gigabytes.
    image = Image.new("RGB", drawn, "white") if picture is None else picture.convert("RGB").resize(drawn, resample)
    across = drawn[0] + columns * (LEGEND + MARGIN) + 2 * MARGIN
    page = Image.new("RGB", (across, max(drawn[1], least_height) + 2 * MARGIN), "white")
    page.paste(image, (MARGIN, MARGIN))
    return Canvas(page, scale=scale, size=drawn)


def lay_cells(canvas: Canvas, grid: Grid, colours: npt.NDArray[np.uint8], alpha: npt.NDArray[np.floating]) -> None:
    """Blend one colour a cell, (rows, cols, 3), over the stride × stride pixels around its centre.

    No interpolation: a cell is one answer. Where a cell's square reaches past the image it is cut.
    """
    width, height = canvas.size
    # The centre of pixel i is drawn at (i + 0.5) · scale.
    rows = _edges(float(grid.centre0[0]), float(grid.stride[0]), grid.rows, canvas.scale)
    cols = _edges(float(grid.centre0[1]), float(grid.stride[1]), grid.cols, canvas.scale)
    row_of = _index(rows, height)
    col_of = _index(cols, width)
    c = np.clip(col_of, 0, None)[None, :]
    for top in range(0, height, _BAND):  # a whole page of floats is some 100 MB
        band = row_of[top : top + _BAND]
        r = np.clip(band, 0, None)[:, None]
        inside = (band >= 0)[:, None] & (col_of >= 0)[None, :]
        weight = np.where(inside, alpha[r, c], 0.0)[..., None].astype(np.float32)
        place = (MARGIN, MARGIN + top)
        base = np.asarray(canvas.image.crop((*place, place[0] + width, place[1] + len(band))), np.float32)
        laid = base + (colours[r, c].astype(np.float32) - base) * weight
        canvas.image.paste(Image.fromarray(np.rint(laid).astype(np.uint8)), place)


def between(grid: Grid, scores: npt.NDArray[Any], scale: float = 1.0) -> tuple[Grid, npt.NDArray[Any]]:
    """A finer grid with scores interpolated (bilinear) between the centres of the cells: smooth, and no answer of the net's.

    Args:
        scale: drawn pixels an image pixel; finer than these, which would take much memory, is never seen.
    """
    factor = max(1, min(16, *(int(step * min(1.0, scale)) for step in grid.stride)))
    rows, cols = ((count - 1) * factor + 1 for count in scores.shape)
    y, x = (np.arange(count) / factor for count in (rows, cols))
    top, left = (np.minimum(at.astype(int), limit - 1) for at, limit in zip((y, x), scores.shape, strict=True))
    below, right = np.minimum(top + 1, scores.shape[0] - 1), np.minimum(left + 1, scores.shape[1] - 1)
    down, along = (y - top)[:, None], (x - left)[None, :]
    upper = scores[np.ix_(top, left)] * (1 - along) + scores[np.ix_(top, right)] * along
    lower = scores[np.ix_(below, left)] * (1 - along) + scores[np.ix_(below, right)] * along
    step = (grid.stride[0] / factor, grid.stride[1] / factor)
    return replace(grid, rows=rows, cols=cols, stride=step), upper * (1 - down) + lower * down


def _edges(centre: float, step: float, count: int, scale: float) -> npt.NDArray[Any]:
    first = (centre + 0.5 - step / 2) * scale
    return first + np.arange(count + 1) * step * scale


def _index(edges: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
    """The cell of each drawn pixel, -1 outside all."""
    at = np.searchsorted(edges, np.arange(length) + 0.5, side="right") - 1
    return np.where((at >= 0) & (at < len(edges) - 1), at, -1)


def outline(canvas: Canvas, box: tuple[float, float, float, float], colour: Rgb = (255, 255, 255)) -> None:
    """A box of image pixels as a line that shows on light and dark."""
    x0, y0, x1, y1 = (MARGIN + v * canvas.scale for v in box)
    canvas.draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=INK, width=4)
    if x1 - x0 > 4 and y1 - y0 > 4:
        canvas.draw.rectangle((x0 + 1, y0 + 1, x1 - 2, y1 - 2), outline=colour, width=2)


def text_lines(canvas: Canvas, y: float, lines: list[tuple[str, int, Rgb]]) -> float:
    """Lines of text in the legend, wrapped to its width; the y below them."""
    x = canvas.size[0] + 2 * MARGIN
    for text, size, ink in lines:
        for line in wrapped(text, size):
            canvas.write(x, y, line, size, ink)
            y += round(size * 1.35)
    return y


def wrapped(text: str, size: int) -> list[str]:
    """A text as lines of the legend's width."""
    lines: list[str] = []
    for word in text.split(" "):
        trial = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(trial, size) <= LEGEND:
            lines[-1] = trial
        else:
            lines.append(shortened(word, size, LEGEND))
    return lines


def shortened(text: str, size: int, width: float) -> str:
    """The text, cut with dots where it is wider than ``width``."""
    if width_of(text, size) <= width:
        return text
    while text and width_of(text + "...", size) > width:
        text = text[:-1]
    return text.rstrip(" ,") + "..."


def scale_bar(canvas: Canvas, y: float, place: Place | None = None) -> float:
    """A bar of a round length, in micrometres to kilometres where the image says how large its pixels are."""
    x = canvas.size[0] + 2 * MARGIN
    pixel, unit = 1.0, "px"
    if place is not None and place.pixel_size is not None:
        pixel, unit = place.pixel_size[1], place.unit or "units"
    scale = canvas.scale / pixel
    longest = (LEGEND - 80) / scale
    power = 10.0 ** int(np.floor(np.log10(longest)))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    drawn = length * scale
    if unit in _LARGER:
        unit, times, larger = _LARGER[unit]
        length, unit = (length / times, larger) if length >= times else (length, unit)
    canvas.draw.line((x, y + 8, x + drawn, y + 8), fill=INK, width=3)
    for end in (x, x + drawn):
        canvas.draw.line((end, y + 3, end, y + 13), fill=INK, width=2)
    canvas.write(x + drawn + 8, y, f"{length:g} {unit}", 13, INK)
    return y + 26
