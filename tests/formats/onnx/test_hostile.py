"""ONNX files made to harm: what ends the engine's process, functions that blow up, tensors and external data that lie."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.mapping import map_image
from fullconv.system import apart
from tests.formats.onnx.nets import EXACT, TRUNK, TRUNK_WEIGHTS, ints, weights, write
from tests.formats.onnx.test_people import GEMM, NUMBERS, changed


def test_what_ends_the_engine_is_refused_and_ends_another_process(tmp_path: Path) -> None:
    """A Pad that leaves less than nothing, and a Slice of it: ONNX Runtime 1.32 aborts."""
    body = TRUNK + "q = Pad(p, pads)\ns = Slice(q, z, e, a)\nm = GlobalAveragePool(s)\ny = Flatten(m)"
    numbers = weights(**TRUNK_WEIGHTS) | ints(pads=[0, 0, -5, 0, 0, 0, -4, 0], z=[1], e=[4], a=[2])
    path = write(tmp_path / "net.onnx", body, numbers, outputs="float[n,c] y", opset=13)
    with pytest.raises(BadInput, match="a process of its own"):
        load(path)
    with pytest.raises(BadInput, match="a process of its own"):
        load(onnx.load(str(path)))


@pytest.mark.parametrize("kind", ["Mean", "Sum", "Max", "Min"])
@pytest.mark.parametrize("within", [False, True])
def test_an_operand_that_is_left_out_of_several_is_refused(kind: str, within: bool, tmp_path: Path) -> None:
    """ONNX Runtime 1.32 reads address 0 for it, which ends the process."""
    model = onnx.load(str(write(tmp_path / "net.onnx", TRUNK + f"m = {kind}(p, p)\nf = Flatten(m)\ny = Gemm(f, w, b)", weights(**TRUNK_WEIGHTS, w=(100, 5), b=(5,)), opset=13)))  # fmt: skip
    node = next(node for node in model.graph.node if node.op_type == kind)
    node.input[1] = ""
    if within:  # of a function that is called without it
        function = helper.make_function("own", "two", ["a", "b"], ["o"], [helper.make_node(kind, ["a", "b"], ["o"])], [helper.make_opsetid("", 13)])  # fmt: skip
        model.functions.append(function)
        model.opset_import.append(helper.make_opsetid("own", 1))
        node.op_type, node.domain = "two", "own"
        del node.input[1:]
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(BadInput, match=f"{kind} '.*' leaves out its input 1, and none of several may be left out"):
        load(tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["", "nobody"])
def test_an_output_that_nothing_makes_is_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    changed(path, lambda m: setattr(m.graph.output.add(), "name", name))
    with pytest.raises(BadInput, match=f"names an output '{name}' that no operator makes"):
        load(path)


def test_an_input_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    changed(path, lambda m: m.graph.input.append(m.graph.input[0]))
    with pytest.raises(BadInput, match="names the input 'x' more than once"):
        load(path)


def test_a_weight_that_is_handed_out_is_left_out(tmp_path: Path) -> None:
    """A cast gives it another shape."""
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    changed(path, lambda m: setattr(m.graph.output.add(), "name", "w"))
    model = load(path)
    assert "output 'w' is a weight, and is left out" in model.notes
    (out,) = model.cast().save(tmp_path / "full.onnx")
    assert [value.name for value in onnx.load(str(out)).graph.output] == ["y"]


def test_a_segment_of_a_tensor_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    changed(path, lambda m: setattr(m.graph.initializer[0].segment, "end", 4))
    with pytest.raises(BadInput, match="'w1' is one segment of a tensor, which no engine puts together"):
        load(path)


def test_an_output_of_no_numbers_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + "y = Slice(p, a, a, d)", weights(**TRUNK_WEIGHTS) | ints(a=[2], d=[2]), outputs="float[n,c,h,w] y", opset=13)  # fmt: skip
    with pytest.raises(BadInput, match=r"its output 'y' is \(1, 4, 0, 7\), no number at all, at this size"):
        load(path)


def test_sums_beyond_what_fp32_holds_are_no_other_network(tmp_path: Path) -> None:
    """Which of them are still numbers follows from the order in which an engine adds up; the map says that some are none."""
    for name, seed in (
        ("channel shuffle", 0),
        ("channel shuffle", 1),
        ("flatten with a computed shape", 2),
        ("batch norm between dense layers", 0),
    ):
        body, numbers, opset = EXACT[name]
        rng, weight = np.random.default_rng(seed), numbers["w1"].copy()
        weight.flat[rng.integers(weight.size)] = 2.8e38
        model = load(write(tmp_path / "net.onnx", body, {**numbers, "w1": weight}, opset=opset))
        model.cast()
        with pytest.raises(BadInput, match="cells are"):
            map_image(model, rng.integers(0, 256, (60, 60, 3), np.uint8))


def test_a_pad_that_takes_cells_away_is_still_read(tmp_path: Path) -> None:
    body = TRUNK + "q = Pad(p, pads)\nf = Flatten(q)\ny = Gemm(f, w, b)"
    numbers = weights(**TRUNK_WEIGHTS, w=(100, 5), b=(5,)) | ints(pads=[0, 0, -1, -1, 0, 0, -1, -1])
    model = load(write(tmp_path / "net.onnx", body, numbers, opset=13))
    assert model.cast().run(np.zeros((1, 3, 20, 16), np.float32))["y"].shape == (1, 5, 3, 1)


def test_asked_for_every_network_is_tried_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    tried: list[Path] = []
    monkeypatch.setattr(apart, "try_to_load", lambda path, shape: tried.append(path))
    load(path)
    assert tried == []
    load(path, isolate=True)
    monkeypatch.setenv(apart.ASKED, "1")
    load(path)
    assert tried == [path, path]


def test_functions_that_blow_up_are_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + "v = Relu(p)\nf = Flatten(v)\ny = Gemm(f, w, b)", NUMBERS, opset=13)

    def nested(model: onnx.ModelProto) -> None:
        model.opset_import.add(domain="f", version=1)
        model.graph.node[3].domain, model.graph.node[3].op_type = "f", "f30"
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("f", 1)]
        for i in range(31):
            inner = ("Relu", "") if i == 0 else (f"f{i - 1}", "f")
            nodes = [helper.make_node(inner[0], [a], [b], domain=inner[1]) for a, b in (("a", "b"), ("b", "c"))]
            model.functions.append(helper.make_function("f", f"f{i}", ["a"], ["c"], nodes, opsets))

    before = time.monotonic()
    with pytest.raises(BadInput, match="functions written out are"):
        load(changed(path, nested))
    assert time.monotonic() - before < 5

    def of_itself(model: onnx.ModelProto) -> None:
        model.functions[0].node[0].op_type, model.functions[0].node[0].domain = "f30", "f"

    with pytest.raises(BadInput, match="calls itself"):
        load(changed(path, of_itself))


LIES = {
    "dimensions beyond its numbers": lambda t: t.dims.__setitem__(0, 2**40),
    "a dimension below zero": lambda t: t.dims.__setitem__(0, -1),
    "fewer numbers": lambda t: setattr(t, "raw_data", t.raw_data[:-4]),
    "a type that is none": lambda t: setattr(t, "data_type", 99),
}


@pytest.mark.parametrize("name", LIES)
def test_a_tensor_that_is_not_what_it_says(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
    with pytest.raises(BadInput, match="'w'"):
        load(changed(path, lambda m: LIES[name](next(t for t in m.graph.initializer if t.name == "w"))))


def outside(path: Path, location: str, in_constant: bool = False, **said: str) -> Path:
    """The matrix of the net as external data of this location."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == "w")
        (path.parent / "inside.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **said}.items():
            tensor.external_data.add(key=key, value=value)
        if in_constant:
            model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
            model.graph.initializer.remove(tensor)

    return changed(path, change)


@pytest.mark.parametrize("in_constant", [False, True])
def test_external_data_that_lies(tmp_path: Path, in_constant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def told(location: str, **said: str) -> str:
        write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)
        with pytest.raises(BadInput) as error:
            load(outside(tmp_path / "net.onnx", location, in_constant, **said))
        return str(error.value)

    expected = load(write(tmp_path / "net.onnx", TRUNK + GEMM, NUMBERS, opset=13)).run(
        np.ones((1, 3, 16, 16), np.float32)
    )
    model = load(outside(tmp_path / "net.onnx", "inside.bin", in_constant))  # beside the model, wherever one works
    np.testing.assert_array_equal(model.run(np.ones((1, 3, 16, 16), np.float32))["y"], expected["y"])
    (written,) = model.cast().save(tmp_path / "elsewhere" / "full.onnx")
    assert load(written, input_shape=(3, 16, 16)).is_fully_convolutional  # it holds its weights
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").symlink_to("/etc/passwd")
    assert "no regular file" in told("pipe")
    assert "outside the model's folder" in told("secret")
    assert "outside the model's folder" in told("../x")
    assert "outside the model's folder" in told("/etc/passwd")
    assert "outside the model's folder" in told("")
    assert "no place in a file" in told("a\0b")
    assert "no place in a file" in told("inside.bin", offset="x")
    assert "should be" in told("inside.bin", offset="4")
    assert "should be" in told("inside.bin", length="8")
    assert "should be" in told("inside.bin", offset="-4")
    assert "missing" in told("gone.bin")
