"""Optional libraries that are not there, or are there and do not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from fullconv.errors import MissingExtra
from fullconv.maps import labelfiles
from fullconv.maps.labelfiles import labels_in
from fullconv.system.libraries import library


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that ends as torchvision does beside a PyTorch of another build."""
    (tmp_path / "torchfancy.py").write_text(
        "raise RuntimeError('operator torchfancy::nms does not exist\\nmore of it')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "torchfancy"


def test_a_library_that_is_not_there_is_told_with_what_to_install() -> None:
    with pytest.raises(MissingExtra, match=r"^fancier cannot be imported \(No module named 'torchfancier'\); install it with: pip install 'fullconv\[fancy\]'$"):  # fmt: skip
        library("torchfancier", "fancier", "'fullconv[fancy]'")
    assert library("json", "json").loads("1") == 1


def test_one_that_does_not_work_is_told_too(broken: str) -> None:
    with pytest.raises(MissingExtra, match=r"fancy does not work with .* \(operator torchfancy::nms does not exist\); install a PyTorch and a torchvision"):  # fmt: skip
        library(broken, "fancy")


def test_names_that_a_broken_library_would_know_are_left_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(module: str, name: str) -> None:
        raise MissingExtra(f"{name} does not work")

    monkeypatch.setattr(labelfiles, "library", fails)
    (tmp_path / "labels.txt").write_text("n02123045\nn02123159\n")
    assert list(labels_in(tmp_path / "labels.txt")) == ["n02123045", "n02123159"]
    with pytest.raises(MissingExtra, match="timm does not work"):
        labels_in("imagenet1k")
