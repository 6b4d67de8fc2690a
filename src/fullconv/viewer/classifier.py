"""What the classifier itself says of a cell's crop, and which layers make the map say something else.

The network and the image must be those that the map was made of, by their fingerprints; how it was read is what the result says.
"""

from __future__ import annotations

from contextlib import closing
from threading import Lock
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.origin import options_of, require_network
from fullconv.stream.run import job_of
from fullconv.stream.sides import Crops
from fullconv.system.guard import guarded
from fullconv.trust.blame import blame
from fullconv.viewer.exhibit import Exhibit

Cell = tuple[int, int]


class Classifier:
    """The untouched network beside one result."""

    def __init__(self, model: Model, exhibit: Exhibit, image: Any, access: Access) -> None:
        self._model, self._exhibit, self._image, self._access = model, exhibit, image, access
        self._lock = Lock()  # one question at a time
        record = exhibit.found.record
        if record is None:
            raise BadInput(f"{exhibit.source}: does not say how it was made; only a map in a store (.zarr) does")
        self._options = options_of(record.request, access)
        require_network(model, record.request, exhibit.source)

    def ask(self, cell: Cell) -> dict[str, Any]:
        """The untouched network's scores for exactly a cell's crop, beside the map's; by class."""
        found, record = self._exhibit.found, self._exhibit.found.record
        assert record is not None, "checked at the beginning"
        with self._lock, guarded(self._image):
            job = self._job()
            with closing(View(self._image, job.select)) as view:
                way = job.way(self._model)
                grid = way.sampling.over(view.size)
                if view.in_original(grid) != found.grid:
                    raise BadInput("the map is of other cells than this image and network have")
                crops = Crops.of(self._model, way, view, job, grid)
                part, window = next(crops.windows([cell]))
                scores = crops.answers(window, part)[0]
        kept = [record.number(i) for i in range(len(found.labels))]
        return {"crop": [_number(scores[i]) for i in kept]}

    def why(self, cell: Cell) -> dict[str, Any]:
        """Each layer's share in the difference at this cell, see ``trust.blame``."""
        if self._exhibit.found.by == "crops":
            raise BadInput("this map is of crops: each cell is the classifier's own answer")
        with self._lock:
            return blame(self._model, self._image, at=[cell], **self._options).to_json()

    def _job(self) -> Job:
        return job_of(self._model, self._image, "the question", **self._options)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
