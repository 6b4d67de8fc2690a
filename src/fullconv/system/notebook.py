"""How an object shows itself in a notebook: its name, what is known of it, a table, a picture. All text is escaped: labels and layers have strangers' names."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

MOST = 20  # rows of a table


def as_html(
    name: str,
    rows: Mapping[str, object],
    table: Sequence[Sequence[object]] = (),
    png: bytes | None = None,
    picture: str = "",
) -> str:
    """HTML of plain values.

    Args:
        name: of what is shown.
        rows: what is known of it, by what that is; empty texts are left out.
        table: titles of columns, and rows of which the first are shown.
        png: a picture.
        picture: what it shows.
    """
    known = "".join(
        _row((f"<th{_LEFT}>{escape(key)}</th>", _cell(value))) for key, value in rows.items() if value != ""
    )
    return f"<div><strong>{escape(name)}</strong><table>{known}</table>{_table(table)}{_image(png, picture)}</div>"


def counted(number: int, what: str, several: str = "") -> str:
    """``1 class``, ``2 classes``, ``35,649 cells``."""
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"


_LEFT = " style='text-align:left'"


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: object) -> str:
    return f"<td{_LEFT}>{'<br>'.join(escape(line) for line in str(value).splitlines())}</td>"


def _table(table: Sequence[Sequence[object]]) -> str:
    if len(table) < 2:
        return ""
    titles, *rows = table
    lines = [_row([f"<th{_LEFT}>{escape(str(title))}</th>" for title in titles])]
    lines += [_row([_cell(value) for value in row]) for row in rows[:MOST]]
    more = f"<p>and {len(rows) - MOST} more</p>" if len(rows) > MOST else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _image(png: bytes | None, what: str) -> str:
    if png is None:
        return ""
    return f"<img alt='{escape(what)}' style='max-width:100%' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
