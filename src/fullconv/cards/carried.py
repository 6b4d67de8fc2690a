"""A card that travels within a network's own file, in its metadata (ONNX, safetensors) or as a file within it (.pt2); and what other tools leave there."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from fullconv.cards.card import Card
from fullconv.cards.metadata import Found, card_of_metadata
from fullconv.cards.read import LONGEST, parse_card
from fullconv.cards.taken import travelling
from fullconv.cards.write import text_of
from fullconv.errors import BadInput
from fullconv.formats.stated import CARD as KEY

SUFFIXES = (".onnx", ".safetensors", ".pt2")  # of files that carry one


def carry(path: Path, kind: str, card: Card) -> None:
    """Put a card into a file that was just written.

    Args:
        kind: its suffix, one of ``SUFFIXES``.
    """
    text = text_of(travelling(card), whole=False)
    if kind == ".safetensors":
        _carry_beside_tensors(path, text)
        return
    if kind == ".pt2":
        _carry_beside_graph(path, text)
        return
    message = onnx.load(str(path), load_external_data=False)
    for entry in [each for each in message.metadata_props if each.key == KEY]:
        message.metadata_props.remove(entry)
    message.metadata_props.add(key=KEY, value=text)
    path.write_bytes(message.SerializeToString())


def carried(metadata: Mapping[str, str], origin: str) -> Found:
    """The card of a file's metadata, fullconv's own or of what other tools write, None where there is none; and what is to be known of it.

    Raises:
        BadInput: the card is none.
    """
    text = metadata.get(KEY)
    if text is None:
        return card_of_metadata(metadata, origin)
    if len(text) > LONGEST:
        raise BadInput(f"{origin}: the card in its metadata is larger than any ({LONGEST >> 20} MB)")
    return parse_card(text, f"{origin} (its metadata)", None), ()


def beside_tensors(path: Path) -> Mapping[str, str]:
    """The metadata of a ``.safetensors`` file, which was read as such before."""
    from safetensors import safe_open

    with safe_open(str(path), "np") as file:
        found: dict[str, Any] = file.metadata() or {}
    return {str(key): str(value) for key, value in found.items()}


def _carry_beside_tensors(path: Path, text: str) -> None:
    from safetensors.torch import load_file, save_file

    save_file(load_file(str(path)), str(path), metadata={**beside_tensors(path), KEY: text})


def _carry_beside_graph(path: Path, text: str) -> None:
    """As torch.export.save lays its extra files."""
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{KEY}", text)
