"""PyTorch itself as the engine: on CUDA where there is one, else on the processor."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from fullconv.errors import BadInput, FullconvError
from fullconv.formats.torch.network import TorchNet, value_of
from fullconv.formats.torch.quiet import told
from fullconv.system.parse import threads

Array = npt.NDArray[Any]


class TorchSession:
    """A network in eval mode on one device."""

    def __init__(self, net: TorchNet, precision: str, device: str | None = None) -> None:
        self._device = _device(device)
        if (count := threads()) is not None:
            torch.set_num_threads(count)
        self._module = net.module if self._device.type == "cpu" else copy.deepcopy(net.module).to(self._device)
        self._inputs = list(net.inputs)
        self._values = {value_of(node): node.name for node in net.module.graph.nodes}
        first = next((p for p in net.module.parameters() if p.is_floating_point()), torch.zeros(()))
        self._dtype, self._rounds = first.dtype, precision == "bf16"

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        given = [torch.from_numpy(feeds[name]).to(self._device, self._dtype) for name in self._inputs]
        lower = torch.autocast(self._device.type, torch.bfloat16) if self._rounds else nullcontext()
        keeper = _Keeper(self._module, {self._values[name] for name in names})
        try:
            with torch.inference_mode(), lower:
                keeper.run(*given)
        except RuntimeError as error:
            shapes = {name: value.shape for name, value in feeds.items()}
            raise FullconvError(f"PyTorch failed on inputs of {shapes}: {told(error)}") from error
        found = (keeper.kept[self._values[name]] for name in names)
        return [_array(value) for value in found]


class _Keeper(fx.Interpreter):
    """Runs a graph, keeps the values wanted, and lets go of every other once it was read."""

    def __init__(self, module: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.kept: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if n.name in self.wanted:
            self.kept[n.name] = found
        return found


def _array(value: torch.Tensor) -> Array:
    numbers = value.float() if value.is_floating_point() else value
    return np.ascontiguousarray(numbers.cpu().numpy())


def _device(name: str | None) -> torch.device:
    """The device of this name, or CUDA where there is one.

    Raises:
        BadInput: it is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"there are {count}, cuda:0 to cuda:{count - 1}" if count else "PyTorch sees no CUDA device here"
            raise BadInput(f"device {name}: {have}; leave --device (runtime='torch:...') out, or take cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInput(
            f"device {name}: PyTorch sees no Metal device here; leave --device (runtime='torch:...') out, or take cpu"
        )
    return device


def is_faster() -> bool:
    """Whether PyTorch is the faster engine here: with CUDA, against the others on the processor."""
    return torch.cuda.is_available()
