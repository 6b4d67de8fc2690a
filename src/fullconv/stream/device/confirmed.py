"""A map by the device's road of which crops confirm some cells: which, is said by all of a tile's scores, as they came down.

The crops are run by the classifier's own session on the same device, from the tile's pixels as the usual road makes them: so their answers are that
road's to the bit, and no tile waits on the device for those of another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fullconv.maps.ways import Way
from fullconv.stream.confirm import Confirmer
from fullconv.stream.door import Array, Done, Door, Loaded
from fullconv.stream.job import Job
from fullconv.stream.processor import kept, tops, values_of


def unconfirmed(job: Job) -> Job:
    """What the device is asked for: all scores as they are, of which nothing is confirmed yet."""
    return replace(job, confirm=None, statement=None, keep="all", stored="float32")


class Confirmed:
    """The door of a device, and behind it the crops."""

    def __init__(
        self, job: Job, way: Way, ordered: bool, shape: tuple[int, int, int], door: Door, crops: Way | None
    ) -> None:
        """Args:
        ordered: channels are in the network's order already.
        shape: (C, H, W) of the largest tile, with all that its crops read.
        door: of an ``unconfirmed`` job.
        crops: the way of the same cells by crops; None where a sample is yet to say which are run so, as without a statement.
        """
        self.depth = door.depth
        self._job, self._way, self._ordered, self._door = job, way, ordered, door
        self._confirmer = None if crops is None or job.statement is None else Confirmer.of(crops, job)
        self._buffer = None if self._confirmer is None else np.zeros(shape, np.float32)

    def start(self, loaded: Loaded) -> tuple[Loaded, Any]:
        return loaded, self._door.start(_run_on(loaded))

    def finish(self, ticket: tuple[Loaded, Any]) -> Done:
        loaded, own = ticket
        scores, mark, confirmed = self._door.finish(own).scores, dict(loaded.mark), None
        assert scores is not None, "what went through the door has answers"
        if self._confirmer is not None:
            confirmed = self._confirmer.unsure(scores, loaded.answers)
            if confirmed.any():
                self._confirmer.put(scores, self._values(loaded), tops(self._way, loaded.tile), confirmed)
            mark["confirmed"] = int(confirmed.sum())
        scores, top1 = kept(self._job, scores, loaded.answers)
        return Done(loaded.tile, scores, top1, mark, confirmed)

    def close(self) -> None:
        self._door.close()

    def _values(self, loaded: Loaded) -> Array:
        assert self._buffer is not None, "crops are run"
        return values_of(loaded, self._job, self._way, self._ordered, self._buffer)


def _run_on(loaded: Loaded) -> Loaded:
    """A tile with the pixels alone that the map's network runs on."""
    assert loaded.pixels is not None, "a tile that goes through the door was read"
    inside = tuple(slice(side.read[1] - side.read[0]) for side in (loaded.tile.y, loaded.tile.x))
    missing = None if loaded.missing is None else loaded.missing[inside]
    return replace(loaded, pixels=loaded.pixels[inside], missing=missing)
