"""An option that would change nothing beside the others is refused before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.errors import BadInput
from tests.cli.conftest import Run
from tests.stream import colours

PIXELS = colours.patches(60, 70)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("idle")
    Image.fromarray(PIXELS).save(made / "i.png")
    colours.network(made / "net.onnx")
    colours.network(made / "one.onnx", "Sigmoid", 1)
    fullconv.map(fullconv.load(made / "net.onnx"), PIXELS, preprocess="unit").save(made / "map.npz")
    return made


@pytest.mark.parametrize(
    ("out", "how", "told"),
    [
        ("m.npz", "--fuse mean", "maps of several --scales"),
        ("m.npz", "--finer shifts", "give it with --stride"),
        ("m.npz", "--by crops --stride 4 --finer shifts", "give it with --stride"),
        ("m.npz", "--batch 4", "crops (--by crops, --confirm)"),
        ("m.npz", "--threshold 0.9", "the places of one class (--class)"),
        ("m.npz", "--dpi 50", "a picture, and none is written"),
        ("m.npz", "--class 0 --cmap magma", "a picture, and none is written"),
        ("m.png", "--cmap magma", "the heat of one class (--class)"),
        ("m.zarr", "--interpolate", "the heat of one class (--class)"),
    ],
)
def test_a_map(out: str, how: str, told: str, folder: Path, run: Run, tmp_path: Path) -> None:
    made = run("map", folder / "net.onnx", folder / "i.png", "-o", tmp_path / out, "-p", "unit", *how.split())
    assert (made.status, told in made.err) == (2, True), made.err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "how", ["--class 0 --cmap magma --interpolate", "--alpha 0.3", "--by crops --batch 4", "--stride 2 --finer shifts"]
)
def test_what_is_of_use_is_taken(how: str, folder: Path, run: Run, tmp_path: Path) -> None:
    made = run("map", folder / "net.onnx", folder / "i.png", "-o", tmp_path / "m", "-p", "unit", *how.split())
    assert made.status == 0, made.err


def test_the_threshold_of_one_class_is_its_own(folder: Path, run: Run, tmp_path: Path) -> None:
    """It needs no --class, since there is one; it was left aside."""
    how = (folder / "one.onnx", folder / "i.png", "-p", "unit", "-o")
    alone = run("map", *how, tmp_path / "a", "--threshold", "0.99")
    named = run("map", *how, tmp_path / "b", "--threshold", "0.99", "--class", "0")
    assert "0.99 or more" in alone.out
    assert alone.out.replace(f"{tmp_path}/a", "") == named.out.replace(f"{tmp_path}/b", "")


def test_other_commands(folder: Path, run: Run, tmp_path: Path) -> None:
    result = folder / "map.npz"
    for command, told in (
        (("inspect", folder / "net.onnx", "--over", folder / "i.png"), "a picture (-o)"),
        (("compare", result, result, "--image", folder / "i.png"), "a picture (-o)"),
        (("report", result, "-o", tmp_path / "r.html", "--cells", "5"), "the network (--model)"),
        (("report", result, "-o", tmp_path / "r.html", "--input-shape", "3,24,24"), "the network (--model)"),
        (("export", result, "-o", tmp_path / "a.csv", "--cmap", "magma"), "cmap has no effect on cells"),
        (("export", result, "-o", tmp_path / "a.tif", "--alpha", "0.4"), "alpha has no effect on scores"),
    ):
        made = run(*command)
        assert (made.status, told in made.err) == (2, True), (command, made.err)
    assert not any(tmp_path.iterdir())


def test_in_python(folder: Path) -> None:
    model = fullconv.load(folder / "net.onnx")
    with pytest.raises(BadInput, match="of maps of several scales"):
        fullconv.map(model, PIXELS, fuse="mean")
    with pytest.raises(BadInput, match=r"give it with --stride \(stride=\)"):
        fullconv.map(model, PIXELS, finer="dilation")
    assert np.isfinite(fullconv.map(model, PIXELS, finer="dilation", stride=2).scores).all()
