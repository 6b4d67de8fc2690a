"""From a training net to one that answers: data layers become inputs, losses their predictions.

1. A data layer becomes an Input of its first top; its further tops are labels.
2. Layers that read labels only go away, as do Accuracy and Silence.
3. A loss becomes what it compares with the label: SoftmaxWithLoss and InfogainLoss the Softmax, SigmoidCrossEntropyLoss the
   Sigmoid, other losses the value itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fullconv.formats.caffe.layers.base import LayerError
from fullconv.formats.caffe.proto import caffe_pb2 as pb

DATA = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData")
PREDICTIONS = {"InfogainLoss": "Softmax", "SoftmaxWithLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
LOSSES = (*PREDICTIONS, "ContrastiveLoss", "EuclideanLoss", "HingeLoss", "MultinomialLogisticLoss")
DROPPED = ("Accuracy", "Silence")


class InputShapeNeeded(LayerError):
    """The file does not say how large an image the net was trained on."""


@dataclass
class Deployed:
    """The net, what was said to the user on the way, and the data layer's transformation, if it had one."""

    net: Any
    notes: list[str] = field(default_factory=list)
    transform: Any = None


def to_deploy(net: Any, input_shape: Sequence[int] | None, channels: int | None) -> Deployed:
    """A copy of a filtered V2 net without data, label and loss layers.

    Args:
        input_shape: (C, H, W) for the image input, or None to take the file's.
        channels: the image's channels as the first convolution's weights tell, where the file does not.
    """
    done = Deployed(pb.NetParameter())
    done.net.CopyFrom(net)
    del done.net.layer[:]
    labels: set[str] = set()
    losses = [layer for layer in net.layer if layer.type in LOSSES]
    taken = {top for layer in net.layer for top in layer.top} | {layer.name for layer in net.layer}
    for layer in net.layer:
        read_labels = [bottom for bottom in layer.bottom if bottom in labels]
        if _is_unsized(layer):
            _data(done, layer, input_shape, channels)
            labels.update(layer.top[1:])
        elif layer.type in DROPPED:
            done.notes.append(f"{layer.name} ({layer.type}) left out: it is for training")
        elif layer.type in LOSSES:
            _loss(done, layer, "prob" if len(losses) == 1 and "prob" not in taken else layer.name)
        elif read_labels and len(read_labels) == len(layer.bottom):
            labels.update(layer.top)
            done.notes.append(f"{layer.name} ({layer.type}) left out: it reads labels only")
        elif read_labels:
            raise LayerError(
                f"layer {layer.name!r} ({layer.type}) mixes the label {read_labels[0]!r} with the image; give a deploy prototxt"
            )
        else:
            done.net.layer.append(layer)
    if input_shape is not None and not any(map(_is_unsized, net.layer)):
        _reshape_input(done, input_shape)
    return done


def _is_unsized(layer: Any) -> bool:
    """Whether it gives images of a size that is not its own: a database's, or an Input that states none."""
    return layer.type in DATA or (layer.type == "Input" and not layer.input_param.shape)


def _data(done: Deployed, layer: Any, input_shape: Sequence[int] | None, channels: int | None) -> None:
    shape = input_shape or _stated_shape(layer, channels)
    if shape is None:
        raise InputShapeNeeded(
            f"layer {layer.name!r} ({layer.type}) does not say how large its images are; give the training size "
            "with --input-shape C,H,W (input_shape=(C, H, W))"
        )
    new = done.net.layer.add(name=layer.name, type="Input", top=[layer.top[0]])
    new.input_param.shape.add().dim.extend([1, *shape])
    if layer.HasField("transform_param"):
        done.transform = layer.transform_param
    told = "×".join(map(str, shape))
    done.notes.append(f"{layer.name} ({layer.type}) becomes the input {layer.top[0]} of {told}")


def _stated_shape(layer: Any, channels: int | None) -> tuple[int, int, int] | None:
    if layer.type == "MemoryData":
        p = layer.memory_data_param
        return p.channels, p.height, p.width
    transform = layer.transform_param
    depth = 1 if transform.force_gray else channels or (3 if transform.force_color else None)
    crop = transform.crop_size
    if crop and depth:
        return depth, crop, crop
    image = layer.image_data_param
    if layer.type == "ImageData" and image.new_height and image.new_width:
        return (3 if image.is_color else 1), image.new_height, image.new_width
    return (3, crop, crop) if crop else None


def _loss(done: Deployed, layer: Any, name: str) -> None:
    kind = PREDICTIONS.get(layer.type)
    source = layer.bottom[0] if layer.bottom else ""
    if kind is None:
        done.notes.append(f"{layer.name} ({layer.type}) left out: its prediction is {source} itself")
        return
    new = done.net.layer.add(name=name, type=kind, bottom=[source], top=[name])
    if kind == "Softmax" and layer.HasField("softmax_param"):
        new.softmax_param.CopyFrom(layer.softmax_param)
    if layer.type == "InfogainLoss" and layer.HasField("infogain_loss_param"):
        new.softmax_param.axis = layer.infogain_loss_param.axis
    done.notes.append(f"{layer.name} ({layer.type}) becomes its prediction {name} ({kind} of {source})")


def _reshape_input(done: Deployed, input_shape: Sequence[int]) -> None:
    for layer in done.net.layer:
        for shape in layer.input_param.shape if layer.type == "Input" else ():
            if len(shape.dim) == 4:
                shape.dim[1:] = list(input_shape)
                return
    raise LayerError("--input-shape was given, but the net has no image input of (N, C, H, W)")
