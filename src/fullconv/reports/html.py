"""What every page is made of. Text is escaped wherever it is put in; only what ``tag`` made is markup.

A page may load nothing and run nothing, by its own content security policy: its style is allowed by its hash, pictures lie within it. So nothing has a ``style`` of
its own: colours of classes are SVG's attributes, which are printed too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import count

from fullconv.system.guard import MARK

Rgb = tuple[int, int, int]
_LONGEST = 300  # letters of a name: pages are bounded, and names come from anyone
# What is no text: control characters, halves of pairs, and marks that turn the direction of all that follows.
_STRANGE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_EMPTY = frozenset(["img", "meta", "br"])


class Html(str):
    """Markup, as ``tag`` and ``joined`` make it."""

    __slots__ = ()


Part = str | Html


def text(value: object, longest: int | None = None) -> Html:
    """A value as text: markup in it is none, and what would turn the direction of writing, or is no text, is shown as a mark."""
    if isinstance(value, Html):
        return value
    plain = _STRANGE.sub("\ufffd", str(value))
    if longest is not None and len(plain) > longest:
        plain = plain[: longest - 1] + "…"
    return Html(escape(plain))


def name(value: object) -> Html:
    """A name of a stranger: short, and a direction of its own."""
    return tag("bdi", text(value, _LONGEST)) if value else Html()


def tag(kind: str, *parts: object, **attributes: object) -> Html:
    """An element. ``class_`` is ``class``, an underscore within a name a hyphen; attributes that are None are left out, True has no value."""
    told = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        told.append(f" {key}" if value is True else f' {key}="{text(value)}"')
    head = f"<{kind}{''.join(told)}>"
    return Html(head if kind in _EMPTY else f"{head}{joined(parts)}</{kind}>")


def joined(parts: Iterable[object]) -> Html:
    """Parts one behind the other; None is left out."""
    return Html("".join(text(part) for part in parts if part is not None))


def facts(rows: Mapping[str, object]) -> Html:
    """What is known, by what that is; empty values are left out."""
    pairs = [(key, value) for key, value in rows.items() if value not in ("", None)]
    lines = [tag("tr", tag("th", key, scope="row"), tag("td", _lines(value))) for key, value in pairs]
    return tag("table", tag("tbody", *lines), class_="facts") if lines else Html()


def _lines(value: object) -> Html:
    if isinstance(value, Html):
        return value
    lines = [text(line) for line in str(value).splitlines()]
    return Html(tag("br").join(lines))


def table(titles: Sequence[object], rows: Iterable[Sequence[object]], caption: str, left: int = 1) -> Html:
    """Rows under titles; the first cell of a row is its head.

    Args:
        caption: what it lists, for who does not see it.
        left: columns that are text; those behind are numbers.
    """

    def cell(i: int, value: object) -> Html:
        side = None if i < left else "number"
        return tag("th", value, scope="row", class_=side) if i == 0 else tag("td", value, class_=side)

    head = tag(
        "tr", *(tag("th", title, scope="col", class_=None if i < left else "number") for i, title in enumerate(titles))
    )
    body = [tag("tr", *(cell(i, value) for i, value in enumerate(row))) for row in rows]
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body), class_="listed")
    return tag("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def figure(picture: Html | None, caption: object, kind: str | None = None) -> Html | None:
    """A picture with what it shows below."""
    return None if picture is None else tag("figure", picture, tag("figcaption", caption), class_=kind)


def swatch(colour: Rgb) -> Html:
    """A class's colour."""
    square = tag(
        "rect", x=0.5, y=0.5, width=11, height=11, rx=2, fill=hexed(colour), stroke="currentColor", stroke_opacity=0.4
    )
    return tag("svg", square, class_="swatch", viewBox="0 0 12 12", width=12, height=12, aria_hidden="true")


def hexed(colour: Rgb) -> str:
    """``#rrggbb``."""
    return f"#{bytes(colour).hex()}"


class Sections:
    """Sections of a page, each with a heading that has a name."""

    def __init__(self) -> None:
        self._made: list[Html] = []
        self._numbers = count(1)

    def add(self, title: object, *parts: object, level: int = 2) -> None:
        """One more, where there is anything in it."""
        body = joined(parts)
        if body:
            key = f"s{next(self._numbers)}"
            head = tag(f"h{level}", title, id=key)
            self._made.append(tag("section", head, body, aria_labelledby=key))

    def __iter__(self) -> Iterator[Html]:
        return iter(self._made)


def page(title: str, subtitle: object, parts: Iterable[object], warnings: Iterable[object] = ()) -> str:
    """A whole file.

    Args:
        title: of the page.
        subtitle: a line below it.
        warnings: what is to be known before anything is read.
    """
    style = files("fullconv.reports").joinpath("page.css").read_text(encoding="utf-8")
    own = base64.b64encode(sha256(style.encode()).digest()).decode()
    rules = f"default-src 'none'; img-src data:; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=rules),
        tag("meta", name="generator", content=MARK),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", text(title, _LONGEST)),
        Html(f"<style>{style}</style>"),
    )
    told = [tag("p", warning, class_="warning", role="note") for warning in warnings]
    top = tag("header", tag("h1", name(title)), tag("p", subtitle, class_="subtitle"), *told)
    return f"<!doctype html>\n{tag('html', head, tag('body', top, tag('main', *parts)), lang='en')}\n"
