"""What is said of a map in words: how far it is its crops' own, what the network is, and how it was run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv.cards.card import Card
from fullconv.maps.areas import area_note
from fullconv.maps.classmap import ClassMap
from fullconv.render.components import FEATURES
from fullconv.render.overlay import spoken
from fullconv.reports.html import Html, facts, joined, name, table, tag, text
from fullconv.version import __version__

_FAILED = 50  # tiles that are listed
_SENTENCE = 3000  # letters: stores come from anyone
_NAMED = 8


def exactness(found: ClassMap, measured: str) -> Html:
    """Whether cells equal their crops: what the network says, what was promised, and what was measured, or why nothing was."""
    lead = found.exactness or "nothing is known of how far cells equal their crops"
    if found.by == "crops":
        lead = "every cell is the classifier's own answer for its crop: the map was made crop by crop"
    promised = "" if found.statement is None else text(found.statement, _SENTENCE)
    return joined([
        tag("p", text(_begun(lead), _SENTENCE), class_="lead"),
        facts({"confirmed": promised, "measured": text(measured, _SENTENCE)}),
    ])  # fmt: skip


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")


def network(found: ClassMap, card: Card | None) -> Html:
    """The model card: what the result says of its network, and what was written down of it."""
    asked = _asked(found)
    said = _part(asked, "model")
    source, licence, features = found.advice.source, found.advice.licence, found.score_kind == FEATURES
    rows: dict[str, object] = {
        "network": name(said.get("name", "")), "fingerprint": name(said.get("fingerprint", "")), "output": name(found.output),
        "channels" if features else "classes": f"{len(found.labels):,}" if features else _labels(found.labels), "background": _background(found), "scores": "a layer's features" if features else "none, but the winner's number" if found.score_kind == "winner" else found.score_kind or "as the network gives them",
        "pixels to input": _preprocess(_part(asked, "preprocess")),
    }  # fmt: skip
    if card is not None:
        shape = card.input_shape
        source, licence = source or card.source, licence or card.licence
        rows |= {
            "weights": name(card.fingerprint or ""),
            "trained on crops of": "" if shape is None else f"{shape[2]} × {shape[1]} px, {shape[0]} channels",
            "trained at": "" if card.pixel_size is None else f"{card.pixel_size:g} µm or m a pixel",
        }
    rows |= {"source": name(source or ""), "licence": name(licence or "")}
    told = "No model card says where the network is from, and under which licence; fullconv card begins one."
    return joined([facts(rows), None if source or licence else tag("p", told, class_="note")])


def _background(found: ClassMap) -> Html:
    shown = [name(label) for i, label in enumerate(found.labels) if i not in found.findings]
    return Html("; ".join(shown[:_NAMED]))


def _labels(labels: tuple[str, ...]) -> Html:
    shown = [name(spoken(label)) for label in labels[:_NAMED]]
    more = f", and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
    return joined([f"{len(labels):,}: ", Html("; ".join(shown)), more])


def _preprocess(how: Mapping[str, Any]) -> str:
    if not how:
        return ""

    def numbers(key: str) -> str:
        values = how.get(key)
        return (
            ", ".join(f"{value:.6g}" for value in values if isinstance(value, int | float))
            if isinstance(values, list | tuple)
            else ""
        )

    parts = [
        f"channels {how.get('channels')}",
        f"scale {how.get('scale')}",
        f"mean {numbers('mean')}",
        f"std {numbers('std')}",
    ]
    return str(text("; ".join(part for part in parts if not part.endswith((" None", " "))), _SENTENCE))


def course(found: ClassMap, image: str, answered: int | None, seconds: float | None) -> Html:
    """How it was run, and what was left out.

    Args:
        image: its name.
        answered: cells with an answer, where all were counted.
        seconds: that it took, where that is known.
    """
    grid, asked, record = found.grid, _asked(found), found.record
    select = _part(asked, "select")
    cells = grid.rows * grid.cols
    left = record.left_out if record is not None and record.finished else None if answered is None else cells - answered
    rows: dict[str, object] = {
        "image": name(image), "size": f"{grid.image[1]:,} × {grid.image[0]:,} px{_physical(found)}",
        "cells": f"{cells:,} ({grid.rows:,} × {grid.cols:,}), one every {float(grid.stride[1]):g} × {float(grid.stride[0]):g} px",
        "crop": f"{float(grid.crop[1]):g} × {float(grid.crop[0]):g} px",
        "receptive field": f"{float(grid.field[1]):g} × {float(grid.field[0]):g} px",
        "scales": ", ".join(f"{scale:g}" for scale in found.scales),
        "read": ", ".join(f"{key} {text(select[key], 60)}" for key in ("level", "mpp", "bands", "subdataset", "nodata") if select.get(key) is not None),
        "way": {"cast": "the cast network over the whole image", "crops": "the classifier, crop by crop"}.get(found.by, found.by),
        "restricted to": "" if asked.get("where") is None else "a part of the image (--where)",
        "engine": name(asked.get("runtime", "")), "precision": name(asked.get("precision", "")),
        "tiles": _tiles(found), "time": "" if seconds is None else f"{seconds:,.1f} s", "without an answer": f"{left:,} cells ({left / max(1, cells):.1%})" if left else "",
        "areas": text(area_note(found), _SENTENCE),
        "made by": "" if record is None else name(f"fullconv {record.version}"), "page by": f"fullconv {__version__}",
    }  # fmt: skip
    return joined([facts(rows), _failed(found)])


def _physical(found: ClassMap) -> str:
    size, unit = found.place.pixel_size, {"micrometer": "µm", "meter": "m"}.get(found.place.unit)
    return "" if size is None or unit is None else f", a pixel is {size[1]:g} × {size[0]:g} {unit}"


def _tiles(found: ClassMap) -> str:
    record = found.record
    if record is None:
        return "one: the image was mapped in memory"
    stored = {"all": "all scores", "top1": "the winning class", "some": "some classes"}[record.keep]
    return f"{len(record.tiles):,}; {stored} stored as {record.stored}"


def _failed(found: ClassMap) -> Html | None:
    failed = () if found.record is None else found.record.failed
    if not failed:
        return None
    more = len(failed) - _FAILED
    rows = [(name(tile), name(why)) for tile, why in failed[:_FAILED]]
    left = tag("p", f"and {more:,} more", class_="note") if more > 0 else None
    return joined(
        [
            tag("h3", "Tiles that were left out"),
            table(("tile", "reason"), rows, "Tiles whose pixels do not decode, and why.", left=2),
            left,
        ]
    )


def _asked(found: ClassMap) -> Mapping[str, Any]:
    return {} if found.record is None else found.record.request


def _part(asked: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = asked.get(key)
    return part if isinstance(part, Mapping) else {}
