"""A network of PyTorch run as it is, node by node, where it has no form that other engines run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import fx

from fullconv.errors import FullconvError
from fullconv.formats.torch.network import TorchNet, value_of
from fullconv.formats.torch.quiet import told
from fullconv.runtimes.runtime import Precision
from fullconv.runtimes.torch.device import computing, device_of, require
from fullconv.runtimes.torch.overflow import is_finite, require_range
from fullconv.runtimes.torch.session import array_of
from fullconv.system.parse import threads

Array = npt.NDArray[Any]


class TorchSession:
    """A network in eval mode on one device."""

    def __init__(self, net: TorchNet, precision: Precision, device: str | None = None) -> None:
        self._device = device_of(device)
        require(precision, self._device)
        self.engine = f"torch:{self._device.type}"
        if (count := threads()) is not None:
            torch.set_num_threads(count)
        self._module = net.module if self._device.type == "cpu" else copy.deepcopy(net.module).to(self._device)
        self._inputs = list(net.inputs)
        self._values = {value_of(node): node.name for node in net.module.graph.nodes}
        first = next((p for p in net.module.parameters() if p.is_floating_point()), torch.zeros(()))
        self._dtype, self._precision = first.dtype, precision

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        given = [torch.from_numpy(feeds[name]).to(self._device, self._dtype) for name in self._inputs]
        keeper = _Keeper(self._module, {self._values[name] for name in names})
        try:
            with computing(self._precision, self._device):
                keeper.run(*given)
        except RuntimeError as error:
            shapes = {name: value.shape for name, value in feeds.items()}
            raise FullconvError(f"PyTorch failed on inputs of {shapes}: {told(error)}") from error
        found = [keeper.kept[self._values[name]] for name in names]
        if self._precision == "fp16" and not all(is_finite(value) for value in found):
            called = {node: value for value, node in self._values.items()}
            require_range(self._module, given, self._device, called)
        return [array_of(value) for value in found]


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
