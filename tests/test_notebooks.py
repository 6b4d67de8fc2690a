"""The notebooks run from their first cell to their last, and are kept without what they showed."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from tools.tutorial import main as files_to_try

import fullconv
from tests.conftest import ROOT

KINDS = {"photos": "inspection", "slides": "slides", "scenes": "scenes"}
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def test_there_is_one_of_each_kind() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(KINDS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files_to_try([KINDS[path.stem]])
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    monkeypatch.setattr("fullconv.viewer.served.require_page", lambda: None)  # its own tests need the page
    (tmp_path / "docs" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "docs" / "notebooks")
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book["nbformat"] == 4
    scope: dict[str, object] = {}
    shown = [value for cell in book["cells"] if cell["cell_type"] == "code" for value in run(cell, scope)]
    assert sum(hasattr(value, "_repr_html_") or hasattr(value, "_repr_png_") for value in shown) >= 2
    for value in shown:
        assert repr(value)
        if hasattr(value, "_repr_html_"):
            assert value._repr_html_()
        if isinstance(value, fullconv.Viewer):
            value.close()


def run(cell: dict[str, Any], scope: dict[str, object]) -> list[Any]:
    """What a cell shows: the value of its last line, where that is one, as Jupyter has it."""
    assert cell["outputs"] == []
    assert cell["execution_count"] is None
    *lines, last = ast.parse("".join(cell["source"])).body
    if not isinstance(last, ast.Expr):
        lines, last = [*lines, last], None
    exec(compile(ast.Module(lines, []), cell["id"], "exec"), scope)
    value = None if last is None else eval(compile(ast.Expression(last.value), cell["id"], "eval"), scope)
    return [] if value is None else [value]
