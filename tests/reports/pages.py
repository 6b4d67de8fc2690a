"""Reading a page back with a parser of its own: what it holds, as text and numbers."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
from PIL import Image

_VOID = {"img", "meta", "br"}


@dataclass
class Element:
    """An element with what lies in it, in order."""

    kind: str
    attributes: dict[str, str]
    parts: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    def all(self, kind: str, **attributes: str) -> list[Element]:
        found = []
        for part in self.parts:
            if isinstance(part, Element):
                if part.kind == kind and all(
                    part.attributes.get(key.rstrip("_")) == value for key, value in attributes.items()
                ):
                    found.append(part)
                found += part.all(kind, **attributes)
        return found

    def every(self) -> list[Element]:
        return [self, *(each for part in self.parts if isinstance(part, Element) for each in part.every())]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {key: value or "" for key, value in attrs})
        self._open[-1].parts.append(made)
        if tag not in _VOID:
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].kind == tag, f"</{tag}> closes <{self._open[-1].kind}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].parts.append(data)


def read(page: str) -> Element:
    """A page as elements; every element must be closed in its turn."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert len(parser._open) == 1, f"<{parser._open[-1].kind}> stays open"
    return parser.root


def table(page: Element, title: str) -> list[dict[str, str]]:
    """Rows of the first table of a section, by titles."""
    first = section(page, title).all("table", class_="listed")[0]
    titles = [cell.text for cell in first.all("thead")[0].all("th")]
    rows = []
    for row in first.all("tbody")[0].all("tr"):
        cells = [part.text for part in row.parts if isinstance(part, Element)]
        rows.append(dict(zip(titles, cells, strict=True)))
    return rows


def section(page: Element, title: str) -> Element:
    """The section with a heading."""
    return next(each for each in page.all("section") if any(head.text == title for head in each.all("h2")))


def pixels(uri: str) -> np.ndarray:
    """A picture of a page."""
    kind, _, data = uri.partition(";base64,")
    assert kind.startswith("data:image/")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return np.asarray(picture)
