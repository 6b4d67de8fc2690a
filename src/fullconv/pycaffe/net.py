"""``caffe.Net``: a net whose blobs and weights are arrays that a script may read and write."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.caffe.hdf5 import read_hdf5, write_hdf5
from fullconv.formats.caffe.lower import lower_layers, weight_name
from fullconv.formats.caffe.network import build_network, read_weights
from fullconv.formats.caffe.placement import Placed, Placement, place
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.text import read_prototxt
from fullconv.formats.caffe.weights import has_shape, owners
from fullconv.formats.caffe.wire import SavedLayer, write_caffemodel
from fullconv.formats.format import Reading
from fullconv.pycaffe.blob import Blob
from fullconv.pycaffe.fillers import filled
from fullconv.runtimes.onnxruntime import OnnxRuntimeSession
from fullconv.system.files import written_whole
from fullconv.system.guard import guarded

Array = npt.NDArray[Any]
_MOST_COMPILED = 8


@dataclass(frozen=True)
class _Compiled:
    """A run of layers ready to compute: its engine session, and for each blob the value it leaves there."""

    session: OnnxRuntimeSession
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    results: dict[str, str]


class LayerView:
    """One entry of ``Net.layers``: ``type`` and ``blobs``."""

    def __init__(self, kind: str, blobs: list[Blob]) -> None:
        self.type = kind
        self.blobs = blobs


class Net:
    """``Net(prototxt, phase)``, ``Net(prototxt, phase, weights=file)`` or the older ``Net(prototxt, weights, phase)``."""

    def __init__(
        self,
        network_file: str | os.PathLike[str],
        *args: Any,
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        for arg in args:
            if isinstance(arg, str | os.PathLike):
                weights = arg
            else:
                phase = arg
        if phase is None:
            raise TypeError("Net needs a phase: caffe.TEST")
        if phase != pb.TEST:
            raise NotImplementedError("fullconv runs nets in the test phase only; use caffe.TEST")
        path = Path(network_file)
        if not path.exists():
            raise BadInput(f"{path}: no such file")
        read = build_network(read_prototxt(path), str(path), None, Reading(stages=tuple(stages or ())), level)
        self._message, self._source = read.message, read.source
        self._placement = read.placement
        self.name = self._message.name
        self.params: OrderedDict[str, list[Blob]] = OrderedDict()
        self._make_params()
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        for value, axes in self._placement.axes.items():
            self.blobs.setdefault(self._placement.blobs[value], Blob(np.zeros(axes.shape, np.float32)))
        self._ready: OrderedDict[Any, _Compiled] = OrderedDict()
        if weights is not None:
            self.copy_from(weights)

    # Names ----------------------------------------------------------------------------------------

    @property
    def _layers(self) -> tuple[Placed, ...]:
        return self._placement.layers

    @property
    def _layer_names(self) -> list[str]:
        return [placed.name for placed in self._layers]

    @property
    def inputs(self) -> list[str]:
        """Blobs that a caller fills."""
        return [self._placement.blobs[value] for value in self._placement.inputs]

    @property
    def outputs(self) -> list[str]:
        """Blobs that no layer reads."""
        return [self._placement.blobs[value] for value in self._placement.outputs]

    @property
    def layers(self) -> list[LayerView]:
        return [LayerView(placed.kind, self.params.get(placed.name, [])) for placed in self._layers]

    @property
    def layer_dict(self) -> OrderedDict[str, LayerView]:
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((placed.name, list(placed.layer.message.top)) for placed in self._layers)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((placed.name, list(placed.layer.message.bottom)) for placed in self._layers)

    # Running --------------------------------------------------------------------------------------

    def reshape(self) -> None:
        """Give every blob the shape that follows from the input blobs' present ones."""
        shapes = {blob: self.blobs[blob].shape for blob in self.inputs}
        if any(
            self._placement.axes[value].shape != shapes[self._placement.blobs[value]]
            for value in self._placement.inputs
        ):
            self._placement = place(self._message, self._source, shapes)
            self._check_params()
        for value, axes in self._placement.axes.items():
            self.blobs[self._placement.blobs[value]].reshape(*axes.shape)

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Array
    ) -> dict[str, Array]:
        """Run the layers from ``start`` to ``end`` (all by default).

        Args:
            blobs: further blobs to return beside the outputs (or beside ``end``'s tops).
            kwargs: values for the input blobs, all or none.

        Returns:
            Blob name to its array.
        """
        names = self._layer_names
        for name in (start, end):
            if name is not None and name not in names:
                raise ValueError(f"no layer is named {name!r}; layers are {names}")
        first = names.index(start) if start is not None else 0
        last = names.index(end) if end is not None else len(names) - 1
        if kwargs:
            if set(kwargs) != set(self.inputs):
                raise Exception(f"Input blob arguments do not match net inputs: {sorted(kwargs)} and {self.inputs}")
            for name, value in kwargs.items():
                if value.shape[0] != self.blobs[name].shape[0]:
                    raise Exception("Input is not batch sized")
                self.blobs[name].data[...] = value
        self._run(first, last)
        wanted = {*(self.top_names[end] if end is not None else self.outputs), *(blobs or ())}
        missing = wanted - set(self.blobs)
        if missing:
            raise ValueError(f"no blob is named {sorted(missing)}")
        return {name: self.blobs[name].data for name in wanted}

    def _run(self, first: int, last: int) -> None:
        self.reshape()
        layers = self._layers[first : last + 1]
        if not any(placed.kind != "Input" for placed in layers):
            return
        compiled = self._compile(first, last)
        arrays = self._arrays()
        feeds = {
            value: np.asarray(self.blobs[self._placement.blobs[value]].data, order="C") for value in compiled.inputs
        }
        feeds |= {name: np.asarray(arrays[name], order="C") for name in compiled.weights}
        values = list(compiled.results.values())
        for blob, found in zip(compiled.results, compiled.session.run(feeds, values), strict=True):
            self.blobs[blob].fill(found)

    def _compile(self, first: int, last: int) -> _Compiled:
        key = (first, last, tuple(self.blobs[blob].shape for blob in self.inputs))
        if key not in self._ready:
            layers = self._layers[first : last + 1]
            lowered = lower_layers(self._placement, layers, self._arrays(), self._source)
            results = _last_writings(self._placement, layers)
            session = OnnxRuntimeSession(lowered, list(results.values()), live_weights=True)
            self._ready[key] = _Compiled(session, tuple(lowered.inputs), tuple(lowered.weights), results)
        self._ready.move_to_end(key)
        while len(self._ready) > _MOST_COMPILED:
            self._ready.popitem(last=False)
        return self._ready[key]

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run inputs of any number in batches of the net's size; the outputs together."""
        outputs: dict[str, list[Array]] = {}
        for batch in self._batch(kwargs):
            for name, values in self.forward(blobs, None, None, **batch).items():
                outputs.setdefault(name, []).extend(values.copy())
        count = len(next(iter(kwargs.values())))
        return {name: np.asarray(values)[:count] for name, values in outputs.items()}

    def _batch(self, inputs: dict[str, Array]) -> Iterator[dict[str, Array]]:
        count = len(next(iter(inputs.values())))
        size = self.blobs[self.inputs[0]].shape[0]
        for i in range(0, count, size):
            part = {name: np.asarray(values[i : i + size]) for name, values in inputs.items()}
            short = size - len(next(iter(part.values())))
            if short:  # the last batch is filled up with zeros, which forward_all cuts off again
                part = {name: np.concatenate([v, np.zeros((short, *v.shape[1:]), v.dtype)]) for name, v in part.items()}
            yield part

    def backward(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("fullconv has no backward pass: for gradients use a training framework")

    forward_backward_all = backward

    def set_input_arrays(self, *args: Any) -> NoReturn:
        raise NotImplementedError("a MemoryData layer is an input here: write to net.blobs[name].data")

    # Weights --------------------------------------------------------------------------------------

    def _make_params(self) -> None:
        shared = owners(self._layers)
        for placed in self._layers:
            made = []
            for i, spec in enumerate(placed.learned):
                owner, j = shared[placed.name, i]
                own = (owner, j) == (placed.name, i)
                made.append(Blob(filled(spec.shape, spec.filler)) if own else self.params[owner][j])
            if made:
                self.params[placed.name] = made

    def _check_params(self) -> None:
        for placed in self._layers:
            for i, spec in enumerate(placed.learned):
                have = self.params[placed.name][i].shape
                if have != spec.shape:
                    raise BadInput(
                        f"{self._source}: layer {placed.name!r}: blob {i} is {have}, but inputs of this size make it {spec.shape}"
                    )

    def _arrays(self) -> dict[str, Array]:
        return {weight_name(name, i): blob.data for name, blobs in self.params.items() for i, blob in enumerate(blobs)}

    def copy_from(self, filename: str | os.PathLike[str]) -> None:
        """Take the weights of layers of the same name, from a caffemodel or HDF5 file; others stay as they are."""
        path = Path(filename)
        if not path.exists():
            raise BadInput(f"{path}: no such file (weights)")
        self._take(read_weights(path), str(path))

    def load_hdf5(self, filename: str | os.PathLike[str]) -> None:
        self._take(read_hdf5(Path(filename)), str(filename))

    def _take(self, saved: Sequence[SavedLayer], source: str) -> None:
        by_name = {layer.name: layer.blobs for layer in saved if layer.blobs}
        for name, blobs in self.params.items():
            if name not in by_name:
                continue
            if len(by_name[name]) != len(blobs):
                raise BadInput(f"{source}: layer {name!r} holds {len(by_name[name])} blobs, the net needs {len(blobs)}")
            for i, (blob, found) in enumerate(zip(blobs, by_name[name], strict=True)):
                if not has_shape(found, blob.shape):
                    raise BadInput(
                        f"{source}: layer {name!r}: blob {i} has the shape {found.shape}, the net's is {blob.shape}"
                    )
                blob.data[...] = found.values.reshape(blob.shape)
        missing = [name for name in self.params if name not in by_name]
        if missing:
            warnings.warn(f"{source} has no weights for {', '.join(missing)}: they keep their values", stacklevel=3)

    def share_with(self, other: Net) -> None:
        """Use the other net's weights for layers of the same name; writing to either changes both."""
        for name, blobs in self.params.items():
            for mine, theirs in zip(blobs, other.params.get(name, ()), strict=False):
                mine.share(theirs)

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write a caffemodel that Caffe loads."""
        head = pb.NetParameter()
        head.CopyFrom(self._message)
        del head.layer[:]
        layers = [(m, [b.data for b in self.params.get(m.name, ())]) for m in self._message.layer]
        with guarded(overwrite=True), written_whole(Path(filename)) as (part,), part.open("wb") as file:
            write_caffemodel(file, head, layers)

    def save_hdf5(self, filename: str | os.PathLike[str]) -> None:
        """Write the weights as HDF5 that Caffe loads."""
        with guarded(overwrite=True), written_whole(Path(filename)) as (part,):
            write_hdf5(part, [(name, [b.data for b in self.params.get(name, ())]) for name in self._layer_names])


def _last_writings(placement: Placement, layers: Sequence[Placed]) -> dict[str, str]:
    """For each blob that these layers write, the value that they leave in it."""
    written = {value for placed in layers if placed.kind != "Input" for value in placed.outputs}
    return {
        blob: [v for v in values if v in written][-1]
        for blob, values in placement.versions.items()
        if written.intersection(values)
    }
