"""Layers of napari: where they lie, what they are called and coloured, and what their levels hold, without napari; and what leads it there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

import fullconv
from fullconv.errors import BadInput, MissingExtra
from fullconv.exports.export import Asked
from fullconv.exports.programs import write_for
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.results.encoding import decoded
from fullconv.results.layout import LEAST
from fullconv.results.levels import levels_of
from fullconv.results.places import storage_of
from fullconv.results.store import Store
from fullconv.viewer.napari import Lazy, layers, reader
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # a fixture
from tests.conftest import ROOT
from tests.stream import colours
from tests.viewer.conftest import Mapped
from tests.viewer.stores import noise

LABELS = ["plain", "<b>other</b>", "'); import os"]


@pytest.fixture(scope="module")
def slide(mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("napari") / "slide.tif"
    pixels = tifffile.imread(mapped.image)
    about: dict[str, Any] = {"tile": (256, 256), "photometric": "minisblack", "resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}  # fmt: skip
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, subifds=1, **about)
        writer.write(pixels[::2, ::2], subfiletype=1, **about)
    return path


@pytest.mark.parametrize(
    "case",
    [{}, {"stored": "uint8"}, {"stored": "float16"}, {"keep": "2,0"}, {"finer": "auto", "stride": 2}, {"by": "crops", "stride": 7}, {"level": 1}],
    ids=str,
)  # fmt: skip
def test_a_sample_of_a_layer_is_a_cell_at_its_place(
    mapped: Mapped, slide: Path, tmp_path: Path, case: dict[str, Any]
) -> None:
    fullconv.map_raster(fullconv.load(*mapped.net, check=False), slide, tmp_path / "made.zarr", labels=LABELS, **case)
    found = noise(tmp_path / "made.zarr", tmp_path / "x.zarr")
    assert found.record is not None
    made = layers(tmp_path / "x.zarr")
    *scores, (winners, _, kind) = made
    assert [each[1]["name"] for each in scores] == list(found.labels)
    assert kind == "labels"
    up, left = found.record.tiles.lead
    rng = np.random.default_rng(0)
    for row, col in zip(rng.integers(0, found.grid.rows, 20), rng.integers(0, found.grid.cols, 20), strict=True):
        x, y = found.centre(int(row), int(col))
        for data, told, _ in made:
            place = np.array(told["translate"]) + np.array([row + up, col + left]) * np.array(told["scale"])
            np.testing.assert_allclose(place, (y / 2, x / 2), rtol=1e-12, atol=1e-9)  # half a micrometre a pixel
            assert told["units"] == ["micrometer", "micrometer"]
            assert data[0].shape == (found.grid.rows + up, found.grid.cols + left)
        values = [data[0][row + up, col + left] for data, _, _ in scores]
        np.testing.assert_array_equal(values, found.scores[:, row, col])
        assert winners[0][row + up, col + left] == found.top1[row, col] + 1
    store = Store.open(storage_of(str(tmp_path / "x.zarr")))
    for index, (data, told, _) in enumerate(scores):
        assert len(data) == len(levels_of(found.record.stored_grid, LEAST))
        for level, part in enumerate(data):
            whole = decoded(np.asarray(store.level(level)[index : index + 1]))[0]
            np.testing.assert_array_equal(np.asarray(part), whole)
        np.testing.assert_allclose(told["colormap"]["colors"][1][:3], np.array(found.colour(index)) / 255)


def test_winners_have_their_classes_names_and_colours(mapped: Mapped, tmp_path: Path) -> None:
    found = ClassMap.load(mapped.result)
    *_, (data, about, _) = layers(found)
    assert about["features"] == {"index": [0, 1, 2, 3], "class": ["no answer", *found.labels]}
    assert about["colormap"][2] == [*(value / 255 for value in found.colour(1)), 1.0]
    assert about["colormap"][0][3] == about["colormap"][None][3] == 0
    assert data[0].dtype == np.int32
    held = ClassMap(np.asarray(found.scores), found.grid, found.labels, place=Place())
    *_, (own, placed, _) = layers(held)
    assert own[0].shape == (found.grid.rows, found.grid.cols)
    np.testing.assert_array_equal(np.asarray(own[0]), found.top1 + 1)
    assert placed["scale"] == [float(step) for step in found.grid.stride]
    assert placed["translate"] == [float(centre) for centre in found.grid.centre0]
    assert placed["units"] == ["pixel", "pixel"]


def test_of_a_store_of_winners_these_are_the_layer(mapped: Mapped, tmp_path: Path) -> None:
    fullconv.map_raster(fullconv.load(*mapped.net), mapped.image, tmp_path / "top.zarr", keep="top1")
    found = noise(tmp_path / "top.zarr", tmp_path / "x.zarr")
    assert found.record is not None
    ((data, _, kind),) = layers(tmp_path / "x.zarr")
    assert kind == "labels"
    up, left = found.record.tiles.lead
    np.testing.assert_array_equal(np.asarray(data[0])[up:, left:], found.top1 + 1)
    np.testing.assert_array_equal(np.asarray(data[1]), np.asarray(data[0])[::2, ::2])


def test_a_run_in_progress_is_shown_as_far_as_it_is(mapped: Mapped, tmp_path: Path) -> None:
    fullconv.map_raster(fullconv.load(*mapped.net), mapped.image, tmp_path / "made.zarr")
    found = noise(tmp_path / "made.zarr", tmp_path / "x.zarr", cut=True, undone=["0-1"])
    assert found.record is not None
    *_, (data, about, _) = layers(tmp_path / "x.zarr")
    assert about["metadata"]["finished"] is False
    up, left = found.record.tiles.lead
    whole = np.asarray(data[0])[up:, left:]
    np.testing.assert_array_equal(whole, found.top1 + 1)
    for tile in found.record.tiles:
        share = (whole[slice(*tile.y.cells), slice(*tile.x.cells)] > 0).mean()
        assert share == 0 if tile.name == "0-1" else share > 0.7


def test_classes_that_are_named_are_the_layers(mapped: Mapped) -> None:
    found = ClassMap.load(mapped.result)
    assert [each[1]["name"] for each in layers(found, classes="plain")] == ["plain", "winning class"]
    many = ClassMap(np.random.default_rng(0).random((65, 5, 7), np.float32), replace(found.grid, rows=5, cols=7), tuple(map(str, range(65))))  # fmt: skip
    assert [each[1]["name"] for each in layers(many)] == ["winning class"]
    assert len(layers(many, classes=[3, 60])) == 3
    with pytest.raises(BadInput, match="nothing"):
        layers(many, classes="nothing")


def test_channels_of_features_win_nothing(mapped: Mapped, tmp_path: Path) -> None:
    fullconv.map_raster(fullconv.load(*mapped.net), mapped.image, tmp_path / "f.zarr", output="pool1")
    made = layers(tmp_path / "f.zarr")
    assert {kind for _, _, kind in made} == {"image"}
    assert [about["visible"] for _, about, _ in made] == [True] + [False] * (len(made) - 1)


def test_one_class_wins_over_no_other(mapped: Mapped, tmp_path: Path) -> None:
    """It is a layer of scores, which is seen; where only winners are stored, these are all that there is."""
    fullconv.map_raster(fullconv.load(*mapped.net), mapped.image, tmp_path / "one.zarr", keep=("1",))
    ((_, about, kind),) = layers(tmp_path / "one.zarr")
    assert (kind, about["visible"]) == ("image", True)
    found = ClassMap.load(mapped.result)
    alone = ClassMap(np.asarray(found.scores)[:1], found.grid, found.labels[:1], score_kind="probabilities")
    assert [each[2] for each in layers(alone)] == ["image"]
    net = colours.network(tmp_path / "net.onnx", "Sigmoid", 1)
    pixels = colours.patches(60, 70)
    fullconv.map_raster(fullconv.load(net), pixels, tmp_path / "top.zarr", keep="top1", preprocess="unit")
    assert [each[2] for each in layers(tmp_path / "top.zarr")] == ["labels"]


def test_the_image_lies_below_in_its_own_levels(mapped: Mapped, slide: Path, tmp_path: Path) -> None:
    fullconv.map_raster(fullconv.load(*mapped.net), slide, tmp_path / "x.zarr")
    (data, about, kind), *_ = layers(tmp_path / "x.zarr", slide)
    assert (kind, about["name"], about["scale"], about["rgb"]) == ("image", "slide.tif", [0.5, 0.5], False)
    pixels = tifffile.imread(slide)
    np.testing.assert_array_equal(np.asarray(data[0]), pixels)
    np.testing.assert_array_equal(data[1][3:50, 7:], pixels[::2, ::2][3:50, 7:])
    colours = np.random.default_rng(0).integers(0, 256, (*pixels.shape, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colours, tile=(256, 256), photometric="rgb")
    (data, about, _), *_ = layers(tmp_path / "x.zarr", tmp_path / "rgb.tif")
    assert about["rgb"]
    np.testing.assert_array_equal(data[0][10:20, ::3, 1], colours[10:20, ::3, 1])


def test_what_is_read_lazily_is_what_numpy_gives() -> None:
    whole = np.random.default_rng(0).random((13, 17))
    lazy = Lazy(whole.shape, whole.dtype, lambda rows, cols: whole[slice(*rows), slice(*cols)])
    parts: list[Any] = [slice(None), slice(2, 9), slice(9, 2), slice(None, None, 3), slice(None, None, -2), slice(-4, None), slice(11, 1, -3), 0, -1, np.int64(5)]  # fmt: skip
    for first in parts:
        np.testing.assert_array_equal(lazy[first], whole[first])
        for second in parts:
            np.testing.assert_array_equal(lazy[first, second], whole[first, second])
    for key in (
        ...,
        (..., 3),
        (3, ...),
        (slice(1, 4), ...),
        (np.array([1, 5]), slice(2)),
        whole > 0.5,
        None,
        (None, 2),
    ):
        np.testing.assert_array_equal(lazy[key], whole[key])
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    with pytest.raises(IndexError):
        lazy[13, 0]
    assert (len(lazy), lazy.ndim, lazy.size, lazy.nbytes) == (13, 2, 221, 8 * 221)


def test_the_manifest_leads_to_the_reader(mapped: Mapped, tmp_path: Path) -> None:
    """npe2 itself is asked by hand: it brings a plugin for pytest that warns, which ends every run here."""
    manifest = yaml.safe_load(Path(fullconv.__file__).with_name("napari.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["napari.manifest"] == {manifest["name"]: "fullconv:napari.yaml"}
    assert manifest["name"] == project["name"]  # as npe2 asks for
    ((command,), (reads,)) = manifest["contributions"]["commands"], manifest["contributions"]["readers"]
    assert reads["command"] == command["id"]
    assert command["id"].startswith("fullconv.")
    module, name = command["python_name"].split(":")
    found = getattr(import_module(module), name)(str(mapped.result))
    made = found(str(mapped.result))
    assert [each[1]["name"] for each in made] == [*ClassMap.load(mapped.result).labels, "winning class"]
    assert any(fnmatch(mapped.result.name, pattern) for pattern in reads["filename_patterns"])
    (tmp_path / "other.zarr").mkdir()
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for path in (tmp_path / "other.zarr", tmp_path / "other.npz", tmp_path / "not there.zarr", mapped.image):
        assert reader(str(path)) is None
    assert reader([str(mapped.result)] * 2) is None


def test_nothing_of_napari_is_imported(mapped: Mapped) -> None:
    script = f"import sys; from fullconv.viewer.napari import reader; reader({str(mapped.result)!r})({str(mapped.result)!r}); print(sorted(m for m in sys.modules if m.partition('.')[0] in ('napari', 'starlette', 'uvicorn', 'torch')))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"  # fmt: skip


def test_the_command_writes_a_script_that_shows_the_map(
    mapped: Mapped, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's \"\\u0041\u202e"
    folder.mkdir()
    found = ClassMap.load(mapped.result)
    ClassMap(np.asarray(found.scores), found.grid, found.labels).save(folder / "x.npz")
    made = run(
        "export", folder / "x.npz", "-o", tmp_path / "x.py", "--to", "napari", "--image", mapped.image, "--class", "0"
    )
    assert made.status == 0, made.err
    assert f"python {tmp_path / 'x.py'}" in made.out
    text = (tmp_path / "x.py").read_text(encoding="ascii")
    added: list[Any] = []
    ran: list[bool] = []
    create = lambda data, about, kind: SimpleNamespace(data=data, about=about, kind=kind)  # noqa: E731
    monkeypatch.setitem(sys.modules, "napari", SimpleNamespace(  # type: ignore[arg-type]
        layers=SimpleNamespace(Layer=SimpleNamespace(create=create)), Viewer=lambda: SimpleNamespace(add_layer=added.append), run=lambda: ran.append(True),
    ))  # fmt: skip
    exec(compile(text, "x.py", "exec"), {})
    assert [each.about["name"] for each in added] == ["slide.tif", found.labels[0], "winning class"]
    assert ran == [True]


def test_what_napari_cannot_be_given_is_refused(
    mapped: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ClassMap.load(mapped.result)
    with pytest.raises(BadInput, match=r"name a \.py file"):
        write_for(mapped.result, tmp_path / "x.zarr", "napari", Asked())
    with pytest.raises(BadInput, match="threshold has no effect"):
        write_for(mapped.result, tmp_path / "x.py", "napari", Asked(threshold=0.5))
    with pytest.raises(BadInput, match="save this map first"):
        write_for(ClassMap(np.asarray(found.scores), found.grid, found.labels), tmp_path / "x.py", "napari", Asked())
    (tmp_path / "mine.py").write_text("print(1)")
    with pytest.raises(BadInput):
        write_for(found, tmp_path / "mine.py", "napari", Asked())
    assert (tmp_path / "mine.py").read_text() == "print(1)"
    monkeypatch.setitem(sys.modules, "napari", None)
    from fullconv.viewer.napari import show

    with pytest.raises(MissingExtra, match="napari"):
        show(mapped.result)
