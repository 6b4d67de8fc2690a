"""OpenVINO on the CPU (extra ``openvino``): fp32, or bf16 where the processor has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from fullconv.errors import BadInput
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.picked import without_gathers
from fullconv.system.parse import threads

Array = npt.NDArray[Any]


class OpenVinoSession:
    """One compiled model, for the input shapes that it was lowered with."""

    def __init__(self, lowered: Lowered, names: Sequence[str], precision: str) -> None:
        core = ov.Core()
        if precision == "bf16" and not has_bf16(core):
            raise BadInput("this processor has no bf16 instructions (AVX512_BF16 or AMX); use --precision fp32")
        model = core.read_model(
            without_gathers(lowered).message(weights="inline", names=names).SerializeToString(), b""
        )
        model.reshape({name: list(shape) for name, shape in lowered.inputs.items()})
        hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "PERFORMANCE_HINT": "LATENCY"}
        if (count := threads()) is not None:
            hints["INFERENCE_NUM_THREADS"] = str(count)
        self._compiled = core.compile_model(model, "CPU", hints)
        self._order = {name: i for i, name in enumerate(names)}

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        found = self._compiled(dict(feeds))
        return [np.array(found[self._order[name]], np.float32) for name in names]


def has_bf16(core: Any = None) -> bool:
    """Whether this processor computes in bf16."""
    return "BF16" in (core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_openvino(lowered: Lowered, names: Sequence[str], precision: str) -> OpenVinoSession:
    """A session for the shapes of ``lowered``."""
    return OpenVinoSession(lowered, names, precision)
