"""What lies at the project's root says one version, and names what is there."""

from __future__ import annotations

import re
import tomllib

import yaml

import fullconv
from tests.conftest import ROOT


def test_one_version_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == fullconv.__version__
    assert cited["license"] == "MIT"
    assert {"cff-version", "message", "title", "authors", "type"} <= set(cited)
    assert f"## {fullconv.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_is_uploaded_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert (ROOT / name).exists(), name


def test_the_guide_to_adding_names_files_that_are_there() -> None:
    text = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Adding something")[2].partition("\n## ")[0]
    )
    named = {name for name in re.findall(r"`([\w./]+)`", text) if "/" in name or name.endswith(".py")}
    assert len(named) > 20
    missing = [name for name in named if not any((root / name).exists() for root in (ROOT, ROOT / "src" / "fullconv"))]
    assert not set(missing) - {"format.py"}  # the one that is to be written


def test_templates_of_issues_are_whole() -> None:
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"):
        head = yaml.safe_load(path.read_text(encoding="utf-8").split("---")[1])
        assert set(head) == {"name", "about", "labels"}, path.name
