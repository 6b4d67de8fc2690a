"""Reading a card: a TOML file, or the same text within a network's own file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.cards.said import as_said
from fullconv.errors import BadInput
from fullconv.formats.stated import LONGEST as LONGEST
from fullconv.maps.labelfiles import KNOWN, labels_in
from fullconv.rasters.preprocess import NAMED, Preprocess
from fullconv.system.guard import resolved
from fullconv.system.text import read_text

_TEXTS = ("network", "weights", "fingerprint", "weights_prefix", "output", "activation", "licence", "source")
_NUMBERS = ("threshold", "pixel_size", "tolerance")
_PARTS = ("input_shape", "bands", "rename", "preprocess", "classes", "labels")
_KEYS = (*_TEXTS, *_NUMBERS, *_PARTS)
_LIBRARIES = ("torchvision:", "timm:", "keras:")
_HUBS = ("hf-hub:", "wsinfer:", "tiatoolbox:")


def read_card(path: Path) -> Card:
    """A card from a ``.toml`` file, with paths in it made whole: they are meant from the card's folder.

    Raises:
        BadInput: no TOML, an unknown key (the nearest known one is told), a value that is none, or code of one's own as the network.
    """
    text = read_text(path, "model card", LONGEST)
    return parse_card(text, str(path), path.parent)


def parse_card(text: str, origin: str, folder: Path | None) -> Card:
    """A card from its text.

    Args:
        origin: where the text is from, for messages.
        folder: that paths in it are meant from; None where it travels within a network's file, and names none.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{origin}: not valid TOML: {error}") from None
    require_known(data, _KEYS, origin)
    values: dict[str, Any] = {}
    for key in _TEXTS:
        if key in data:
            values[key] = _of(data[key], str, origin, key, "a text")
            if not values[key].strip():
                raise BadInput(f"{origin}: {key} is empty; fill it in, or leave it out")
    for key in _NUMBERS:
        if key in data:
            values[key] = float(_of(data[key], (int, float), origin, key, "a number"))
    if "input_shape" in data:
        values["input_shape"] = tuple(_list(data["input_shape"], int, origin, "input_shape", "whole numbers"))
    if "bands" in data:
        values["bands"] = tuple(_list(data["bands"], (int, str), origin, "bands", "whole numbers or names"))
    if "rename" in data:
        values["rename"] = tuple(_list(data["rename"], str, origin, "rename", "texts OLD=NEW"))
    if "preprocess" in data:
        values["preprocess"] = _preprocess(data["preprocess"], origin, folder)
    if "classes" in data and "labels" in data:
        raise BadInput(f"{origin}: has both classes and labels; give one of them")
    if "classes" in data:
        values["classes"] = tuple(
            _kind(each, origin) for each in _list(data["classes"], dict, origin, "classes", "tables")
        )
    if "labels" in data:
        values["classes"] = tuple(Kind(name) for name in _labels(data["labels"], origin, folder))
    if folder is None:
        named = [key for key in ("network", "weights", "fingerprint", "weights_prefix", "rename") if key in values]
        if named:
            raise BadInput(f"{origin}: a card within a network's file says nothing of {', '.join(named)}")
    else:
        _whole_paths(values, origin, folder)
    return Card(origin, **values)


def require_known(data: Mapping[str, Any], known: tuple[str, ...], origin: str) -> None:
    """BadInput for a key that is none, with the nearest that is."""
    for key in data:
        if key not in known:
            near = get_close_matches(key, known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"its keys are {', '.join(known)}"
            raise BadInput(f"{origin}: unknown key {key!r}; {meant}")


def _of(value: Any, kind: Any, origin: str, key: str, what: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadInput(f"{origin}: {key} is {value!r:.60}, not {what}")
    return value


def _list(value: Any, kind: Any, origin: str, key: str, what: str) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(v, kind) and not isinstance(v, bool) for v in value):
        raise BadInput(f"{origin}: {key} is {value!r:.60}, not a list of {what}")
    return value


def _kind(data: Mapping[str, Any], origin: str) -> Kind:
    require_known(data, ("name", "colour", "background"), f"{origin}: classes")
    name = _of(data.get("name"), str, origin, "a class's name", "a text")
    colour = data.get("colour")
    if colour is not None:
        _of(colour, str, origin, f"the colour of {name!r}", "a text, #rrggbb")
    try:
        return Kind(
            name, colour, _of(data.get("background", False), bool, origin, f"background of {name!r}", "true or false")
        )
    except BadInput as error:
        raise BadInput(f"{origin}: {error}") from None


def _labels(value: Any, origin: str, folder: Path | None) -> list[str]:
    if isinstance(value, str) and folder is not None:
        path = _within(folder, value, origin)
        with as_said(origin, {"labels": value}):
            return labels_in(path if value not in KNOWN or path.exists() else value)
    return _list(value, str, origin, "labels", "names")


def _preprocess(value: Any, origin: str, folder: Path | None) -> Preprocess:
    try:
        if isinstance(value, str):
            if value in NAMED:
                return NAMED[value]
            if folder is None:
                raise BadInput(f"preprocess {value!r}: not one of {', '.join(NAMED)}, nor a table")
            path = _within(folder, value, origin)
            if not path.is_file():
                raise BadInput(
                    f"preprocess = {value!r}: no such file ({path}), nor one of {', '.join(NAMED)}; mend it there"
                )
            return Preprocess.of(path)
        require_known(
            _of(value, dict, origin, "preprocess", "a name or a table"),
            ("channels", "scale", "mean", "std"),
            f"{origin}: preprocess",
        )
        made = dict(value)
        for key in ("mean", "std"):
            if key in made:
                numbers = made[key] if isinstance(made[key], list) else [made[key]]
                made[key] = tuple(float(_of(n, (int, float), origin, key, "numbers")) for n in numbers)
        if "scale" in made:
            made["scale"] = float(_of(made["scale"], (int, float), origin, "scale", "a number"))
        return Preprocess(**made)
    except BadInput as error:
        raise BadInput(f"{origin}: {str(error).removeprefix(f'{origin}: ')}") from None


def _whole_paths(values: dict[str, Any], origin: str, folder: Path) -> None:
    """Paths of a card as paths from here; a card may come from anyone, so that it names no code that would be run."""
    network = values.get("network")
    if network is not None and not network.startswith(_LIBRARIES):
        if ":" in network and not (folder / network).exists():
            what = (
                "of other machines, which a card does not ask"
                if network.startswith(_HUBS)
                else "code of one's own, which a card does not run"
            )
            raise BadInput(
                f"{origin}: its network {network!r} is {what}; name it yourself: MODEL {network} with --card {origin}"
            )
        values["network"] = str(_within(folder, network, origin))
    if "weights" in values:
        values["weights"] = str(_within(folder, values["weights"], origin))


def _within(folder: Path, text: str, origin: str) -> Path:
    """A file that a card names; BadInput where it lies outside the card's folder, since a card may come from anyone."""
    path = folder / text
    if not resolved(path).is_relative_to(resolved(folder)):
        raise BadInput(
            f"{origin}: names {text!r}, which lies outside the card's folder, where cards read nothing; put the card beside it, or give that file "
            f"yourself: MODEL or --weights, with --card {origin}"
        )
    return path
