"""``fullconv.pca``: the principal components of features, of one map or of several together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fullconv.maps.classmap import ClassMap
from fullconv.render.components import Components, components_of

Result = ClassMap | str | Path


def pca(result: Result | Sequence[Result], *, components: int = 3) -> Components:
    """The directions in which the features of all cells with an answer vary most, of a map of any size in bounded memory.

    ``fullconv.pca(result).of(result.scores)`` are the features along them, (components, rows, cols); ``result.overlay()`` and ``fullconv export
    --what pca`` show three as red, green and blue.

    Args:
        result: a map, the path of a store or an ``.npz``, or several of the same layer.
        components: how many, at most as many as there are channels.

    Raises:
        BadInput: maps are of other numbers of channels, or have fewer than two cells with an answer.
    """
    given = [result] if isinstance(result, ClassMap | str | Path) else list(result)
    return components_of([each if isinstance(each, ClassMap) else ClassMap.load(each) for each in given], components)
