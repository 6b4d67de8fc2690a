"""OpenVINO on the CPU (extra ``openvino``): fp32, or bf16 where the processor has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from fullconv.errors import BadInput
from fullconv.runtimes.lowered import Lowered

Array = npt.NDArray[Any]


class OpenVinoSession:
    """One compiled model, for the input shapes that it was lowered with."""

    def __init__(self, lowered: Lowered, names: Sequence[str], precision: str) -> None:
        core = ov.Core()
        if precision == "bf16" and not has_bf16(core):
            raise BadInput("this processor has no bf16 instructions (AVX512_BF16 or AMX); use --precision fp32")
        _refuse_picked_channels(lowered)
        model = core.read_model(lowered.message(weights="inline", names=names).SerializeToString(), b"")
        model.reshape({name: list(shape) for name, shape in lowered.inputs.items()})
        hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = core.compile_model(model, "CPU", hints)
        self._order = {name: i for i, name in enumerate(names)}

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        found = self._compiled(dict(feeds))
        return [np.array(found[self._order[name]], np.float32) for name in names]


def _refuse_picked_channels(lowered: Lowered) -> None:
    """OpenVINO 2026.4 moves a Gather of channels into the weights behind it in the wrong order: no answer is better than a wrong one."""
    lists = {tensor.name for tensor in lowered.constants if len(tensor.dims) == 1 and tensor.dims[0] > 1}
    for node in lowered.nodes:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        if node.op_type == "Gather" and axis == 1 and node.input[1] in lists:
            raise BadInput(
                f"OpenVINO computes {node.name or 'a Gather'} (channels picked by a list) wrongly before a convolution; use --runtime onnxruntime"
            )


def has_bf16(core: Any = None) -> bool:
    """Whether this processor computes in bf16."""
    return "BF16" in (core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_openvino(lowered: Lowered, names: Sequence[str], precision: str) -> OpenVinoSession:
    """A session for the shapes of ``lowered``."""
    return OpenVinoSession(lowered, names, precision)
