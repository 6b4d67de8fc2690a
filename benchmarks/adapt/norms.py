"""Batch normalisation's statistics set anew, and no head: was the zeros' share in them all that a map lacks?

Each norm of the cast network is given the mean and variance with which what it makes in the map has, channel by channel, the mean and spread that
it has in the same cells' crops: from the first norm to the last, each behind those that were set before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from torch.fx import Interpreter

from benchmarks.adapt.measured import Ground, inside, scores
from fullconv.adaptation.sample import Sample
from fullconv.rasters.view import View
from fullconv.stream.run import job_of
from fullconv.stream.sides import Crops

_FITTED, _TESTED, _BATCH = 120, 300, 40
_LEAST = 1e-6  # of a channel's variance; one that is always the same is left as it is
_ALIKE = 1e-3  # of the largest logit
Anew = Literal["means", "means and variances", "the map's own"]
Statistics = tuple[torch.Tensor, torch.Tensor]  # (C,) means and variances


def norms_set_anew(
    ground: Ground, images: Sequence[Any], sample: Sample, others: Sequence[Any], test: Sample, preprocess: str
) -> dict[str, tuple[float, float]]:
    """Agreement and KL of held-out cells, as they are and with each way to set the norms; nothing for a network without norms."""
    if not any(_is_norm(node.target) for node in _module(ground).graph.nodes):
        return {}
    around, fit = _around(ground, images, inside(sample), preprocess, _FITTED)
    tested, cells = _around(ground, others, inside(test), preprocess, _TESTED)
    before = _logits(ground, _module(ground), tested)
    own, _ = ground.fitting.featured.parted(cells.features)
    if np.abs(before - own).max() > _ALIKE * np.abs(own).max():
        raise AssertionError("a cell's field alone gives other logits than the map")
    found = {"as it is": scores(cells, before)}
    for anew in ("means", "means and variances", "the map's own"):
        found[anew] = scores(cells, _logits(ground, set_anew(ground, around, fit.weight, anew), tested))
    return found


def set_anew(ground: Ground, around: torch.Tensor, weight: np.ndarray, anew: Anew) -> torch.nn.Module:
    """The cast network with its norms set anew on crops and what lies around them (cells, C, H, W), weighed (cells,)."""
    module, (y, x), crop = _module(ground), _reach(ground), ground.fitting.way.sampling.crop
    share = torch.from_numpy(weight / weight.sum())
    crops = Norms(module, share, (slice(None), slice(None)))
    height, width = around.shape[2:]
    with torch.no_grad():
        crops.run(around[:, :, y : y + int(crop[0]), x : x + int(crop[1])])
        middle = slice(y / height, 1 - y / height), slice(x / width, 1 - x / width)
        Norms(module, share, middle, crops.met, anew).run(around)
    return module


class Norms(Interpreter):
    """Runs a network and keeps the statistics of what each norm is given; where those of crops are given, sets the norm's own before it is run.

    Attributes:
        share: (cells,), of each in the statistics.
        middle: the part of a map that is looked at, in shares of its sides.
        met: each norm's statistics, in the order in which they run.
    """

    def __init__(
        self,
        module: Any,
        share: torch.Tensor,
        middle: tuple[slice, slice],
        crops: Sequence[Statistics] | None = None,
        anew: Anew = "means",
    ) -> None:
        super().__init__(module)
        self.share, self.middle, self.crops, self.anew = share, middle, crops, anew
        self.met: list[Statistics] = []

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if _is_norm(target):
            x, _, _, mean, variance = args[:5]
            rows, cols = (_cells(part, side) for part, side in zip(self.middle, x.shape[2:], strict=True))
            own = x[:, :, rows, cols].double()
            first = self.share @ own.mean((2, 3))
            self.met.append((first, self.share @ ((own - first[:, None, None]) ** 2).mean((2, 3))))
            if self.crops is not None:
                self._set(mean, variance, self.crops[len(self.met) - 1], self.met[-1])
        return super().call_function(target, args, kwargs)

    def _set(self, mean: torch.Tensor, variance: torch.Tensor, crops: Statistics, own: Statistics) -> None:
        wider = torch.ones_like(own[1])
        if self.anew == "the map's own":
            mean.copy_(own[0])
            variance.copy_(own[1])
            return
        if self.anew == "means and variances":
            wider = torch.where(torch.minimum(own[1], crops[1]) > _LEAST, own[1] / crops[1], wider)
        # What comes out, (x - mean) / spread, gets the crops' mean and spread.
        mean.copy_(own[0] - (crops[0] - mean) * wider.sqrt())
        variance.mul_(wider)


def _is_norm(target: Any) -> bool:
    return "batch_norm" in str(target)


def _cells(part: slice, side: int) -> slice:
    return part if part.start is None else slice(round(part.start * side), round(part.stop * side))


def _module(ground: Ground) -> Any:
    """One of its own each time."""
    return deepcopy(ground.model.cast().module)


def _reach(ground: Ground) -> tuple[int, int]:
    """(y, x) pixels around a crop that its cell of the map sees, in whole steps of the map."""
    sampling = ground.fitting.way.sampling
    sides = zip(sampling.field.offset, sampling.field.size, sampling.crop, sampling.stride, strict=True)
    y, x = (ceil(max(-first, first + size - crop) / step) * int(step) for first, size, crop, step in sides)
    return y, x


def _around(
    ground: Ground, images: Sequence[Any], cells: Sample, preprocess: str, wanted: int
) -> tuple[torch.Tensor, Sample]:
    """So many cells' crops with all that the map sees around them (cells, C, H, W), and these cells."""
    sampling, reach = ground.fitting.way.sampling, _reach(ground)
    order = np.sort(np.random.default_rng(0).permutation(len(cells))[:wanted])
    values, taken = [], []
    for number in np.unique(cells.image[order]):
        job = job_of(ground.model, images[number], "the benchmark", preprocess=preprocess)
        with closing(View(images[number])) as view:
            crops = Crops.of(ground.model, ground.fitting.way, view, job, sampling.over(view.size))
            height, width = view.size
            picture = crops.values((0, height), (0, width))
        for i in order[cells.image[order] == number]:
            starts = [int(at * step) - r for at, step, r in zip(cells.at[i], sampling.stride, reach, strict=True)]
            ends = [a + int(crop) + 2 * r for a, crop, r in zip(starts, sampling.crop, reach, strict=True)]
            if min(starts) >= 0 and ends[0] <= height and ends[1] <= width:
                values.append(picture[0, :, starts[0] : ends[0], starts[1] : ends[1]])
                taken.append(i)
    return torch.from_numpy(np.stack(values)), cells.of(np.array(taken))


def _logits(ground: Ground, module: Any, around: torch.Tensor) -> np.ndarray:
    """(cells, K) of the map in the middle of each."""
    stride = ground.fitting.way.sampling.stride
    row, col = (r // int(step) for r, step in zip(_reach(ground), stride, strict=True))
    return np.concatenate([part[:, :, row, col] for part in _maps(module, around)])


def _maps(module: Any, around: torch.Tensor) -> Iterator[np.ndarray]:
    with torch.no_grad():
        for part in around.split(_BATCH):
            made = module(part)
            yield (made[0] if isinstance(made, tuple | list) else made).numpy()
