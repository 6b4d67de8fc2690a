"""A network on its device between what stands in front of it and behind it, compiled with both where that pays."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from fullconv.errors import CannotRun
from fullconv.maps.ways import Way
from fullconv.running import channels_first
from fullconv.runtimes.engine import Precision
from fullconv.runtimes.torch.compiling import compiled
from fullconv.runtimes.torch.device import computing
from fullconv.runtimes.torch.session import LoweredSession, first_line
from fullconv.stream.timings import Timings
from fullconv.system.parse import compiles

_log = logging.getLogger("fullconv")
Size = tuple[int, int, int]  # images, height and width


class Network(nn.Module):
    """(N, C, H, W) float32 to the scores of one output as the engine gives them: (N, K, rows, cols), or (N, K)."""

    def __init__(self, way: Way, precision: Precision, device: str | None, size: Size) -> None:
        """Args:
        size: of what it is to run on.

        Raises:
            CannotRun: PyTorch has no form of it, or it takes more than one image.
        """
        super().__init__()
        graph = way.model.graph
        assert graph.image is not None, "a network with cells has an image"
        image, output = graph.values[graph.image], graph.values[way.output]
        into, self.back = channels_first(image), channels_first(output)
        if into is None:
            raise CannotRun("its input is no map of four axes", [])
        self.into = tuple(into.index(i) for i in range(4))
        laid = (size[0], image.shape[image.channel_axis], *size[1:])
        lowered = way.model.lowered({graph.image: tuple(laid[axis] for axis in self.into)})
        if list(lowered.inputs) != [graph.image]:
            raise CannotRun("it takes more than an image", [])
        session = LoweredSession(lowered, [way.output], precision, device)
        self.any_size = lowered.any_size
        self.body, self.layout, self.device = session.module, session.layout, session.device
        self.precision: Precision = precision

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.body(values.permute(self.into).contiguous(memory_format=self.layout))
        scores: torch.Tensor = found[0] if isinstance(found, tuple | list) else found
        return scores.permute(self.back) if self.back is not None and scores.ndim == 4 else scores


class Networks:
    """A network for every size that it runs on: one for all, where its form holds for all."""

    def __init__(self, way: Way, precision: Precision, device: str | None, size: Size) -> None:
        """Raises what ``Network`` does for the size that most tiles have."""
        self._asked = way, precision, device
        self._first = Network(way, precision, device, size)
        self._others = {size: self._first}
        self.device = self._first.device

    def of(self, size: Size) -> Network:
        if self._first.any_size:
            return self._first
        if size not in self._others:
            self._others[size] = Network(*self._asked, size)
        return self._others[size]


class Compiled:
    """A module that is run in a precision; compiled for each shape that it meets, where networks are compiled for its device."""

    def __init__(
        self, module: nn.Module, precision: Precision, device: torch.device, timings: Timings | None = None
    ) -> None:
        """Args:
        timings: are told how long compiling took, for each shape with its first run.
        """
        self._module, self._precision, self._device = module, precision, device
        self._timings, self._met = timings, set[tuple[torch.Size, ...]]()
        # No CUDA graph: with some tiles under way, what starts a kernel is ahead of the device by whole tiles.
        self._compiled: Any = compiled(module) if compiles() else None

    def __call__(self, *given: torch.Tensor) -> Any:
        with computing(self._precision, self._device):
            if self._compiled is not None:
                try:
                    with self._timed(tuple(each.shape for each in given)):
                        return self._compiled(*given)
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:  # the compiler's own, whatever it does not take
                    if is_device_error(error):
                        raise
                    told = first_line(error)
                    _log.warning("PyTorch cannot compile the network, which runs uncompiled: %s", told)
                    self._compiled = None
            return self._module(*given)

    def _timed(self, shapes: tuple[torch.Size, ...]) -> AbstractContextManager[None]:
        if self._timings is None or shapes in self._met:
            return nullcontext()
        self._met.add(shapes)
        return self._timings.of("compile")


def is_device_error(error: BaseException) -> bool:
    """Whether a device failed, after which it does nothing more in this process."""
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
