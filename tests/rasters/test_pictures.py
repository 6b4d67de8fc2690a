from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters.pictures import to_channels
from fullconv.rasters.view import read_image

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
GREY = RGB[:, :, 0]


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "bmp"])
def test_lossless_files_give_their_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path), RGB)


def test_jpeg(cat: Path) -> None:
    assert read_image(cat).shape == (360, 480, 3)


def test_grey_palette_bilevel_and_alpha(tmp_path: Path) -> None:
    def through(image: Image.Image) -> np.ndarray:
        image.save(tmp_path / "a.png")
        return read_image(tmp_path / "a.png")

    np.testing.assert_array_equal(through(Image.fromarray(GREY))[:, :, 0], GREY)
    few = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(through(few), np.asarray(few.convert("RGB")))
    assert set(np.unique(through(Image.fromarray(GREY > 99)))) == {0, 255}
    alpha = np.dstack([RGB, np.full(GREY.shape, 128, np.uint8)])
    laid = through(Image.fromarray(alpha))
    np.testing.assert_allclose(laid, RGB * (128 / 255) + 255 * (127 / 255), atol=1.01)
    both = np.dstack([GREY, np.full(GREY.shape, 0, np.uint8)])
    assert (through(Image.merge("LA", [Image.fromarray(b) for b in np.moveaxis(both, 2, 0)])) == 255).all()


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep)
    Image.fromarray(deep).save(tmp_path / "a.png")
    for name in ("a.tif", "a.png"):
        np.testing.assert_allclose(read_image(tmp_path / name)[:, :, 0], deep / 257, rtol=1e-6)
    np.testing.assert_allclose(read_image(deep)[:, :, 0], deep / 257, rtol=1e-6)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: the top of the scene is the right side of the data
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, -1))


def test_channels_follow_documented_rules() -> None:
    same, told = to_channels(RGB, 3)
    assert same is RGB
    assert told is None
    grey, told = to_channels(RGB, 1)
    np.testing.assert_allclose(grey[:, :, 0], RGB @ [0.299, 0.587, 0.114], rtol=1e-5)
    assert "luminance" in told
    room = np.full((len(RGB) + 3, RGB.shape[1], 1), 7, np.float32)
    laid, _ = to_channels(RGB, 1, room)
    np.testing.assert_array_equal(laid, grey)
    assert np.shares_memory(laid, room)
    assert (room[len(RGB) :] == 7).all()
    colour, told = to_channels(GREY[:, :, None], 3)
    assert (colour == GREY[:, :, None]).all()
    assert "repeated" in told
    with pytest.raises(BadInput, match="2 channels"):
        to_channels(RGB[:, :, :2], 3)


def test_what_is_no_image_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(BadInput, match=r"text\.png: not an image"):
        read_image(tmp_path / "text.png")
    Image.fromarray(RGB).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:400])
    with pytest.raises(BadInput, match=r"cut\.png: damaged or truncated"):
        read_image(tmp_path / "cut.png")
    with pytest.raises(BadInput, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(BadInput, match="is a folder"):
        read_image(tmp_path)
    Image.fromarray(RGB).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr("fullconv.rasters.open.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="need rasterio"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((2, 0, 3)), "shape"),
        (np.array([["a"]]), "numbers"),
    ],
)
def test_arrays_that_are_no_image_are_told(array: np.ndarray, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_image(array)
