"""The layer types of Caffe 1.0: those that run, those that cannot (with the reason), and the rest is not Caffe's."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from fullconv.formats.caffe.layers import activation, combine, layout, linear, normalization, source, window
from fullconv.formats.caffe.layers.base import Layer, LayerError, LayerRefused
from fullconv.formats.caffe.layers.fields import check_fields

LAYERS: Mapping[str, type[Layer]] = {
    "AbsVal": activation.AbsVal,
    "ArgMax": activation.ArgMax,
    "BNLL": activation.BNLL,
    "BatchNorm": normalization.BatchNorm,
    "BatchReindex": combine.BatchReindex,
    "Bias": normalization.Bias,
    "Clip": activation.Clip,
    "Concat": combine.Concat,
    "Convolution": window.Convolution,
    "Crop": window.Crop,
    "Deconvolution": window.Deconvolution,
    "Dropout": activation.Dropout,
    "DummyData": source.DummyData,
    "ELU": activation.ELU,
    "Eltwise": combine.Eltwise,
    "Embed": linear.Embed,
    "Exp": activation.Exp,
    "Flatten": layout.Flatten,
    "InnerProduct": linear.InnerProduct,
    "Input": source.Input,
    "LRN": normalization.LRN,
    "Log": activation.Log,
    "MVN": normalization.MVN,
    "PReLU": activation.PReLU,
    "Parameter": linear.Parameter,
    "Pooling": window.Pooling,
    "Power": activation.Power,
    "ReLU": activation.ReLU,
    "Reduction": layout.Reduction,
    "Reshape": layout.Reshape,
    "SPP": layout.SPP,
    "Scale": normalization.Scale,
    "ShuffleChannel": layout.ShuffleChannel,
    "Sigmoid": activation.Sigmoid,
    "Slice": combine.Slice,
    "Softmax": activation.Softmax,
    "Split": combine.Split,
    "Swish": activation.Swish,
    "TanH": activation.TanH,
    "Threshold": activation.Threshold,
    "Tile": combine.Tile,
}

CANNOT_RUN: Mapping[str, str] = {
    "Filter": "it keeps a number of items that depends on the data",
    "HDF5Output": "it writes to a file; remove the layer",
    "Im2col": "it unrolls windows for a matrix product; use the Convolution that it stands for",
    "LSTM": "recurrent layers run over time steps, not over an image",
    "LSTMUnit": "recurrent layers run over time steps, not over an image",
    "Python": "it runs Python code of its own, which a file from elsewhere must not; replace it by Caffe layers",
    "RNN": "recurrent layers run over time steps, not over an image",
    "Recurrent": "recurrent layers run over time steps, not over an image",
}

# Layers of other versions that ``versions`` puts in Caffe 1.0's words, where they are as they should be.
OTHERWISE: Mapping[str, str] = {
    "Axpy": "takes three bottoms (a number a channel, the map that it scales, the map that is added) and has one top",
}


def make_layer(message: Any) -> Layer:
    """The layer of a LayerParameter. Raises LayerError or LayerRefused."""
    kind = message.type
    if kind in LAYERS:
        check_fields(message)
        return LAYERS[kind](message)
    if kind in CANNOT_RUN:
        raise LayerRefused(f"{kind} cannot run here: {CANNOT_RUN[kind]}")
    if kind in OTHERWISE:
        raise LayerError(OTHERWISE[kind])
    close = get_close_matches(kind, [*LAYERS, *CANNOT_RUN], 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise LayerError(f"unknown layer type {kind!r}: not one of Caffe 1.0's{hint}")
