"""Casts made wrong on purpose: whatever is wrong, the check says so, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from torch import nn

import fullconv
from fullconv import model as models
from fullconv.errors import BrokenPromise
from fullconv.geometry.exactness import Cause
from fullconv.graph.nodes import Graph, Span, Window
from fullconv.model import Model
from fullconv.surgery.plan import Plan
from fullconv.trust.check import Checked, check
from fullconv.trust.trial import least_scale
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, weights, write

HEAD = "f = Flatten(p)\ng = Gemm <transB=1> (f, w, b)\ny = Softmax <axis=-1> (g)"
PADDED = (
    "c = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1, b1)\nr = Relu(c)\np = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r)\n"
    "f = Flatten(p)\ng = Gemm <transB=1> (f, w, b)\ny = Softmax <axis=-1> (g)"
)


DATA = Path(fullconv.__file__).parent / "data"


def digits() -> Model:
    return fullconv.load(DATA / "digits.prototxt", weights=DATA / "digits.caffemodel")


@pytest.fixture
def exact(tmp_path: Path) -> Model:
    return fullconv.load(write(tmp_path / "n.onnx", TRUNK + HEAD, weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,))))


@pytest.fixture
def padded(tmp_path: Path) -> Model:
    return fullconv.load(write(tmp_path / "n.onnx", PADDED, weights(**TRUNK_WEIGHTS, w=(5, 256), b=(5,))))


def tampered(model: Model, tmp_path: Path, change: Callable[[onnx.GraphProto], None]) -> Model:
    """The model's cast as a file, changed, read again."""
    path = tmp_path / "cast.onnx"
    model.cast().save(path)
    proto = onnx.load(path)
    change(proto.graph)
    onnx.save(proto, path)
    return fullconv.load(path, input_shape=(3, 16, 16))


def held(before: Model, after: Model, plan: Plan | None = None) -> Checked:
    outputs = dict(zip(before.graph.outputs, after.graph.outputs, strict=True))
    return check(before, after, plan or before.plan, "test", outputs)


def node(graph: onnx.GraphProto, kind: str, i: int = -1) -> onnx.NodeProto:
    return [node for node in graph.node if node.op_type == kind][i]


def with_kernel(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[onnx.GraphProto], None]:
    """Another kernel for what was the dense layer."""

    def made(graph: onnx.GraphProto) -> None:
        name = node(graph, "Conv").input[1]
        tensor = next(t for t in graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(tensor))), name))

    return made


def last_larger(kernel: np.ndarray) -> np.ndarray:
    kernel = kernel.copy()
    kernel[:, :, 6, 6] *= 1.01
    return kernel


def over_rows(graph: onnx.GraphProto) -> None:
    next(a for a in node(graph, "Softmax").attribute if a.name == "axis").i = 2


def without_axis(graph: onnx.GraphProto) -> None:
    """Over channels, rows and columns at once, as Softmax ran before operator set 13."""
    last = node(graph, "Softmax")
    total = helper.make_node("ReduceSum", ["exp"], ["total"], keepdims=1)
    graph.node.extend(
        [
            helper.make_node("Exp", [last.input[0]], ["exp"]),
            total,
            helper.make_node("Div", ["exp", "total"], [last.output[0]]),
        ]
    )
    graph.node.remove(last)


def by_height(graph: onnx.GraphProto) -> None:
    """Scores times height over the height at training size."""
    last = node(graph, "Softmax")
    graph.initializer.append(numpy_helper.from_array(np.array(2), "two"))
    graph.initializer.append(numpy_helper.from_array(np.array(16, np.float32), "sixteen"))
    graph.node.insert(0, helper.make_node("Shape", ["x"], ["shape"]))
    graph.node.insert(1, helper.make_node("Gather", ["shape", "two"], ["height"]))
    graph.node.insert(2, helper.make_node("Cast", ["height"], ["number"], to=onnx.TensorProto.FLOAT))
    graph.node.insert(3, helper.make_node("Div", ["number", "sixteen"], ["factor"]))
    graph.node.insert(len(graph.node) - 1, helper.make_node("Mul", [last.input[0], "factor"], ["scaled"]))
    last.input[0] = "scaled"


WRONG = {
    "rows and columns of the kernel exchanged": with_kernel(lambda k: k.transpose(0, 1, 3, 2)),
    "channels of the kernel shifted by one": with_kernel(lambda k: np.roll(k, 1, axis=1)),
    "the last column a hundredth too large": with_kernel(last_larger),
    "a number that is none": with_kernel(
        lambda k: np.where(np.arange(k.size).reshape(k.shape) == 7, np.float32("nan"), k)
    ),
    "a softmax over rows": over_rows,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_cast_is_told(name: str, exact: Model, tmp_path: Path) -> None:
    after = tampered(exact, tmp_path, WRONG[name])
    with pytest.raises(BrokenPromise, match=r"they part at [gy]"):
        held(exact, after)


@pytest.mark.parametrize("change", [without_axis, by_height])
def test_what_is_wrong_at_other_sizes_only(
    change: Callable[[onnx.GraphProto], None], exact: Model, tmp_path: Path
) -> None:
    """At training size it is right, so only the larger maps show it; the geometry is told as the right cast has it."""
    after = tampered(exact, tmp_path, change)
    after.__dict__["graph"] = exact.cast().graph
    image = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    name = exact.graph.outputs[0]
    assert np.allclose(exact.run(image)[name].ravel(), after.values(image, [name])[name].ravel(), atol=1e-6)
    with pytest.raises(BrokenPromise, match="crop at"):
        held(exact, after)


def test_the_right_cast_passes(exact: Model, padded: Model, tmp_path: Path) -> None:
    seen = held(exact, tampered(exact, tmp_path, lambda graph: None))
    assert seen.cells == 6
    assert seen.worst < 1e-6
    assert seen.sizes == ((16, 16), (18, 20), (21, 19))
    assert str(seen).startswith("checked at 16×16, 18×20 and 21×19: 6 cells equal their crops")
    seen = held(padded, padded.cast())
    assert (seen.cells, seen.grows) == (0, True)


def lying(model: Model, change: Callable[[Graph], Graph]) -> Model:
    model.__dict__["graph"] = change(model.graph)
    return model


def with_pool(span: Span) -> Callable[[Graph], Graph]:
    def made(graph: Graph) -> Graph:
        nodes = tuple(replace(n, touch=Window(span, span)) if n.op == "MaxPool" else n for n in graph.nodes)
        return replace(graph, nodes=nodes)

    return made


@pytest.mark.parametrize("span", [Span(2, 2, overhang=1), Span(3, 2), Span(2, 1)], ids=["overhang", "kernel", "stride"])
def test_a_told_shape_that_is_not_the_real_one(span: Span, exact: Model, tmp_path: Path) -> None:
    after = lying(tampered(exact, tmp_path, lambda graph: None), with_pool(span))
    with pytest.raises(BrokenPromise, match=r"should be|cells at|differs"):
        held(exact, after)


def test_a_plan_that_calls_padding_exact(padded: Model) -> None:
    with pytest.raises(BrokenPromise, match="they part at c"):
        held(padded, padded.cast(), replace(padded.plan, inexact=()))


def test_a_plan_that_calls_cells_free_that_are_not(padded: Model) -> None:
    (cause,) = padded.plan.inexact
    free = Cause(cause.kind, cause.node, cause.detail, tuple(0 * side for side in cause.context or ()))  # type: ignore[arg-type]
    with pytest.raises(BrokenPromise, match="crop at"):
        held(padded, padded.cast(), replace(padded.plan, inexact=(free,)))


def test_a_padded_network_whose_cells_depend_on_the_whole_image(padded: Model, tmp_path: Path) -> None:
    """No cell equals its crop there; but none may change while the image grows beyond all that it sees."""
    after = tampered(padded, tmp_path, by_height)
    after.__dict__["graph"] = padded.cast().graph
    with pytest.raises(BrokenPromise, match="when the image grows"):
        held(padded, after)


def test_indices_are_compared_as_they_are(tmp_path: Path) -> None:
    head = "f = Flatten(p)\ng = Gemm <transB=1> (f, w, b)\ny = ArgMax <axis=-1, keepdims=1> (g)"
    path = write(
        tmp_path / "n.onnx", TRUNK + head, weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,)), outputs="int64[1,1] y"
    )
    model = fullconv.load(path)
    assert held(model, model.cast()).cells == 6
    after = tampered(model, tmp_path, with_kernel(lambda k: np.roll(k, 1, axis=0)))
    with pytest.raises(BrokenPromise):
        held(model, after)


def test_whole_numbers_inside_do_not_make_it_fail(tmp_path: Path) -> None:
    """Quantised layers turn rounding into whole steps; double precision decides."""
    body = (
        "q = QuantizeLinear(x, s, z)\nd = DequantizeLinear(q, s, z)\nc = Conv <kernel_shape=[3,3]> (d, w1, b1)\nq2 = QuantizeLinear(c, s, z)\n"
        "p = DequantizeLinear(q2, s, z)\n"
    )
    numbers = weights(**TRUNK_WEIGHTS, w=(5, 784), b=(5,)) | {
        "s": np.array(0.01, np.float32),
        "z": np.array(0, np.int8),
    }
    model = fullconv.load(write(tmp_path / "n.onnx", body + HEAD, numbers))
    assert model.cast().checked.cells == 6


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(*_: object) -> Checked:
        raise BrokenPromise("as the test wants it")

    monkeypatch.setattr(models, "check", always)


@pytest.mark.usefixtures("broken")
class TestWhenItRuns:
    def test_every_way_to_a_cast_network(self, tmp_path: Path) -> None:
        for way in (
            lambda model: model.cast(),
            lambda model: fullconv.cast(model),
            lambda model: model.refined(2),
            lambda model: fullconv.map(model, np.zeros((40, 40), np.uint8)),
            lambda model: fullconv.map_raster(model, np.zeros((40, 40), np.uint8), tmp_path / "s.zarr"),
        ):
            with pytest.raises(BrokenPromise, match="as the test wants it"):
                way(digits())

    def test_it_can_be_put_off(self) -> None:
        model = fullconv.load(digits(), check=False)
        full = model.cast()
        model.refined(2)
        assert fullconv.map(model, np.zeros((40, 40), np.uint8)).scores.shape[0] == 11
        with pytest.raises(BrokenPromise):
            _ = full.checked

    def test_what_is_asked_for_once_is_kept(self) -> None:
        model = fullconv.load(digits(), check=False)
        assert model.pooling("global").checks is False
        assert fullconv.load(model).checks is False
        assert fullconv.load(model, check=True).checks is True


def test_without_weights_there_is_nothing_to_run() -> None:
    bare = fullconv.load(DATA / "digits.prototxt")
    assert "weights" in str(bare.cast().checked)


def test_a_pooling_mode_stays_unless_another_is_asked_for() -> None:
    model = fullconv.load(digits(), global_pooling="global")
    assert fullconv.load(model).global_pooling == "global"
    assert fullconv.load(model, global_pooling="local").global_pooling == "local"


class TestWhatIsWritten:
    """A file is read again before it takes its place; one that answers differently is not kept."""

    @pytest.mark.parametrize("name", ["full.prototxt", "full.onnx"])
    def test_a_file_that_answers_differently(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        full = digits().cast()
        (tmp_path / name).write_text("kept")

        def other(self: Model, native: object, kind: object, *_: object) -> None:
            """What is read again has one weight wrong."""
            before(self, native, kind)  # type: ignore[arg-type]
            run = self.values
            self.values = lambda *a, **k: {v: x * np.float32(1.01) for v, x in run(*a, **k).items()}  # type: ignore[method-assign]

        before = Model.__init__
        monkeypatch.setattr(Model, "__init__", other)
        with pytest.raises(BrokenPromise, match="read again"):
            full.save(tmp_path / name, overwrite=True)
        assert (tmp_path / name).read_text() == "kept"
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_what_is_right_is_kept(self, exact: Model, tmp_path: Path) -> None:
        for model, names in ((digits(), ("a.prototxt", "a.onnx")), (exact, ("b.onnx",))):
            for name in names:
                for path in model.cast().save(tmp_path / name):
                    assert path.exists()
        assert not list(tmp_path.glob(".fullconv-*"))


@pytest.mark.parametrize("seed", [2, 3, 32])
def test_weights_that_are_multiplied_are_rounded_and_no_other_network(seed: int, tmp_path: Path) -> None:
    """A Gemm's alpha goes into the kernel, in fp32: in double precision the two are no longer one."""
    rng = np.random.default_rng(seed)
    shapes = weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,))
    numbers = {name: rng.standard_normal(value.shape).astype(np.float32) for name, value in shapes.items()}
    body = TRUNK + "f = Flatten(p)\ny = Gemm <alpha=0.3> (f, w, b)"
    model = fullconv.load(write(tmp_path / "n.onnx", body, numbers, opset=13))
    model.cast()
    model.refined(1)


@pytest.mark.parametrize(("head", "least"), [(nn.Sigmoid(), 1.0), (nn.Softmax(1), 1.0), (nn.ReLU(), 0.0)])
def test_what_a_sigmoid_makes_rounds_as_one_does(head: nn.Module, least: float) -> None:
    """An answer of zeros for every class differs by all of its largest number where a kernel says 3e-8 for 0."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2), head)
    model = fullconv.load(net, input_shape=(3, 8, 8))
    assert least_scale(model.graph, model.graph.outputs[-1]) == least
