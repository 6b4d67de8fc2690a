"""What a cast PyTorch network is as an nn.Module: names, modes, gradients, copies, compilers, exports."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from tests.conftest import worst
from tests.formats.torch.nets import SHAPE, Of, trunk
from tests.formats.torch.real import resnet20


def net() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(196, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 5),
    )  # fmt: skip
    for layer in module:
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return module.eval()


def cast(module: nn.Module) -> nn.Module:
    return fullconv.load(module, input_shape=SHAPE).cast().module


def test_names_are_the_originals_and_values_are_bit_equal() -> None:
    module = net()
    before, after = module.state_dict(), cast(module).state_dict()
    assert set(before) == set(after)
    for name, value in before.items():
        if name == "5.weight":
            assert after[name].shape == (6, 4, 7, 7)
        elif name == "8.weight":
            assert after[name].shape == (5, 6, 1, 1)
        else:
            assert after[name].shape == value.shape
        assert torch.equal(after[name].reshape(-1), value.reshape(-1))  # c, y, x: the order that it had
    assert [n for n, _ in cast(module).named_parameters()] == [n for n, _ in module.named_parameters()]


def test_the_original_is_not_changed_and_not_shared() -> None:
    module = net()
    module.train()
    kept = copy.deepcopy(module.state_dict())
    full = cast(module)
    assert module.training
    with torch.no_grad():
        for parameter in full.parameters():
            parameter.add_(1)
    assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())


def test_modes_switch_dropout_and_batch_normalisation() -> None:
    full = cast(net())
    assert not full.training
    image = torch.randn(4, 3, 20, 20)
    with torch.no_grad():
        assert torch.equal(full(image), full(image))
        mean = full.state_dict()["1.running_mean"].clone()
        full.train()
        torch.manual_seed(1)
        first = full(image)
        assert not torch.equal(first, full(image))  # dropout
        state = full.state_dict()
        assert not torch.equal(state["1.running_mean"], mean)
        assert int(state["1.num_batches_tracked"]) == int(state["6.num_batches_tracked"]) == 2
        full.eval()
        assert torch.equal(full(image), full(image))


def test_a_part_can_be_kept_in_eval_mode() -> None:
    full = cast(net())
    full.train()
    full.get_submodule("1").eval()
    mean = full.state_dict()["1.running_mean"].clone()
    full(torch.randn(2, *SHAPE))
    assert torch.equal(full.state_dict()["1.running_mean"], mean)
    assert int(full.state_dict()["6.num_batches_tracked"]) == 1


def test_training_is_the_originals_training() -> None:
    """Gradients and statistics of one step on crops are those of the untouched module."""
    module = net()
    full = cast(module)
    module.train()
    full.train()
    for each in (module, full):
        for layer in each.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    for node in full.graph.nodes:
        if "dropout" in str(node.target):
            node.args = (node.args[0], 0.0, node.args[2])
    full.recompile()
    crops = torch.randn(8, *SHAPE)
    module(crops).square().mean().backward()
    full(crops).square().mean().backward()
    wanted = dict(module.named_parameters())
    for name, parameter in full.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad.reshape(-1), wanted[name].grad.reshape(-1), rtol=1e-4, atol=1e-6), name
    assert torch.allclose(full.state_dict()["1.running_var"], module.state_dict()["1.running_var"], rtol=1e-5)


def test_copies_and_state_dicts_go_round() -> None:
    full, image = cast(net()), torch.randn(1, 3, 24, 20)
    twin = copy.deepcopy(full)
    with torch.no_grad():
        assert torch.equal(twin(image), full(image))
        for parameter in twin.parameters():
            parameter.mul_(0.5)
        assert not torch.equal(twin(image), full(image))
        twin.load_state_dict(full.state_dict())
        assert torch.equal(twin(image), full(image))


@pytest.mark.parametrize("size", [(16, 16), (24, 20), (37, 41)])
def test_it_compiles(size: tuple[int, int]) -> None:
    full, image = cast(net()), torch.randn(2, 3, *size)
    compiled = torch.compile(full, backend="aot_eager")
    with torch.no_grad():
        assert torch.allclose(compiled(image), full(image), atol=1e-6)


@pytest.mark.long
def test_it_exports_with_free_height_and_width(tmp_path: Path) -> None:
    full = cast(net())
    auto = torch.export.Dim.AUTO
    args, dims = (torch.randn(2, 3, 24, 20),), ({0: auto, 2: auto, 3: auto},)
    image = torch.randn(3, 3, 33, 41)
    with torch.no_grad():
        expected = full(image).numpy()
    program = torch.export.export(full, args, dynamic_shapes=dims)
    assert np.allclose(program.module()(image).detach().numpy(), expected, atol=1e-6)
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(full, args, path, dynamic_shapes=dims, dynamo=True, verbose=False)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    assert worst(found, expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    full, image = cast(net()), torch.randn(1, 3, 24, 20)
    with torch.no_grad():
        expected = full(image)
        found = copy.deepcopy(full).to(dtype)(image.to(dtype))
    assert found.dtype == dtype
    assert torch.allclose(found.float(), expected, atol=0.05, rtol=0.05)


def test_a_half_precision_module_is_read_and_run() -> None:
    module = net().bfloat16()
    model = fullconv.load(module, input_shape=SHAPE)
    crop = torch.randn(1, *SHAPE)
    with torch.no_grad():
        expected = module(crop.bfloat16()).float().numpy()
    for runtime in ("onnxruntime", "torch"):
        (found,) = model.cast().run(crop.numpy(), runtime=runtime).values()
        assert worst(found.reshape(1, 5), expected) < 0.05


def test_channels_last_memory() -> None:
    full, image = cast(net()), torch.randn(1, 3, 24, 20)
    with torch.no_grad():
        expected = full(image)
        found = copy.deepcopy(full).to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_devices(device: str) -> None:
    full, image = cast(net()), torch.randn(1, 3, 24, 20)
    with torch.no_grad():
        assert torch.allclose(copy.deepcopy(full).to(device)(image.to(device)).cpu(), full(image), atol=1e-3)


@pytest.mark.long
def test_fine_tuning_a_trained_network_on_dense_labels(shared: Path) -> None:
    """ResNet-20 learns, on images larger than its own, where a bright square is."""
    full = fullconv.load(resnet20(shared), input_shape=(3, 32, 32)).cast()
    module = full.module
    module.train()
    torch.manual_seed(0)
    rows, cols = (int(n) for n in full.sampling().cells((44, 44)))
    images = torch.randn(4, 3, 44, 44) * 0.3
    labels = torch.full((4, rows, cols), 3)
    images[:2, :, :, :22] += 2
    labels[:2] = 7
    optimiser = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = F.cross_entropy(module(images), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_answers_as_a_dictionary_or_several() -> None:
    module = Of(
        lambda m, x: {"a": m.a(m.t(x).flatten(1)), "b": m.b(m.t(x).flatten(1))},
        t=trunk(),
        a=nn.Linear(196, 2),
        b=nn.Linear(196, 5),
    )
    full = fullconv.load(module, input_shape=SHAPE).cast()
    assert full.graph.outputs == ("a", "b")
    assert [part.shape for part in full.module(torch.zeros(1, *SHAPE))] == [(1, 2, 1, 1), (1, 5, 1, 1)]
