"""How a network gets over an image: its cast or crop by crop, at which stride, for which output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from fullconv.cards.said import as_said
from fullconv.errors import BadInput, CannotCast, Refused
from fullconv.geometry.axis import Extent
from fullconv.geometry.field import Field, receptive_fields
from fullconv.geometry.grid import Sampling
from fullconv.graph.nodes import Graph
from fullconv.maps.carded import activation_of, labels_of
from fullconv.maps.classmap import read_labels
from fullconv.maps.crops import classes_of, no_crops
from fullconv.maps.features import at_layer, require_no_activation, told_of_layer
from fullconv.maps.labels import number_label
from fullconv.maps.probabilities import Asked, gives_winner, with_probabilities
from fullconv.model import Model
from fullconv.render.components import FEATURES
from fullconv.runtimes.runtime import Precision

Finer = Literal["auto", "dilation", "shifts"]
By = Literal["cast", "crops"]


@dataclass(frozen=True)
class Way:
    """What runs, and how its cells lie.

    Attributes:
        model: the network that runs: the cast one, a finer one, or the untouched one crop by crop.
        output: its output.
        sampling: stride, crop and field of the cells.
        shifts: shifts of the image, (rows, cols), where a finer map is had by them.
        by: ``cast`` or ``crops``.
        exactness: whether cells equal their crops, in words.
        score_kind: what its scores are, see ``maps.probabilities``.
    """

    model: Model
    output: str
    sampling: Sampling
    shifts: tuple[int, int]
    by: By
    exactness: str
    score_kind: str = ""


def way_over(
    model: Model,
    by: By = "cast",
    stride: int | None = None,
    finer: Finer = "auto",
    output: str | None = None,
    notes: Callable[[str], None] = lambda note: None,
    activation: Asked = "auto",
    runtime: str = "auto",
    precision: Precision = "fp32",
) -> Way:
    """How a model gets over images; the arguments are those of ``fullconv.map``.

    Raises:
        CannotCast: ``by`` is cast and the network cannot be cast.
        BadInput: an argument is none of those that there are, or the network has no such stride or output.
    """
    asked = at_layer(model, output)
    features = asked is not model
    if features:
        model, output = asked, None
        require_no_activation(activation)
    activation = activation_of(model, activation)
    if by not in ("cast", "crops"):
        raise BadInput(f"by {by!r}: not cast or crops")
    if finer not in ("auto", "dilation", "shifts"):
        raise BadInput(f"finer {finer!r}: not auto, dilation or shifts")
    if finer != "auto" and (stride is None or by == "crops"):
        raise BadInput(
            f"finer {finer}: is how the cast network gives a stride of less than its own; give it with --stride (stride=)"
        )
    if stride is not None and stride < 1:
        raise BadInput(f"stride {stride}: must be at least 1")
    if by == "crops":
        model = model.classifier
        why = no_crops(model.graph)
        if why is not None:
            raise BadInput(f"{model.path or 'the network'}: cannot be run on crops: {why}")
        name, sampling = _crops_sampling(model, output, stride)
        if features:
            return Way(
                model, name, sampling, (1, 1), by, "crops: every cell is the layer's value on its crop alone", FEATURES
            )
        told = "crops: every cell is the untouched network's own answer"
        runs, kind = with_probabilities(model, name, activation, notes, runtime, precision)
        return Way(runs, name, sampling, (1, 1), by, told, kind)
    full = cast_for_images(model)
    name = _output_of(model, output, full.graph)
    sampling = _square(model, name)
    shifts = _shifts(sampling, stride)
    sampling = _with_stride(sampling, stride)
    if stride is not None and shifts != (1, 1) and finer != "shifts":
        full, shifts = _dilated(model, stride, shifts, finer, notes)
    if features:
        return Way(full, name, sampling, shifts, by, told_of_layer(model.plan), FEATURES)
    full, kind = with_probabilities(full, name, activation, notes, runtime, precision)
    return Way(full, name, sampling, shifts, by, model.plan.exactness, kind)


def crops_instead(model: Model) -> str:
    """What a network that cannot be cast is mapped by, in words."""
    why = no_crops(model.graph)
    return "crops still give a map: --by crops" if why is None else f"crops give no map either: {why}"


def cast_for_images(model: Model) -> Model:
    """The cast network, to be run on an image alone."""
    try:
        full = model.cast()
    except CannotCast as error:
        name = model.path or "the network"
        raise CannotCast(f"{name}: cannot be cast ({crops_instead(model)})", error.refusals) from None
    why = no_crops(model.graph)
    if why is not None:
        raise BadInput(f"{model.path or 'the network'}: cannot be mapped: {why}")
    return full


def class_labels(
    model: Model, labels: str | Path | Sequence[str] | None, output: str | None = None, by: str = "cast"
) -> tuple[str, ...]:
    """The labels of an output's classes, as many as it has; of a layer's channels their numbers."""
    asked = at_layer(model, output)
    model, output = (model, output) if asked is model else (asked, None)
    model = model if by == "cast" else model.classifier
    graph = model.plan.predicted if by == "cast" and model.plan.predicted is not None else model.graph
    name = _output_of(model, output, graph)
    axes = graph.values[name]
    whole = by != "cast" or axes.rank != 4
    classes = classes_of(model, name) if whole else axes.shape[axes.channel_axis if axes.is_map else 1]
    if classes == 1 and gives_winner(model, _output_of(model, output, model.graph)):
        return (number_label(labels),)
    return read_labels(labels_of(model, output, classes) if labels is None else labels, classes)


def _output_of(model: Model, output: str | None, graph: Graph) -> str:
    """The output's name in this graph: by its own name, or by its place where a cast gave it another; its card's where none is asked for."""
    outputs = graph.outputs
    card = model.card
    if output is None and card is not None and card.output is not None:
        with as_said(card.origin, {"output": card.output}):
            return _output_of(model, card.output, graph)
    if output is None or output in outputs:
        return model.output(output, graph)
    names = model.plan.outputs
    if output in names:
        return model.output(names[output], graph)
    if output in names.values():
        return model.output(model.plan.untouched(output), graph)
    return model.output(output, graph)


def _square(model: Model, output: str) -> Sampling:
    """Sampling of an output, with steps that are whole pixels."""
    sampling = model.sampling(output)
    if any(step.denominator != 1 for step in sampling.stride):
        raise BadInput(
            f"output {output!r} steps by {sampling.stride[0]}×{sampling.stride[1]} px; a map needs whole pixels"
        )
    return sampling


def _crops_sampling(model: Model, output: str | None, stride: int | None) -> tuple[str, Sampling]:
    """The output and sampling of crops: the cast's, or, where there is no cast, whole crops a stride apart."""
    name = _output_of(model, output, model.graph)
    if model.plan.predicted is not None:
        sampling = _square(model, _output_of(model, output, model.plan.predicted))
    else:
        sampling = _whole_crops(model, name, stride)
    return name, _with_stride(sampling, stride)


def _with_stride(sampling: Sampling, stride: int | None) -> Sampling:
    if stride is None:
        return sampling
    return Sampling((Fraction(stride), Fraction(stride)), sampling.crop, sampling.field)


def _shifts(sampling: Sampling, stride: int | None) -> tuple[int, int]:
    """How many shifts of the image a stride needs, for rows and columns."""
    own = [int(step) for step in sampling.stride]
    if stride is None:
        return 1, 1
    if any(step % stride for step in own):
        fits = [n for n in range(1, min(own) + 1) if all(step % n == 0 for step in own)]
        raise BadInput(
            f"stride {stride}: the network steps by {own[0]}×{own[1]} px; it can step by {', '.join(map(str, fits))}, or use --by crops"
        )
    return own[0] // stride, own[1] // stride


def _dilated(
    model: Model, stride: int, shifts: tuple[int, int], finer: Finer, notes: Callable[[str], None]
) -> tuple[Model, tuple[int, int]]:
    """The network with dilated windows, or the one to be run on shifted images."""
    try:
        return model.refined(stride), (1, 1)
    except CannotCast as error:
        if finer == "dilation":
            raise
        notes(f"a finer map by shifted images: {error.refusals[0]}")
        return model.cast(), shifts


def _whole_crops(model: Model, output: str, stride: int | None) -> Sampling:
    _, height, width = model.image_shape
    step = (Fraction(1), Fraction(1))
    if stride is None:
        try:
            step = receptive_fields(model.graph)[output].stride
        except (Refused, KeyError):
            raise BadInput(
                "the network has no stride of its own; give the step between crops with --stride (stride=)"
            ) from None
    whole = [Extent(Fraction(length), s, Fraction(0)) for length, s in zip((height, width), step, strict=True)]
    return Sampling(step, (Fraction(height), Fraction(width)), Field(*whole))
