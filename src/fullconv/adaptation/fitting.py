"""A network made ready to be fitted: its logits, its features, and what cells of images give of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fullconv import fingerprint, version
from fullconv.adaptation import cost
from fullconv.adaptation.asked import asked
from fullconv.adaptation.features import NAME, Featured
from fullconv.adaptation.folds import folds_of
from fullconv.adaptation.ladder import Rung, Samples, chosen, climb, weights_of
from fullconv.adaptation.levels import levels_of
from fullconv.adaptation.logits import Logits, logits_of
from fullconv.adaptation.measure import Measure
from fullconv.adaptation.report import Edge, Report
from fullconv.adaptation.sample import Sample
from fullconv.errors import BadInput, BrokenPromise, NothingToAdapt
from fullconv.formats.head import FittedHead
from fullconv.geometry.grid import Sampling
from fullconv.maps.features import require_classes
from fullconv.maps.ways import Way, way_over
from fullconv.model import Model
from fullconv.stream.job import Job
from fullconv.surgery.head import Head, misplaced

FEWEST = 100  # crops that a head is fitted on
_MANY_CLASSES = (
    200  # from which on only the last level is taken, through a few numbers: its window is weighed for each of them
)
_RANK = 32  # these
_ALIKE = 1e-3  # of the largest logit: far above rounding
_NAMED = 20  # images that a file names


@dataclass(frozen=True)
class Fitting:
    """A network made ready to be fitted.

    Attributes:
        model: as loaded.
        way: how its cast gets over images.
        full, own: the logits of the cast network and of the untouched one.
        featured: the cast network with its features.
    """

    model: Model
    way: Way
    full: Logits
    own: Logits
    featured: Featured

    @staticmethod
    def of(model: Model, job: Job, notes: Callable[[str], None]) -> Fitting:
        """Raises what ``adapt`` does of the network."""
        name = model.path or "the network"
        require_classes(model, job.output, "adapt")
        way = way_over(model, output=job.output, notes=notes, activation=job.activation)
        cast, classifier = model.cast(), model.classifier
        if any(fitted.head.output == way.output for fitted in model.heads):
            raise BadInput(
                f"{name}: output {way.output!r} is adapted already; adapt the network that it was adapted from"
            )
        if not classifier.plan.inexact:
            raise NothingToAdapt(
                f"{name}: nothing to adapt: every cell equals its crop's answer ({classifier.plan.exactness})"
            )
        full = logits_of(cast, way.output, job.activation)
        own = logits_of(classifier, classifier.plan.untouched(way.output), job.activation)
        why = misplaced(cast.graph, Head(way.output, full.value, full.classes))
        if why is not None:
            raise BadInput(f"{name}: has no place for a head: {why}; choose another output with --head (output=)")
        levels = tuple(
            level
            for level in levels_of(cast.graph, full.value)
            if misplaced(cast.graph, Head(way.output, full.value, full.classes, (level,))) is None
        )
        if full.classes >= _MANY_CLASSES:
            levels = levels[-1:]
        found = Fitting(model, way, full, own, Featured(cast, way.output, full.value, levels))
        found.require_same()
        return found

    def require_same(self) -> None:
        """BrokenPromise where the two networks' logits of one crop are not the same numbers."""
        crop = np.random.default_rng(0).uniform(0, 2, (1, *self.model.image_shape)).astype(np.float32)
        classes = self.full.classes
        cast = self.featured.run(crop, outputs=[NAME], runtime="onnxruntime")[NAME][:, :classes, 0, 0]
        own = self.model.classifier.run(crop, outputs=[self.own.value], runtime="onnxruntime")[self.own.value]
        if not np.allclose(own.reshape(1, -1), cast, rtol=0, atol=_ALIKE * max(1e-6, float(np.abs(cast).max()))):
            raise BrokenPromise(f"{self.name}: {self.own.value!r} of a crop and {self.full.value!r} of its cast differ")

    @property
    def name(self) -> str:
        return str(self.model.path or "the network")

    @property
    def rank(self) -> int | None:
        """Through how many numbers a head goes; None for none."""
        return _RANK if self.full.classes >= _MANY_CLASSES else None

    def climbed(self, sample: Sample) -> tuple[list[Rung], Rung, str, tuple[Any, Any, Any] | None]:
        """The ladder, the step taken, what parted its cells, and its weights, bias and what spreads them (None: nothing is taken).

        Raises:
            BadInput: there are too few cells, or all are of one class.
        """
        samples, inside = self.samples(sample)
        if len(inside) < FEWEST:
            raise BadInput(
                f"{self.name}: {len(inside)} cells to fit on, away from the images' borders and with an answer, where {FEWEST} is the least; "
                "give more or larger images"
            )
        winners = np.unique(samples.crops.argmax(axis=1))
        if self.full.kind == "softmax" and len(winners) == 1:
            raise BadInput(
                f"{self.name}: one class wins all {len(inside)} crops, so that nothing tells how others are moved; give images that show more"
            )
        measure = Measure.of(self.full.kind, samples.crops)
        folds = folds_of(inside.image, inside.at, gaps(self.way.sampling))
        steps = [("mixing of logits", 0), ("last level", 1)]
        if len(self.featured.levels) > 1:
            steps.append((f"all {len(self.featured.levels)} levels", len(self.featured.levels)))
        rungs = climb(samples, folds, measure, steps[: 1 + len(self.featured.levels)])
        rung = chosen(rungs)
        return rungs, rung, folds.by, None if rung is rungs[0] else weights_of(samples, measure, rung)

    def samples(self, sample: Sample) -> tuple[Samples, Sample]:
        """What is fitted, of cells away from borders, and these."""
        inside = sample.of(~sample.border)
        logits, means = self.featured.parted(inside.features)
        return Samples(logits, means, inside.crops, inside.weight, self.rank), inside

    def head(self, rung: Rung, weights: Any, bias: Any, spread: Any, about: Mapping[str, Any]) -> FittedHead:
        """A step's weights (features, K or rank) as a head."""
        classes = self.full.classes
        levels = self.featured.levels[len(self.featured.levels) - rung.levels :] if rung.levels else ()
        ends = np.cumsum([classes, *(level.channels * level.regions for level in levels)])
        mixing, *means = np.split(np.asarray(weights, np.float32).T, ends[:-1], axis=1)
        kernels = tuple(
            np.ascontiguousarray(part.reshape(len(part), level.channels, len(level.rows), len(level.cols)))
            for level, part in zip(levels, means, strict=True)
        )
        head = Head(self.way.output, self.full.value, classes, levels, self.rank)
        over = None if spread is None else np.asarray(spread, np.float32)
        return FittedHead(head, np.asarray(bias, np.float32), np.ascontiguousarray(mixing), kernels, about, over)

    def measured(
        self, sample: Sample, rungs: Sequence[Rung], rung: Rung, by: str, start: float, fitted: FittedHead | None = None
    ) -> Report:
        """What was fitted on what."""
        network = cost.of_network(self.model.cast(), self.way.output) if fitted is not None else None
        share = None if fitted is None or not network else cost.of_head(fitted.head, True) / network
        inside = sample.of(~sample.border)
        measure = Measure.of(self.full.kind, inside.crops)
        return Report(
            self.full.kind, measure.divergence, len(inside), len(np.unique(inside.image)), by, tuple(rungs), rung.name, self._itself(sample, measure),
            None if fitted is None else self._edge(sample, measure, fitted), share, perf_counter() - start, sample.features.nbytes,
        )  # fmt: skip

    def _itself(self, sample: Sample, measure: Measure) -> float | None:
        there = np.isfinite(sample.moved).all(axis=1) & ~sample.border
        if not there.any():
            return None
        return float(
            np.average(measure.agreements(sample.crops[there], sample.moved[there]), weights=sample.weight[there])
        )

    def _edge(self, sample: Sample, measure: Measure, fitted: FittedHead) -> Edge | None:
        near = sample.of(sample.border)
        if not len(near):
            return None
        logits, means = self.featured.parted(near.features)
        moved = fitted.moved(logits, means[len(means) - len(fitted.kernels) :])
        before, after = (float(measure.agreements(near.crops, each).mean()) for each in (logits, moved))
        return Edge(len(near), before, after)

    def about(self, images: Sequence[Any], job: Job, crops: int, seed: int, report: Report) -> dict[str, Any]:
        """What the adapted network's file says of how it was made."""
        names = [Path(image).name if isinstance(image, str | Path) else "an image in memory" for image in images]
        before, after = report.before, report.after
        return {
            "classifier": {"name": self.model.path.name if self.model.path else "a network in memory", "fingerprint": fingerprint.of_model(self.model)},
            "images": names[:_NAMED], "image_count": len(names), "preprocess": str(job.preprocess), "crops": report.crops, "asked": asked(self.model, images, job, crops, seed), "seed": seed,
            "kind": report.kind, "step": after.name, "strength": after.strength, "validated_by": report.by,
            "agreement": {"before": before.agreement, "after": after.agreement, "itself": report.itself},
            "divergence": {"is": report.divergence, "before": _rounded(before.divergence), "after": _rounded(after.divergence)},
            "date": datetime.now(UTC).strftime("%Y-%m-%d"), "fullconv": version.__version__,
        }  # fmt: skip


def gaps(sampling: Sampling) -> list[tuple[int, int]]:
    """Cells from one that is tested to the next that is fitted on: no pixel of their fields is shared, or none of their crops."""
    sizes = [sampling.field.size, sampling.crop]
    pairs = [[ceil(size / step) for size, step in zip(each, sampling.stride, strict=True)] for each in sizes]
    return [(down, right) for down, right in pairs]


def _rounded(number: float) -> float:
    """Without the last bits, which differ with the number of threads: a file is the same wherever it was fitted."""
    return float(f"{number:.6g}")
