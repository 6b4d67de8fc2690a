"""No command writes over or into what it reads, nor over what it did not write; the same command can be given twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from fullconv.demonstration import demo_files
from fullconv.loading import load
from fullconv.maps.mapping import map_image
from tests.cli.conftest import Run
from tests.formats.onnx.nets import EXACT, write

UNIT = ("-p", "unit")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: the packaged net and a part of its page, by several names."""
    with demo_files() as data:
        for name in ("digits.prototxt", "digits.caffemodel", "labels.txt"):
            shutil.copy(data / name, tmp_path)
        from PIL import Image

        with Image.open(data / "page.png") as page:
            page.crop((0, 0, 90, 70)).save(tmp_path / "page.png")
    shutil.copy(tmp_path / "digits.caffemodel", tmp_path / "full.caffemodel")
    (tmp_path / "pre.json").write_text('{"scale": 0.004}')
    (tmp_path / "images").mkdir()
    shutil.copy(tmp_path / "page.png", tmp_path / "images" / "a.jpg.png")
    (tmp_path / "symlink.prototxt").symlink_to("digits.prototxt")
    os.link(tmp_path / "digits.prototxt", tmp_path / "hardlink.prototxt")
    os.link(tmp_path / "page.png", tmp_path / "linked.html")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state(folder: Path) -> dict[str, str]:
    """Every file below a folder, by the hash of what it holds."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


NET = ("digits.prototxt", "-w", "digits.caffemodel")
OVER = {
    "cast over the net": ("cast", *NET, "-o", "digits.prototxt"),
    "cast over the net by another name": ("cast", *NET, "-o", "images/../digits.prototxt"),
    "cast over the net by a symlink": ("cast", *NET, "-o", "symlink.prototxt"),
    "cast over the net by a hard link": ("cast", *NET, "-o", "hardlink.prototxt"),
    "cast from a symlink over the net": ("cast", "symlink.prototxt", "-w", "digits.caffemodel", "-o", "digits.prototxt"),
    "cast over the net as json": ("cast", *NET, "-o", "digits.prototxt", "--json"),
    "cast over the weights": ("cast", *NET, "-o", "new.prototxt", "--out-weights", "digits.caffemodel"),
    "cast over weights that lie beside": ("cast", "digits.prototxt", "-w", "full.caffemodel", "-o", "full.prototxt"),
    "weights over their network": ("cast", *NET, "-o", "new.prototxt", "--out-weights", "new.prototxt"),
    "map over the image": ("map", *NET, "page.png", "-o", ".", *UNIT),
    "map among images": ("map", *NET, "images", "-o", "images", *UNIT),
    "map into an image's store": ("map", *NET, "page.png", "-o", "images", "images", *UNIT),
    "report over an image": ("verify", *NET, "page.png", "-o", "page.png", *UNIT),
    "report over an image by a hard link": ("verify", *NET, "page.png", "-o", "linked.html", *UNIT),
    "report over labels": ("verify", *NET, "page.png", "--labels", "labels.txt", "-o", "labels.txt", *UNIT),
    "report over the preprocessing": ("verify", *NET, "page.png", "-o", "pre.json", "-p", "pre.json"),
    "picture over the image": ("inspect", "digits.prototxt", "-o", "page.png", "--over", "page.png"),
}  # fmt: skip


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("case", OVER)
def test_what_is_read_stays_as_it_is(run: Run, folder: Path, case: str, overwrite: tuple[str, ...]) -> None:
    before = state(folder)
    found = run(*OVER[case], *overwrite)
    assert found.status == 2, found
    assert found.err.count("\n") == 1
    assert found.err.startswith("fullconv: ")
    assert state(folder) == before


def test_a_store_that_is_read_stays_as_it_is(run: Run, folder: Path) -> None:
    assert run("map", *NET, "page.png", "-o", "s.zarr", *UNIT).status == 0
    shutil.copytree("s.zarr", "image.zarr")
    (folder / "link").symlink_to("s.zarr")
    before = state(folder)
    for out in ("s.zarr/zarr.json", "s.zarr/new.csv", "s.zarr/0/zarr.json", "link/new.csv", "s.zarr"):
        for overwrite in ((), ("--overwrite",)):
            found = run("export", "s.zarr", "-o", out, *overwrite)
            assert found.status == 2, out
            assert state(folder) == before, out
    shutil.copy("page.png", "s.zarr/inside.png")
    before = state(folder)
    found = run("map", *NET, "s.zarr/inside.png", "-o", "s.zarr", "--restart", *UNIT)
    assert (found.status, "holds s.zarr/inside.png, which is read" in found.err) == (2, True)
    assert state(folder) == before


def test_external_data_is_read_too(run: Run, folder: Path) -> None:
    body, numbers, opset = EXACT["gemm of a flatten"]
    model = onnx.load(write(folder / "plain.onnx", body, numbers, opset=opset))
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="full.onnx.data", size_threshold=0)
    before = state(folder)
    found = run("cast", "net.onnx", "-o", "full.onnx", "--out-weights", "full.onnx.data", "--overwrite")
    assert (found.status, "never written over" in found.err) == (2, True)
    assert state(folder) == before


FOREIGN = {
    "a network": ("cast", *NET, "-o", "mine.prototxt"),
    "weights": ("cast", *NET, "-o", "new.prototxt", "--out-weights", "mine.h5"),
    "weights beside": ("cast", *NET, "-o", "mine.txt"),
    "onnx": ("cast", *NET, "--stride", 1, "-o", "mine.onnx"),
    "scores": ("map", *NET, "page.png", "-o", "maps", *UNIT),
    "a picture": ("map", *NET, "page.png", "-o", "pictures", *UNIT),
    "a report": ("verify", *NET, "page.png", "--cells", 1, "-o", "mine.html", *UNIT),
    "a cell": ("inspect", "digits.prototxt", "-o", "mine.png"),
    **{f"an export {suffix}": ("export", "page.npz", "-o", f"mine.{suffix}", *how) for suffix, how in (
        ("csv", ()), ("geojson", ("--what", "peaks")), ("parquet", ()), ("tif", ()), ("npz", ()), ("png", ()),
    )},
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_what_fullconv_did_not_write_is_kept_and_what_it_wrote_is_written_again(
    run: Run, folder: Path, case: str
) -> None:
    model = load("digits.prototxt", "digits.caffemodel")
    map_image(model, "page.png", preprocess="unit").save("page.npz")
    made = ["maps/page.npz", "pictures/page.png", "mine.caffemodel"]
    made += [
        f"mine.{suffix}"
        for suffix in ["prototxt", "h5", "onnx", "html", "png", "csv", "geojson", "parquet", "tif", "npz"]
    ]
    for name in made:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("a user's own")
    before = state(folder)
    found = run(*FOREIGN[case])
    assert (found.status, found.err.count("\n")) == (2, 1), found
    assert "did not write it, so it is kept; choose another output, or replace it with --overwrite" in found.err
    assert state(folder) == before
    assert run(*FOREIGN[case], "--overwrite").status == 0
    again = state(folder)
    assert again != before
    assert run(*FOREIGN[case]).status == 0  # its own
    assert state(folder).keys() == again.keys()


def test_the_demo_keeps_what_it_did_not_write(run: Run, folder: Path) -> None:
    before = state(folder)
    found = run("demo", "-o", ".")
    assert (found.status, "did not write it" in found.err) == (2, True)
    assert state(folder) == before


def test_images_of_a_folder_may_be_mapped_into_one_below(run: Run, folder: Path) -> None:
    for _ in range(2):
        found = run("map", *NET, "images", "-o", "images/maps", "--json", *UNIT)
        assert found.status == 0, found.err
        assert [each["image"] for each in json.loads(found.out)["maps"]] == ["images/a.jpg.png"]


@pytest.mark.parametrize(
    "change", [lambda model: model, lambda model: model.cast(), lambda model: model.cast().resized(60, 60)]
)
def test_a_model_is_not_saved_over_what_it_was_read_from(folder: Path, change: Callable) -> None:
    before = state(folder)
    model = change(load("digits.prototxt", "digits.caffemodel"))
    from fullconv.errors import BadInput

    for out in (("digits.prototxt",), ("new.prototxt", "digits.caffemodel"), ("symlink.prototxt",)):
        for overwrite in (False, True):
            with pytest.raises(BadInput, match="never written over"):
                model.save(*out, overwrite=overwrite)
    with pytest.raises(BadInput, match="did not write it"):
        model.save("labels.txt", "new.caffemodel")
    assert state(folder) == before
    for _ in range(2):
        model.save("new.prototxt")
    again = load("new.prototxt", "new.caffemodel")
    image = np.zeros((1, 1, *again.image_shape[1:]), np.float32)
    np.testing.assert_allclose(again.run(image)[again.output()], model.run(image)[model.output()], atol=1e-6)
