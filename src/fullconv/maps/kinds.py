"""A map of kinds of cells instead of classes, each kind in a colour of its own: what agrees, what parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.render.canvas import Canvas
from fullconv.render.overlay import top1_picture

Rgb = tuple[int, int, int]
DRAWN = 1600  # cells a side that can be seen


class Kinds:
    """Kinds of cells over an image, the last of a list in front where several fall into one cell that is drawn.

    Args:
        grid: of the map.
        kinds: name and colour of each.
        most: cells a side that are drawn; a larger map is drawn in blocks.
    """

    def __init__(self, grid: Grid, kinds: Sequence[tuple[str, Rgb]], most: int = DRAWN) -> None:
        self._factor = max(1, -(-max(grid.rows, grid.cols) // most))
        self._kinds = kinds
        self.grid = grid.coarser(self._factor)
        self._drawn = np.full((self.grid.rows, self.grid.cols), -1, np.intp)
        self.counts = np.zeros(len(kinds), np.int64)

    def add(self, rows: npt.NDArray[Any], cols: npt.NDArray[Any], kinds: npt.NDArray[Any]) -> None:
        """Cells by their rows and columns in the map, and the kind of each."""
        np.maximum.at(self._drawn, (rows // self._factor, cols // self._factor), kinds)
        self.counts += np.bincount(kinds.ravel(), minlength=len(self._kinds))

    def page(
        self, picture: Image.Image | None, titles: tuple[str, str], exactness: str = "", place: Place | None = None
    ) -> Canvas:
        """Drawn over the image, with the share of each kind.

        Args:
            titles: what is shown, and of what.
        """
        names = tuple(name for name, _ in self._kinds)
        none = np.broadcast_to(np.float32(np.nan), (len(names), self.grid.rows, self.grid.cols))
        colours = {i: colour for i, (_, colour) in enumerate(self._kinds)}
        shown = ClassMap(none, self.grid, names, exactness=exactness, place=place or Place(), colours=colours)
        return top1_picture(shown, picture, drawn=(self.grid, self._drawn, self.counts), titles=titles)
