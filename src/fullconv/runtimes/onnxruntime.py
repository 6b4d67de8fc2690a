"""ONNX Runtime: on the processor, or where its provider computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper

from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.provider import Provider
from fullconv.system import fallback
from fullconv.system.memory import total_bytes
from fullconv.system.parse import threads

Array = npt.NDArray[Any]
_FATAL_ONLY = 4  # errors are raised and told by us; the engine would write its own lines of them before
_LARGEST = 2**31  # bytes
PROCESSOR = Provider()
ort.set_default_logger_severity(_FATAL_ONLY)


@cache
def _exact_arena() -> None:
    """One arena for all sessions that takes what it is asked for.

    The default one doubles with every request, so that a run may take twice what it needs; this one is no slower
    (ResNet-18 at 1536 px: 261 MB for 329) and can be predicted. More than this machine has is refused by an error; without a limit
    the system would end the process.
    """
    info = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    as_requested = 1
    ort.create_and_register_allocator(info, ort.OrtArenaCfg(total_bytes(), as_requested, -1, -1))


@cache
def _smallest() -> ort.InferenceSession:
    """A network that takes next to nothing: its runs are there to have the arena of all sessions give back what is free."""
    node = helper.make_node("Identity", ["x"], ["y"])
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([node], "smallest", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = 1
    use_exact_arena(options)
    return ort.InferenceSession(model.SerializeToString(), options, providers=PROCESSOR.listed())


def give_back_arena() -> None:
    """What no run holds goes back to the system."""
    config = ort.RunOptions()
    config.log_severity_level = _FATAL_ONLY
    config.add_run_config_entry("memory.enable_memory_arena_shrinkage", PROCESSOR.arena)
    _smallest().run(None, {"x": np.zeros(1, np.float32)}, config)
    fallback.trim()  # pieces of some megabytes come from the C library's own heap


def use_exact_arena(options: ort.SessionOptions) -> None:
    """Let a session take its memory from the arena of all."""
    _exact_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")


class OnnxRuntimeSession:
    """One InferenceSession. Weights are bound as they are and shared with the network."""

    def __init__(
        self,
        lowered: Lowered,
        names: Sequence[str],
        *,
        live_weights: bool = False,
        rewrites: bool = True,
        prepacks: bool = True,
        provider: Provider = PROCESSOR,
    ) -> None:
        """A session.

        Args:
            lowered: the network.
            names: outputs wanted.
            live_weights: learned arrays are fed at every run, so that a change to them takes effect.
            rewrites: the engine may fuse operators; off, each runs as it is written.
            prepacks: weights are laid out anew for many runs; off, the session is there sooner, and holds no copy of them.
            provider: where it computes.
        """
        self._provider, self.engine = provider, provider.engine
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.intra_op_num_threads = threads() or 0  # fewer where several processes share a machine
        # A plan of memory a shape would be kept for every shape ever seen.
        options.enable_mem_pattern = False
        # A session's threads spin for a while after a run; beside another session they would take its processors
        # (map and crops in turn on two cores: 50 % and 90 % slower). Alone it costs nothing.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if provider.is_processor:
            use_exact_arena(options)
        if not rewrites:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        elif not prepacks or any(array.nbytes >= _LARGEST for array in lowered.weights.values()):
            # The last level lays weights out anew, and within the message, which holds no more than this.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        if not prepacks:
            options.add_session_config_entry("session.disable_prepacking", "1")
        self._outputs = {name: lowered.outputs[name] for name in names}
        self._arrays: list[Array] = []
        if not live_weights:
            arrays = [np.require(a, requirements=["C", "A"]) for a in lowered.weights.values()]
            self._arrays = arrays  # the session reads them where they are
            values = [ort.OrtValue.ortvalue_from_numpy(a) for a in arrays]
            self._values = values
            if arrays:
                options.add_external_initializers(list(lowered.weights), values)
        model = lowered.message(weights="inputs" if live_weights else "external", names=names)
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=provider.listed(), enable_fallback=0
            )
        except Exception as error:  # the engine has its own error types
            raise provider.error(error, "to make the network ready") from error
        provider.require_taken(self._session)
        self._last: dict[str, tuple[int, ...]] | None = None

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        shapes = {name: value.shape for name, value in feeds.items()}
        config = ort.RunOptions()
        config.log_severity_level = _FATAL_ONLY
        if self._last is not None and shapes != self._last:
            # Another shape: give back what the last one held, so that memory follows the largest input only.
            if self._provider.is_processor:
                give_back_arena()  # before the run: behind it, both would have been held at once
            else:
                config.add_run_config_entry("memory.enable_memory_arena_shrinkage", self._provider.arena)
        self._last = shapes
        try:
            found: list[Array] = self._session.run([self._outputs[name] for name in names], dict(feeds), config)
        except Exception as error:  # the engine has its own error types
            raise self._provider.error(error, f"on inputs of {shapes}") from error
        return found


def compile_onnxruntime(lowered: Lowered, names: Sequence[str], precision: str) -> OnnxRuntimeSession:
    """A session; this engine computes in fp32."""
    return OnnxRuntimeSession(lowered, names)
