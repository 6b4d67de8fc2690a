"""ONNX Runtime on GPUs, where there is none: what it is asked for, and what is said of what is not there. Its answers are the processor's here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from fullconv.errors import BadInput, FullconvError, MissingExtra
from fullconv.runtimes import provider as providers
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.provider import on_gpu
from tests import helpers as h

IMAGE = np.zeros((1, 1, 28, 28), np.float32)
ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class Asked:
    """ONNX Runtime with the providers of a GPU, as far as sessions are made: they compute on the processor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, there: list[str] = ALL, error: str = "", taken: bool = True):
        self.sessions: list[tuple[Any, dict[str, Any]]] = []
        self.configs: list[dict[str, str]] = []
        plain, keeper = ort.InferenceSession, self

        def session(message: bytes, options: Any, providers: Any, **more: Any) -> Any:
            keeper.sessions.append((providers, more))
            if error.startswith("making: "):
                raise RuntimeError(error)
            made = plain(message, options, providers=["CPUExecutionProvider"])
            names = [each if isinstance(each, str) else each[0] for each in providers]

            def run(*given: Any) -> Any:
                if error and not error.startswith("making: "):
                    raise RuntimeError(error)
                return made.run(*given[:2])

            return SimpleNamespace(run=run, get_providers=lambda: names if taken else names[1:])

        monkeypatch.setattr(ort, "InferenceSession", session)
        monkeypatch.setattr(ort, "get_available_providers", lambda: there)
        monkeypatch.setattr(providers, "_load_libraries", lambda: None)
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")  # what is set is undone

    def options(self) -> tuple[str, dict[str, str]]:
        given, more = self.sessions[-1]
        assert more == {
            "enable_fallback": 0
        }  # the engine would go on upon the processor, and say so on standard output
        assert given[1:] == ["CPUExecutionProvider"]
        return given[0]


def test_cuda_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    model = h.model(h.LENET).cast()
    wanted = model.run(IMAGE)["prob"]
    asked = Asked(monkeypatch)
    np.testing.assert_array_equal(model.run(IMAGE, runtime="onnxruntime:cuda:2")["prob"], wanted)
    name, options = asked.options()
    assert name == "CUDAExecutionProvider"
    assert options == {"device_id": "2", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
    assert model.engine(IMAGE.shape, "prob", "onnxruntime:cuda:2") == "onnxruntime:cuda"
    model.run(IMAGE, runtime="onnxruntime:cuda", precision="tf32")
    assert asked.options()[1]["use_tf32"] == "1"
    model.run(np.zeros((1, 1, 60, 60), np.float32), runtime="onnxruntime:cuda")
    assert len(asked.sessions) == 3, "one session serves every size"
    for precision in ("fp16", "bf16"):
        with pytest.raises(BadInput, match=f"precision {precision}: onnxruntime computes in fp32 and tf32 on cuda"):
            model.run(IMAGE, runtime="onnxruntime:cuda", precision=precision)


def test_tensorrt_has_a_session_a_size_and_an_engine_a_precision(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    model, asked = h.model(h.LENET).cast(), Asked(monkeypatch)
    monkeypatch.setenv("FULLCONV_CACHE", str(tmp_path))
    model.run(IMAGE, runtime="tensorrt")
    name, options = asked.options()
    assert name == "TensorrtExecutionProvider"
    assert (options["device_id"], options["trt_fp16_enable"], options["trt_bf16_enable"]) == ("0", "0", "0")
    assert options["trt_engine_cache_path"] == str(tmp_path / "tensorrt" / "fp32")
    assert providers.os.environ["NVIDIA_TF32_OVERRIDE"] == "0", "float32 is no tf32"
    model.run(np.zeros((1, 1, 60, 60), np.float32), runtime="tensorrt:cuda")
    assert len(asked.sessions) == 2
    model.run(IMAGE, runtime="tensorrt:cuda:1", precision="fp16")
    assert (asked.options()[1]["trt_fp16_enable"], asked.options()[1]["device_id"]) == ("1", "1")
    model.run(IMAGE, runtime="tensorrt", precision="bf16")
    assert asked.options()[1]["trt_bf16_enable"] == "1"
    with pytest.raises(BadInput, match="precision tf32: NVIDIA_TF32_OVERRIDE=0 holds for this process"):
        model.run(IMAGE, runtime="tensorrt", precision="tf32")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with pytest.raises(BadInput, match="precision fp32: NVIDIA_TF32_OVERRIDE=1 holds"):
        on_gpu("tensorrt", "cuda", "fp32")


@pytest.mark.parametrize("runtime", ["onnxruntime:cuda", "tensorrt"])
def test_a_provider_that_is_not_installed(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, there=["CPUExecutionProvider"])
    engine = runtime.partition(":")[0]
    with pytest.raises(
        MissingExtra,
        match=f"runtime {engine} on cuda: .* has CPUExecutionProvider only; pip uninstall onnxruntime, then .*onnxruntime-gpu",
    ):
        h.model(h.LENET).run(IMAGE, runtime=runtime)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        ("making: CUDA failure 101: invalid device ordinal ; GPU=3", BadInput, "device cuda:3: there is no such GPU"),
        ("making: CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", BadInput, "device cuda:3: its driver is too old"),
        ("making: CUDA failure 100: no CUDA-capable device is detected", BadInput, "device cuda:3: there is no GPU"),
        ("making: CUDA failure 2: out of memory", FullconvError, "cuda:3 has not the memory to make the network ready: give --memory less"),
        ("bfc_arena.cc Failed to allocate memory for requested buffer of size 9", FullconvError, r"cuda:3 has not the memory on inputs of \{'data': \(1, 1, 28, 28\)\}"),
        ("something else", FullconvError, "ONNX Runtime failed on inputs of .*: something else"),
    ],
)  # fmt: skip
def test_what_a_gpu_says_is_told_in_words(error: str, kind: type, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, error=error)
    with pytest.raises(kind, match=told):
        h.model(h.LENET).run(IMAGE, runtime="onnxruntime:cuda:3")


def test_a_session_that_went_on_without_the_gpu_is_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, taken=False)
    for runtime, needs in (("onnxruntime:cuda", "CUDA 12 with cuDNN 9: pip install"), ("tensorrt", "TensorRT 10")):
        with pytest.raises(FullconvError, match=f"cannot be loaded on cuda:0: it needs .*{needs}"):
            h.model(h.LENET).run(IMAGE, runtime=runtime)


def test_devices_that_an_engine_does_not_compute_on() -> None:
    for runtime, told in (
        ("tensorrt:cpu", "tensorrt computes on cuda here"),
        ("onnxruntime:mps", "onnxruntime computes on cpu and cuda here"),
        ("openvino:cuda:1", "openvino computes on cpu here"),
    ):
        with pytest.raises(BadInput, match=told):
            Engine.of(runtime)
