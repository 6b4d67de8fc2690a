"""The one place that prints. What others named (layers, labels, files) cannot steer a terminal: control characters are shown, not sent.

What an output's encoding does not have is spelt in ASCII where that reads well (×: x), and as an escape otherwise.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_WIDTH = 200  # columns of a table that is no terminal's
# Control characters, marks that turn the direction of writing, line separators, halves of pairs that are no text.
_UNPRINTED = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
_PLAIN = str.maketrans({"×": "x", "·": "*", "–": "-", "—": "-", "−": "-", "…": "...", "µ": "u", "μ": "u", "±": "+-", "→": "->", "≥": ">=", "≤": "<="})  # fmt: skip


def escaped(text: str) -> str:
    """The text with what would steer a terminal as ``\\x1b`` or ``\\u202e``; new lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character not in "\n\t" and unicodedata.category(character) in _UNPRINTED
        else character
        for character in text
    )


def fitted(text: str, stream: TextIO) -> str:
    """The text as this stream can encode it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def tell(text: str) -> None:
    """A result: a line on stdout."""
    click.echo(fitted(escaped(text), sys.stdout), file=sys.stdout)


def complain(text: str) -> None:
    """A message for people: a line on stderr, so that results on stdout stay clean."""
    click.echo(fitted(escaped(text), sys.stderr), file=sys.stderr)


def note(text: str) -> None:
    """What is worth knowing of a result."""
    complain(f"note: {text}")


def noted_once() -> Callable[[str], None]:
    """``note`` for a command over many images: what is said of one is not said again of the next."""
    seen: set[str] = set()

    def once(text: str) -> None:
        if text not in seen:
            seen.add(text)
            note(text)

    return once


def say(text: str) -> None:
    """A result on stdout; on a terminal, lines are wrapped between words."""
    console = _console()
    if console.is_terminal:
        console.print(_text(text), highlight=False)
    else:
        tell(text)


def print_json(data: Any, indent: int | None = 2) -> None:
    """One JSON object on stdout, all of it ASCII."""
    click.echo(json.dumps(data, indent=indent, allow_nan=False), file=sys.stdout)


def print_event(event: str, what: Mapping[str, Any]) -> None:
    """One line of JSON, without the text for people."""
    print_json({"event": event, **{key: value for key, value in what.items() if key != "text"}}, indent=None)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> None:
    """A table on stdout; the columns of ``numbers`` are laid to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold", justify="right" if title in numbers else "left")
    for row in rows:
        table.add_row(*map(_text, row))
    console = _console()
    console.print(table) if console.is_terminal else Console(width=_WIDTH, file=sys.stdout).print(table)


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr with rate and time left; shown on a terminal only."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {unit}/s")

    console = _console(error=True)
    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(shown(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on stderr for work that cannot tell how far it is."""
    console = _console(error=True)
    if not console.is_terminal:
        yield
        return
    with console.status(_text(what), spinner="dots" if fitted("⠋", sys.stderr) == "⠋" else "line"):
        yield


def shown(text: str) -> str:
    """Text for a progress bar on stderr."""
    return fitted(escaped(text), sys.stderr)


def never_fail_to_encode() -> None:
    """What a library prints past this module is escaped too where the encoding has no such character."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _console(error: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=error, soft_wrap=False)


def _text(text: str) -> Text:
    """Text that rich takes as it is: no markup in it means anything."""
    from rich.text import Text

    return Text(fitted(escaped(text), sys.stdout))
