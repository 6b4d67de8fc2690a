"""Every help text, as it is read on a terminal of 80 columns, and what the documents say of the options."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from tools.options_page import PAGE, page

from fullconv.cli.help import GROUPS, STATUS, Argument, Command, Option
from fullconv.cli.main import _COMMANDS
from tests.cli.conftest import Run

DOCS = Path(__file__).parents[2] / "docs"


def commands() -> dict[str, Command]:
    return {name: import_module(f"fullconv.cli.{name}").command for name in _COMMANDS}


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("name", ["", *_COMMANDS])
def test_help_fits_and_breaks_between_words(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    args = [name] if name else []
    texts = {flag: run(*args, flag).out for flag in ("-h", "--help")}
    for text in texts.values():
        assert max(map(len, text.splitlines())) <= int(columns)
    words = " ".join(texts["--help"].split())
    assert STATUS in words  # not broken within a word
    if not name:
        return
    command = commands()[name]
    assert "Example" in words
    assert f"fullconv {name}" in words
    for each in command.params:
        if isinstance(each, Option):
            assert " ".join((each.help or "").split()) in words
            for option in each.opts:
                assert option in words
    assert len(texts["-h"].splitlines()) <= 24, "a screen"
    assert f"{name} --help shows all" in texts["-h"]


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_option_has_help_and_a_group_and_is_documented(name: str) -> None:
    guides = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md") if path != PAGE)
    command = commands()[name]
    assert isinstance(command, Command)
    for each in command.params:
        if isinstance(each, click.Option):
            assert isinstance(each, Option), each.opts
            assert each.help, each.opts
            assert each.help.endswith("."), each.opts
            assert each.group in GROUPS, each.opts
            assert each.brief is None or len(each.brief) <= 54, each.opts
            assert any(re.search(rf"{option}(?![\w-])", guides) for option in each.opts), f"{each.opts}: in no guide"
        else:
            assert isinstance(each, Argument)
            assert each.about


def test_the_page_of_options_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tools.options_page writes it anew"


def test_examples_can_be_copied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a command line that the parser takes, whole on its lines or continued by a backslash."""
    monkeypatch.setenv("COLUMNS", "80")
    for name, command in commands().items():
        text = run(name, "--help").out.replace("\\\n", " ")
        examples = [line.split() for line in text.splitlines() if line.startswith(f"    fullconv {name}")]
        assert examples, name
        for words in examples:
            rest = words[2 : words.index(">")] if ">" in words else words[2:]
            context = command.make_context(name, rest, resilient_parsing=True)
            assert not context.args, words


def test_exit_statuses_are_in_a_table() -> None:
    text = (DOCS / "use.md").read_text(encoding="utf-8")
    for status in (0, 1, 2, 3, 70, 130):
        assert re.search(rf"^\| {status} \| \S", text, re.MULTILINE), status
        assert re.search(rf"\b{status} [a-z]", STATUS), status
