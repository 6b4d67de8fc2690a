"""Cells of pictures drawn once, and heads fitted and tried on them in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fullconv.adaptation.fitting import Fitting
from fullconv.adaptation.ladder import Rung
from fullconv.adaptation.measure import Measure
from fullconv.adaptation.sample import Sample
from fullconv.adaptation.sampler import Sampler
from fullconv.formats.head import FittedHead
from fullconv.model import Model
from fullconv.stream.run import job_of


@dataclass(frozen=True)
class Ground:
    """A network and how pictures become its input."""

    model: Model
    fitting: Fitting
    job: Any

    @staticmethod
    def of(model: Model, preprocess: str, first: Any) -> Ground:
        job = job_of(model, first, "the benchmark", preprocess=preprocess)
        return Ground(model, Fitting.of(model, job, lambda note: None), job)

    def drawn(self, images: Sequence[Any], crops: int, seed: int = 0) -> Sample:
        fitting = self.fitting
        own = (self.model, fitting.way, fitting.featured, fitting.own, self.job, seed, None, lambda note: None)
        return Sampler(*own).over(images, crops, lambda done, total: None)

    def fitted(self, sample: Sample) -> tuple[FittedHead | None, Rung, Rung]:
        """The head, and nothing and the step that was taken as cross-validation saw them."""
        rungs, rung, _, weights = self.fitting.climbed(sample)
        return (None if weights is None else self.fitting.head(rung, *weights, {})), rungs[0], rung

    def moved(self, sample: Sample, fitted: FittedHead | None) -> np.ndarray:
        """Logits of a sample's cells, with a head or without."""
        logits, means = self.fitting.featured.parted(sample.features)
        if fitted is None:
            return logits.astype(np.float64)
        return fitted.moved(logits, means[len(means) - len(fitted.kernels) :])


def scores(sample: Sample, logits: np.ndarray) -> tuple[float, float]:
    """Agreement and KL, each cell as many as it stands for."""
    measure = Measure("softmax")
    return (
        float(np.average(measure.agreements(sample.crops, logits), weights=sample.weight)),
        float(np.average(measure.divergences(sample.crops, logits), weights=sample.weight)),
    )


def itself(sample: Sample) -> float:
    """The classifier's agreement with itself, crops moved by one pixel."""
    there = np.isfinite(sample.moved).all(axis=1)
    alike = sample.crops[there].argmax(axis=1) == sample.moved[there].argmax(axis=1)
    return float(np.average(alike, weights=sample.weight[there]))


def inside(sample: Sample) -> Sample:
    return sample.of(~sample.border)
