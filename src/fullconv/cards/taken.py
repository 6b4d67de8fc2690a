"""A card where a model is named: what it says beside what is asked, which wins; and whether the weights are the card's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card
from fullconv.cards.folder import card_of_folder
from fullconv.cards.read import read_card
from fullconv.cards.zoo import card_of_name
from fullconv.errors import BadInput
from fullconv.formats.torch.shards import files_of
from fullconv.system.guard import require_file

_SAID = ("weights", "input_shape", "weights_prefix")


def card_at(source: Any, weights: Any = None) -> tuple[Card, tuple[str, ...]] | None:
    """The card that a path or a name of a zoo stands for: a ``.toml`` file, a folder, a ``config.json``; None of a network itself. And what was decided
    in reading it.
    """
    if not isinstance(source, str | Path):
        return None
    path = Path(source)
    if isinstance(source, str) and ":" in source and not path.exists():
        return card_of_name(source, weights)
    if path.suffix.lower() == ".toml":
        return read_card(path), ()
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):
        return None
    return card_of_folder(path) if is_folder or path.name == "config.json" else None


def asked_beside(card: Card, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``fullconv.load``, with the card's where none were given.

    Raises:
        BadInput: the weights are not those whose fingerprint the card has.
    """
    given = {**asked, **{key: asked[key] if asked.get(key) is not None else getattr(card, key) for key in _SAID}}
    given["rename"] = tuple(asked.get("rename") or card.rename)
    return given


def filled(card: Card, other: Card) -> Card:
    """A card with what another one says, of a network that it stands for or of one within its file, where it says nothing itself."""
    bare = Card(card.origin)
    more = {
        each.name: getattr(other, each.name)
        for each in fields(card)
        if getattr(card, each.name) == getattr(bare, each.name)
    }
    return replace(card, **more)


def require_same(card: Card, source: Any, weights: Any) -> None:
    """BadInput where a card's fingerprint is of other weights than these."""
    if card.fingerprint is None:
        return
    path = Path(weights if weights is not None else source)
    own = fingerprint_of(path)
    if own != card.fingerprint:
        raise BadInput(
            f"{path}: is not the file that {card.origin} is about: its fingerprint is {own}, and the card has {card.fingerprint}; take the "
            "card of these weights, or write it anew (fullconv card)"
        )


def fingerprint_of(path: Path) -> str:
    """``sha256:`` and the digest of a file; of an index of several files, that of their digests, the index's first."""
    require_file(path)
    digests = [_digest(each) for each in files_of(path)]
    return f"sha256:{digests[0] if len(digests) == 1 else sha256(''.join(digests).encode()).hexdigest()}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def of_cast(card: Card, outputs: Mapping[str, str]) -> Card:
    """The card of a network whose outputs are called otherwise."""
    return card if card.output is None else replace(card, output=outputs.get(card.output, card.output))


def travelling(card: Card) -> Card:
    """What a card says that holds of a network's file by itself: not where its parts lay."""
    return replace(card, network=None, weights=None, fingerprint=None, weights_prefix=None, rename=())
