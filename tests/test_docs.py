"""Every code block of the README and the documents runs, in the order in which it stands."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tools.tutorial import main as files_to_try

from fullconv.cli.main import main
from fullconv.demonstration import demo_files
from tests.conftest import ROOT
from tests.rasters.pictures import examples

BIG = ("slides.md", "scenes.md", "memory.md", "results.md", "use.md", "README.md")  # those that map a slide or a scene

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def named(document: Path) -> str:
    return document.relative_to(ROOT / "docs").as_posix() if document.is_relative_to(ROOT / "docs") else document.name


LONG = ("exactness.md", "memory.md", "slides.md", "use.md")  # those whose commands take longest
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _document(path: Path) -> Any:
    marks = [pytest.mark.long] if path.name in LONG and path.parent.name == "docs" else []
    return pytest.param(path, id=named(path), marks=marks)


@pytest.fixture
def folder(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documents speak of: the packaged network and its page."""
    with demo_files() as data:
        for source, name in (
            ("digits.prototxt", "deploy.prototxt"),
            ("digits.caffemodel", "net.caffemodel"),
            ("page.png", "photo.png"),
            ("labels.txt", "labels.txt"),
            ("padded.onnx", "padded.onnx"),
        ):
            shutil.copy(data / source, tmp_path / name)
    if named(document) in BIG:
        slide, _ = examples(np.asarray(Image.open(tmp_path / "photo.png").convert("L")), tmp_path)
        (tmp_path / "slides").mkdir()
        shutil.copy(slide, tmp_path / "slides" / "a.svs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2
@pytest.mark.parametrize("document", [_document(path) for path in DOCUMENTS])
def test_blocks_run(
    document: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FULLCONV_DEBUG", "1")
    scope: dict[str, object] = {}
    for language, code in BLOCK.findall(document.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(code, str(document), "exec"), scope)
        elif language == "bash":
            for line in code.splitlines():
                run_line(line, folder, monkeypatch)
        elif language == "json":
            json.loads(code)
        else:
            assert language in ("text", ""), f"a block of {language!r} is not run"


def run_line(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if line.startswith("pip install"):
        return  # the wheel is built and installed alone by `make wheel`
    if line.startswith("python -m tools.tutorial "):
        files_to_try(line.split()[3:])
        return
    if line.startswith("make "):  # `make check` runs these very targets
        subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)
        return
    if line.startswith(("fullconv demo ", "fullconv bench ")):
        return  # tests of the command line run them, and look at what they make
    assert line.startswith("fullconv "), line
    words = [path for word in shlex.split(line) for path in _spread(word, folder)]
    if "--memory" in words:  # what its process may take
        subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True, capture_output=True)
        return
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:  # in this process: most of a short command's time is its libraries' start
        main()
    assert not end.value.code, line


def _spread(word: str, folder: Path) -> list[str]:
    """A pattern as the files that a shell makes of it."""
    found = sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if "*" in word else []
    return found or [word]


@pytest.mark.parametrize("folder", sorted((ROOT / "benchmarks").glob("*/__main__.py")), ids=lambda p: p.parent.name)
def test_benchmarks_import_what_there_is(folder: Path) -> None:
    """They run by hand only; a name that was moved would be missed until then."""
    for node in ast.walk(ast.parse(folder.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("fullconv", "benchmarks")):
            module = import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}"), alias.name
