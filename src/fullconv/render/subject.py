"""What a picture needs to know of a map. A ClassMap is one; pictures do not know where maps come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place

Box = tuple[float, float, float, float]


class Best(Protocol):
    """A cell that scores highest."""

    @property
    def score(self) -> float: ...

    @property
    def row(self) -> int: ...

    @property
    def col(self) -> int: ...

    @property
    def box(self) -> Box:
        """Its crop in pixels (x0, y0, x1, y1), half-open."""


class Part(Protocol):
    """The map of one scale."""

    @property
    def grid(self) -> Grid: ...


class Promised(Protocol):
    """What is promised of a map."""

    @property
    def short(self) -> str: ...


class Subject(Part, Protocol):
    """A map: scores (classes, rows, cols) on a grid of cells."""

    @property
    def scores(self) -> Any: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def output(self) -> str: ...

    @property
    def exactness(self) -> str: ...

    @property
    def statement(self) -> Promised | None: ...

    @property
    def scales(self) -> Sequence[float]: ...

    @property
    def parts(self) -> Sequence[Part]: ...

    @property
    def score_kind(self) -> str: ...

    @property
    def place(self) -> Place: ...

    @property
    def top1(self) -> npt.NDArray[np.intp]: ...

    @property
    def findings(self) -> Sequence[int]:
        """Classes that are no background, by index."""

    def colour(self, index: int) -> tuple[int, int, int]: ...

    def class_index(self, name: str | int) -> int: ...

    def highest(self, name: str | int) -> Best | None: ...

    def centre(self, row: int, col: int) -> tuple[float, float]: ...

    def blocks(self, i: int) -> Iterator[tuple[int, int, npt.NDArray[np.float32]]]: ...

    def pieces(self) -> Iterator[tuple[slice, slice]]: ...

    def winning(self) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]: ...
