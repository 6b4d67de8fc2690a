"""OpenVINO on the CPU (extra ``openvino``): fp32, or bf16 where the processor has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from fullconv.errors import BadInput, FullconvError
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.picked import without_gathers
from fullconv.system import fallback
from fullconv.system.parse import threads

Array = npt.NDArray[Any]
_LARGEST = 2**31 - 2**24  # bytes of a message, less what is not weights


class OpenVinoSession:
    """One compiled model, for the input shapes that it was lowered with."""

    engine = "openvino:cpu"

    def __init__(self, lowered: Lowered, names: Sequence[str], precision: str) -> None:
        core = ov.Core()
        if precision == "bf16" and not has_bf16(core):
            raise BadInput("this processor has no bf16 instructions (AVX512_BF16 or AMX); use --precision fp32")
        if sum(array.nbytes for array in lowered.weights.values()) >= _LARGEST:
            raise FullconvError(
                "OpenVINO cannot run the network: its weights take 2 GB or more; --runtime onnxruntime does"
            )
        message = without_gathers(lowered).message(weights="inline", names=names).SerializeToString()
        hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "PERFORMANCE_HINT": "LATENCY"}
        if (count := threads()) is not None:
            hints["INFERENCE_NUM_THREADS"] = str(count)
        try:
            model = core.read_model(message, b"")
            del message  # which holds the weights as well
            model.reshape({name: list(shape) for name, shape in lowered.inputs.items()})
            self._compiled = core.compile_model(model, "CPU", hints)
        except RuntimeError as error:
            raise FullconvError(
                f"OpenVINO cannot run the network: {_first(error)}; --runtime onnxruntime may"
            ) from error
        del model
        fallback.trim()  # what compiling left behind: of ResNet-18 three times its weights, beside all that runs
        self._order = {name: i for i, name in enumerate(names)}

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        try:
            found = self._compiled(dict(feeds), share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            shapes = {name: value.shape for name, value in feeds.items()}
            raise FullconvError(f"OpenVINO failed on inputs of {shapes}: {_first(error)}") from error
        return [np.array(found[self._order[name]], np.float32) for name in names]


def _first(error: Exception) -> str:
    """What an error says, without the places in the engine's source."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line.lstrip("- ") for line in lines if line.startswith("-- ")]
    return (said or lines or [""])[-1 if said else 0][:300]


def has_bf16(core: Any = None) -> bool:
    """Whether this processor computes in bf16."""
    return "BF16" in (core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_openvino(lowered: Lowered, names: Sequence[str], precision: str) -> OpenVinoSession:
    """A session for the shapes of ``lowered``."""
    return OpenVinoSession(lowered, names, precision)
