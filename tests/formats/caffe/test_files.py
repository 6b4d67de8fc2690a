"""Reading and writing Caffe's files: text, binary, HDF5, and what is wrong with them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from fullconv.errors import BadInput, FullconvError
from fullconv.formats.caffe.network import read_weights
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.wire import read_caffemodel
from fullconv.loading import load
from tests import helpers as h


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A small net and its weights on disk."""
    model = h.model(h.LENET)
    prototxt, weights = model.save(tmp_path / "net.prototxt")
    return prototxt, weights


def parsed(path: Path):
    net = pb.NetParameter()
    net.ParseFromString(path.read_bytes())
    return net


def test_protobuf_reads_what_is_written(pair) -> None:
    net = parsed(pair[1])
    found = {
        layer.name: [np.array(b.data, np.float32).reshape(tuple(b.shape.dim)) for b in layer.blobs]
        for layer in net.layer
    }
    for name, blobs in h.network(h.LENET).weights.items():
        for mine, theirs in zip(blobs, found[name], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_weights_are_views_of_one_buffer(pair) -> None:
    layers = read_caffemodel(pair[1])
    bases = {
        id(blob.values.base.obj if hasattr(blob.values.base, "obj") else blob.values.base)
        for layer in layers
        for blob in layer.blobs
    }
    assert all(not blob.values.flags.owndata for layer in layers for blob in layer.blobs)
    assert bases


def test_every_way_of_storing_values_reads_the_same(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    ways = {}
    for way in ("float", "double", "unpacked", "two runs", "legacy"):
        net = pb.NetParameter()
        blob = net.layer.add(name="a").blobs.add()
        if way == "legacy":
            blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 3
        else:
            blob.shape.dim.extend([2, 3])
        if way == "double":
            blob.double_data.extend(values.tolist())
        elif way in ("float", "legacy"):
            blob.data.extend(values.tolist())
        raw = net.SerializeToString()
        if way == "unpacked":
            body = blob.SerializeToString() + b"".join(b"\x2d" + v.tobytes() for v in values)
            raw = wrap(body)
        elif way == "two runs":
            body = blob.SerializeToString() + b"".join(b"\x2a\x0c" + values[i : i + 3].tobytes() for i in (0, 3))
            raw = wrap(body)
        path = tmp_path / f"{way}.caffemodel"
        path.write_bytes(raw)
        (layer,) = read_caffemodel(path)
        ways[way] = layer.blobs[0]
        np.testing.assert_array_equal(layer.blobs[0].values, values)
    assert ways["double"].values.dtype == np.float64
    assert ways["legacy"].legacy
    assert ways["legacy"].shape == (1, 1, 2, 3)


def wrap(blob: bytes) -> bytes:
    layer = b"\x0a\x01a" + b"\x3a" + bytes([len(blob)]) + blob
    return b"\xa2\x06" + bytes([len(layer)]) + layer


def test_unknown_binary_fields_survive_a_cast(tmp_path: Path, pair) -> None:
    net = parsed(pair[1])
    unknown = pb.LayerParameter()
    unknown.ParseFromString(b"\xfa\x7f\x05hello")  # field 2047, bytes
    for layer in net.layer:
        layer.MergeFrom(unknown)
    pair[1].write_bytes(net.SerializeToString())
    out, weights = load(*pair).cast().save(tmp_path / "out.prototxt")
    raw = weights.read_bytes()
    assert raw.count(b"\xfa\x7f\x05hello") == len(net.layer)
    assert load(out, weights).is_fully_convolutional


def test_every_field_of_the_schema_survives_text(tmp_path: Path) -> None:
    """A message with every field set, by reflection, is the same after printing and parsing."""
    net = pb.NetParameter()
    fill(net, depth=4)
    again = pb.NetParameter()
    text_format.Parse(text_format.MessageToString(net), again)
    assert again == net


def fill(message, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            if depth:
                target = getattr(message, field.name)
                target = target.add() if field.is_repeated else target
                target.SetInParent() if not field.is_repeated else None
                fill(target, depth - 1)
            continue
        value = {"string": "a", "bytes": b"b", "bool": True, "enum": None}.get(kind(field), 3)
        if value is None:
            value = field.enum_type.values[-1].number
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)


def kind(field) -> str:
    names = {field.TYPE_STRING: "string", field.TYPE_BYTES: "bytes", field.TYPE_BOOL: "bool", field.TYPE_ENUM: "enum"}
    return names.get(field.type, "number")


@pytest.mark.parametrize("suffix", [".caffemodel", ".h5", ".caffemodel.h5"])
def test_what_is_written_reads_back_the_same(tmp_path: Path, suffix: str) -> None:
    full = h.model(h.LENET).cast()
    out, weights = full.save(tmp_path / "out.prototxt", tmp_path / f"w{suffix}")
    again = load(out, weights)
    assert again.graph.difference(full.graph) is None
    for name, blobs in full.native.weights.items():
        for mine, theirs in zip(blobs, again.native.weights[name], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_double_weights_stay_double(tmp_path: Path) -> None:
    net = h.network(h.LENET)
    doubled = net.with_message(
        net.message, {n: tuple(a.astype(np.float64) for a in blobs) for n, blobs in net.weights.items()}
    )
    _, weights = h.Model(doubled, h.Caffe()).cast().save(tmp_path / "d.prototxt")
    assert {b.values.dtype for layer in read_weights(weights) for b in layer.blobs} == {np.dtype(np.float64)}


def test_trained_weights_are_bit_equal_after_a_cast(shared: Path, tmp_path: Path, lenet) -> None:
    _, weights = lenet.cast().save(tmp_path / "out.prototxt")
    before = {
        layer.name: layer.blobs
        for layer in read_weights(shared / "caffe/lenet_mnist_caffe_v1/lenet_iter_10000.caffemodel")
        if layer.blobs
    }
    after = {layer.name.removesuffix("-conv"): layer.blobs for layer in read_weights(weights) if layer.blobs}
    assert list(before) == list(after)
    for name, blobs in before.items():
        for mine, theirs in zip(blobs, after[name], strict=True):
            assert mine.values.tobytes() == theirs.values.tobytes()
    assert [b.shape for b in after["ip1"]] == [(500, 50, 4, 4), (500,)]


def told(prototxt: Path, weights: Path | None) -> str:
    with pytest.raises(BadInput) as error:
        load(prototxt, weights)
    return str(error.value)


def test_a_syntax_error_is_told_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "bad.prototxt"
    path.write_text(h.LENET + 'layer {\n  name: "x"\n  tpye: "ReLU"\n}\n')
    line = h.LENET.count("\n") + 3
    assert f"bad.prototxt:{line}:3" in told(path, None)
    path.write_text("layer { name: ")
    assert "not a valid prototxt" in told(path, None)


def test_network_and_weights_exchanged(pair) -> None:
    prototxt, weights = pair
    renamed = weights.with_suffix(".txt")
    shutil.copy(weights, renamed)
    assert "binary file, not a prototxt" in told(renamed, None)
    assert "name the network" in told(weights, prototxt)
    assert "text file, not binary weights" in told(prototxt, prototxt)


def test_missing_files(tmp_path: Path, pair) -> None:
    assert "no such file" in told(tmp_path / "none.prototxt", None)
    assert "no such file" in told(pair[0], tmp_path / "none.caffemodel")
    assert "is a folder" in told(pair[0], tmp_path)
    assert "is a folder" in told(tmp_path, None)


def test_weights_of_another_net(tmp_path: Path, pair) -> None:
    other = tmp_path / "other.prototxt"
    other.write_text(h.LENET.replace("num_output: 12", "num_output: 13"))
    assert "layer 'ip1' (InnerProduct): blob 0 has the shape (12, 96)" in told(other, pair[1])
    assert "(13, 96)" in told(other, pair[1])
    other.write_text(h.LENET.replace('"ip1"', '"dense"'))
    message = told(other, pair[1])
    assert "no weights for 'dense'" in message
    assert "it has 'ip1'" in message
    other.write_text(h.LENET.replace("num_output: 12 ", "num_output: 12 bias_term: false "))
    assert "holds 2 blobs" in told(other, pair[1])


def test_layers_left_over_are_told(tmp_path: Path, pair) -> None:
    """Weights that go on where the network ends are those of another net, unless the user knows better."""
    other = tmp_path / "short.prototxt"
    other.write_text(h.LENET.split('layer { name: "ip2"')[0])
    assert "has weights for 'ip2', which" in told(other, pair[1])
    short = load(other, pair[1], ignore_unused_weights=True)
    assert short.graph.outputs == ("ip1",)
    assert any("'ip2' are not used" in note for note in short.notes)


def test_auxiliary_heads_of_the_weights_file_are_left_out_and_said(tmp_path: Path) -> None:
    """A training net's second head branches off inside the net that is deployed."""
    training = (
        h.LENET
        + h.conv("aux1", "pool1", 2, 1)
        + h.layer("split", "Split", "aux1", "x y")
        + h.fc("aux2", "x", 3)
        + h.fc("aux3", "y", 3)
    )
    _, weights = h.model(training).save(tmp_path / "train.prototxt")
    (tmp_path / "deploy.prototxt").write_text(h.LENET)
    model = load(tmp_path / "deploy.prototxt", weights)
    assert any("'aux1', 'aux2', 'aux3' are not used" in note for note in model.notes)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(tmp_path: Path, pair, value: float) -> None:
    net = parsed(pair[1])
    next(layer for layer in net.layer if layer.name == "ip1").blobs[0].data[7] = value
    pair[1].write_bytes(net.SerializeToString())
    assert "layer 'ip1' (InnerProduct): blob 0 holds NaN or infinite" in told(*pair)


def test_a_truncated_caffemodel_is_told_at_every_length(pair) -> None:
    prototxt, weights = pair
    raw = weights.read_bytes()
    rng = random.Random(0)
    for cut in {0, 1, 10, len(raw) - 1, *(rng.randrange(len(raw)) for _ in range(40))}:
        weights.write_bytes(raw[:cut])
        message = told(prototxt, weights)
        assert str(weights) in message


def said(prototxt: Path, weights: Path) -> str:
    """The error of loading these files, or, where they load, their names."""
    try:
        load(prototxt, weights)
    except FullconvError as error:
        return str(error)
    return f"{prototxt} {weights}"


def test_a_flipped_bit_never_ends_in_a_foreign_error(pair) -> None:
    """A flip in a value cannot be seen; one in the structure must be told."""
    prototxt, weights = pair
    raw = bytearray(weights.read_bytes())
    rng = random.Random(1)
    for _ in range(300):
        at, bit = rng.randrange(len(raw)), 1 << rng.randrange(8)
        raw[at] ^= bit
        weights.write_bytes(raw)
        assert any(str(path) in said(prototxt, weights) for path in pair)
        raw[at] ^= bit


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_as_weights_are_refused_cleanly(tmp_path_factory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "w.caffemodel"
    path.write_bytes(raw)
    with pytest.raises(BadInput):
        read_weights(path)


def test_damaged_hdf5(tmp_path: Path) -> None:
    model = h.model(h.LENET)
    prototxt, weights = model.save(tmp_path / "n.prototxt", tmp_path / "n.h5")
    raw = weights.read_bytes()
    for cut in (0, 7, 100, len(raw) // 2, len(raw) - 10):
        weights.write_bytes(raw[:cut])
        assert str(weights) in told(prototxt, weights)
    with h5py.File(weights, "w") as file:
        file["weights"] = np.zeros(3)
    assert "no group 'data'" in told(prototxt, weights)
    with h5py.File(weights, "w") as file:
        file["data/conv1/1"] = np.zeros(4, np.float32)
    assert "the file is incomplete" in told(prototxt, weights)
    rng = random.Random(2)
    for _ in range(60):
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        weights.write_bytes(damaged)
        assert str(weights) in said(prototxt, weights)


def test_running_without_weights_says_so(pair) -> None:
    model = load(pair[0])
    assert not model.plan.refusals
    with pytest.raises(BadInput, match="needs its weights"):
        model.run(np.zeros((1, 1, 28, 28), np.float32))


def test_a_mean_file_given_as_weights(tmp_path: Path, pair) -> None:
    path = tmp_path / "mean.caffemodel"
    path.write_bytes(pb.BlobProto(num=1, channels=3, height=1, width=1, data=[1, 2, 3]).SerializeToString())
    assert str(path) in told(pair[0], path)


def test_hdf5_traps_are_not_walked_into(tmp_path: Path) -> None:
    """A huge empty data set, a group that holds itself, a link to another file."""
    model = h.model(h.LENET)
    prototxt, weights = model.save(tmp_path / "n.prototxt", tmp_path / "n.h5")
    with h5py.File(weights, "a") as file:
        file["data/conv1/loop"] = file["data"]
        file["data/other"] = h5py.ExternalLink("elsewhere.h5", "/data")
    assert load(prototxt, weights, ignore_unused_weights=True).native.weights is not None
    with h5py.File(weights, "a") as file:
        del file["data/conv1/0"]
        file.create_dataset("data/conv1/0", (1 << 20, 1 << 20), np.float32, chunks=(1024, 1024))
    assert "not in this file" in told(prototxt, weights)
