"""From cells to pixels and back, exactly.

Cell (row, col) stands for the crop [col·stride, col·stride + crop) × [row·stride, row·stride + crop):
the window that the untouched classifier would have been given. Its true centre is the centre of its
receptive field, (offset + (field - 1) / 2) + i·stride, which padding and uneven kernels can move away
from the crop's middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from fullconv.geometry.field import Field, receptive_fields
from fullconv.graph.axes import require
from fullconv.graph.nodes import Graph

Pair = tuple[Fraction, Fraction]  # y, x


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a map over an image. Pairs are (y, x), in pixels.

    Attributes:
        rows, cols: size of the map.
        stride: step from cell to cell.
        crop: size of the crop that a cell stands for.
        centre0: centre of cell (0, 0), as a pixel index.
        field: size of the receptive field, padding included.
        image: (height, width) of the image.
    """

    rows: int
    cols: int
    stride: Pair
    crop: Pair
    centre0: Pair
    field: Pair
    image: tuple[int, int]

    def __post_init__(self) -> None:
        require(min(self.rows, self.cols) >= 0, f"a map of {self.rows}×{self.cols} cells")
        require(min(self.image) >= 1, f"an image of {self.image[0]}×{self.image[1]} pixels")
        for what, pair in (("stride", self.stride), ("crop", self.crop), ("field", self.field)):
            require(min(pair) > 0, f"a grid with a {what} of {pair[0]}×{pair[1]} pixels: it must be above 0")

    def box(self, row: int, col: int) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1), half-open: the crop that the cell stands for."""
        self._check(row, col)
        y, x = row * self.stride[0], col * self.stride[1]
        return float(x), float(y), float(x + self.crop[1]), float(y + self.crop[0])

    def centre(self, row: int, col: int) -> tuple[float, float]:
        """(x, y) of the centre of the cell's receptive field, as pixel indices (0 is the first pixel's middle)."""
        self._check(row, col)
        return float(self.centre0[1] + col * self.stride[1]), float(self.centre0[0] + row * self.stride[0])

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) of the cells' squares, one stride about each centre, as pixel indices (0 is the first pixel's middle)."""
        (top, left), (down, along) = self.centre0, self.stride
        edges = (
            left - along / 2,
            left + (self.cols - Fraction(1, 2)) * along,
            top + (self.rows - Fraction(1, 2)) * down,
            top - down / 2,
        )
        return float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3])

    def nearest(self, x: float | Fraction, y: float | Fraction) -> tuple[int, int]:
        """(row, col) of the cell whose centre is nearest to a pixel of the image, of two as near the one of an even number."""
        height, width = self.image
        if not (0 <= x < width and 0 <= y < height):
            raise IndexError(f"pixel ({x}, {y}) is outside the image of {width}×{height}")
        row = round((y - self.centre0[0]) / self.stride[0])
        col = round((x - self.centre0[1]) / self.stride[1])
        return min(max(row, 0), self.rows - 1), min(max(col, 0), self.cols - 1)

    def over_original(self, image: tuple[int, int]) -> Grid:
        """A grid over a resized image as one over the original of (height, width): exact, since both sizes are whole numbers."""
        y, x = (Fraction(have, was) for have, was in zip(self.image, image, strict=True))
        half = Fraction(1, 2)

        def share(pair: Pair) -> Pair:
            return pair[0] / y, pair[1] / x

        # Centres are pixel indices, whose pixels' middles lie half a pixel from the edge.
        centre = share((self.centre0[0] + half, self.centre0[1] + half))
        return replace(
            self, stride=share(self.stride), crop=share(self.crop), field=share(self.field),
            centre0=(centre[0] - half, centre[1] - half), image=image,
        )  # fmt: skip

    def coarser(self, factor: int) -> Grid:
        """The grid of blocks of factor × factor cells, each centred on its cells; a last block may be cut."""
        middle = Fraction(factor - 1, 2)
        return replace(
            self, rows=-(-self.rows // factor), cols=-(-self.cols // factor),
            stride=(self.stride[0] * factor, self.stride[1] * factor),
            centre0=(self.centre0[0] + middle * self.stride[0], self.centre0[1] + middle * self.stride[1]),
        )  # fmt: skip

    def _check(self, row: int, col: int) -> None:
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"cell ({row}, {col}) is outside the map of {self.rows}×{self.cols} cells")

    def to_json(self) -> dict[str, Any]:
        """Numbers as strings where they are fractions, so that nothing is rounded."""

        def show(pair: Pair) -> list[str]:
            return [str(value) for value in pair]

        return {
            "rows": self.rows,
            "cols": self.cols,
            "stride": show(self.stride),
            "crop": show(self.crop),
            "centre0": show(self.centre0),
            "field": show(self.field),
            "image": list(self.image),
        }

    def in_numbers(self) -> dict[str, Any]:
        """The same for people and programs that read no fractions: whole numbers, or the nearest float."""

        def number(value: Fraction) -> int | float:
            return int(value) if value.denominator == 1 else float(value)

        data = self.to_json()
        return data | {
            name: [number(v) for v in getattr(self, name)] for name in ("stride", "crop", "centre0", "field")
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Grid:
        def read(name: str) -> Pair:
            y, x = data[name]
            return Fraction(y), Fraction(x)

        height, width = data["image"]
        return Grid(
            int(data["rows"]), int(data["cols"]), read("stride"), read("crop"), read("centre0"), read("field"),
            (int(height), int(width)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a fully convolutional output samples any image: what a Grid is before the image is known."""

    stride: Pair
    crop: Pair
    field: Field

    def __post_init__(self) -> None:
        for what, pair in (("stride", self.stride), ("crop", self.crop)):
            require(min(pair) > 0, f"cells with a {what} of {pair[0]}×{pair[1]} pixels: it must be above 0")

    def cells(self, image: tuple[int, int]) -> tuple[int, int]:
        """(rows, cols) of the crops that lie wholly inside an image of (height, width)."""
        rows, cols = (
            (length - crop) // stride + 1 if length >= crop else 0
            for length, crop, stride in zip(image, self.crop, self.stride, strict=True)
        )
        return int(rows), int(cols)

    def over(self, image: tuple[int, int]) -> Grid:
        """The grid over an image of (height, width)."""
        rows, cols = self.cells(image)
        return Grid(rows, cols, self.stride, self.crop, self.field.centre, self.field.size, image)


def sampling(graph: Graph, output: str) -> Sampling:
    """Sampling of one output of a fully convolutional graph.

    The crop is what one cell stood for when the graph had its stated input size:
    input - (cells - 1) · stride. That is the training size for a net whose output there is 1×1, though the step may be larger.
    """
    field = receptive_fields(graph)[output]
    image = graph.image
    assert image is not None, "a value with a field depends on an image"
    cells = graph.values[output].map_size if graph.values[output].is_map else (1, 1)
    crop = tuple(
        length - (count - 1) * stride
        for length, count, stride in zip(graph.values[image].map_size, cells, field.stride, strict=True)
    )
    # A dense net (a segmenter that pads to more cells than its input has steps) has no crop left: a cell stands for its step.
    height, width = (c if c > 0 else s for c, s in zip(crop, field.stride, strict=True))
    return Sampling(field.stride, (height, width), field)
