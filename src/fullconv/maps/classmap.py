"""The result: scores on a grid of cells, each cell told as pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.labels import class_index, read_labels
from fullconv.maps.peaks import Block, best_apart, highest, local_maxima
from fullconv.maps.shown import in_html, in_png, in_short
from fullconv.maps.threshold import least_score
from fullconv.render.overlay import Look
from fullconv.render.page import DPI
from fullconv.render.palette import Rgb, class_colour, read_spelt
from fullconv.render.pictured import page_of
from fullconv.results.advice import Advice
from fullconv.results.lazy import HeldScores, StoredCells, StoredScores
from fullconv.results.places import storage_of
from fullconv.results.record import Record
from fullconv.results.statement import Statement
from fullconv.results.store import Store
from fullconv.system.guard import guarded, is_folder, is_url, reads

if TYPE_CHECKING:
    from PIL import Image

    from fullconv.viewer.view import Viewer

Scores = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
__all__ = ["Box", "ClassMap", "Peak", "Scores", "class_index", "read_labels"]
_OVERLAP = 0.3  # intersection over union above which two boxes are one find


@dataclass(frozen=True, slots=True)
class Peak:
    """A local maximum of one class: its cell, and the crop in pixels (x0, y0, x1, y1), half-open."""

    label: str
    score: float
    row: int
    col: int
    box: Box


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Scores of every class at every cell.

    Attributes:
        scores: float32 (classes, rows, cols), as the network's output gives them.
        grid: where the cells lie.
        labels: one name a class.
        output: the network's output that this is.
        by: ``cast`` or ``crops``.
        exactness: whether cells equal their crops, in words.
        pixels: the image as (H, W, C) on 0..255, where it is at hand (not saved).
        scales, parts: of a map of several scales, these and the map of each, on a grid of its own.
        won: (rows, cols), the index of the scale with the highest score at each cell.
        image: what pictures are laid over, for a map that is read from a store.
        record: what the store says of itself; None for a map in memory.
        place: where the image's pixels lie, as far as it says.
        score_kind: what scores are: ``probabilities``, ``log-probabilities``, ``logits``, ``winner`` (numbers of classes), or empty where that
            is not known, or they were asked for as they are.
        confirmed: bool (rows, cols), cells whose scores are their crops' own, of a map that crops confirm; None of others.
        statement: what is promised of such a map.
        colours: of classes that have one of their own, by index.
        advice: what the network's card says of the map: a threshold, which classes are background.

    ``scores`` of a map in a store are read when they are indexed (``scores[3, 10:20, 10:20]``); no method but ``save`` reads them all
    at once.
    """

    scores: Scores
    grid: Grid
    labels: tuple[str, ...]
    output: str = ""
    by: str = "cast"
    exactness: str = ""
    pixels: npt.NDArray[Any] | None = field(default=None, compare=False, repr=False)
    scales: tuple[float, ...] = ()
    parts: tuple[ClassMap, ...] = field(default=(), repr=False)
    won: npt.NDArray[np.int16] | None = field(default=None, compare=False, repr=False)
    image: Any = field(default=None, compare=False, repr=False)
    record: Record | None = field(default=None, compare=False, repr=False)
    place: Place = field(default_factory=Place)
    score_kind: str = ""
    confirmed: Any = field(default=None, compare=False, repr=False)
    statement: Statement | None = None
    colours: Mapping[int, Rgb] = field(default_factory=dict, compare=False, repr=False)
    advice: Advice = field(default_factory=Advice, compare=False, repr=False)

    def __post_init__(self) -> None:
        shape = (len(self.labels), self.grid.rows, self.grid.cols)
        if self.scores.shape != shape:
            raise BadInput(
                f"scores of {self.scores.shape} do not fit {shape[0]} labels and a grid of {shape[1]}×{shape[2]} cells"
            )

    def __eq__(self, other: object) -> bool:
        """The same scores, cells and labels, whatever image lies below; read piece by piece."""
        if not isinstance(other, ClassMap):
            return NotImplemented
        said = [(each.grid, each.labels, each.output, each.by, each.score_kind, each.scales) for each in (self, other)]
        return said[0] == said[1] and all(
            np.array_equal(self.scores[:, rows, cols], other.scores[:, rows, cols], equal_nan=True)
            for rows, cols in self.pieces()
        )

    def __hash__(self) -> int:
        return hash((self.grid, self.labels, self.output))

    def class_index(self, name: str | int) -> int:
        """Index of a class by label, by the one label that contains the words, or by number."""
        return class_index(self.labels, name)

    def colour(self, index: int) -> tuple[int, int, int]:
        """A class's colour (red, green, blue), the same in every picture, export and viewer."""
        return (
            self.colours[index]
            if index in self.colours
            else class_colour(index if self.record is None else self.record.number(index))
        )

    def box(self, row: int, col: int) -> Box:
        """(x0, y0, x1, y1), half-open, in pixels of the image: the crop that the cell stands for.

        Of a map of several scales, the crop at the scale that won there.
        """
        if self.won is None:
            return self.grid.box(row, col)
        part = self.parts[int(self.won[row, col])].grid
        none, (y0, x0), (down, right), (height, width) = (
            Fraction(0),
            self.grid.centre0,
            self.grid.stride,
            self.grid.image,
        )
        y, x = y0 + row * down, x0 + col * right  # exact: a centre may lie midway between two cells
        return part.box(*part.nearest(min(max(x, none), Fraction(width - 1)), min(max(y, none), Fraction(height - 1))))

    def centre(self, row: int, col: int) -> tuple[float, float]:
        """(x, y) in pixels of the image: the centre of what the cell sees."""
        return self.grid.centre(row, col)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) of the cells' squares in pixels of the image, as matplotlib's ``imshow(scores, extent=...)`` lays them over it."""
        return self.grid.extent

    def at(self, x: float, y: float) -> Scores:
        """Scores (classes,) of the cell whose centre is nearest to a pixel."""
        row, col = self.grid.nearest(x, y)
        return self.scores[:, row, col]

    @cached_property
    def top1(self) -> npt.NDArray[np.intp]:
        """The winning class of every cell, (rows, cols); -1 where no class has an answer. Of a network that gives the winner's number, that."""
        found = np.full((self.grid.rows, self.grid.cols), -1, np.intp)
        if self.score_kind == "winner":
            for top, left, numbers in self.blocks(0):
                known = np.isfinite(numbers)
                found[top : top + numbers.shape[0], left : left + numbers.shape[1]][known] = np.rint(numbers[known])
            return found
        for top, left, part in self.winning():
            found[top : top + part.shape[0], left : left + part.shape[1]] = part
        return found

    @cached_property
    def _pieces(self) -> HeldScores | StoredScores:
        """The scores, wherever they lie, as what knows its pieces and winners."""
        scores: Any = self.scores
        return scores if isinstance(scores, StoredScores) else HeldScores(scores)

    @property
    def has_winners(self) -> bool:
        """Whether classes win cells: a layer's channels do not, nor does one class alone, or the one value of a network that gives the winner's number."""
        return self.score_kind not in ("features", "winner") and len(self.labels) > 1

    @property
    def side(self) -> float | None:
        """Of one class, which wins over no other, the least score of a cell that is of it: the card's, else 0.5 of a probability. None where nobody
        says, and of several classes."""
        if len(self.labels) != 1 or self.score_kind in ("features", "winner"):
            return None
        usual = 0.5 if self.score_kind == "probabilities" else None
        return usual if self.advice.threshold is None else self.advice.threshold

    def winning(self) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]:
        """Winning classes as (first row, first column, classes), -1 without an answer: whole, or piece by piece from a store."""
        for top, left, classes, _ in self.winners():
            yield top, left, classes

    def winners(self) -> Iterator[tuple[int, int, npt.NDArray[np.intp], Scores]]:
        """The same with the winners' scores behind, NaN without an answer."""
        for rows, cols in self.pieces():
            yield rows.start, cols.start, *self._pieces.winners(rows, cols)

    def winners_in(self, rows: slice, cols: slice) -> tuple[npt.NDArray[np.intp], Scores]:
        """Winning classes of some cells, (rows, cols), -1 without an answer, and their scores."""
        return self._pieces.winners(rows, cols)

    def pieces(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of the map's pieces: whole, or the whole chunks of a store."""
        return self._pieces.blocks()

    @property
    def best(self) -> Peak:
        """The highest score of the map; BadInput where no cell has an answer, or the network gives no scores but the winner's number."""
        if self.score_kind == "winner":
            raise BadInput(
                "the network gives the winner's number alone, and no scores of which one could be the highest"
            )
        each = [(i, found) for i in range(len(self.labels)) if (found := highest(self.blocks(i))) is not None]
        if not each:
            raise BadInput("no cell of the map has an answer")
        i, (row, col, score) = max(each, key=lambda pair: pair[1][2])
        return self._peak(i, row, col, score)

    def blocks(self, i: int) -> Iterator[Block]:
        """One class's scores as (first row, first column, scores): whole, or piece by piece from a store."""
        for rows, cols in self.pieces():
            yield rows.start, cols.start, self.scores[i, rows, cols]

    def highest(self, name: str | int) -> Peak | None:
        """The best cell of one class, None where it has no answer."""
        i = self.class_index(name)
        found = highest(self.blocks(i))
        return None if found is None else self._peak(i, *found)

    def peaks(self, name: str | int, threshold: float | None = None, distance: float | None = None) -> list[Peak]:
        """Local maxima of one class, best first: cells that no neighbour exceeds; neighbours of one score are one.

        Args:
            threshold: least score; by default that of the network's card, else 0.5 of probabilities.
            distance: two peaks are at least this many pixels apart, in x or in y; half a crop by default.

        Of a map of several scales, the peaks of each are merged: of boxes that overlap by more than 0.3 (intersection over union) the best stays.
        """
        threshold = self.least_score(threshold)
        if self.parts:
            every = [
                peak for part in self.parts for peak in replace(part, score_kind="").peaks(name, threshold, distance)
            ]
            return [every[i] for i in best_apart([p.box for p in every], [p.score for p in every], _OVERLAP)]
        i = self.class_index(name)
        apart = [distance if distance is not None else float(side) / 2 for side in self.grid.crop]
        reach = [max(1, int(np.ceil(a / float(s)))) for a, s in zip(apart, self.grid.stride, strict=True)]
        return [self._peak(i, *cell) for cell in local_maxima(self.blocks(i), threshold, (reach[0], reach[1]))]

    def least_score(self, threshold: float | None = None) -> float:
        """The threshold given, or the card's, or 0.5; BadInput where it means nothing for scores of this kind, see ``score_kind``."""
        return least_score(self.score_kind, threshold, self.advice.threshold)

    @property
    def findings(self) -> tuple[int, ...]:
        """Classes that the network's card does not call background, by index: those that are listed where nobody names any."""
        return tuple(i for i in range(len(self.labels)) if i not in self.advice.background)

    def _peak(self, i: int, row: int, col: int, score: float) -> Peak:
        return Peak(self.labels[i], score, row, col, self.box(row, col))

    def overlay(
        self,
        name: str | int | None = None,
        image: Any = None,
        *,
        interpolate: bool = False,
        alpha: float | None = None,
        cmap: str = "viridis",
    ) -> Image.Image:
        """A picture: one class as heat over the image, or, without a name, the winning class of each cell, of a layer's features their components.

        Args:
            image: the image, for a map that was loaded from a file.
            interpolate: smooth the heat between cells; off by default, since a cell is one answer.
            alpha: opacity of the highest score (0.8) or of a class (0.6); the lowest score shows the image alone.
            cmap: scale of the heat: viridis, cividis, magma, inferno or plasma.
        """
        return page_of(self, name, image, Look(alpha, cmap, interpolate)).flat()

    def save_picture(
        self,
        path: str | Path,
        name: str | int | None = None,
        image: Any = None,
        *,
        interpolate: bool = False,
        alpha: float | None = None,
        cmap: str = "viridis",
        dpi: float = DPI,
        overwrite: bool = False,
    ) -> None:
        """Write the picture that ``overlay`` gives as ``.png``, ``.svg`` (text is text) or ``.pdf``.

        Args:
            dpi: how many of its pixels are printed an inch.
            overwrite: a file that exists and that fullconv did not write may be replaced.
        """
        with guarded(image, overwrite=overwrite):
            page_of(self, name, image, Look(alpha, cmap, interpolate)).save(Path(path), dpi)

    def report(self, path: str | Path, **how: Any) -> Path:
        """Write a page (HTML, one file) of the map that travels, see ``fullconv.report``, which says what ``how`` may be."""
        from fullconv.reports.report import report

        return report(self, path, **how)

    def view(self, image: Any = None, **how: Any) -> Viewer:
        """Look at the map over its image, in a notebook's cell or in the browser, see ``fullconv.view``, which says what ``how`` may be."""
        from fullconv.viewer.view import view

        return view(self, image, **how)

    def to_xarray(self) -> Any:
        """The scores as an ``xarray.DataArray`` of (class, y, x), labelled, each cell at its centre in pixels of the image.

        Of a map in a store, scores are read when they are asked for.

        Raises:
            MissingExtra: xarray is not installed (extra ``xarray``).
        """
        from fullconv.maps.labelled import labelled

        return labelled(self)

    def __repr__(self) -> str:
        return in_short(self)

    def _repr_html_(self) -> str:
        """What notebooks show: what the map is of, and a picture of a small one."""
        return in_html(self)

    def _repr_png_(self) -> bytes | None:
        """The same picture, for what shows no HTML; None of a large map."""
        return in_png(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a ``.npz``: scores, grid and labels, readable without fullconv and without pickle.

        Args:
            overwrite: a file that exists and that fullconv did not write may be replaced.
        """
        from fullconv.maps.npz import write_npz

        with guarded(overwrite=overwrite):
            write_npz(self, Path(path))

    @staticmethod
    def of_store(store: Store, image: Any = None) -> ClassMap:
        """The map of a store; ``image`` is what pictures of it are laid over."""
        record = store.record
        scores: Any = StoredScores(store)
        told = (record.output, record.by, record.exactness)
        place = Place.from_json({name: getattr(record, name) for name in ("pixel_size", "unit", "transform", "crs")})
        return ClassMap(
            scores,
            record.grid,
            record.labels,
            *told,
            image=image,
            record=record,
            place=place,
            score_kind=record.score_kind,
            confirmed=None if record.statement is None else StoredCells(store),
            statement=record.statement,
            colours=read_spelt(record.colours),
            advice=record.advice,
        )

    @staticmethod
    def load(path: str | Path) -> ClassMap:
        """Read what ``save`` wrote, or a store that ``map_raster`` wrote, of which only what is asked for is read."""
        if is_url(str(path)) or is_folder(Path(path)):
            reads(path)
            return ClassMap.of_store(Store.open(storage_of(path)))
        from fullconv.maps.npz import read_npz

        return read_npz(Path(path))
