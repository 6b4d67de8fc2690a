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
            meant = {key: value for key, value in said.items() if _is_meant(key, value, str(error))}
            files = {key: said[key] for key in ("network", "weights") if key in said}
            told = meant or (files or said if _is_written(origin) else {})
            if not told:
                raise
            error.args = (f"{error}; {origin} says {_written(told)}: mend it there{_instead(told, origin)}",)
        raise


def of_loading(card: Card, asked: Mapping[str, Any], *, names_network: bool) -> dict[str, Any]:
    """What a card says that a network is loaded by, where nothing else was asked for.

    Args:
        asked: arguments of ``fullconv.load``.
        names_network: the network is the one that the card names, and none that was given.
    """
    said: dict[str, Any] = {}
    if names_network and card.network is not None:
        said["network"] = _from(card, card.network)
    if card.weights is not None and asked.get("weights") is None:
        said["weights"] = _from(card, card.weights)
    if card.input_shape is not None and asked.get("input_shape") is None:
        said["input_shape"] = list(card.input_shape)
    if card.weights_prefix is not None and asked.get("weights_prefix") is None:
        said["weights_prefix"] = card.weights_prefix
    if card.rename and not asked.get("rename"):
        said["rename"] = list(card.rename)
    return said


def _is_written(origin: str) -> bool:
    """Whether someone wrote a card; else it is what a folder or a zoo says."""
    return origin.lower().endswith(".toml")


def _from(card: Card, text: str) -> str:
    """A path as the card has it."""
    path, folder = Path(text), Path(card.origin).parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else text


def _is_meant(key: str, value: Any, error: str) -> bool:
    return (isinstance(value, str) and value in error) or _OPTIONS.get(key, "\0") in error


def _written(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items())


def _instead(said: Mapping[str, Any], origin: str) -> str:
    ways = [f"MODEL with --card {origin}"] if "network" in said and _is_written(origin) else []
    ways += [_OPTIONS[key] for key in said if key in _OPTIONS]
    return f", or give {' or '.join(ways)}" if ways else ""
