"""The module of any format's network: its answers are ONNX Runtime's, it trains, and what it learnt goes back into the format that it came from."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from fullconv.loading import load
from fullconv.model import Model
from tests import helpers as h
from tests.formats.onnx.nets import ints, weights, write

torch = pytest.importorskip("torch")
os.environ["KERAS_BACKEND"] = "torch"

from tests.formats.torch.real import resnet20  # noqa: E402

F = torch.nn.functional
TIGHT = 1e-5

# As MNIST-8 is: SAME padding by word, a matrix behind a reshape, biases laid along channels.
MNIST = """
c1 = Conv <kernel_shape=[5,5], auto_pad="SAME_UPPER"> (x, Parameter5)
a1 = Add(c1, Parameter6)
r1 = Relu(a1)
p1 = MaxPool <kernel_shape=[2,2], strides=[2,2], auto_pad="NOTSET"> (r1)
c2 = Conv <kernel_shape=[5,5], auto_pad="SAME_UPPER"> (p1, Parameter87)
a2 = Add(c2, Parameter88)
r2 = Relu(a2)
p2 = MaxPool <kernel_shape=[3,3], strides=[3,3]> (r2)
f = Reshape(p2, shape)
w = Reshape(Parameter193, wide)
m = MatMul(f, w)
y = Add(m, Parameter194)
"""


def mnist(folder: Path) -> Model:
    numbers = weights(
        Parameter5=(8, 1, 5, 5), Parameter6=(8, 1, 1), Parameter87=(16, 8, 5, 5), Parameter88=(16, 1, 1), Parameter193=(16, 4, 4, 10), Parameter194=(1, 10),
    ) | ints(shape=[-1, 256], wide=[256, 10])  # fmt: skip
    return load(write(folder / "mnist.onnx", MNIST, numbers, "float[n,1,28,28] x", "float[n,10] y", 8))


def lenet(folder: Path, shared: Path) -> Model:
    return load(*(shared / "caffe/lenet_mnist_caffe_v1" / n for n in ("lenet.prototxt", "lenet_iter_10000.caffemodel")))


def residual(folder: Path, shared: Path) -> Model:
    return load(resnet20(shared), input_shape=(3, 32, 32)).checking(False)


def xception(folder: Path, shared: Path) -> Model:
    pytest.importorskip("keras")
    return load(next((shared / "keras/face_classification").glob("*.hdf5"))).checking(False)


NETS: dict[str, Callable[[Path, Path], Model]] = {
    "caffe": lenet,
    "onnx": lambda folder, shared: mnist(folder),
    "torch": residual,
    "keras": xception,
}
SAVED = {"caffe": "net.prototxt", "onnx": "net.onnx", "torch": "net.pt2", "keras": "net.onnx"}


def images(model: Model, count: int = 4, grow: int = 0) -> np.ndarray:
    channels, height, width = model.image_shape
    shape = (count, channels, height + grow, width + grow // 2)
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


def answer(module: torch.nn.Module, image: np.ndarray, last: bool = False) -> np.ndarray:
    """A module takes what its file does: channels last, for one of Keras."""
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(image.transpose(0, 2, 3, 1) if last else image)))


def worst(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def run(model: Model, image: np.ndarray) -> np.ndarray:
    return model.run(image, runtime="onnxruntime")[model.output()]


@pytest.mark.parametrize("name", [n if n != "torch" else pytest.param(n, marks=pytest.mark.long) for n in NETS])
def test_a_module_answers_trains_and_goes_back(name: str, tmp_path: Path, shared: Path) -> None:
    model = NETS[name](tmp_path, shared)
    full, last = model.cast(), name == "keras"
    assert worst(answer(model.module, images(model), last), run(model, images(model))) < TIGHT
    assert worst(answer(full.module, images(model, 1, 32), last), run(full, images(model, 1, 32))) < TIGHT
    module = model.module
    losses = fine_tuned(module, images(model).transpose(0, 2, 3, 1) if last else images(model))
    assert losses[-1] < 0.8 * losses[0]
    trained = model.with_weights(module.state_dict())
    after = answer(module, images(model), last)
    assert worst(after, run(model, images(model))) > 100 * TIGHT  # it did learn
    assert worst(run(trained, images(model)), after) < TIGHT
    written = trained.save(tmp_path / SAVED[name])
    again = load(*written, input_shape=model.image_shape if name in ("torch", "keras") else None)
    assert worst(run(again, images(model)), after) < TIGHT
    assert trained.cast().graph.difference(full.graph) is None
    if name in ("caffe", "onnx"):
        assert list(again.module.state_dict()) == list(module.state_dict())


def fine_tuned(module: torch.nn.Module, batch: np.ndarray, steps: int = 10) -> list[float]:
    """Losses of ten steps towards labels of chance; the module is left in eval mode."""
    torch.manual_seed(0)
    x = torch.from_numpy(batch)
    first = module(x).flatten(1)
    probable = torch.allclose(first.sum(1), torch.ones(len(x)))
    wanted = torch.randint(0, first.shape[1], (len(x),))
    rate = torch.optim.Adam(module.parameters(), 3e-3)
    losses = []
    module.train()
    for _ in range(steps):
        rate.zero_grad()
        scores = module(x).flatten(1)
        scores = torch.log(scores.clamp_min(1e-12)) if probable else scores
        loss = F.cross_entropy(scores, wanted)
        loss.backward()
        rate.step()
        losses.append(float(loss.detach()))
    module.eval()
    return losses


def test_every_parameter_gets_a_gradient_and_names_are_the_layers(tmp_path: Path) -> None:
    for model in (h.model(h.LENET), mnist(tmp_path)):
        for module in (model.module, model.cast().module):
            module(torch.from_numpy(images(model))).pow(2).mean().backward()
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    assert set(mnist(tmp_path).module.state_dict()) == {f"Parameter{i}" for i in (5, 6, 87, 88, 193, 194)}
    assert next(iter(h.model(h.LENET).module.state_dict())) == "conv1.weight"


def test_weights_are_bit_equal_and_a_module_is_a_copy() -> None:
    model = h.model(h.LENET)
    kept = model.native.weights["conv1"][0].copy()
    module = copy.deepcopy(model.module)
    assert np.array_equal(module.conv1.weight.detach().numpy(), kept)
    with torch.no_grad():
        module.conv1.weight.zero_()
    assert np.array_equal(model.native.weights["conv1"][0], kept)
    assert torch.count_nonzero(model.module.conv1.weight)


PAIRS = (
    h.data(1, 3, 12, 12)
    + h.conv("a/conv", "data", 6, 3)
    + h.layer("a/norm", "BatchNorm", "a/conv", "a/conv", "batch_norm_param { moving_average_fraction: 0.9 eps: 0.01 }")
    + h.layer("a/scale", "Scale", "a/conv", "a/conv", "scale_param { bias_term: true }")
    + h.layer("a.relu", "PReLU", "a/conv", "a/conv")
    + h.layer("drop", "Dropout", "a/conv", "a/conv", "dropout_param { dropout_ratio: 0.4 }")
    + h.fc("fc", "a/conv", 4)
)


def test_caffes_batch_normalisation_trains_as_caffe_does() -> None:
    model = h.model(PAIRS)
    module = model.module
    names = ["mean", "variance", "factor"]
    assert {f"a/norm.{n}" for n in names} == {name for name, _ in module.named_buffers()}
    x = torch.from_numpy(images(model, 5))
    assert worst(answer(module, images(model, 5)), run(model, images(model, 5))) < TIGHT
    before = {n: module.state_dict()[f"a/norm.{n}"].clone() for n in names}
    with torch.no_grad():
        inner = F.conv2d(x, *(module.state_dict()[f"a/conv.{n}"] for n in ("weight", "bias")))
        module.train()
        first, second = module(x), module(x)
        assert not torch.equal(first, second)  # dropout
        count = inner.numel() // 6
        mean, variance = inner.mean((0, 2, 3)), inner.var((0, 2, 3), unbiased=True)
        for name, now in (("mean", mean), ("variance", variance), ("factor", torch.ones(1))):
            wanted = (before[name] * 0.9 + now) * 0.9 + now
            torch.testing.assert_close(module.state_dict()[f"a/norm.{name}"], wanted, rtol=1e-5, atol=1e-5)
        assert count == 5 * 10 * 10
        module.eval()
        assert torch.equal(module(x), module(x))
        kept = module.state_dict()["a/norm.mean"].clone()
        module.train()
        module.get_submodule("a/norm").eval()  # a part of its own
        module(x)
        assert torch.equal(module.state_dict()["a/norm.mean"], kept)
    module.eval()
    assert worst(run(model.with_weights(module.state_dict()), images(model)), answer(module, images(model))) < TIGHT


def test_statistics_that_a_caffe_net_states_as_global_stay() -> None:
    model = h.model(PAIRS.replace("batch_norm_param {", "batch_norm_param { use_global_stats: true"))
    module = model.module.train()
    kept = module.state_dict()["a/norm.mean"].clone()
    module(torch.from_numpy(images(model)))
    assert torch.equal(module.state_dict()["a/norm.mean"], kept)


NORMED = """
c = Conv <kernel_shape=[3,3]> (x, "layer1.conv.weight")
n = BatchNormalization <momentum=0.8> (c, "layer1.bn.weight", "layer1.bn.bias", "layer1.bn.mean", "layer1.bn.var")
r = Clip(n, low, high)
h = Constant <value = float[6,1,1] {0.5, 1.0, 1.5, 2.0, 2.5, 3.0}> ()
s = Mul(r, h)
e = Div(s, two)
d = Dropout(e, share)
g = GlobalAveragePool(d)
f = Flatten(g)
y = Gemm <transB=1> (f, "fc.weight", "fc.bias")
"""


def normed(folder: Path) -> Model:
    numbers = {
        "layer1.conv.weight": (6, 3, 3, 3), "layer1.bn.weight": (6,), "layer1.bn.bias": (6,), "layer1.bn.mean": (6,), "layer1.bn.var": (6,),
        "fc.weight": (4, 6), "fc.bias": (4,),
    }  # fmt: skip
    made = weights(**numbers)
    made["layer1.bn.var"] = np.abs(made["layer1.bn.var"]) + 0.5
    scalars = {"low": 0.0, "high": 6.0, "two": 2.0, "share": 0.3}
    made |= {name: np.array(value, np.float32) for name, value in scalars.items()}
    return load(_quoted(folder, made))


def _quoted(folder: Path, numbers: dict[str, np.ndarray]) -> Path:
    """ONNX's text has no names with dots: they are put in afterwards."""
    plain = {name: name.replace(".", "_dot_") for name in numbers}
    body = NORMED
    for name, word in plain.items():
        body = body.replace(f'"{name}"', word)
    path = write(
        folder / "normed.onnx",
        body,
        {plain[n]: v for n, v in numbers.items()},
        "float[n,3,12,12] x",
        "float[n,4] y",
        15,
    )
    message = onnx.load(path)
    for held in message.graph.initializer:
        held.name = held.name.replace("_dot_", ".")
    for node in message.graph.node:
        node.input[:] = [name.replace("_dot_", ".") for name in node.input]
    onnx.save(message, path)
    return path


def test_names_of_an_onnx_file_are_the_modules_and_roles_follow_their_readers(tmp_path: Path) -> None:
    model = normed(tmp_path)
    module = copy.deepcopy(model.module)
    assert {n for n, _ in module.named_parameters()} == {
        "layer1.conv.weight", "layer1.bn.weight", "layer1.bn.bias", "fc.weight", "fc.bias",
    }  # fmt: skip
    assert {n for n, _ in module.named_buffers()} == {"layer1.bn.mean", "layer1.bn.var", "h", "two"}
    x = torch.from_numpy(images(model, 5))
    assert worst(answer(module, images(model, 5)), run(model, images(model, 5))) < TIGHT
    conv = F.conv2d(x, module.layer1.conv.weight.detach())
    wanted = 0.8 * module.layer1.bn.mean + 0.2 * conv.mean((0, 2, 3))
    module.train()
    assert not torch.equal(module(x), module(x))
    module.layer1.bn.mean.copy_(model.module.layer1.bn.mean)
    module(x)
    torch.testing.assert_close(module.layer1.bn.mean, wanted, rtol=1e-5, atol=1e-6)
    module.eval()
    with torch.no_grad():
        module.h.mul_(1.5)  # a Constant node of the file
    trained = model.with_weights(module.state_dict())
    assert worst(run(trained, images(model)), answer(module, images(model))) < TIGHT
    assert torch.equal(model.module.h * 1.5, module.h)  # and the network itself is what it was
    (path,) = trained.save(tmp_path / "trained.onnx")
    names = {held.name for held in onnx.load(path).graph.initializer}
    assert {held.name for held in onnx.load(tmp_path / "normed.onnx").graph.initializer} <= names
    assert worst(run(load(path), images(model)), answer(module, images(model))) < TIGHT


@pytest.mark.long
@pytest.mark.parametrize("which", ["caffe", "onnx"])
def test_a_module_copies_compiles_and_exports(which: str, tmp_path: Path) -> None:
    model = (h.model(PAIRS) if which == "caffe" else normed(tmp_path)).cast()
    module = copy.deepcopy(model.module)
    image = images(model, 2, 8)
    plain = answer(module, image)
    other = copy.deepcopy(module)
    other.load_state_dict(module.state_dict())
    other = copy.deepcopy(other)
    assert list(other.state_dict()) == list(module.state_dict())
    assert np.array_equal(answer(other, image), plain)
    last = module.to(memory_format=torch.channels_last)
    x = torch.from_numpy(image)
    assert worst(np.asarray(last(x.contiguous(memory_format=torch.channels_last)).detach()), plain) < TIGHT
    with torch.autocast("cpu", torch.bfloat16):
        assert worst(np.asarray(module(x).detach().float()), plain) < 0.05
        module.train()
        module(x).float().sum().backward()
        module.eval()
    module = model.module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert worst(np.asarray(compiled(x).detach()), plain) < TIGHT
        sizes = ({0: torch.export.Dim("n"), 2: torch.export.Dim("h", min=13), 3: torch.export.Dim("w", min=13)},)
        program = torch.export.export(module, (x,), dynamic_shapes=sizes)
    large = images(model, 3, 31)
    assert worst(answer(program.module(), large), run(model, large)) < TIGHT
    compiled(x)
    assert worst(np.asarray(compiled(torch.from_numpy(large)).detach()), run(model, large)) < TIGHT


def test_a_module_that_was_cast_is_a_network_of_pytorch_again(tmp_path: Path) -> None:
    """Read by the other table of operators, which spells ATen in ONNX's words."""
    model = h.model(h.LENET)
    again = load(model.module, input_shape=model.image_shape)
    assert worst(run(again, images(model)), run(model, images(model))) < TIGHT
    large = images(model, 1, 20)
    assert worst(run(again.cast(), large), run(model.cast(), large)) < TIGHT


def test_of_finer_maps_there_is_a_module_too() -> None:
    finer = h.model(h.LENET).refined(1)
    image = images(finer, 1, 12)
    assert worst(answer(finer.module, image), run(finer, image)) < TIGHT


def test_a_kernel_of_one_pixel_that_steps_has_its_gradient_with_channels_last() -> None:
    """By PyTorch's own way it ends the process on some processors; with channels first, which is compared to, on none."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 1, 2), torch.nn.Flatten(),
        torch.nn.Linear(16 * 30 * 30, 5),
    ).eval()  # fmt: skip
    x = torch.from_numpy(np.random.default_rng(0).random((4, 3, 60, 60), np.float32))
    net(x).pow(2).sum().backward()
    wanted = {name: p.grad for name, p in net.named_parameters()}
    model = load(net, input_shape=(3, 60, 60), check=False)
    for module in (model.module, load(model.module, input_shape=(3, 60, 60), check=False).module):
        module.to(memory_format=torch.channels_last)
        module(x.to(memory_format=torch.channels_last)).pow(2).sum().backward()
        found = {name: p.grad for name, p in module.named_parameters()}
        assert found.keys() == wanted.keys()
        assert all(worst(found[name].numpy(), wanted[name].numpy()) < TIGHT for name in wanted)
