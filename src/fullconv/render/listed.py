"""Classes in the legend: one below the other, in as many columns as it takes, up to a cap that says how many it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullconv.render import canvas as on
from fullconv.render.page import Rgb, width_of

PAPER = 240.0  # grey: what a light part of the image looks like behind a colour
_ROW, _TIGHT = 24, 19  # px an entry, of a few and of many
_FEW = 12
_HEAD, _FOOT = 64, 170  # px above and below the entries of the first column
_COLUMNS, _TALLEST = 4, 1600


@dataclass(frozen=True, slots=True)
class Entry:
    """One class: its colour as it shows, its name, and how much of the map it is, in words."""

    colour: Rgb
    label: str
    share: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How a list is laid out.

    Attributes:
        columns, height: of the legend, the height in pixels.
        row: pixels an entry.
        first, others: entries of the first column, and of each column behind it.
        left: entries that there is no room for.
    """

    columns: int
    height: int
    row: int
    first: int
    others: int
    left: int


def plan_list(count: int, drawn: int) -> Plan:
    """The layout of so many entries beside an image of a drawn height: more columns first, then more height."""
    row = _ROW if count <= _FEW else _TIGHT
    height = max(drawn, on.LEAST_HEIGHT)
    while True:
        first, others = max(1, (height - _HEAD - _FOOT) // row), max(1, (height - on.MARGIN) // row)
        columns = 1 if count <= first else min(_COLUMNS, 1 + -(-(count - first) // others))
        left = max(0, count - first - (columns - 1) * others)
        if not left or height >= _TALLEST:
            return Plan(columns, height, row, first, others, left)
        height += 4 * row


def list_entries(page: on.Canvas, plan: Plan, entries: Sequence[Entry], y: float) -> float:
    """Draw the entries from ``y`` on; the y below those of the first column, and below what says which are left out."""
    shown = entries[: len(entries) - plan.left]
    for i, entry in enumerate(shown):
        column = 0 if i < plan.first else 1 + (i - plan.first) // plan.others
        top = y + i * plan.row if column == 0 else on.MARGIN + (i - plan.first) % plan.others * plan.row
        _swatch(page, column, top, plan.row, entry)
    below = y + min(len(shown), plan.first) * plan.row
    if plan.left:
        more = f"and {plan.left} classes more, each in fewer cells; fullconv export x.csv lists every cell"
        below = on.text_lines(page, below + 4, [(more, 13, on.INK)])
    return below


def _swatch(page: on.Canvas, column: int, y: float, row: int, entry: Entry) -> None:
    x = page.size[0] + 2 * on.MARGIN + column * (on.LEGEND + on.MARGIN)
    size, side = (15, 16) if row == _ROW else (13, 13)
    page.draw.rectangle((x, y + 2, x + side, y + 2 + side), fill=entry.colour, outline=on.INK)
    room = on.LEGEND - side - 24 - width_of(entry.share, size)
    page.write(x + side + 8, y, on.shortened(entry.label, size, room), size, on.INK)
    page.write(x + on.LEGEND, y, entry.share, size, on.FAINT, "r")


def on_paper(colour: Rgb, alpha: float) -> Rgb:
    """A colour as it shows over a light part of the image."""
    red, green, blue = (round(PAPER + (channel - PAPER) * alpha) for channel in colour)
    return red, green, blue


def told_share(share: float) -> str:
    """A share in words, of which none that is there reads as nothing."""
    if share < 0.0005:
        return "< 0.1%"
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
