"""What an engine does, and which one to take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, Protocol

import numpy.typing as npt

from fullconv.errors import BadInput, MissingExtra
from fullconv.runtimes.engine import PRECISIONS, Engine
from fullconv.runtimes.engine import Precision as Precision
from fullconv.runtimes.lowered import Lowered
from fullconv.system.parse import compiles

Array = npt.NDArray[Any]


class Session(Protocol):
    """A network compiled for one engine."""

    @property
    def engine(self) -> str:
        """Which, and on what kind of device: ``onnxruntime:cpu``, ``torch:cuda``."""

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        """The named outputs; feeds are float32, by the network's input names."""


Compile = Callable[[Lowered, Sequence[str], Precision], Session]


def compiler(runtime: str, precision: Precision) -> tuple[Compile, bool]:
    """The engine's compile function, and whether one session of it serves inputs of every size.

    ``auto`` is PyTorch on a GPU, where there is one or another device is asked for; on the processor ONNX Runtime, or OpenVINO for bf16 where the processor has it, or PyTorch
    for fp16 and where OpenVINO is not there.
    """
    asked = Engine.of(runtime)
    if precision not in PRECISIONS:
        raise BadInput(f"precision {precision!r}: not {', '.join(PRECISIONS)}")
    engine = chosen(asked, precision)
    if engine == "torch":
        if find_spec("torch") is None:
            raise MissingExtra("PyTorch is not installed; install it with: pip install 'fullconv[torch]'")
        from fullconv.runtimes.torch.session import LoweredSession

        device = asked.device
        return lambda lowered, names, how: LoweredSession(lowered, names, how, device), not compiles()
    if engine == "openvino":
        if find_spec("openvino") is None:
            raise MissingExtra("openvino is not installed; install it with: pip install 'fullconv[openvino]'")
        if precision not in ("fp32", "bf16"):
            raise BadInput(f"precision {precision}: openvino computes in fp32 and bf16 here; --runtime torch has it")
        from fullconv.runtimes.openvino import compile_openvino

        return compile_openvino, False
    if engine == "tensorrt" or asked.is_accelerated:
        from fullconv.runtimes.onnxruntime import OnnxRuntimeSession
        from fullconv.runtimes.provider import on_gpu

        provider = on_gpu(engine, asked.device, precision)
        return lambda lowered, names, how: OnnxRuntimeSession(
            lowered, names, provider=provider
        ), engine == "onnxruntime"
    if precision != "fp32":
        raise BadInput(
            f"onnxruntime computes in fp32 here; {precision} needs --runtime torch"
            + (" or openvino" if precision == "bf16" else "")
        )
    from fullconv.runtimes.onnxruntime import compile_onnxruntime

    return compile_onnxruntime, True


def require_engine(runtime: str, precision: Precision) -> None:
    """BadInput where an engine, its device or the precision is not here."""
    compiler(runtime, precision)
    asked = Engine.of(runtime)
    if asked.engine == "torch" and asked.device is not None:
        from fullconv.runtimes.torch.device import devices_of, require

        for device in devices_of(asked.device):
            require(precision, device)


def chosen(asked: Engine, precision: Precision) -> str:
    """The engine that is asked for, or that ``auto`` takes."""
    if asked.engine != "auto":
        return asked.engine
    if asked.is_accelerated or precision in ("tf32", "fp16") or (asked.device is None and sees_cuda()):
        return "torch"
    if precision == "bf16":
        return "openvino" if _computes_bf16() else "torch"
    return "onnxruntime"


@cache
def _computes_bf16() -> bool:
    """Whether OpenVINO is there, and this processor has the instructions."""
    if find_spec("openvino") is None:
        return False
    from fullconv.runtimes.openvino import has_bf16

    return has_bf16()


@cache
def sees_cuda() -> bool:
    """Whether PyTorch is there and sees a CUDA device; it is only loaded where there may be one."""
    if "torch" not in sys.modules and not _may_have_cuda():
        return False
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _may_have_cuda() -> bool:
    """Whether the system has what comes with NVIDIA's driver."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists() or which("nvidia-smi") is not None
