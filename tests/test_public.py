"""The public surface, spelt out: a name that goes or comes is a decision."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import fullconv
from tests.conftest import ROOT


def test_names() -> None:
    for name in fullconv.__all__:
        assert getattr(fullconv, name) is not None, name
    public = {
        "load",
        "plan",
        "cast",
        "compare",
        "map",
        "receptive_field",
        "run",
        "ClassMap",
        "Comparison",
        "Preprocess",
        "CannotCast",
        "Model",
        "Plan",
        "Peak",
    }
    assert public <= set(fullconv.__all__)


def test_no_module_takes_the_place_of_a_name() -> None:
    """A submodule becomes an attribute of its package once it is imported."""
    for path in Path(fullconv.__file__).parent.glob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            importlib.import_module(f"fullconv.{path.stem}")
    modules = [name for name in fullconv.__all__ if isinstance(getattr(fullconv, name), ModuleType)]
    assert not modules


def test_functions_by_name(lenet) -> None:
    assert fullconv.plan(lenet).edits
    full = fullconv.cast(lenet)
    field = fullconv.receptive_field(full)
    assert (field.size, field.stride, field.offset) == ((28, 28), (4, 4), (0, 0))
    assert fullconv.receptive_field(lenet) == field


def test_importing_is_quick() -> None:
    code = "import fullconv, sys; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_every_error_has_a_one_line_docstring() -> None:
    for name in fullconv.__all__:
        found = getattr(fullconv, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert found.__doc__, name


def test_files_stay_small() -> None:
    long = {
        p.name: n
        for p in Path(ROOT / "src").rglob("*.py")
        if p.name != "caffe_pb2.py" and (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
