"""Networks of other formats in ONNX's words, where their own has none for a gate of theirs: no layer of Caffe pools around each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fullconv.errors import CannotRun, NoWeights
from fullconv.formats.finer import as_onnx
from fullconv.formats.format import Format
from fullconv.formats.onnx.format import Onnx
from fullconv.formats.onnx.network import OnnxNet
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.trainable import Trainable
from fullconv.surgery.edit import GlobalToLocal
from fullconv.surgery.gates import GATES
from fullconv.surgery.plan import GlobalPooling, make_plan
from fullconv.system.files import Approve, unseen

_UNKNOWN = "statistics that act on the map keep its own layers from being cast; give its weights, and it is cast as ONNX, where that has words for it"


class InOnnx(Onnx):
    """ONNX, with what the network's own file says of it."""

    def __init__(self, kind: Format, native: Any, told: str) -> None:
        """Args:
        kind, native: the network's own format, and its object there.
        told: how it is cast, for people.
        """
        self.name = kind.name
        self._kind, self._own, self._told = kind, native, told

    def preprocess(self, native: OnnxNet) -> Preprocess | None:
        return self._kind.preprocess(self._own)

    def notes(self, native: OnnxNet) -> Sequence[str]:
        return [*self._kind.notes(self._own), self._told]

    def check(self, native: OnnxNet, shapes: Mapping[str, Sequence[int]]) -> None:
        if native.is_cast:
            super().check(native, shapes)
        else:
            self._kind.check(self._own, shapes)

    def write(self, native: OnnxNet, path: Path, weights: Path | None, approve: Approve = unseen) -> list[Path]:
        if native.is_cast:
            return super().write(native, path, weights, approve)
        return self._kind.write(self._original(native), path, weights, approve)

    def trainable(self, native: OnnxNet) -> Trainable:
        """As its own format has it, under its layers' names; a cast network's kernels under these too."""
        own = self._kind.trainable(self._original(native))
        if not native.is_cast:
            return own
        made = super().trainable(native)
        names = {weight: own.names.get(weight, name) for weight, name in made.names.items()}
        still = frozenset(name for name in made.parameters if name in own.parameters or name not in own.names)
        return replace(made, names=names, parameters=still)

    def _original(self, native: OnnxNet) -> Any:
        """The network in its own format, with the weights that it has now."""
        if native.is_cast:
            return self._own
        held = {str(name): value.const_value for name, value in native.model.graph.initializers.items()}
        return self._kind.with_weights(
            self._own, {n: tensor.numpy() for n, tensor in held.items() if tensor is not None}
        )

    def metadata(self, native: OnnxNet) -> Mapping[str, str]:
        return self._kind.metadata(self._own)


def with_gates(kind: Format, native: Any, source: str, pooling: GlobalPooling) -> tuple[Format, Any]:
    """The format and the network in it by which one is cast whose gates its own has no words for: ONNX; its own where that is not what keeps it from being cast.

    Args:
        source: its name, for messages.
    """
    graph = kind.graph(native)
    if not any(GATES in refusal.reason for refusal in make_plan(graph, kind.dialect, pooling).refusals):
        return kind, native
    try:
        network, _ = as_onnx(kind, native, graph, source)
    except NoWeights:
        return kind, replace(native, notes=(*native.notes, _UNKNOWN))
    except CannotRun:
        return kind, native
    plan = make_plan(network.graph, Onnx.dialect, pooling)
    pools = [edit.node for edit in plan.edits if isinstance(edit, GlobalToLocal)]
    if plan.refusals or not pools:
        return kind, native
    more = f" and {len(pools) - 1} more" if len(pools) > 1 else ""
    told = f"no layer of {kind.name.capitalize()} pools around each cell, as a cast does at {pools[0]}{more}: it is read, cast and written as ONNX has it"
    return InOnnx(kind, native, told), replace(network, is_cast=False)
