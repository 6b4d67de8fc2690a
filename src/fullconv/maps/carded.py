"""What a network's card says of a map, where nobody asks for another: labels, colours, threshold, background, activation, bands and resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from fullconv.cards.said import as_said
from fullconv.errors import BadInput
from fullconv.maps.colours import Given, colours_of
from fullconv.maps.features import at_layer
from fullconv.maps.probabilities import Asked
from fullconv.model import Model
from fullconv.rasters.view import Selection, Trained, parse_bands
from fullconv.render.palette import Rgb
from fullconv.results.advice import Advice
from fullconv.system.notebook import counted


def labels_of(model: Model, output: str | None, classes: int) -> Sequence[str] | None:
    """The card's labels; None where it has none, or is of another output than the one that is asked for.

    Raises:
        BadInput: they are not as many as the network has classes.
    """
    card = model.card
    labels = None if card is None else card.labels
    if card is None or labels is None or (output is not None and card.output is not None and output != card.output):
        return None
    if len(labels) != classes:
        raise BadInput(
            f"{card.origin}: names {counted(len(labels), 'class', 'classes')}, and the network has {classes}; mend it, or give the names with --labels (labels=)"
        )
    return labels


def colours_in(model: Model, labels: Sequence[str], given: Given) -> dict[int, Rgb]:
    """Colours of classes that are asked for, or the card's."""
    card = model.card
    if given is None and card is not None and tuple(labels) == card.labels:
        given = {kind.name: kind.colour for kind in card.classes if kind.colour is not None} or None
    return colours_of(given, labels)


def advice_of(model: Model, labels: Sequence[str], output: str | None, asked: Asked) -> Advice:
    """What the card says that a map keeps.

    A threshold is of the scores that the card is about: of another output, or with another activation behind it, it says nothing. Background are
    classes as the card names them: other names take their place.

    Args:
        labels, output, asked: of the map: names of all classes, the output and activation that were asked for.
    """
    card = model.card
    if card is None:
        return Advice()
    own_output = at_layer(model, output) is model and (output is None or card.output is None or output == card.output)
    own = own_output and (asked == "auto" or asked == (card.activation or "none"))
    named = own_output and tuple(labels) == card.labels
    background = tuple(i for i, kind in enumerate(card.classes) if kind.background) if named else ()
    return Advice(card.threshold if own else None, background, card.licence, card.source)


def activation_of(model: Model, asked: Asked) -> Asked:
    """What is asked for, or what the card says."""
    said = None if model.card is None else model.card.activation
    return asked if asked != "auto" or said is None else cast(Asked, said)


def preprocess_of(model: Model, given: Any) -> Any:
    """The preprocessing that is asked for, or the card's (or what the file states).

    Raises:
        BadInput: the card's is of another number of channels than the network takes.
    """
    card, channels = model.card, model.image_shape[0]
    own = None if card is None else card.preprocess
    if given is not None or card is None or own is None:
        return model.preprocess if given is None else given
    for name, values in (("mean", own.mean), ("std", own.std)):
        if len(values) not in (1, channels):
            with as_said(card.origin, {f"preprocess.{name}": list(values)}):
                raise BadInput(
                    f"preprocess: {name} has {len(values)} values, and the network takes {channels} channels"
                )
    return own


def with_bands(model: Model, select: Selection, bands: str | Sequence[int | str] | None) -> Selection:
    """How an image is read: the card's bands where none are asked for."""
    card, chosen = model.card, parse_bands(bands)
    if card is None or card.bands is None or chosen is not None:
        return replace(select, bands=chosen)
    return replace(select, bands=card.bands, bands_by=card.origin)


def as_trained(model: Model, select: Selection, bands: str | Sequence[int | str] | None) -> Selection:
    """How an image is read: the card's bands and pixel size where none are asked for."""
    card, select = model.card, with_bands(model, select, bands)
    if card is None or card.pixel_size is None:
        return select
    return replace(select, trained=Trained(card.pixel_size, card.tolerance, Path(card.origin).name))
