"""A Caffe network as fullconv holds it: the V2 message, its learned arrays, and the layers placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.formats.adapted import KEY
from fullconv.formats.caffe.deploy import to_deploy
from fullconv.formats.caffe.hdf5 import read_hdf5
from fullconv.formats.caffe.layers.base import LayerError
from fullconv.formats.caffe.phase import RuleError, filter_net
from fullconv.formats.caffe.placement import Placement, place
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.text import comment, read_prototxt
from fullconv.formats.caffe.upgrade import UpgradeError, upgrade
from fullconv.formats.caffe.weights import Weights, match
from fullconv.formats.caffe.wire import SavedLayer, read_caffemodel, saved_blob
from fullconv.formats.format import Reading

_NOTHING_SAID = Reading()
_SIZES = 16  # of which a net's layers are kept


@dataclass(frozen=True)
class CaffeNet:
    """One network.

    Attributes:
        message: NetParameter, V2, filtered to the test phase, data and loss layers replaced.
        source: the file it was read from, for messages.
        placement: its layers at the sizes that the message states.
        weights: arrays by layer, or None where no weights were given.
        extra: by layer, the message of the weights file (what fullconv does not interpret stays with it).
        transform: the data layer's TransformationParameter, where there was one.
        notes: what a user should know of the reading.
        adapted: what its file says of heads within it, None where it says nothing.
    """

    message: Any
    source: str
    placement: Placement
    weights: Weights | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    transform: Any = None
    notes: tuple[str, ...] = ()
    adapted: str | None = None
    _placed: dict[Any, Placement] = field(default_factory=dict, init=False, repr=False, compare=False)

    def placed(self, shapes: Mapping[str, Sequence[int]]) -> Placement:
        """Its layers for inputs of these shapes; of a message, which does not change, once."""
        key = tuple(sorted((name, tuple(shape)) for name, shape in shapes.items()))
        if key not in self._placed:
            if len(self._placed) >= _SIZES:
                self._placed.clear()
            self._placed[key] = place(self.message, self.source, shapes)
        return self._placed[key]

    def with_message(
        self, message: Any, weights: Weights | None, extra: Mapping[str, Any] | None = None, adapted: str | None = None
    ) -> CaffeNet:
        """The same net after an edit."""
        return replace(
            self,
            message=message,
            weights=weights,
            placement=place(message, self.source),
            extra=self.extra if extra is None else extra,
            notes=(),
            adapted=adapted,
        )


def read_network(path: Path, reading: Reading = _NOTHING_SAID) -> CaffeNet:
    """Read a prototxt, and weights where given."""
    saved = read_weights(reading.weights) if reading.weights is not None else None
    net = build_network(read_prototxt(path), str(path), saved, reading)
    return replace(net, adapted=comment(path, KEY))


def read_weights(path: Path) -> list[SavedLayer]:
    """Layers of a ``.caffemodel`` or ``.h5``; which it is, its first bytes say."""
    with path.open("rb") as file:
        head = file.read(8)
    return read_hdf5(path) if head.startswith(b"\x89HDF") or path.suffix in (".h5", ".hdf5") else read_caffemodel(path)


def build_network(
    raw: Any, source: str, saved: Sequence[SavedLayer] | None = None, reading: Reading = _NOTHING_SAID, level: int = 0
) -> CaffeNet:
    """A network in its test phase from a NetParameter of any version."""
    try:
        # As Caffe does: stages of the file and of the caller, the caller's level and phase.
        filtered = filter_net(upgrade(raw), pb.TEST, level, (*raw.state.stage, *reading.stages))
        unnamed = next((layer for layer in filtered.layer if not layer.name), None)
        twice = _named_once(filtered)
        if unnamed is not None and saved is not None:
            saved = [layer if layer.name else replace(layer, name=unnamed.name) for layer in saved]
        deployed = to_deploy(filtered, reading.input_shape, _image_channels(filtered, saved))
    except (UpgradeError, RuleError, LayerError) as error:
        raise BadInput(f"{source}: {error}") from None
    saved = _inline(deployed.net, source) if saved is None else saved
    for layer in deployed.net.layer:
        del layer.blobs[:]  # arrays are kept apart from the message
    placement = place(deployed.net, source)
    notes = [*twice, *deployed.notes]
    weights: Weights | None = None
    extra: dict[str, Any] = {}
    if saved is not None:
        weights, left = match(
            placement, saved, str(reading.weights or "weights"), source, reading.ignore_unused_weights
        )
        notes += left
        extra = {layer.name: layer.message for layer in saved if layer.message is not None}
    return CaffeNet(deployed.net, source, placement, weights, extra, deployed.transform, tuple(notes))


def _named_once(net: Any) -> list[str]:
    """Give layers of one name, and of none, names of their own; weights go to the first, as Caffe copies them. Notes on what was done."""
    names = {layer.name for layer in net.layer}
    seen, notes = {""}, []
    for layer in net.layer:
        name = layer.name
        if name in seen:
            others = (f"{name or layer.type}-{i}" for i in count(2))
            free = others if name else chain([layer.type], others)
            layer.name = next(each for each in free if each not in names)
            names.add(layer.name)
            what = f"another layer is named {name!r}" if name else "a layer has no name"
            notes.append(f"{what}; this {layer.type} is called {layer.name!r}")
        seen.add(layer.name)
    return notes


def _inline(net: Any, source: str) -> list[SavedLayer] | None:
    """Arrays that a text file holds itself, in its layers' blobs; None where it holds none."""
    held = [layer for layer in net.layer if layer.blobs]
    if not held:
        return None
    return [
        SavedLayer(layer.name, tuple(saved_blob(blob, None, f"{source}: layer {layer.name!r}") for blob in layer.blobs))
        for layer in held
    ]


def _image_channels(net: Any, saved: Sequence[SavedLayer] | None) -> int | None:
    """Channels of the image, from the shape of the first convolution's weights."""
    by_name = {layer.name: layer for layer in saved or ()}
    for layer in net.layer:
        if layer.type == "Convolution" and layer.name in by_name and by_name[layer.name].blobs:
            shape = by_name[layer.name].blobs[0].shape
            return shape[1] * layer.convolution_param.group if len(shape) == 4 else None
    return None
