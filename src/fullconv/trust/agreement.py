"""A map that was made, held against a few crops: what is said of every map that is not exact. Nothing of it is written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.maps.features import require_classes
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.stream.options import MapOptions, takes
from fullconv.stream.plan import default_budget
from fullconv.stream.run import job_of
from fullconv.stream.sample import Admitted, Cell, Draw
from fullconv.stream.sides import Crops, Made
from fullconv.system.guard import guarded
from fullconv.system.memory import resident_bytes
from fullconv.trust.intervals import Share

CELLS = 50
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of some cells of a map with the untouched network's answers for their crops.

    Attributes:
        compared: cells, chosen at random among those that have an answer.
        agree: of those, how many have the same winning class; of one class, which wins over no other, how many lie on the same side of
            ``side``, and None where there is none.
        largest: difference of a score that the map holds, at most; of a network that gives the winner's number, of these numbers.
        worst: (row, col) of the cell with it.
        side: of one class, the score from which on a cell is of it, as ``ClassMap.side``.
        numbers: the map holds the winner's number, which has no distance to another.
    """

    compared: int
    agree: int | None
    largest: float
    worst: Cell
    side: float | None = None
    numbers: bool = False

    @property
    def share(self) -> Share | None:
        """Of the map's cells, with the interval that so few leave."""
        return None if self.agree is None else Share(self.agree, self.compared)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "interval": None if self.share is None else list(self.share.ends)}

    def __str__(self) -> str:
        more = f"scores differ by {self.largest:.2g} at most (fullconv verify tells more)"
        if self.share is None:
            return f"of {self.compared} random cells {more}"
        low, high = self.share.ends
        more = "fullconv verify tells more" if self.numbers else more
        return (
            f"of {self.compared} random cells {self.agree} {told_alike(self.side)} ({100 * low:.0f}–{100 * high:.0f} % of all by a 95 % "
            f"interval); {more}"
        )


def told_alike(side: float | None) -> str:
    """What cells do that agree with their crops, in words.

    Args:
        side: of one class, the score that parts its cells from others.
    """
    return "have the class that wins their crop" if side is None else f"lie on their crop's side of {side:g}"


@takes(job_of)
def agreement(
    model: Model | str | Path,
    image: Any,
    result: ClassMap,
    *,
    cells: int = CELLS,
    seed: int = 0,
    memory: int | None = None,
    **options: Unpack[MapOptions],
) -> Agreement:
    """Compare some cells of a map with the untouched network's answers for their crops.

    Args:
        result: what ``map`` or ``map_raster`` gave, or ``ClassMap.load``.
        cells: how many, chosen at random among those that have an answer.
        seed: of that choice.
        memory: bytes that the process may take.
        options: those that the map was made with.

    Raises:
        BadInput: the map is of crops or of several scales, or of another image or network than these options make it.
    """
    model = load(model)
    if result.by != "cast" or result.scales:
        raise BadInput("only a map by the cast network at one scale has cells to be compared with their crops")
    if cells < 1:
        raise BadInput(f"cells {cells}: must be at least 1")
    require_classes(model, options.get("output"), "agreement")
    job = job_of(model, image, "the comparison", **options)
    with guarded(image), closing(View(image, job.select)) as view:
        way = replace(job, by="cast").way(model)
        grid = way.sampling.over(view.size)
        if view.in_original(grid) != result.grid:
            raise BadInput("the map is of other cells than these options make: give those that it was made with")
        crops = Crops.of(model, way, view, job, grid)
        budget = default_budget() if memory is None else memory
        crops = crops.within(budget - resident_bytes() - crops.window_bytes, way)
        return _compared(Made(result), crops, result, cells, seed)


def _compared(made: Made, crops: Crops, result: ClassMap, cells: int, seed: int) -> Agreement:
    kept = [result.record.number(i) if result.record is not None else i for i in range(len(result.labels))]
    draw = Draw(Admitted(result.grid, None), cells, seed)
    compared, agree, decides = 0, 0, True
    largest, worst = 0.0, (0, 0)
    while compared < cells and (more := draw.next(cells - compared)):
        for group in made.together(more):
            answered, mapped = made.answers(group)
            of = {cell: i for i, cell in enumerate(answered)}
            for part, window in crops.windows(answered):
                own = mapped[[of[cell] for cell in part]]
                theirs = crops.answers(window, part)[:, kept]
                known = np.isfinite(own) & np.isfinite(theirs)  # of a store of winners, the winner's score alone
                gaps = np.abs(np.where(known, own, 0) - np.where(known, theirs, 0)).max(axis=1)
                compared += len(part)
                alike = _alike(np.where(known, own, -np.inf), theirs, result)
                decides = alike is not None
                agree += 0 if alike is None else int((alike & np.isfinite(theirs).all(axis=1)).sum())
                if float(gaps.max()) >= largest:
                    largest, worst = float(gaps.max()), part[int(gaps.argmax())]
    if not compared:
        raise BadInput(f"none of the {draw.looked_at:,} cells of the map that were looked at has an answer")
    return Agreement(compared, agree if decides else None, largest, worst, result.side, result.score_kind == "winner")


def _alike(own: Array, theirs: Array, result: ClassMap) -> Array | None:
    """(cells,), whether both decide the same; None where one score decides nothing."""
    if result.side is not None:
        least = np.float32(result.side)
        return np.asarray((own >= least) == (theirs >= least))[:, 0]
    if result.score_kind == "winner":
        return np.asarray(np.rint(own) == np.rint(theirs))[:, 0]
    return np.asarray(own.argmax(axis=1) == theirs.argmax(axis=1)) if result.has_winners else None
