"""What an engine does, and which one to take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import numpy.typing as npt

from fullconv.errors import BadInput, MissingExtra
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.lowered import Lowered

Array = npt.NDArray[Any]
Precision = Literal["fp32", "bf16"]


class Session(Protocol):
    """A network compiled for one engine."""

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        """The named outputs; feeds are float32, by the network's input names."""


Compile = Callable[[Lowered, Sequence[str], Precision], Session]


def compiler(runtime: str, precision: Precision) -> tuple[Compile, bool]:
    """The engine's compile function, and whether one session of it serves inputs of every size.

    ``auto`` is ONNX Runtime, or OpenVINO where bf16 is asked for: it is the engine that has it.
    """
    runtime = Engine.of(runtime).engine
    if precision not in ("fp32", "bf16"):
        raise BadInput(f"precision {precision!r}: not fp32 or bf16")
    if runtime == "torch":
        raise BadInput("runtime torch: PyTorch runs networks of PyTorch only; use onnxruntime or openvino")
    if runtime == "auto":
        runtime = "openvino" if precision == "bf16" else "onnxruntime"
    if runtime == "openvino":
        if find_spec("openvino") is None:
            raise MissingExtra("openvino is not installed; install it with: pip install 'fullconv[openvino]'")
        from fullconv.runtimes.openvino import compile_openvino

        return compile_openvino, False
    if precision == "bf16":
        raise BadInput("onnxruntime computes in fp32 here; bf16 needs --runtime openvino")
    from fullconv.runtimes.onnxruntime import compile_onnxruntime

    return compile_onnxruntime, True
