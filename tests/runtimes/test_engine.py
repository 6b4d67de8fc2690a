"""Which engine is asked for, on which device, with how many threads."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.runtimes.engine import Engine, with_device
from fullconv.system.parse import limited_threads, threads
from tests import helpers as h


@pytest.mark.parametrize(
    ("text", "engine", "device"),
    [
        ("auto", "auto", None),
        ("torch:cuda:1", "torch", "cuda:1"),
        ("auto:cpu", "auto", "cpu"),
        ("torch:mps", "torch", "mps"),
        ("torch:xpu:1", "torch", "xpu:1"),
    ],
)
def test_an_engine_and_a_device(text: str, engine: str, device: str | None) -> None:
    assert Engine.of(text) == Engine(engine, device)
    assert with_device(engine, device) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("caffe", "runtime 'caffe'"),
        ("auto:gpu", "device 'gpu': not cpu, cuda, cuda:N, cuda:all, mps, xpu or xpu:N, nor several"),
        ("auto:cuda:x", "device 'cuda:x'"),
        ("onnxruntime:xpu", "onnxruntime computes on cpu and cuda here"),
        ("openvino:mps", "openvino computes on cpu here"),
    ],
)
def test_what_is_none(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Engine.of(text)


def test_networks_of_any_format_go_to_the_device_that_is_named(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    model = load(*h.model(h.LENET).save(tmp_path / "net.prototxt")).cast()
    image = np.zeros((1, 1, 28, 28), np.float32)
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="device cuda: PyTorch sees no CUDA device here"):
            model.run(image, runtime="auto:cuda")
    np.testing.assert_array_equal(model.run(image, runtime="auto:cpu")["prob"], model.run(image)["prob"])


def test_a_device_that_is_not_there_is_told() -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).eval()
    model = load(net, input_shape=(1, 12, 12))
    image = np.random.default_rng(0).random((1, 1, 12, 12), np.float32)
    own = model.run(image, runtime="torch:cpu")
    with torch.no_grad():
        np.testing.assert_allclose(next(iter(own.values())), net(torch.from_numpy(image)).numpy(), atol=1e-6)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(BadInput, match="device cuda:99: "):
        model.run(image, runtime="auto:cuda:99")
    if not count:
        with pytest.raises(BadInput, match="PyTorch sees no CUDA device here"):
            model.run(image, runtime="torch:cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(BadInput, match="PyTorch sees no Metal device here"):
            model.run(image, runtime="torch:mps")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_threads_reach_the_engine(tmp_path, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FULLCONV_THREADS", raising=False)
    pytest.importorskip(runtime)
    model = load(*h.model(h.LENET).save(tmp_path / "net.prototxt"))
    with limited_threads(1):
        assert (threads(), os.environ["FULLCONV_THREADS"]) == (1, "1")
        model.run(np.zeros((1, 1, 28, 28), np.float32), runtime=runtime)
    assert threads() is None
    (session,) = model._runner._sessions.values()
    if runtime == "openvino":
        assert session._compiled.get_property("INFERENCE_NUM_THREADS") == 1
    else:
        assert session._session.get_session_options().intra_op_num_threads == 1


def test_bf16_is_computed_by_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without the instructions has OpenVINO refuse, and PyTorch compute all the same."""
    from fullconv.runtimes import runtime

    for has, engine in ((True, "openvino"), (False, "torch")):
        monkeypatch.setattr(runtime, "_computes_bf16", lambda has=has: has)
        assert runtime.chosen(Engine("auto", "cpu"), "bf16") == engine
    model, image = h.model(h.LENET), np.zeros((1, 1, 28, 28), np.float32)
    found = model.run(image, runtime="auto:cpu", precision="bf16")["prob"]
    np.testing.assert_allclose(found, model.run(image, runtime="onnxruntime")["prob"], atol=5e-2)
