from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.rasters.preprocess import NAMED, Preprocess, mean_file, normalized

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)


@pytest.mark.parametrize("name", NAMED)
def test_named(name: str) -> None:
    expected = {
        "raw": lambda p: p,
        "unit": lambda p: p / 255,
        "signed": lambda p: p / 127.5 - 1,
        "imagenet": lambda p: (p / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        "caffe": lambda p: p[:, :, ::-1] - [104.0, 117.0, 123.0],
    }[name](PIXELS.astype(np.float64))
    found = Preprocess.of(name).apply(PIXELS)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1), atol=1e-4)


def test_the_image_is_not_changed() -> None:
    pixels = PIXELS.astype(np.float32)
    before = pixels.copy()
    Preprocess(scale=2.0).apply(pixels)
    one = np.ascontiguousarray(pixels[:, :, :1])
    Preprocess(scale=2.0).apply(one)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(one, before[:, :, :1])


def test_json_with_numbers_and_a_mean_file(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.stack([np.full((4, 5), v) for v in (1.0, 2.0, 3.0)]))
    (tmp_path / "p.json").write_text(
        json.dumps({"channels": "BGR", "scale": 0.5, "mean": "mean.npy", "std": [1, 2, 4]})
    )
    found = Preprocess.of(tmp_path / "p.json")
    assert found == Preprocess("BGR", 0.5, (1, 2, 3), (1, 2, 4))
    (tmp_path / "p.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "p.json").read_bytes())  # as Windows saves it
    assert Preprocess.of(tmp_path / "p.json") == found


def test_mean_files(tmp_path: Path, shared: Path) -> None:
    real = mean_file(shared / "images" / "caffe" / "ilsvrc_2012_mean.npy")
    np.testing.assert_allclose(real, [104.0, 116.7, 122.7], atol=0.1)
    blob = pb.BlobProto(num=1, channels=3, height=1, width=2, data=[1, 3, 5, 7, 9, 11])
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    assert mean_file(tmp_path / "mean.binaryproto") == (2, 6, 10)
    assert Preprocess.of(tmp_path / "mean.binaryproto") == Preprocess(channels="BGR", mean=(2.0, 6.0, 10.0))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not valid JSON"),
        ("[1]", "is no preprocessing that is known"),
        ('{"mean": 1, "mena": 2}', "the fields"),
        ('{"std": 0}', "std not 0"),
        ('{"scale": "a"}', "must be numbers"),
        ('{"channels": "GBR"}', "not RGB, BGR or grey"),
        ('{"mean": "none.npy"}', "no such file"),
        ('{"mean": "bad.npy"}', "must have the shape"),
        ('{"mean": "text.npy"}', "not an .npy file"),
        ('{"mean": "cut.binaryproto"}', "not a readable"),
    ],
)
def test_bad_files_are_told(tmp_path: Path, text: str, told: str) -> None:
    np.save(tmp_path / "bad.npy", np.zeros((2, 2)))
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "cut.binaryproto").write_bytes(b"\x2a\x50abc")
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(BadInput, match=told):
        Preprocess.of(tmp_path / "p.json")


def test_unknown_names_are_told() -> None:
    with pytest.raises(BadInput, match="not one of raw, unit"):
        Preprocess.of("wat")


def test_a_mean_and_a_std_that_are_typed() -> None:
    found = normalized(None, (0.7, 0.6, 0.7), (0.2, 0.2, 0.2))
    expected = (PIXELS / 255 - [0.7, 0.6, 0.7]) / 0.2
    np.testing.assert_allclose(found.apply(PIXELS)[0], expected.transpose(2, 0, 1), atol=1e-5)
    assert normalized(None, (178.0, 153.0, 178.0), (51.0,)) == Preprocess(mean=(178.0, 153.0, 178.0), std=(51.0,))
    assert normalized("imagenet", None, (0.5,)) == Preprocess(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.5,))
    assert normalized("caffe", (90.0, 100.0, 110.0), None) == Preprocess("BGR", mean=(90.0, 100.0, 110.0))


@pytest.mark.parametrize(
    ("given", "mean", "std", "told"),
    [
        ("raw", (0.5,), (0.5,), "leaves them on 0..255; take -p unit"),
        ("unit", (120.0,), (60.0,), "take -p raw"),
        (None, (0.0,), (1.0,), "change nothing"),
        (None, (0.5,), (0.0,), "above 0"),
        (None, (-0.5,), (0.5,), "is below 0"),
    ],
)
def test_numbers_of_another_scale_are_told(
    given: str | None, mean: tuple[float, ...], std: tuple[float, ...], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        normalized(given, mean, std)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("mean", [(0.0, 104.0, 117.0), (0.0,), (3.0, 0.0, 0.0), (5.0,)])
@pytest.mark.parametrize("std", [(1.0, 0.5, 2.0), (1.0,), (0.25, 1.0, 1.0), (4.0,)])
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_every_channel_has_its_own_numbers(
    channels: str, mean: tuple[float, ...], std: tuple[float, ...], scale: float
) -> None:
    """Also where the first channel's change nothing; over more rows than are done at once."""
    pixels = np.random.default_rng(0).integers(0, 256, (130, 5, 3)).astype(np.uint8)
    made = Preprocess(channels, scale, mean, std)
    means, stds = (np.broadcast_to(values, 3)[:, None, None] for values in (mean, std))
    for ordered in (False, True):
        order = [2, 1, 0] if channels == "BGR" and not ordered else [0, 1, 2]
        expected = (pixels.astype(np.float64).transpose(2, 0, 1)[order] * scale - means) / stds
        np.testing.assert_allclose(made.apply(pixels, ordered=ordered)[0], expected, rtol=1e-5, atol=1e-4)


def test_numbers_up_to_one_are_of_pixels_on_0_to_1() -> None:
    for mean, std in (((0.5,), (1.0,)), ((1.0,), None), (None, (1.0, 0.5, 0.5))):
        found = normalized(None, mean, std)
        assert (found.scale, found.mean, found.std) == (1 / 255, mean or (0.0,), std or (1.0,))
    assert normalized(None, (1.5,), None).scale == 1
    for mean, std in (((3.0,), None), (None, (2.5,))):
        with pytest.raises(BadInput, match=r"are of pixels on 0\.\.255"):
            normalized("unit", mean, std)
