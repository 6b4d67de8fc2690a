"""Cells of images drawn, with what a head reads there and what the untouched network answers for their crops, by the stream's own tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fullconv.adaptation.asked import images_drawn
from fullconv.adaptation.features import NAME, Featured
from fullconv.adaptation.inside import Inside
from fullconv.adaptation.logits import Logits
from fullconv.adaptation.sample import Array, Sample, spread, strata
from fullconv.errors import TooSmall
from fullconv.maps.crops import Progress
from fullconv.maps.ways import Way
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.sample import Admitted, Cell, Draw
from fullconv.stream.sides import ByTiles, Crops, sides_of
from fullconv.stream.where import Where, where_of
from fullconv.system.guard import guarded

_CANDIDATES = 2  # cells that are looked at for each that is taken
_MOVED = 3  # of so many crops one is moved by a pixel
_BORDER = 10  # of so many cells one more is drawn near the border


@dataclass(frozen=True)
class FeatureJob(Job):
    """A job whose answers are a network's features."""

    featured: Way | None = None

    def way(self, model: Model, notes: Callable[[str], None] = lambda note: None) -> Way:
        assert self.featured is not None, "made with what runs"
        return self.featured


@dataclass(frozen=True)
class Sampler:
    """Draws cells of images.

    Attributes:
        model: as loaded.
        way: how the cast network gets over images.
        featured: the cast network with its features.
        own: the untouched network's logits.
        job: how images are read and preprocessed.
        seed: of the draw.
        memory: bytes that the process may take.
    """

    model: Model
    way: Way
    featured: Featured
    own: Logits
    job: Job
    seed: int
    memory: int | None
    notes: Callable[[str], None]

    def over(self, images: Sequence[Any], crops: int, progress: Progress) -> Sample:
        """So many cells of all images together, fewer where there are no more; and some near the border.

        Raises:
            BadInput: an image cannot be read or preprocessed.
        """
        chosen = images_drawn(len(images), crops, self.seed)
        if len(chosen) < len(images):
            self.notes(f"crops are of {crops} of the {len(images)} images, chosen at random")
        parts, left = [], crops
        for done, number in enumerate(chosen):
            share = -(-left // (len(chosen) - done))
            part = self._tried(images, number, share)
            if part is not None:
                parts.append(part)
                left -= int((~part.border).sum())
            progress(crops - left, crops)
        return Sample.joined(parts) if parts else self._none()

    def _tried(self, images: Sequence[Any], number: int, crops: int) -> Sample | None:
        """The cells of an image; of several one that holds no crop is left out, and that is said."""
        try:
            return self._of_image(images[number], number, crops)
        except TooSmall as error:
            if len(images) == 1:
                raise
            self.notes(f"left out: {error}")
            return None

    def _none(self) -> Sample:
        none = np.zeros((0, self.own.classes), np.float32)
        return Sample(
            np.zeros((0, self.featured.features), np.float32), none, none,
            np.zeros(0, np.int64), np.zeros((0, 2), np.int64), np.zeros(0), np.zeros(0, np.bool_),
        )  # fmt: skip

    def _of_image(self, image: Any, number: int, crops: int) -> Sample | None:
        way = replace(self.way, model=self.featured, output=NAME)
        labels = tuple(map(str, range(self.featured.features)))
        job = FeatureJob(**{**vars(self.job), "image": image, "labels": labels, "featured": way})
        with guarded(image), closing(View(image, job.select)) as view:
            for remark in view.remarks:
                self.notes(remark)
            tiles, own = sides_of(
                self.model, view, job, _CANDIDATES * crops, self.memory, lambda note: None, margin=1, value=self.own.value
            )  # fmt: skip
            inside = Inside.of(way, tiles.plan.read_grid, where_of(job.where, view))
            seed = self.seed + number
            away, read = _features(tiles, inside, _CANDIDATES * crops, seed)
            taken, weight = spread(*strata(read[:, : self.own.classes], self.own.kind), crops, seed)
            near, read_near = _features(tiles, replace(inside, near=True), -(-crops // _BORDER), seed)
            cells = [*(away[int(i)] for i in taken), *near]
            if not cells:
                self.notes(f"{view.about.name}: left out: none of the cells that were looked at has an answer")
                return None
            return Sample(
                np.concatenate([read[taken], read_near]), *_answers(own, cells), np.full(len(cells), number), np.array(cells, np.int64),
                np.concatenate([weight, np.ones(len(near))]), np.arange(len(cells)) >= len(taken),
            )  # fmt: skip


def _features(tiles: ByTiles, where: Where, wanted: int, seed: int) -> tuple[list[Cell], Array]:
    """So many cells that have an answer, in the order of the map, and their features."""
    draw = Draw(Admitted(tiles.plan.grid, where), wanted, seed)
    cells: list[Cell] = []
    rows = [np.zeros((0, tiles.plan.way.model.graph.values[NAME].shape[1]), np.float32)]
    while len(cells) < wanted and (more := draw.next(wanted - len(cells))):
        for group in tiles.together(more):
            answered, found = tiles.answers(group)
            if answered:
                cells += answered
                rows.append(found)
    order = sorted(range(len(cells)), key=cells.__getitem__)
    return [cells[i] for i in order], np.concatenate(rows)[order]


def _answers(crops: Crops, cells: Sequence[Cell]) -> tuple[Array, Array]:
    """(cells, K) for the crops, in the order of the cells, and for some of them moved by a pixel."""
    of = {cell: i for i, cell in enumerate(cells)}
    found: list[tuple[list[Cell], Array]] = []
    beside: list[tuple[list[Cell], Array]] = []
    for part, window in crops.windows(cells):
        found.append((part, crops.answers(window, part)))
        some, answers = crops.moved(window, [cell for cell in part if of[cell] % _MOVED == 0], (1, 1))
        if some:
            beside.append((some, answers))
    classes = found[0][1].shape[1]
    laid = np.full((2, len(cells), classes), np.nan, np.float32)
    for side, parts in zip(laid, (found, beside), strict=True):
        for part, answers in parts:
            side[[of[cell] for cell in part]] = answers
    return laid[0], laid[1]
