"""What goes wrong because of what a card says is told with the card, its keys and what is written there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card
from fullconv.errors import BadInput, MissingExtra

_OPTIONS = {
    "weights": "--weights",
    "input_shape": "--input-shape",
    "weights_prefix": "--weights-prefix",
    "rename": "--rename",
    "output": "--head",
    "preprocess.mean": "--preprocess",
    "preprocess.std": "--preprocess",
}


@contextmanager
def as_said(origin: str, said: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, errors name a card.

    Args:
        origin: the card.
        said: its keys that matter here, with what is written there; without any, errors stay as they are.
    """
    try:
        yield
    except MissingExtra:
        raise
    except BadInput as error:
        if said and origin not in str(error):
            told = {key: value for key, value in said.items() if _is_meant(key, value, str(error))} or said
            error.args = (f"{error}; {origin} says {_written(told)}: mend it there{_instead(told, origin)}",)
        raise


def of_loading(card: Card, asked: Mapping[str, Any], *, names_network: bool) -> dict[str, Any]:
    """What a card says that a network is loaded by, where nothing else was asked for.

    Args:
        asked: arguments of ``fullconv.load``.
        names_network: the network is the one that the card names, and none that was given.
    """
    is_file = (
        Path(card.origin).suffix.lower() == ".toml"
    )  # else the network is what lies there, and none that is written down
    said: dict[str, Any] = {}
    if is_file and names_network and card.network is not None:
        said["network"] = _from(card, card.network)
    if is_file and card.weights is not None and asked.get("weights") is None:
        said["weights"] = _from(card, card.weights)
    if card.input_shape is not None and asked.get("input_shape") is None:
        said["input_shape"] = list(card.input_shape)
    if is_file and card.weights_prefix is not None and asked.get("weights_prefix") is None:
        said["weights_prefix"] = card.weights_prefix
    if is_file and card.rename and not asked.get("rename"):
        said["rename"] = list(card.rename)
    return said


def _from(card: Card, text: str) -> str:
    """A path as the card has it."""
    path, folder = Path(text), Path(card.origin).parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else text


def _is_meant(key: str, value: Any, error: str) -> bool:
    return (isinstance(value, str) and value in error) or _OPTIONS.get(key, "\0") in error


def _written(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items())


def _instead(said: Mapping[str, Any], origin: str) -> str:
    ways = [f"MODEL with --card {origin}"] if "network" in said else []
    ways += [_OPTIONS[key] for key in said if key in _OPTIONS]
    return f", or give {' or '.join(ways)}" if ways else ""
