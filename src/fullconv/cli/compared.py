"""A map that is not exact, held against a few of its crops once it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fullconv.cli.terminal import note
from fullconv.errors import FullconvError

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap
    from fullconv.model import Model
    from fullconv.trust.agreement import Agreement

_OF_ADAPTED = 100  # cells, where a network says how well it agrees


def compared(
    model: Model, image: str, result: ClassMap, memory: int | None, how: Mapping[str, Any], *, always: bool
) -> Agreement | None:
    """What some cells have in common with their crops; None of an exact map, and where that is more work than the map.

    Of an adapted network it is said where that is less than it was when its head was fitted.

    Args:
        how: what the map was made with.
        always: whatever work it is.
    """
    from fullconv.adaptation.claim import falls_short
    from fullconv.trust.agreement import CELLS, agreement

    exact = not model.plan.inexact and how["precision"] == "fp32"
    if exact or result.by != "cast" or result.scales:
        return None
    cells = _OF_ADAPTED if model.heads else CELLS
    height, width = result.grid.image
    if not always and cells * float(result.grid.crop[0] * result.grid.crop[1]) > height * width:
        return None
    try:
        found = agreement(model, image, result, cells=cells, memory=memory, **how)
    except FullconvError as error:  # the map is made, whatever can be said of it
        note(f"{image}: not compared with crops ({error})")
        return None
    for fitted in model.heads:
        if found.agree is None or fitted.head.output != result.output:
            continue
        if (told := falls_short(fitted.about, found.agree, found.compared)) is not None:
            note(f"{image}: {told}")
    return found
