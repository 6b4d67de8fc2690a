"""Heads within ONNX networks: plain ONNX Runtime answers what ``FittedHead.moved`` does on the cast network's values, and a file is read as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import fullconv
from fullconv.errors import BadInput
from fullconv.formats.head import FittedHead
from fullconv.surgery.head import Head
from tests.formats.onnx.nets import write
from tests.heads import GEMM, NUMBERS, TRUNK, expected, fitted, level, levels, network, weights


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def plain(path: Path, image: np.ndarray, output: str = "y") -> np.ndarray:
    """ONNX Runtime's answer for an image, as many cells as it gives."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([output], {session.get_inputs()[0].name: image})[0]


SIZES = [(16, 16), (37, 50), (21, 19), (31, 33), (40, 64)]


@pytest.mark.parametrize(
    ("kind", "opset", "near"),
    [("float", 13, 2e-6), ("float", 7, 2e-6), ("float", 21, 2e-6), ("float16", 13, 4e-3)],
)
def test_a_saved_network_answers_what_its_head_says(tmp_path: Path, kind: str, opset: int, near: float) -> None:
    model = network(tmp_path, kind=kind, opset=opset)
    full = model.cast()
    head = fitted(Head("y", "z", 5, levels(full)))
    made = model.adapted(head)
    assert made.checked is not None
    assert made.checked.moved > 3
    (path,) = made.save(tmp_path / "adapted.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    again = fullconv.load(path)
    dtype = {"float": np.float32, "float16": np.float16}[kind]
    for size in SIZES:
        image = np.random.default_rng(1).standard_normal((1, 3, *size)).astype(np.float32)
        rows, cols = full.sampling().cells(size)
        cells = [(row, col) for row in range(rows) for col in range(cols)]
        height, width = made.fitting(size, "y")  # an image is cut where the branches would not meet
        want = softmax(expected(full, head, image[:, :, :height, :width], cells))
        if opset >= 10 or all(n % 4 == 0 for n in size):  # older sets have no Slice by a table
            seen = plain(path, image.astype(dtype))
            assert seen.dtype == dtype
            have = np.array([seen[0, :, row, col] for row, col in cells])
            assert have == pytest.approx(want, abs=near)
        for each in (made, again):
            answers = each.run(image[:, :, :height, :width])["y"]
            have = np.array([answers[0, :, row, col] for row, col in cells])
            assert have == pytest.approx(want, abs=max(near, 2e-6))


def test_a_file_is_read_as_it_was(tmp_path: Path) -> None:
    model = network(tmp_path)
    full = model.cast()
    head = fitted(Head("y", "z", 5, levels(full)), images=["a.tif"], agreement=[0.5, 0.75])
    made = model.adapted(head)
    assert made.classifier is model
    assert made.is_fully_convolutional
    assert made.cast() is made
    (path,) = made.save(tmp_path / "adapted.onnx")
    again = fullconv.load(path)
    assert again.graph.difference(made.graph) is None
    assert made.graph.difference(again.graph) is None
    (read,) = again.heads
    assert read.head == head.head
    assert read.about == head.about
    assert read.bias == pytest.approx(head.bias, abs=0)
    assert read.mixing == pytest.approx(head.mixing, abs=0)
    assert all(a == pytest.approx(b, rel=1e-6) for a, b in zip(read.kernels, head.kernels, strict=True))
    # What is left without its head is the cast network, which answers a crop as the classifier does.
    assert full.graph.difference(again.classifier.graph) is None
    assert not again.classifier.heads
    crop = np.random.default_rng(2).standard_normal((1, 3, 16, 16)).astype(np.float32)
    assert again.classifier.run(crop)["y"].reshape(-1) == pytest.approx(model.run(crop)["y"].reshape(-1), abs=1e-6)
    (second,) = again.save(tmp_path / "again.onnx")
    assert second.read_bytes() == path.read_bytes()


def _edited(path: Path, how: str) -> Path:
    message = onnx.load(path)
    for node in message.graph.node:
        if how == "another operator" and node.name.endswith("_moved"):
            node.op_type = "Sub"
        if how == "another window" and node.name.endswith("level0_weigh"):
            next(a for a in node.attribute if a.name == "strides").ints[:] = [1, 2]
    for tensor in message.graph.initializer:
        if how == "another weight" and tensor.name.endswith("level0_weigh_weight"):
            numbers = onnx.numpy_helper.to_array(tensor).copy()
            numbers[0, 0, 0, 0] += 1
            numbers[0, 0, 1, 1] += 1
            tensor.CopyFrom(onnx.numpy_helper.from_array(numbers, tensor.name))
    for entry in message.metadata_props:
        if entry.key == "fullconv.adapted":
            if how == "another level":
                entry.value = entry.value.replace('"r1"', '"r2"')
            if how == "no JSON":
                entry.value = "[" * 100_000
            if how == "another stem":
                entry.value = entry.value.replace("head0", "head1")
            if how == "another output":
                entry.value = entry.value.replace('"output": "y"', '"output": "x"')
            if how == "a level behind the logits":
                entry.value = entry.value.replace('"r1"', '"y"')
            if how == "no metadata":
                entry.key = "someone.adapted"
    onnx.save(message, path)
    return path


@pytest.mark.parametrize(
    "how",
    [
        "another operator", "another window", "another weight", "another level", "another stem", "no JSON", "another output",
        "a level behind the logits", "no metadata",
    ],
)  # fmt: skip
def test_metadata_and_nodes_that_do_not_fit_are_no_head(tmp_path: Path, how: str) -> None:
    model = network(tmp_path)
    (path,) = model.adapted(fitted(Head("y", "z", 5, levels(model.cast())))).save(tmp_path / "adapted.onnx")
    assert fullconv.load(path).heads
    found = fullconv.load(_edited(path, how))
    assert not found.heads
    assert any("names a head" in note for note in found.notes)
    if how == "another window":
        assert "branches meet with strides" in str(found.plan)  # it is not even one that can be cast
        return
    image = np.zeros((20, 24, 3), np.uint8)
    assert fullconv.map(found, image).scores.shape == (5, 2, 3)
    for refused in (
        lambda: found.classifier,
        lambda: fullconv.map(found, image, by="crops"),
        lambda: fullconv.verify(found, image),
    ):
        with pytest.raises(BadInput, match="the classifier that it was adapted from cannot be told from it"):
            refused()


TAILS = {
    "levels alone": (GEMM + "y = Softmax <axis=1> (z)", "z", ("r1", "r3"), False),
    "levels of a rank": (GEMM + "y = Softmax <axis=1> (z)", "z", ("r1", "r3"), False),
    "all of a rank": (GEMM + "y = Softmax <axis=1> (z)", "z", ("r1", "r2"), True),
    "a mixing of a rank, axes last": (GEMM + "u = Reshape(z, shape)\nv = Transpose <perm=[0,2,3,1]> (u)\nw2_ = Softmax <axis=3> (v)\ny = Flatten(w2_)", "v", (), True),
    "the mixing alone": (GEMM + "y = Softmax <axis=1> (z)", "z", (), True),
    "a bias alone": (GEMM + "y = Softmax <axis=1> (z)", "z", (), False),
    "behind no activation": (TRUNK[-13:] and "y = Gemm(f, w, b)", "y", ("r1", "r2"), True),
    "a level that is the logits": (GEMM + "y = Sigmoid(z)", "z", ("r2", "z"), True),
    "logits of many readers": (GEMM + "s = Sigmoid(z)\nt = Tanh(z)\ny = Add(s, t)", "z", ("r2",), True),
    "scores whose axes are last": (GEMM + "u = Reshape(z, shape)\nv = Transpose <perm=[0,2,3,1]> (u)\nw2_ = Softmax <axis=3> (v)\ny = Flatten(w2_)", "v", ("r2",), True),
}  # fmt: skip


@pytest.mark.parametrize("name", list(TAILS))
def test_heads_of_every_kind(tmp_path: Path, name: str) -> None:
    tail, logits, values, mixes = TAILS[name]
    numbers = weights(**NUMBERS, w=(6, 5), b=(5,)) | {"shape": np.array([0, -1, 1, 1])}
    path = write(
        tmp_path / "net.onnx", TRUNK + tail, {n: v for n, v in numbers.items() if n in tail or n in TRUNK}, opset=13
    )
    model = fullconv.load(path)
    full = model.cast()
    some = {"r1": (1, 2, 1), "r2": (1, 2, 1), "r3": (2, 2), "z": (1,)}
    rank = 2 if "rank" in name else None
    head = fitted(Head("y", logits, 5, tuple(level(full, v, some[v], some[v]) for v in values), rank), mixes=mixes)
    made = model.adapted(head)
    (saved,) = made.save(tmp_path / "adapted.onnx")
    (read,) = fullconv.load(saved).heads
    assert read.head == head.head
    assert (read.mixing is None) == (head.mixing is None)
    assert (read.spread is None) == (rank is None)
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 28)).astype(np.float32)
    cells = [(0, 0), (1, 2), (2, 3)]
    want = expected(full, head, image, cells)
    axes = made.graph.values[logits]
    seen = made.values(image, [logits])[logits].transpose(
        0, axes.channel_axis, axes.space_axis("h"), axes.space_axis("w")
    )
    assert np.array([seen[0, :, row, col] for row, col in cells]) == pytest.approx(want, abs=1e-5)
    # Whoever reads the logits reads them moved.
    acts = {
        "s = Sig": lambda v: 1 / (1 + np.exp(-v)) + np.tanh(v),
        "y = Sig": lambda v: 1 / (1 + np.exp(-v)),
        "y = Gemm": lambda v: v,
    }
    act = next((f for word, f in acts.items() if word in tail), softmax)
    found = made.run(image)["y"]
    assert np.array([found[0, :, row, col] for row, col in cells]) == pytest.approx(act(want), abs=1e-5)


def test_two_heads_on_two_outputs(tmp_path: Path) -> None:
    body = TRUNK + "y = Gemm(f, w, b)\nz2 = Gemm(f, wb, bb)\nv = Sigmoid(z2)"
    numbers = weights(**NUMBERS, w=(6, 5), b=(5,), wb=(6, 1), bb=(1,))
    model = fullconv.load(write(tmp_path / "net.onnx", body, numbers, outputs="float[1,5] y, float[1,1] v"))
    full = model.cast()
    first = fitted(Head("y", "y", 5, (level(full, "r1", (1, 2, 1), (1, 2, 1)),)))
    second = fitted(Head("v", "z2", 1, (level(full, "r2", (2, 2), (2, 2)),)), seed=1)
    made = model.adapted(first).adapted(second)
    assert [each.head.output for each in made.heads] == ["y", "v"]
    assert made.classifier is model
    (path,) = made.save(tmp_path / "adapted.onnx")
    again = fullconv.load(path)
    assert [each.head for each in again.heads] == [first.head, second.head]
    image = np.random.default_rng(1).standard_normal((1, 3, 20, 24)).astype(np.float32)
    answers = again.run(image)
    assert answers["y"][0, :, 1, 2] == pytest.approx(expected(full, first, image, [(1, 2)])[0], abs=1e-5)
    assert answers["v"][0, 0, 1, 2] == pytest.approx(
        1 / (1 + np.exp(-expected(full, second, image, [(1, 2)])[0, 0])), abs=1e-5
    )
    with pytest.raises(BadInput, match="output 'y' has a head already"):
        made.adapted(first)


def test_weights_beside_the_network(tmp_path: Path) -> None:
    model = network(tmp_path)
    head = fitted(Head("y", "z", 5, levels(model.cast())))
    path, _ = model.adapted(head).save(tmp_path / "adapted.onnx", tmp_path / "adapted.bin")
    (read,) = fullconv.load(path).heads
    assert read.head == head.head


def _bad(head: FittedHead, **changes: object) -> FittedHead:
    return fitted(replace(head.head, **changes))  # type: ignore[arg-type]


def test_a_head_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = network(tmp_path)
    full = model.cast()
    good = fitted(Head("y", "z", 5, levels(full)))
    first = good.head.levels[0]
    for changes, why in (
        ({"output": "q"}, "no output is named 'q'; the network's outputs are y"),
        ({"logits": "q"}, "its logits 'q' are made by no node"),
        ({"logits": "x", "classes": 3}, "its logits 'x' are made by no node"),
        ({"classes": 4}, "'z' has 5 channels, and the head is of 4"),
        ({"levels": (replace(first, channels=3),)}, "'r1' has 4 channels, and the head is of 3"),
        ({"levels": (replace(first, value="x", channels=3),)}, "level 'x' is made by no node before the logits"),
        ({"levels": (replace(first, value="y", channels=5),)}, "level 'y' is made by no node before the logits"),
        ({"levels": (replace(first, step=(2, 2)),)}, "level 'r1' would step by 8×8 px where the logits step by 4×4"),
        (
            {"levels": (replace(first, rows=(1, 2)),)},
            "level 'r1' has 16×16 cells, of which its window does not give the logits' 1×1",
        ),
    ):
        with pytest.raises(BadInput, match=why.replace("×", ".")):
            model.adapted(_bad(good, **changes))


def test_channels_that_come_last(tmp_path: Path) -> None:
    body = (
        "i = Transpose <perm=[0,3,1,2]> (x)\nc1 = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (i, w1, b1)\nt1 = Transpose <perm=[0,2,3,1]> (c1)\n"
        "r1 = Relu(t1)\nn1 = Transpose <perm=[0,3,1,2]> (r1)\nc2 = Conv <kernel_shape=[3,3], strides=[4,4], pads=[1,1,1,1]> (n1, w2, b2)\n"
        "t2 = Transpose <perm=[0,2,3,1]> (c2)\nm = MatMul(t2, w)\nq = Add(m, b)\nn2 = Transpose <perm=[0,3,1,2]> (q)\n"
        "g = GlobalAveragePool(n2)\nf = Flatten(g)\ny = Softmax <axis=1> (f)"
    )
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w2=(6, 4, 3, 3), b2=(6,), w=(6, 5), b=(5,))
    model = fullconv.load(write(tmp_path / "net.onnx", body, numbers, "float[1,16,16,3] x"))
    full = model.cast()
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 28)).astype(np.float32)
    cells = [(0, 0), (1, 2), (2, 3)]
    for logits in ("g", "f"):
        if logits not in full.graph.values:
            continue
        head = fitted(
            Head("y", logits, 5, (level(full, "r1", (1, 2, 1), (1, 3)), level(full, "t2", (2, 2), (1, 2, 1))))
        )
        made = model.adapted(head)
        assert any(node.op == "Transpose" and "level0_order" in node.name for node in made.graph)
        (path,) = made.save(tmp_path / "adapted.onnx", overwrite=True)
        again = fullconv.load(path)
        assert [each.head for each in again.heads] == [head.head]
        want = softmax(expected(full, head, image, cells))
        seen = again.run(image)["y"]
        assert np.array([seen[0, :, row, col] for row, col in cells]) == pytest.approx(want, abs=1e-5)
        seen = plain(path, image.transpose(0, 2, 3, 1))
        assert np.array([seen[0, :, row, col] for row, col in cells]) == pytest.approx(want, abs=1e-5)


def test_a_finer_form_of_half_precision(tmp_path: Path) -> None:
    model = network(tmp_path, kind="float16")
    made = model.adapted(fitted(Head("y", "z", 5, levels(model.cast()))))
    (path,) = made.refined(2).save(tmp_path / "finer.onnx")
    again = fullconv.load(path)
    assert again.heads
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 28)).astype(np.float32)
    own = made.run(image)["y"]
    assert again.run(image)["y"][:, :, ::2, ::2][:, :, :3, :4] == pytest.approx(own, abs=4e-3)


def test_numbers_of_eight_bits(tmp_path: Path) -> None:
    """Behind a DequantizeLinear are numbers that a head takes; whole numbers before it are none."""
    body = (
        "c1 = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1, b1)\nr1 = Relu(c1)\nq1 = QuantizeLinear(r1, s, z0)\nd1 = DequantizeLinear(q1, s, z0)\n"
        "c2 = Conv <kernel_shape=[3,3], strides=[4,4], pads=[1,1,1,1]> (d1, w2, b2)\ng = GlobalAveragePool(c2)\nf = Flatten(g)\nz = Gemm(f, w, b)\n"
        "y = Softmax <axis=1> (z)"
    )
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w2=(6, 4, 3, 3), b2=(6,), w=(6, 5), b=(5,))
    numbers |= {"s": np.float32(0.05), "z0": np.uint8(0)}
    model = fullconv.load(write(tmp_path / "net.onnx", body, numbers, outputs="float[1,5] y"))
    full = model.cast()
    head = fitted(Head("y", "z", 5, (level(full, "d1", (1, 2, 1), (1, 2, 1)),)))
    made = model.adapted(head)
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 28)).astype(np.float32)
    want = softmax(expected(full, head, image, [(1, 2)]))
    assert made.run(image)["y"][0, :, 1, 2] == pytest.approx(want[0], abs=1e-5)
    with pytest.raises(BadInput, match="'q1' holds uint8, whole numbers that a head does not take"):
        model.adapted(fitted(Head("y", "z", 5, (level(full, "q1", (1, 2, 1), (1, 2, 1)),))))


def test_a_batch_of_one_size(tmp_path: Path) -> None:
    numbers = weights(**NUMBERS, w=(6, 5), b=(5,))
    model = fullconv.load(
        write(
            tmp_path / "net.onnx",
            TRUNK + GEMM + "y = Softmax <axis=1> (z)",
            numbers,
            "float[2,3,16,16] x",
            "float[2,5] y",
        )
    )
    full = model.cast()
    head = fitted(Head("y", "z", 5, levels(full)))
    (path,) = model.adapted(head).save(tmp_path / "adapted.onnx")
    again = fullconv.load(path)
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 28)).astype(np.float32)
    want = softmax(expected(full, head, image, [(1, 2)]))
    assert again.run(image)["y"][0, :, 1, 2] == pytest.approx(want[0], abs=1e-5)
    assert again.heads[0].head == head.head


def test_metadata_of_strangers(tmp_path: Path) -> None:
    model = network(tmp_path)
    (path,) = model.adapted(fitted(Head("y", "z", 5, levels(model.cast())))).save(tmp_path / "adapted.onnx")
    message = onnx.load(path)
    entry = next(each for each in message.metadata_props if each.key == "fullconv.adapted")
    good = entry.value
    for old, new in (
        ('"block": [4, 4]', '"block": [0, 4]'), ('"block": [4, 4]', '"block": [1e999, 4]'), ('"block": [4, 4]', '"block": [-4, 4]'),
        ('"rows": [1, 2, 1]', '"rows": [1000000000, 2, 1]'), ('"rows": [1, 2, 1]', '"rows": []'), ('"classes": 5', '"classes": 7'),
        ('"logits": "z"', '"logits": "nothing"'), ('"stem": "fullconv_head0"', '"stem": ""'), ('"mixes": true', '"mixes": false'),
        ('"pixels": ["1", "1"]', '"pixels": ["1", "1/0"]'), ('"levels": [', '"levels": ['  + '{}, '), (good, "{}"), (good, "[[]]"), (good, "null"),
    ):  # fmt: skip
        assert old in good
        entry.value = good.replace(old, new, 1)
        found = fullconv.load(message)
        assert not found.heads
        with pytest.raises(BadInput, match="cannot be told from it"):
            _ = found.classifier
