"""What is space, and where it lies along an axis."""

from __future__ import annotations

import pytest

from fullconv.graph.axes import Axes
from fullconv.operators.space import channels_first, is_side, positions, touches_space

SIZES = {"n": 1, "a": 2, "b": 3, "c": 6, "h": 4, "w": 5}
ONE = SIZES | {"h": 1, "w": 1}


def test_channels_between_positions_are_told_by_their_number_alone() -> None:
    shuffled, plain = Axes.parse("n (b a h w)", SIZES), Axes.parse("n (c h w)", SIZES)
    assert positions(shuffled.axes[1]) == positions(plain.axes[1]) == (("", 6), ("h", 4), ("w", 5))
    assert positions(Axes.parse("n (h w c)", SIZES).axes[1]) == (("h", 4), ("w", 5), ("", 6))
    assert positions(Axes.parse("n (c h w)", ONE).axes[1]) == (("", 6),)


@pytest.mark.parametrize(
    ("text", "axis", "sizes", "expected"),
    [("n c h w", 2, ONE, True), ("n c h w", 1, SIZES, False), ("n (c h w)", 1, ONE, False), ("n (c h w)", 1, SIZES, True),
     ("n c (h w)", 2, ONE, True), ("n h w c", -1, SIZES, False)],
)  # fmt: skip
def test_space_is_a_root(text: str, axis: int, sizes: dict, expected: bool) -> None:
    assert touches_space(Axes.parse(text, sizes), [axis]) is expected


def test_sides_and_orders() -> None:
    m = Axes.parse("n c h w", SIZES)
    assert [is_side(axis) for axis in m.axes] == [False, False, True, True]
    assert channels_first(m)
    assert not channels_first(m.permute([0, 1, 3, 2]))
    assert not channels_first(m.permute([0, 2, 3, 1]))
