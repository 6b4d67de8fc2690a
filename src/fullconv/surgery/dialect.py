"""What a format can write, as far as a plan depends on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """A format's means.

    Attributes:
        rename: the name of a node whose weights change shape (Caffe's reader matches weights by name).
        pools_locally: a pool around each cell, of the map's size, so that pooled statistics may gate the map.
        keeps_outputs: an output keeps its name when the layout node that wrote it goes away.
    """

    rename: Callable[[str], str] = str
    pools_locally: bool = False
    keeps_outputs: bool = False


PLAIN = Dialect()
