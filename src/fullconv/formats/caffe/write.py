"""Writing a Caffe network: prototxt, and weights as caffemodel or HDF5, each file whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fullconv.formats.adapted import KEY
from fullconv.formats.caffe.hdf5 import write_hdf5
from fullconv.formats.caffe.network import CaffeNet
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.text import print_prototxt
from fullconv.formats.caffe.wire import write_caffemodel
from fullconv.system.files import Approve, unseen, written_whole
from fullconv.system.guard import MARK


def write_network(net: CaffeNet, path: Path, weights: Path | None, approve: Approve = unseen) -> None:
    """Write the prototxt to ``path`` and, where the net has them, its weights to ``weights``."""
    targets = [path] if weights is None or net.weights is None else [path, weights]
    with written_whole(*targets, approve=approve) as temporary:
        if len(temporary) > 1:
            _write_weights(net, temporary[1], hdf5=targets[1].suffix in (".h5", ".hdf5"))
        heads = "" if net.adapted is None else f"# {KEY}: {net.adapted}\n"
        temporary[0].write_text(f"# {MARK}\n{heads}{print_prototxt(net.message)}", encoding="utf-8")


def _write_weights(net: CaffeNet, path: Path, *, hdf5: bool) -> None:
    assert net.weights is not None
    if hdf5:
        write_hdf5(path, [(layer.name, net.weights.get(layer.name, ())) for layer in net.message.layer])
        return
    head = pb.NetParameter()
    head.CopyFrom(net.message)
    del head.layer[:]
    layers = [
        (_with_unknown(layer, net.extra.get(layer.name)), net.weights.get(layer.name, ()))
        for layer in net.message.layer
    ]
    with path.open("wb") as file:
        write_caffemodel(file, head, layers)


def _with_unknown(layer: Any, saved: Any) -> Any:
    """The layer's message with the fields of the weights file's that no schema knows."""
    if saved is None:
        return layer
    unknown = pb.LayerParameter()
    unknown.CopyFrom(saved)
    for descriptor, _ in saved.ListFields():
        unknown.ClearField(descriptor.name)
    rest = unknown.SerializeToString()
    if not rest:
        return layer
    out = pb.LayerParameter()
    out.CopyFrom(layer)
    out.MergeFromString(rest)
    return out
