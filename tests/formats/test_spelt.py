"""Names, descriptions and comments in a system's own letters, as C++ writers leave them in Caffe and ONNX files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fullconv.demonstration import demo_files
from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.spelt import text_of
from fullconv.loading import load
from tests.formats.onnx.nets import write
from tests.formats.onnx.test_people import GEMM, NUMBERS, TRUNK

NAME = "卷积一".encode("gbk")  # as a Chinese Windows writes it
IMAGE = np.random.default_rng(0).random((1, 1, 40, 44), np.float32)


def digits(folder: Path, text: bytes, weights: bytes) -> Path:
    """The packaged network, "conv1" of its two files spelt so."""
    with demo_files() as data:
        (folder / "net.prototxt").write_bytes((data / "digits.prototxt").read_bytes().replace(b"conv1", text))
        saved = (data / "digits.caffemodel").read_bytes()
    for name in (b"\x0a\x05conv1", b"\x1a\x05conv1", b"\x22\x05conv1"):  # name, bottom and top, with their length
        saved = saved.replace(name, name[:2] + weights)
    (folder / "net.caffemodel").write_bytes(saved)
    return folder / "net.prototxt"


@pytest.mark.parametrize(
    "text", [NAME[:5], "".join(f"\\{byte:03o}" for byte in NAME[:5]).encode()], ids=["bytes", "as C++ prints them"]
)
def test_a_caffe_net_in_a_systems_own_letters(text: bytes, tmp_path: Path) -> None:
    with demo_files() as data:
        usual = load(data / "digits.prototxt", data / "digits.caffemodel").cast()
    model = load(digits(tmp_path, text, NAME[:5]), tmp_path / "net.caffemodel")
    spelt = NAME[:5].decode("utf-8", "backslashreplace")
    assert spelt in [node.name for node in model.graph]
    full = model.cast()
    np.testing.assert_array_equal(full.run(IMAGE)["prob"], usual.run(IMAGE)["prob"])
    written = full.save(tmp_path / "full.prototxt", tmp_path / "full.caffemodel")
    again = load(*written)
    assert spelt in [node.name for node in again.graph]
    np.testing.assert_array_equal(again.run(IMAGE)["prob"], usual.run(IMAGE)["prob"])


@pytest.mark.parametrize("head", ["# 网络\n".encode("gbk"), b"\xef\xbb\xbf"], ids=["a comment", "a byte order mark"])
def test_what_caffe_passes_over_is_passed_over(head: bytes, tmp_path: Path) -> None:
    path = digits(tmp_path, b"conv1", b"conv1")
    path.write_bytes(head + path.read_bytes())
    assert load(path, tmp_path / "net.caffemodel").cast().run(IMAGE)["prob"].shape == (1, 11, 3, 4)


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = digits(tmp_path, b"conv1", b"conv1")
    with pytest.raises(BadInput, match="this is a binary file, not a prototxt"):
        load((tmp_path / "net.caffemodel").rename(tmp_path / "other.prototxt"))
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(BadInput, match="is text in UTF-16, which Caffe does not read; save it as UTF-8"):
        load(path)


def test_an_onnx_net_in_a_systems_own_letters(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    usual, image = load(path), np.random.default_rng(0).random((1, 3, 20, 24), np.float32)
    message = onnx.load(str(path))
    for i, node in enumerate(message.graph.node):
        node.name = f"node{i}"
    message.producer_name, message.graph.doc_string = "made it", "made it"
    for old, new in (("w1", "w-QZQZ"), ("p", "p-QZQZ"), ("x", "x-QZQZ")):
        for node in message.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for value in (*message.graph.input, *message.graph.initializer):
            value.name = new if value.name == old else value.name
    spoiled = (
        message.SerializeToString()
        .replace(b"QZQZ", b"\xe9\xe8\xe9\xe8")
        .replace(b"made it", b"m\xe4de it")
        .replace(b"node", b"n\xf6de")
    )
    path.write_bytes(spoiled)
    with pytest.raises(UnicodeDecodeError):
        [value.name for value in ort.InferenceSession(spoiled).get_inputs()]
    model = load(path)
    assert any(r"n\xf6de0" in node.name for node in model.graph)
    np.testing.assert_array_equal(model.cast().run(image)["y"], usual.cast().run(image)["y"])
    (out,) = model.cast().save(tmp_path / "full.onnx")
    onnx.checker.check_model(str(out), full_check=True)
    session = ort.InferenceSession(out)
    np.testing.assert_allclose(session.run(None, {session.get_inputs()[0].name: image})[0], usual.cast().run(image)["y"], atol=1e-6)  # fmt: skip


def test_an_operator_in_other_letters_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    path.write_bytes(path.read_bytes().replace(b"Flatten", b"Fl\xe9tten"))
    with pytest.raises(BadInput, match=r"Fl\\\\?xe9tten"):
        load(path)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"\351\350"', r'"\\xe9\\xe8"'), (rb'"\\351"', r'"\\351"'), (rb'"\303\251"', r'"\303\251"'), (rb'"\351a\303\251"', r'"\\xe9a\303\251"'),
        (b'"caf\xe9"', r'"caf\\xe9"'), ('"café"'.encode(), '"café"'), (b"a\x00b", None), (b"a\x1bb", None), (b"a\tb\r\n", "a\tb\r\n"),
    ],
)  # fmt: skip
def test_text(raw: bytes, text: str | None) -> None:
    assert text_of(raw) == text


@pytest.mark.parametrize("unnamed", ["relu", "conv1"])
def test_layers_of_no_name_are_named_by_their_type(unnamed: str, tmp_path: Path) -> None:
    """Caffe asks for none; weights of no name go to the first such layer, as it copies them."""
    path, weights = digits(tmp_path, b"conv1", b"conv1"), tmp_path / "net.caffemodel"
    usual = load(path, weights)
    path.write_text(re.sub(rf'name: "{unnamed}\d?" ', "", path.read_text()))
    saved = pb.NetParameter.FromString(weights.read_bytes())
    for layer in saved.layer:
        layer.name = "" if layer.name == unnamed else layer.name
    weights.write_bytes(saved.SerializeToString())
    model = load(path, weights)
    kind = "ReLU" if unnamed == "relu" else "Convolution"
    assert f"a layer has no name; this {kind} is called {kind!r}" in model.notes
    np.testing.assert_array_equal(model.cast().run(IMAGE)["prob"], usual.cast().run(IMAGE)["prob"])
    again = load(*model.cast().save(tmp_path / "full.prototxt", tmp_path / "full.caffemodel"))
    np.testing.assert_array_equal(again.run(IMAGE)["prob"], usual.cast().run(IMAGE)["prob"])
