"""What a format can write, as far as a plan depends on it: what it cannot is refused before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fullconv.surgery.edit import Edit


def _can(edit: Edit) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Dialect:
    """A format's means.

    Attributes:
        rename: the name of a node whose weights change shape (Caffe's reader matches weights by name).
        pools_locally: a pool around each cell, of the map's size, so that pooled statistics may gate the map.
        keeps_outputs: an output keeps its name when the layout node that wrote it goes away.
        ends_unread: an output is a value that no node reads, and not stated otherwise.
        edits: the kinds of edits that its ``apply`` makes (None: all).
        cannot: why it cannot make an edit of a kind that it makes otherwise, or None.
        sets_axis: operators, by ``Node.op``, whose axis it can set (None: all).
        aligns: operators whose constants it can lay along another axis (None: all).
    """

    rename: Callable[[str], str] = str
    pools_locally: bool = False
    keeps_outputs: bool = False
    ends_unread: bool = False
    edits: frozenset[type] | None = None
    cannot: Callable[[Edit], str | None] = _can
    sets_axis: frozenset[str] | None = None
    aligns: frozenset[str] | None = None

    def unwritable(self, edit: Edit) -> str | None:
        """Why the format cannot make an edit, where it cannot."""
        known = self.edits is None or type(edit) in self.edits
        return self.cannot(edit) if known else f"the format has no way to write: {edit}"

    def can_set_axis(self, op: str) -> bool:
        """Whether the axis of an operator can be written."""
        return self.sets_axis is None or op in self.sets_axis

    def can_align(self, op: str) -> bool:
        """Whether an operator's constants can be laid along another axis."""
        return self.aligns is None or op in self.aligns


PLAIN = Dialect()
