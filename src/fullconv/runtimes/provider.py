"""Where ONNX Runtime computes: on the processor, or on NVIDIA's GPUs by its CUDA provider or by TensorRT's (package ``onnxruntime-gpu``).

An engine that is asked for computes, or says why it does not: ONNX Runtime's own way is to go on upon the processor.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import onnxruntime as ort

from fullconv.errors import BadInput, FullconvError, MissingExtra
from fullconv.system.remembered import cache_folder

_TF32 = "NVIDIA_TF32_OVERRIDE"  # the one way to keep TensorRT from tf32; CUDA's libraries read it once a process
_PROVIDERS = {"onnxruntime": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_LACKS = {
    "onnxruntime": "CUDA 12 with cuDNN 9: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "CUDA 12 with cuDNN 9 and TensorRT 10: pip install 'onnxruntime-gpu[cuda,cudnn]' tensorrt-cu12",
}
# What CUDA says within the engine's errors, and what that means to who asked for it.
_SAID = {
    "invalid device ordinal": "there is no such GPU; leave the number out, or take another",
    "no CUDA-capable device": "there is no GPU; leave --device out, or take cpu",
    "driver version is insufficient": "its driver is too old for the CUDA that this onnxruntime-gpu is made for: update the driver, or install an older onnxruntime-gpu",
}
_FULL = ("out of memory", "Failed to allocate memory", "OUT_OF_MEMORY")


@dataclass(frozen=True, slots=True)
class Provider:
    """What runs a session.

    Attributes:
        name: in ONNX Runtime's words.
        engine: see ``Session``.
        device: ``cpu`` or ``cuda:N``.
        options: of the provider.
    """

    name: str = "CPUExecutionProvider"
    engine: str = "onnxruntime:cpu"
    device: str = "cpu"
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_processor(self) -> bool:
        return self.device == "cpu"

    @property
    def arena(self) -> str:
        """Its memory, as a run's options name it."""
        return "cpu:0" if self.is_processor else f"gpu:{self.options['device_id']}"

    def listed(self) -> list[Any]:
        """For a session: what a GPU does not compute, the processor does."""
        return [self.name] if self.is_processor else [(self.name, dict(self.options)), Provider().name]

    def require_taken(self, session: Any) -> None:
        """FullconvError where the engine went on without the provider: its libraries are not there."""
        if self.name not in session.get_providers():
            engine = self.engine.partition(":")[0]
            raise FullconvError(f"{self.name} cannot be loaded on {self.device}: it needs {_LACKS[engine]}")

    def error(self, error: Exception, doing: str) -> FullconvError:
        """What the engine's error means."""
        said = str(error)
        if not self.is_processor:
            for words, meaning in _SAID.items():
                if words in said:
                    return BadInput(f"device {self.device}: {meaning}")
            if any(words in said for words in _FULL):
                return BadInput(
                    f"{self.device} has not the memory {doing}: give --memory less, which makes tiles smaller, or --device cpu"
                )
        return FullconvError(f"ONNX Runtime failed {doing}: {said[:500]}")


def on_gpu(engine: str, device: str | None, precision: str) -> Provider:
    """A provider for a GPU.

    Args:
        engine: ``onnxruntime`` (CUDA) or ``tensorrt``.
        device: ``cuda`` or ``cuda:N``.

    Raises:
        MissingExtra: the ONNX Runtime that is installed has no such provider.
        BadInput: it does not compute in this precision.
    """
    name, there = _PROVIDERS[engine], ort.get_available_providers()
    if name not in there:
        raise MissingExtra(
            f"runtime {engine} on cuda: the ONNX Runtime that is installed has {', '.join(there)} only; "
            "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]' (or --runtime torch)"
        )
    number = (device or "cuda").partition(":")[2] or "0"
    options = {"device_id": number}
    if engine == "onnxruntime":
        if precision not in ("fp32", "tf32"):
            raise BadInput(
                f"precision {precision}: onnxruntime computes in fp32 and tf32 on cuda; --runtime torch has it, or tensorrt"
            )
        # One shape for all tiles; what is taken is what is asked for.
        options |= {"use_tf32": str(int(precision == "tf32")), "arena_extend_strategy": "kSameAsRequested"}
    else:
        _set_tf32(precision)
        folder = cache_folder() / "tensorrt" / precision
        options |= {
            "trt_fp16_enable": str(int(precision == "fp16")),
            "trt_bf16_enable": str(int(precision == "bf16")),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
    _load_libraries()
    return Provider(name, f"{engine}:cuda", f"cuda:{number}", options)


@cache
def _load_libraries() -> None:
    """Those of CUDA that came as packages, once; what is not there, the session says."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls()


def _set_tf32(precision: str) -> None:
    """TensorRT rounds to tf32 unless the process says otherwise, once.

    Raises:
        BadInput: it has said so already.
    """
    if precision not in ("fp32", "tf32"):
        return
    wanted, said = str(int(precision == "tf32")), os.environ.get(_TF32, "").strip()
    if said not in ("", wanted):
        raise BadInput(
            f"precision {precision}: {_TF32}={said} holds for this process, in which TensorRT computes otherwise; "
            "unset it, or compute the two in processes of their own"
        )
    os.environ[_TF32] = wanted
