"""PyTorch as the engine of any network: its lowered form on one device, in eval mode, with what can be folded folded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fullconv.errors import BadInput, FullconvError
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Precision
from fullconv.runtimes.torch.compiling import compiled
from fullconv.runtimes.torch.device import computing, device_of, require
from fullconv.runtimes.torch.fold import folded
from fullconv.runtimes.torch.joined import joined
from fullconv.runtimes.torch.module import VALUES, inferring
from fullconv.runtimes.torch.overflow import is_finite, require_range, tensors_of
from fullconv.runtimes.torch.stem import with_blocks
from fullconv.system import fallback
from fullconv.system.parse import compiles, threads

Array = npt.NDArray[Any]
_log = logging.getLogger("fullconv")


class LoweredSession:
    """One network on one device; compiled, it is for the shape that it ran first."""

    def __init__(self, lowered: Lowered, names: Sequence[str], precision: Precision, device: str | None = None) -> None:
        self.device = device_of(device)
        require(precision, self.device)
        self.engine = f"torch:{self.device.type}"
        if (count := threads()) is not None:
            torch.set_num_threads(count)
        self.precision: Precision = precision
        self._names = list(names)
        self._inputs = list(lowered.inputs)
        own = {value: name for name, value in reversed(list(lowered.outputs.items()))}
        module = folded(inferring(lowered, names, "the network"))
        if self.device.type == "cuda":
            module = with_blocks(module)
            module = joined(module) if precision in ("bf16", "fp16") else module
        self._called = {node: own[value] for node, value in module.meta[VALUES].items() if value in own}
        self.module = module.to(self.device)
        self.layout = torch.contiguous_format
        if self.device.type != "cpu" and all(len(shape) == 4 for shape in lowered.inputs.values()):
            self.layout = torch.channels_last  # GPUs' own order; on the processor weights stay where they are
            self.module = self.module.to(memory_format=self.layout)  # type: ignore[call-overload]
        self._compiled = compiled(self.module, **COMPILED) if compiles() else None
        self._staging: dict[str, torch.Tensor] = {}
        self._last: dict[str, tuple[int, ...]] | None = None

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        """The named outputs; feeds are float32, by the network's input names."""
        shapes = {name: value.shape for name, value in feeds.items()}
        if self._last is not None and shapes != self._last and self.device.type == "cpu":
            fallback.trim()  # pieces of another shape lie between those of this one
        self._last = shapes
        try:
            given = [self._given(name, feeds[name]) for name in self._inputs]
            with computing(self.precision, self.device):
                found = self._answers(given)
        except torch.OutOfMemoryError:
            raise BadInput(self._out_of_memory(shapes)) from None
        except RuntimeError as error:
            raise FullconvError(f"PyTorch failed on inputs of {shapes} ({self.device}): {first_line(error)}") from error
        answers = dict(zip(self._names, found, strict=True))
        if self.precision == "fp16" and not all(is_finite(answers[name]) for name in names):
            require_range(self.module, given, self.device, self._called)
        return [array_of(answers[name]) for name in names]

    def _given(self, name: str, value: Array) -> torch.Tensor:
        tensor = torch.from_numpy(np.asarray(value, order="C"))
        if self.device.type != "cuda":
            return tensor.to(self.device).contiguous(memory_format=self.layout)
        if name not in self._staging or self._staging[name].shape != tensor.shape:
            self._staging[name] = torch.empty(tensor.shape, pin_memory=True)  # one for all tiles of a map
        pinned = self._staging[name].copy_(tensor)
        return pinned.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)

    def _answers(self, given: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if self._compiled is not None:
            try:
                return tensors_of(self._compiled(*given))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # the compiler's own, whatever it does not take
                _log.warning("PyTorch cannot compile the network, which runs uncompiled: %s", first_line(error))
                self._compiled = None
        return tensors_of(self.module(*given))

    def _out_of_memory(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        room = ""
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self.device)
            room = f" ({free / 1e9:.1f} of its {total / 1e9:.1f} GB are free)"
            torch.cuda.empty_cache()
        sizes = " and ".join("×".join(map(str, shape)) for shape in shapes.values())
        return f"{self.device} has not the memory{room} for inputs of {sizes}: give --memory less, which makes tiles smaller, or --device cpu"


# Shapes are the same for all tiles of a map, so that the whole run is recorded once (a CUDA graph).
COMPILED: dict[str, Any] = {"mode": "reduce-overhead"}


def array_of(value: torch.Tensor) -> Array:
    """Floats as float32; whole numbers and truths as they are."""
    numbers = value.float() if value.is_floating_point() else value
    return np.asarray(numbers.cpu().numpy(), order="C")  # a lone number stays one


def first_line(error: BaseException) -> str:
    """What an error says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
