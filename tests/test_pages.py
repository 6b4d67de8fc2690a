"""The documentation as pages: every page has its place, every link leads somewhere, every command and public name is spoken of."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.pages import moved, outside, requests

import fullconv
from fullconv.cli.main import _COMMANDS
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def navigation(entries: Any) -> Iterator[str]:
    for entry in entries:
        for to in entry.values():
            yield from navigation(to) if isinstance(to, list) else (to,)


def anchors(text: str) -> set[str]:
    """Of headings, as GitHub names them."""
    heads = re.findall(r"^#+ +(.*)$", _BLOCK.sub("", text), re.MULTILINE)
    plain = [re.sub(r"\]\([^)]*\)", "", head).lower() for head in heads]
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in plain}


def test_every_page_has_its_place_in_the_navigation() -> None:
    there = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = list(navigation(there))
    assert len(listed) == len(set(listed))
    assert set(listed) == {page.removeprefix("docs/") for page in PAGES} | set(outside().values())


@pytest.mark.parametrize("page", [*PAGES, *outside()])
def test_links_lead_to_pages_and_headings(page: str) -> None:
    """Within the repository, and as they are moved for the built pages."""
    text = _BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    at = {source: built for built, source in _built().items()}
    for before, after in zip(links(text), links(moved(text, page)), strict=True):
        if "://" in before:
            assert after == before
            continue
        target, _, anchor = before.partition("#")
        to = posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page
        assert (ROOT / to).exists(), before
        if anchor:
            assert anchor in anchors((ROOT / to).read_text(encoding="utf-8")), before
        if target:
            seen = posixpath.normpath(posixpath.join(posixpath.dirname(at[page]), after.partition("#")[0]))
            assert _built().get(seen, f"docs/{seen}") == to, after


@pytest.mark.parametrize("page", [*PAGES, *outside()])
def test_lists_stand_apart_from_what_is_before_them(page: str) -> None:
    """Readers of Markdown differ: to some a list right under a line is a part of its paragraph."""
    lines = _BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8")).splitlines()
    for before, line in pairwise(lines):
        if re.match(r"(-|\d+\.) ", line):
            assert re.match(r"(-|\d+\.) |\s|$", before), line
        if not before and re.match(r" {1,3}\S", line):
            raise AssertionError(f"a part of a list is four spaces in: {line}")


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def _built() -> dict[str, str]:
    """Where each built page comes from."""
    return {page.removeprefix("docs/"): page for page in PAGES} | {page: source for source, page in outside().items()}


def test_a_page_that_asks_other_machines_is_seen() -> None:
    asking = ('<script src="https://cdn.example/x.js">', '<link rel="stylesheet" href="//fonts.example/a.css">')
    for each in (*asking, '<img alt="a" src="http://a.example/b.png">'):
        assert requests(f"<p>{each}</p>") == [each]
    assert not requests('<a href="https://example.org">there</a><img src="images/a.png"><script src="assets/a.js">')


def test_commands_are_spoken_of() -> None:
    guides = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md") if path.name != "options.md")
    for name in _COMMANDS:
        assert re.search(rf"^fullconv {name}\b", guides, re.MULTILINE), f"no page has an example of fullconv {name}"


def test_the_page_of_the_python_surface_has_every_public_name() -> None:
    named = re.findall(r"^::: fullconv\.(\w+)$", (DOCS / "python.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(set(fullconv.__all__) - {"__version__"})


def test_messages_that_are_explained_are_those_of_the_source() -> None:
    rows = re.findall(r"^\| `(.+?)` \|", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 25
    source = "".join(_texts(path) for path in sorted((ROOT / "src" / "fullconv").rglob("*.py")))
    missing = [row for row in rows if row not in source]
    assert not missing


def _texts(path: Path) -> str:
    """The text of a file's strings, with what is put into them left out: neighbours joined, as Python joins them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return "\n".join(found)
