"""PyTorch behind the Format protocol."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from fullconv.errors import BadInput
from fullconv.formats.finer import as_onnx
from fullconv.formats.format import Framework, Reading
from fullconv.formats.head import FittedHead
from fullconv.formats.torch import head
from fullconv.formats.torch.apply import EDITS, SETS_AXIS, apply
from fullconv.formats.torch.lower import lower
from fullconv.formats.torch.module import module_like
from fullconv.formats.torch.network import TorchNet
from fullconv.formats.torch.read import read_network
from fullconv.formats.torch.run import TorchSession
from fullconv.formats.torch.write import SUFFIXES, write
from fullconv.geometry.grid import Sampling
from fullconv.graph.nodes import Graph, Whole
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Precision, Session
from fullconv.runtimes.trainable import Trainable
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.plan import Plan
from fullconv.system.files import Approve, unseen


def _like(old: torch.Tensor, array: npt.NDArray[Any]) -> torch.Tensor:
    """Other numbers as the tensor that they take the place of."""
    made = torch.from_numpy(array.copy()).to(old.device, old.dtype)
    return nn.Parameter(made, old.requires_grad) if isinstance(old, nn.Parameter) else made


class PyTorch:
    """PyTorch as the framework of its networks."""

    def module(self, native: TorchNet) -> Any:
        return copy.deepcopy(native.module)

    def with_weights(self, native: TorchNet, state: Mapping[str, Any]) -> TorchNet:
        own = native.module.state_dict(keep_vars=True)
        changed = {name: _like(own[name], array) for name, array in state.items()}
        # The same graph, whose nodes are what is known of it.
        return replace(native, module=module_like(native.module, native.module.graph, changed))

    def session(self, native: TorchNet, precision: Precision, device: str | None = None) -> Session:
        return TorchSession(native, precision, device)


class Torch:
    """The PyTorch format."""

    name = "torch"
    suffixes = SUFFIXES
    # ``aligns`` is left at all: constants are operands of their own, which a reshape in the graph lays along any axis.
    dialect = Dialect(pools_locally=True, edits=EDITS, sets_axis=SETS_AXIS)
    framework: Framework | None = PyTorch()

    def read(self, source: Any, reading: Reading) -> TorchNet:
        return read_network(source, reading)

    def graph(self, native: TorchNet) -> Graph:
        return native.graph

    def batch(self, native: TorchNet) -> int | None:
        return native.batch

    def apply(self, native: TorchNet, plan: Plan) -> TorchNet:
        return apply(native, plan)

    def check(self, native: TorchNet, shapes: Mapping[str, Sequence[int]]) -> None:
        if native.is_cast or not any(isinstance(n.touch, Whole) and n.touch.how != "statistics" for n in native.graph):
            return
        for name, shape in shapes.items():
            axes = native.inputs[name]
            if axes.is_map and tuple(shape[1:]) != axes.shape[1:]:
                raise BadInput(
                    f"{native.source}: input {name!r} of {tuple(shape)} is not its training size {axes.shape}; cast the network for others"
                )

    def adapt(self, native: TorchNet, fitted: FittedHead) -> TorchNet | None:
        return head.adapt(native, fitted)

    def unadapted(self, native: TorchNet) -> tuple[TorchNet, tuple[FittedHead, ...]] | None:
        return head.unadapted(native)

    def trainable(self, native: TorchNet) -> Trainable:
        raise NotImplementedError("its framework has the module")

    def with_weights(self, native: TorchNet, arrays: Mapping[str, Any]) -> TorchNet:
        raise NotImplementedError("its framework takes the weights")

    def lower(self, native: TorchNet, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        return lower(native, shapes)

    def accepts(self, native: TorchNet, feeds: Mapping[str, Any]) -> None:
        return  # floating-point numbers, whatever they are

    def resize(self, native: TorchNet, height: int, width: int) -> TorchNet:
        return native  # height and width are free

    def write(self, native: TorchNet, path: Path, weights: Path | None, approve: Approve = unseen) -> list[Path]:
        if path.suffix == ".onnx" and (head.unadapted(native) or (native, ()))[1]:
            from fullconv.formats.onnx.format import Onnx

            return Onnx().write(as_onnx(Torch(), native, native.graph, native.source)[0], path, weights, approve)
        return write(native, path, weights, approve)

    def preprocess(self, native: TorchNet) -> Preprocess | None:
        return native.preprocess

    def notes(self, native: TorchNet) -> Sequence[str]:
        return native.notes

    def recorded(self, native: TorchNet) -> Mapping[str, Sampling]:
        return {}  # its files have no such metadata

    def metadata(self, native: TorchNet) -> Mapping[str, str]:
        return native.metadata
