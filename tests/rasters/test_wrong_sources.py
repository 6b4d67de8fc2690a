"""What is no image, or none that can be read: each is told by its file, what was found and what mends it, before anything is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters import open as opening
from fullconv.rasters.open import open_source
from fullconv.rasters.view import Selection, View
from tests.rasters import pictures

SCENE = pictures.scene()


def test_a_slide_whose_levels_grow_is_refused_before_it_ends_the_process(tmp_path: Path) -> None:
    """openslide 4.0 divides by zero where a tile is missing, too."""
    about = "Aperio Image Library v11.2.1\n90x70 (256x256) JPEG/RGB Q=90|AppMag = 20"
    path = tmp_path / "x.svs"
    with tifffile.TiffWriter(path) as file:
        for height, width in ((70, 90), (17, 22), (4, 127)):
            file.write(pictures.scene(height, width), tile=(32, 32), photometric="rgb", compression="jpeg", description=about, metadata=None)  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = list(file.pages[0].databytecounts)
        file.pages[0].tags["TileByteCounts"].overwrite((0, *counts[1:]))
    shutil.copy(path, tmp_path / "x.tif")
    for name in ("x.svs", "x.tif"):
        with pytest.raises(BadInput, match=r"its level 2, 127×4 px, is larger than the one before, 22×17"):
            View(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("x.svs", b"no slide", "cannot be opened as a slide, or is truncated"),
        ("x.tif", b"II*\0no tiff at all", "cannot be opened as a TIFF"),
        ("x.jp2", b"no picture", "cannot be opened"),
        ("x.npy", b"\x93NUMPY", "cannot be opened as a .npy file"),
        ("x.png", b"no picture", "not an image that can be read"),
    ],
)
def test_wrong_files(name: str, data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=told) as caught:
        open_source(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("missing", [(), ("tifffile",), ("tifffile", "rasterio", "openslide")])
def test_libraries_say_nothing_beside_the_message(
    missing: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = opening.find_spec
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name in missing else own(name))
    (tmp_path / "x.tif").write_bytes(b"II*\0garbage")
    with pytest.raises(BadInput, match=r"x\.tif"):
        open_source(tmp_path / "x.tif")
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(BadInput, match=r"not an \.npy file: its first bytes"):
        open_source(tmp_path / "x.npy")
    assert capfd.readouterr().err == ""


def test_wrong_folders_and_axes(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        open_source(tmp_path / "none.tif")
    with pytest.raises(BadInput, match="is a folder and no Zarr image"):
        open_source(tmp_path)
    zarr.create_array(tmp_path / "five.zarr", data=np.zeros((2, 3, 4, 5, 6), np.uint8))
    with pytest.raises(BadInput, match=r"holds several planes \(2 of t, 4 of z\)"):
        open_source(tmp_path / "five.zarr")
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("a", shape=(5, 5), dtype="uint8")
    group.create_array("b", shape=(5, 5), dtype="uint8")
    with pytest.raises(BadInput, match="without multiscales and with 2 arrays"):
        open_source(tmp_path / "g.zarr")
    np.save(tmp_path / "four.npy", np.zeros((2, 3, 4, 5)))
    with pytest.raises(BadInput, match=r"must be numbers of \(H, W\) or \(H, W, C\)"):
        open_source(tmp_path / "four.npy")


def test_pickled_arrays_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    """A codec of Zarr v2 unpickles chunks: the file could run what it likes."""
    import json

    trace = tmp_path / "trace"
    zarr.create_array(
        tmp_path / "x.zarr", data=np.zeros((40, 40), np.uint8), chunks=(40, 40), zarr_format=2, compressors=None
    )
    about = json.loads((tmp_path / "x.zarr" / ".zarray").read_text())
    about["filters"] = [{"id": "pickle", "protocol": 5}]
    (tmp_path / "x.zarr" / ".zarray").write_text(json.dumps(about))
    code = f"cposix\nsystem\n(S'touch {trace}'\ntR."
    (tmp_path / "x.zarr" / "0.0").write_bytes(code.encode())
    with pytest.raises(
        BadInput,
        match=r"is pickled|cannot be opened as a Zarr image, or is truncated \(No Zarr data type found.*pickle",
    ):
        open_source(tmp_path / "x.zarr")  # newer versions of zarr refuse it themselves
    assert not trace.exists()
    zarr.create_array(tmp_path / "words.zarr", data=np.array([["a", "b"]]), zarr_format=2)
    with pytest.raises(BadInput, match="an image is numbers"):
        open_source(tmp_path / "words.zarr")


def test_wrong_resolutions(tmp_path: Path) -> None:
    path = pictures.svs(tmp_path / "slide.svs", SCENE)
    with pytest.raises(
        BadInput, match=r"has no level 3; its levels \(width × height\) are 0: 900×700, 1: 225×175, 2: 56×43"
    ):
        View(path, Selection(level=3))
    with pytest.raises(BadInput, match="give one of them"):
        Selection(level=1, mpp=0.5)
    np.save(tmp_path / "x.npy", SCENE)
    with pytest.raises(BadInput, match="does not say how large a pixel is"):
        View(tmp_path / "x.npy", Selection(mpp=0.5))


def test_a_missing_library_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    monkeypatch.setattr(opening, "_HELD", 1000)
    for name, told in (
        ("x.svs", r"fullconv\[slide\]"),
        ("x.jp2", r"fullconv\[geo\]"),
        ("x.tif", r"fullconv\[geo\]"),
        ("x.png", r"fullconv\[geo\]"),
    ):
        path = tmp_path / name
        if name.endswith(("tif", "png")):
            pictures.png(path, SCENE)
        else:
            path.write_bytes(b"")
        with pytest.raises(MissingExtra, match=told):
            open_source(path)
