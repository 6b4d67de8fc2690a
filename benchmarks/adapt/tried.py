"""What was tried beside the head, each in a few lines: nothing of it is in fullconv, and the README says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.adapt.measured import Ground, inside, scores
from fullconv.adaptation.features import Featured
from fullconv.adaptation.fitting import gaps
from fullconv.adaptation.folds import folds_of
from fullconv.adaptation.measure import Measure
from fullconv.adaptation.sample import Sample
from fullconv.graph.nodes import Graph, Pointwise


def border_of_its_own(ground: Ground, fit: Sample, test: Sample) -> dict[str, float]:
    """Agreement of cells near borders: as they are, with the head of the others, and with one that border cells are in as well."""
    edge = test.of(test.border)
    fitted, _, _ = ground.fitted(fit)
    every = Sample(*(getattr(fit, name) for name in fit.__slots__[:-1]), np.zeros(len(fit), np.bool_))
    both, _, _ = ground.fitted(every)
    only = fit.of(fit.border)
    own, _, _ = ground.fitted(Sample(*(getattr(only, n) for n in fit.__slots__[:-1]), np.zeros(len(only), np.bool_)))
    heads = {"as it is": None, "head of the others": fitted, "head of all": both, "head of its own": own}
    return {name: scores(edge, ground.moved(edge, head))[0] for name, head in heads.items()}


def kriged(ground: Ground, sample: Sample, seed: int = 0) -> dict[str, float]:
    """Agreement on a random third of an image's cells: with a head of the other two, and with their residuals laid around them as well."""
    cells = inside(sample)
    test = np.random.default_rng(seed).random(len(cells)) < 1 / 3
    fit, rest = cells.of(~test), cells.of(test)
    fitted, _, _ = ground.fitted(fit)
    own, moved = ground.moved(fit, fitted), ground.moved(rest, fitted)
    residuals = Measure("softmax").target(fit.crops, own)
    found = {"as it is": scores(rest, ground.moved(rest, None))[0], "head": scores(rest, moved)[0]}
    for length in (1.0, 2.0, 4.0):
        near, across = _near(fit, fit, length), _near(rest, fit, length)
        laid = across @ np.linalg.solve(near + 0.5 * np.eye(len(fit)), residuals)
        found[f"head and residuals, {length:g} cells"] = scores(rest, moved + laid)[0]
    return found


def _near(a: Sample, b: Sample, length: float) -> np.ndarray:
    apart = ((a.at[:, None] - b.at[None]) ** 2).sum(axis=2) / (2 * length**2)
    return np.exp(-apart) * (a.image[:, None] == b.image[None])


def blocks_of(ground: Ground, sample: Sample) -> tuple[float, float]:
    """Agreement before and after on cells of the same pictures that were not fitted on: blocks apart, strength and step chosen within what is fitted."""
    cells = inside(sample)
    folds = folds_of(cells.image, cells.at, gaps(ground.fitting.way.sampling))
    before, after, weight = [], [], []
    for fit, test in folds.parts:
        fitted, _, _ = ground.fitted(cells.of(fit))
        rest = cells.of(test)
        before.append(scores(rest, ground.moved(rest, None))[0])
        after.append(scores(rest, ground.moved(rest, fitted))[0])
        weight.append(rest.weight.sum())
    return float(np.average(before, weights=weight)), float(np.average(after, weights=weight))


def before_activation(
    ground: Ground, fit: Sequence[Any], held_out: Sequence[Any], crops: int
) -> dict[str, tuple[float, float]]:
    """Agreement and KL of held-out cells with heads that read levels behind their activation, and in front of it; the same cells for both."""
    fitting = ground.fitting
    own, graph = fitting.featured.levels, fitting.model.cast().graph
    earlier = tuple(replace(level, value=_in_front(graph, level.value)) for level in own)
    found = {}
    for name, levels in (("behind", own), ("in front", earlier)):
        featured = Featured(fitting.model.cast(), fitting.way.output, fitting.full.value, levels)
        reading = replace(ground, fitting=replace(fitting, featured=featured))
        fitted, _, rung = reading.fitted(reading.drawn(fit, crops))
        test = inside(reading.drawn(held_out, crops, seed=1))
        found[f"{name} ({rung.name})"] = scores(test, reading.moved(test, fitted))
    return found


def _in_front(graph: Graph, value: str) -> str:
    """What a value was before the steps that read one cell of one map alone: activations, and norms, which do nothing to a linear head."""
    node = graph.producer(value)
    while node is not None and isinstance(node.touch, Pointwise) and len(node.inputs) == 1:
        value = node.inputs[0]
        node = graph.producer(value)
    return value
