"""PyTorch as the engine of any network: ONNX Runtime's answers, what is folded, precisions, and what is told when they do not suffice."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.errors import BadInput, CannotRun, FullconvError
from fullconv.loading import load
from fullconv.model import Model
from fullconv.runtimes.footprint import footprint
from fullconv.system.parse import compiling
from tests import helpers as h
from tests.formats.onnx.nets import ints, weights, write

torch = pytest.importorskip("torch")

from fullconv.runtimes import runtime as runtimes  # noqa: E402
from fullconv.runtimes.torch import device as devices  # noqa: E402
from fullconv.runtimes.torch import session as sessions  # noqa: E402
from tests.formats.caffe.random_nets import random_net  # noqa: E402
from tests.formats.caffe.test_random_nets import image as noise  # noqa: E402
from tests.formats.caffe.test_random_nets import loaded  # noqa: E402
from tests.runtimes.test_module import PAIRS, TIGHT, images, mnist, normed, run, worst  # noqa: E402

F = torch.nn.functional
NARROW = {"fp32": TIGHT, "fp16": 5e-3, "bf16": 5e-2}


def by_torch(model: Model, image: np.ndarray, **options: str) -> np.ndarray:
    return model.run(image, **{"runtime": "torch:cpu"} | options)[model.output()]


def session_of(model: Model) -> sessions.LoweredSession:
    (found,) = (s for s in model._runner._sessions.values() if isinstance(s, sessions.LoweredSession))
    return found


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", ["caffe", "pairs", "onnx", "normed", "torch"])
def test_an_engine_for_every_format_and_precision(name: str, precision: str, tmp_path: Path) -> None:
    made = {
        "caffe": lambda: h.model(h.LENET), "pairs": lambda: h.model(PAIRS), "onnx": lambda: mnist(tmp_path), "normed": lambda: normed(tmp_path),
        "torch": lambda: load(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Hardswish(), torch.nn.Flatten(),
                                                  torch.nn.Linear(400, 5)).eval(), input_shape=(3, 12, 12)),
    }  # fmt: skip
    model = made[name]()
    for one, image in ((model, images(model)), (model.cast(), images(model, 2, 24))):
        assert worst(by_torch(one, image, precision=precision), run(one, image)) < NARROW[precision]


def test_what_is_scaled_and_shifted_behind_a_convolution_is_in_its_kernel(tmp_path: Path) -> None:
    kinds = {}
    for name, model in {"pairs": h.model(PAIRS), "normed": normed(tmp_path), "mnist": mnist(tmp_path)}.items():
        by_torch(model.cast(), images(model))
        graph = session_of(model.cast()).module.graph
        kinds[name] = [getattr(n.target, "__name__", "") for n in graph.nodes if n.op == "call_function"]
    assert kinds["pairs"] == ["conv2d", "leaky", "conv2d"]
    assert kinds["normed"][:2] == ["conv2d", "clip"]
    assert "add" not in kinds["mnist"]


FOLDS = """
c = Conv <kernel_shape=[3,3], pads=[1,0,0,1]> (x, w, b)
s = Sub(k1, c)
d = Div(s, k2)
m = Mul(d, k3)
a = Add(m, k4)
r = Relu(a)
e = Conv <kernel_shape=[1,1]> (r, v)
p = Add(e, k5)
q = Mul(p, p)
g = GlobalAveragePool(q)
y = Flatten(g)
"""


def test_a_fold_knows_what_lies_along_channels(tmp_path: Path) -> None:
    """A number for each column is none, a number taken from another than the map, the map times itself neither."""
    numbers = weights(w=(4, 3, 3, 3), b=(4,), v=(5, 4, 1, 1), k1=(4, 1, 1), k3=(1, 4, 1, 1), k5=(15,)) | {
        "k2": np.array(0.5, np.float32), "k4": np.array([0.25], np.float32),
    }  # fmt: skip
    path = write(tmp_path / "n.onnx", FOLDS, numbers, outputs="float[1,5] y")
    model = load(path)
    image = images(model, 1)
    assert worst(by_torch(model, image), run(model, image)) < TIGHT
    names = [getattr(n.target, "__name__", "") for n in session_of(model).module.graph.nodes if n.op == "call_function"]
    assert names[:5] == ["conv_padded", "relu", "conv2d", "add", "mul"]


def test_a_value_within_is_what_it_is_though_more_is_folded_behind_it(tmp_path: Path) -> None:
    model = normed(tmp_path)
    image = images(model)
    names = [*model.graph.outputs, "c", "n"]
    found = model.run(image, outputs=names, runtime="torch:cpu")
    wanted = model.run(image, outputs=names, runtime="onnxruntime")
    assert all(worst(found[name], wanted[name]) < TIGHT for name in names)


LARGE = """
c = Conv <kernel_shape=[3,3]> (x, w)
big = Conv <kernel_shape=[1,1]> (c, up)
small = Conv <kernel_shape=[1,1]> (big, down)
g = GlobalAveragePool(small)
y = Flatten(g)
"""


def test_fp16_that_overflows_is_told_with_the_layer(tmp_path: Path) -> None:
    numbers = weights(w=(4, 3, 3, 3), up=(4, 4, 1, 1), down=(5, 4, 1, 1))
    numbers["up"] *= np.float32(1e4)
    numbers["down"] *= np.float32(1e-4)
    model = load(write(tmp_path / "n.onnx", LARGE, numbers, outputs="float[1,5] y"))
    image = images(model, 1) * 10
    with pytest.raises(BadInput, match=r"precision fp16: .*beyond what it holds .* at 'big'; use --precision bf16"):
        by_torch(model, image, precision="fp16")
    assert worst(by_torch(model, image, precision="bf16"), run(model, image)) < NARROW["bf16"]
    # A picture that holds NaN itself is no fault of the precision.
    assert np.isnan(by_torch(model, image * np.float32("nan"), precision="fp16")).any()


def test_the_layer_that_overflows_has_the_files_name() -> None:
    """Of Caffe a layer is several operators of names that are our own, and batch normalisation behind it is folded into it."""
    text = (
        h.data(1, 1, 12, 12)
        + h.conv("first", "data", 4, 3)
        + h.conv("grows", "first", 4, 3)
        + h.layer("norm", "BatchNorm", "grows", "normed")
        + h.layer("soft", "Softmax", "normed", "prob")
    )
    model = h.model(text)
    large = {
        name: value * 1e5 if name == "grows.weight" else value for name, value in model.module.state_dict().items()
    }
    with pytest.raises(BadInput, match=r"beyond what it holds .* at 'grows'"):
        by_torch(model.with_weights(large), images(model, 1) * 10, precision="fp16")


def test_a_compiled_network_answers_the_same_and_one_that_fails_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = h.model(h.LENET).cast()
    image = images(model, 1, 8)
    monkeypatch.setattr(sessions, "COMPILED", {"dynamic": False, "backend": "aot_eager"})
    with compiling(True):
        assert worst(by_torch(model, image), run(model, image)) < TIGHT
        assert session_of(model)._compiled is not None
        other = h.model(h.LENET).cast()

        def broken(*given: object) -> None:
            raise ValueError("no kernel for this")

        monkeypatch.setattr(torch, "compile", lambda module, **options: broken)
        with caplog.at_level(logging.WARNING, "fullconv"):
            for _ in range(2):
                assert worst(by_torch(other, image), run(other, image)) < TIGHT
    assert caplog.text.count("cannot compile the network, which runs uncompiled: no kernel for this") == 1
    with compiling(False):
        by_torch(last := h.model(h.LENET), images(last))
        assert session_of(last)._compiled is None


def test_out_of_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model = h.model(h.LENET)
    by_torch(model, images(model))

    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr(session_of(model), "module", full)
    with pytest.raises(FullconvError, match="cpu has not the memory for inputs of 4×1×28×28: give --memory less"):
        by_torch(model, images(model))


def test_fp32_is_no_tf32_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's default rounds convolutions there."""
    cuda = torch.device("cuda")
    holders = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [holder.fp32_precision for holder in holders]
    with devices.computing("fp32", cuda):
        assert [holder.fp32_precision for holder in holders] == ["ieee", "ieee"]
    with devices.computing("tf32", cuda):
        assert [holder.fp32_precision for holder in holders] == ["tf32", "tf32"]
    assert [holder.fp32_precision for holder in holders] == before
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    for precision in ("tf32", "bf16"):
        with pytest.raises(BadInput, match=f"precision {precision}: Tesla T4"):
            devices.require(precision, cuda)


def test_precisions_that_an_engine_lacks_are_refused() -> None:
    model = h.model(h.LENET)
    image = images(model)
    for engine, precision, told in (
        ("torch:cpu", "tf32", "NVIDIA's tensor cores have it, cpu does not"),
        ("onnxruntime", "fp16", "fp16 needs --runtime torch"),
        ("onnxruntime", "bf16", "bf16 needs --runtime torch or openvino"),
        ("openvino", "fp16", "openvino computes in fp32 and bf16"),
        ("auto", "fp8", "precision 'fp8': not fp32, tf32, bf16, fp16"),
    ):
        with pytest.raises(BadInput, match=told):
            model.run(image, runtime=engine, precision=precision)
    assert worst(by_torch(model, image, runtime="auto", precision="fp16"), run(model, image)) < NARROW["fp16"]


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Engine = runtimes.Engine
    for cuda, asked, precision, engine in (
        (False, Engine("auto"), "fp32", "onnxruntime"), (True, Engine("auto"), "fp32", "torch"), (True, Engine("auto", "cpu"), "fp32", "onnxruntime"),
        (False, Engine("auto", "mps"), "fp32", "torch"), (True, Engine("auto"), "bf16", "torch"), (True, Engine("onnxruntime"), "fp32", "onnxruntime"),
    ):  # fmt: skip
        monkeypatch.setattr(runtimes, "sees_cuda", lambda there=cuda: there)
        assert runtimes.chosen(asked, precision) == engine
    monkeypatch.undo()
    said = SimpleNamespace(is_available=lambda: False)
    monkeypatch.setattr(torch, "xpu", said)
    with pytest.raises(BadInput, match="device xpu:1: PyTorch sees no such Intel device here"):
        devices.device_of("xpu:1")


UNSPELT = "c = Conv <kernel_shape=[3,3]> (x, w)\np, i = MaxPool <kernel_shape=[2,2]> (c)\nf = Cast <to=1> (i)\ns = Add(p, f)\ng = GlobalAveragePool(s)\ny = Flatten(g)"


def test_what_has_no_form_in_pytorch_is_refused_by_name_and_auto_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(write(tmp_path / "n.onnx", UNSPELT, weights(w=(5, 3, 3, 3)) | ints(), outputs="float[1,5] y"))
    image = images(model, 1)
    for make in (lambda: by_torch(model, image), lambda: model.module):
        with pytest.raises(CannotRun, match="MaxPool is not spelt in PyTorch here: where its maxima lie"):
            make()
    monkeypatch.setattr("fullconv.running.chosen", lambda asked, precision: "torch")
    monkeypatch.setattr(
        runtimes, "chosen", lambda asked, precision: "torch" if asked.engine == "auto" else asked.engine
    )
    assert np.array_equal(model.run(image)["y"], run(model, image))


@pytest.mark.parametrize("seed", range(24))
def test_every_value_of_random_nets_of_caffe_is_onnx_runtimes(seed: int, tmp_path: Path) -> None:
    net = random_net(seed)
    model = loaded(net, tmp_path)
    image = noise(net, *net.shape[2:])
    names = [blob for blob in net.values if blob != "data"]
    found = model.run({"data": image}, outputs=names, runtime="torch:cpu")
    wanted = model.run({"data": image}, outputs=names, runtime="onnxruntime")
    for name in names:
        scale = max(1e-3, float(np.abs(wanted[name]).max()))
        assert found[name].shape == wanted[name].shape
        assert float(np.abs(found[name] - wanted[name]).max()) <= TIGHT * scale, (name, net.text)


def test_pytorchs_windows_take_a_copy_of_their_input_in_what_is_predicted() -> None:
    """ResNet-20 at 1232×632 took 199 MB, four of its maps; without the copy three were predicted."""
    side, channels = 64, 6
    model = h.model(h.data(1, 3, side, side) + h.conv("c", "data", channels, 1) + h.conv("d", "c", channels, 1))
    shapes = {"data": (1, 3, side, side)}
    found = footprint(model.lowered(shapes), ["d"], shapes, "torch")
    assert found == 4 * (3 + 3 * channels) * side**2  # the image, and the last layer's input, its copy and its output


def test_threads_that_compute_at_once_do_not_change_how_the_others_round(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = SimpleNamespace(fp32_precision="tf32")
    monkeypatch.setattr(devices, "_holders", lambda: (holder,))
    products, seen, inside, leave = devices._Products(), [], Event(), Event()

    def other() -> None:
        with products.of("ieee"):
            inside.set()
            leave.wait(5)
            seen.append(holder.fp32_precision)

    def rough() -> None:
        with products.of("tf32"):
            seen.append(holder.fp32_precision)

    threads = [Thread(target=other), Thread(target=rough)]
    with products.of("ieee"):
        threads[0].start()
        inside.wait(5)
    assert holder.fp32_precision == "ieee"  # one is still within
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(5)
    assert seen == ["ieee", "tf32"]
    assert holder.fp32_precision == "tf32"  # as it was


def test_lone_numbers_stay_such() -> None:
    """An answer without an axis, in and out: NumPy's own way to make an array contiguous adds one."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1.5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * self.scale).sum((0, 1, 2, 3)) * self.scale

    model = load(Net(), input_shape=(3, 8, 8))
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    wanted = Net()(torch.from_numpy(x)).detach().numpy()
    for engine in ("onnxruntime", "torch:cpu"):
        found = model.run(x, runtime=engine)[model.graph.outputs[0]]
        assert found.shape == wanted.shape == ()
        assert abs(found - wanted) < 1e-4
    assert all(array.shape == () for array in model.lowered({"x": (1, 3, 8, 8)}).weights.values())
