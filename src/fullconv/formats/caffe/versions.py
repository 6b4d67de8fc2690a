"""Layers of other versions of Caffe in the words of Caffe 1.0, which loads them too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fullconv.formats.caffe.proto import caffe_pb2 as pb

_DEPTHWISE = ("ConvolutionDepthwise", "DepthwiseConvolution")


def to_version_1(net: Any) -> None:
    """Put layers that Caffe 1.0 has not in its own words, in place."""
    layers = [own for layer in net.layer for own in _plain(layer)]
    if len(layers) > len(net.layer):
        del net.layer[:]
        net.layer.extend(layers)


def _plain(layer: Any) -> Iterator[Any]:
    if layer.type in _DEPTHWISE:
        _convolution(layer)
    elif layer.type == "ReLU6":
        layer.type = "Clip"
        layer.clip_param.min, layer.clip_param.max = 0, 6
    elif layer.type == "Axpy" and len(layer.bottom) == 3 and len(layer.top) == 1:  # else its type is told
        yield from _gated(layer)
    yield layer


def _convolution(layer: Any) -> None:
    """A quicker kernel of a Convolution with a group for each channel."""
    p = layer.convolution_param
    if layer.type == "ConvolutionDepthwise" and not p.HasField("group"):
        p.group = p.num_output  # it takes as many channels as it gives
    if p.group > 1:
        layer.type = "Convolution"


def _gated(layer: Any) -> Iterator[Any]:
    """A SENet's a · x + y, with a number of a for each channel of x: what comes before the sum, which the layer becomes."""
    gate, x, y = layer.bottom
    flat, scaled = f"{layer.name}_gate", f"{layer.name}_scaled"
    yield pb.LayerParameter(name=flat, type="Flatten", bottom=[gate], top=[flat])
    yield pb.LayerParameter(
        name=scaled, type="Scale", bottom=[x, flat], top=[scaled], scale_param=pb.ScaleParameter(axis=0)
    )
    layer.type = "Eltwise"
    del layer.bottom[:]
    layer.bottom.extend([scaled, y])
