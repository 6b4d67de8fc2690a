"""What a result holds, in numbers: where it comes from, whether it is whole, and what won where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.geometry.place import Place
from fullconv.maps.areas import area_note, cell_area
from fullconv.maps.classmap import ClassMap
from fullconv.render.components import FEATURES
from fullconv.results.advice import Advice
from fullconv.results.places import storage_of
from fullconv.results.statement import Statement
from fullconv.results.store import Store


@dataclass(frozen=True, slots=True)
class Share:
    """One class: the cells that it wins (see ``wins_of``), of those with an answer, its highest score, and whether the network's card calls it background."""

    label: str
    cells: int
    highest: float | None
    background: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What a result holds.

    Attributes:
        finished: all of it is there.
        tiles: (done, all) of a store, None of a file.
        model, image: by name, where it says them.
        size: (height, width) of the image in pixels.
        rows, cols, stride, crop: of the cells; stride and crop in pixels, (y, x), as the grid has them.
        left_out: cells without an answer.
        failed: tiles whose pixels did not decode, and why.
        classes: the classes, those that win most first.
        channels: of a layer's features; 0 of scores of classes.
        cell_area: of a cell's square in ``place.unit`` squared, None where pixels have no size.
        area_note: why there are none where pixels have one; empty where there are.
        statement: what is promised of a map that crops confirm.
        engine, precision: that it was computed by and in, where it says them.
        advice: what the network's card says of the map.
        side: of one class alone, the score from which on cells are of it, as ``ClassMap.side``.
    """

    finished: bool
    tiles: tuple[int, int] | None
    model: str
    image: str
    size: tuple[int, int]
    rows: int
    cols: int
    stride: tuple[float, float]
    crop: tuple[float, float]
    output: str
    by: str
    exactness: str
    left_out: int
    failed: tuple[tuple[str, str], ...]
    classes: tuple[Share, ...]
    place: Place
    cell_area: float | None
    area_note: str = ""
    statement: Statement | None = None
    channels: int = 0
    engine: str = ""
    precision: str = ""
    advice: Advice = field(default_factory=Advice)
    side: float | None = None

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        shares = [asdict(each) for each in self.classes]
        promised = None if self.statement is None else self.statement.to_json()
        own = {"classes": shares, "place": self.place.to_json(), "statement": promised, "advice": self.advice.to_json()}
        return data | own


def summary_of(result: str | Path) -> Summary:
    """Read a store or an ``.npz`` piece by piece, and count.

    Raises:
        BadInput: it is no result of fullconv, or damaged.
    """
    found = ClassMap.load(result)
    record, grid, place = found.record, found.grid, found.place
    tiles = None
    if record is not None:
        done = len(record.tiles) if record.finished else len(Store.open(storage_of(result)).done())
        tiles = done, len(record.tiles)
    features = found.score_kind == FEATURES  # which win nothing
    shares = [] if features else shares_of(found)
    empty = grid.rows * grid.cols - answered_of(found, sum(share.cells for share in shares))
    stride = float(grid.stride[0]), float(grid.stride[1])
    asked: Mapping[str, Any] = {} if record is None else record.request
    return Summary(
        finished=record is None or record.finished, tiles=tiles, model=_name(asked, "model"), image=_name(asked, "image"),
        size=grid.image, rows=grid.rows, cols=grid.cols, stride=stride, crop=(float(grid.crop[0]), float(grid.crop[1])),
        output=found.output, by=found.by, exactness=found.exactness, left_out=empty, failed=() if record is None else record.failed,
        classes=tuple(sorted(shares, key=lambda share: -share.cells)), place=place, cell_area=cell_area(found),
        channels=len(found.labels) if features else 0, area_note=area_note(found), statement=found.statement, engine=_text(asked, "runtime"), precision=_text(asked, "precision"),
        advice=found.advice, side=found.side,
    )  # fmt: skip


def answered_of(found: ClassMap, won: int) -> int:
    """Cells with an answer.

    Args:
        won: cells that any class wins, which are these where there are several classes.
    """
    if found.has_winners:
        return won
    return sum(part.size - int(np.isnan(part).sum()) for _, _, part in found.blocks(0))


def wins_of(found: ClassMap) -> npt.NDArray[np.int64]:
    """How many cells each class wins, (classes,); of one class alone, how many are on its side of ``ClassMap.side``, and all where it has none."""
    if found.side is not None:
        least = np.float32(found.side)
        return np.array([sum(int((part >= least).sum()) for _, _, part in found.blocks(0))], np.int64)
    won = np.zeros(len(found.labels), np.int64)
    for _, _, winners in found.winning():
        won += np.bincount(winners[winners >= 0], minlength=len(won))
    return won


def numbers_of(found: ClassMap) -> dict[int, int]:
    """Of a network that gives the winner's number itself (ArgMax): in how many cells each number stands, those that stand in most first."""
    counted: Counter[int] = Counter()
    for _, _, numbers in found.blocks(0):
        numbers = np.asarray(numbers)
        each, cells = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
        counted.update(dict(zip(each.astype(int).tolist(), cells.tolist(), strict=True)))
    return dict(counted.most_common())


def leading(found: ClassMap, cells: Sequence[int]) -> str:
    """The class of most cells, background only where nothing else has any, or the winner's number that stands in most; empty where there is none, and of
    one class alone that has no side.

    Args:
        cells: of each class, as ``wins_of`` counts them.
    """
    if found.score_kind == "winner":
        return next((str(number) for number in numbers_of(found)), "")
    if not found.has_winners and found.side is None:
        return ""
    most = max([i for i in found.findings if cells[i]] or range(len(cells)), key=lambda i: cells[i])
    return found.labels[most] if cells[most] else ""


def shares_of(found: ClassMap) -> list[Share]:
    """Every class of a map, in its order, counted piece by piece; of a network that gives the winner's number itself, the numbers that stand there."""
    if found.score_kind == "winner":
        return [Share(str(number), cells, None) for number, cells in numbers_of(found).items()]
    won = wins_of(found)
    tops = [found.highest(i) for i in range(len(found.labels))]
    return [
        Share(label, int(cells), None if top is None else float(top.score), i in found.advice.background)
        for i, (label, cells, top) in enumerate(zip(found.labels, won, tops, strict=True))
    ]


def image_name(found: ClassMap) -> str:
    """The name of a map's image, empty where it does not say it."""
    return "" if found.record is None else _name(found.record.request, "image")


def _text(asked: Mapping[str, Any], key: str) -> str:
    said = asked.get(key)
    return said if isinstance(said, str) else ""


def _name(asked: Mapping[str, Any], part: str) -> str:
    about = asked.get(part)
    return str(about.get("name", "")) if isinstance(about, Mapping) else ""
