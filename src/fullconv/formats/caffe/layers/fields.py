"""Every field of every layer's parameters: read, harmless, or refused with the reason. What is in no list is an error of ours.

A field of the schema that nothing here looks at would be a layer computed otherwise than its file says, so that each is named once.
``read`` is what a layer's class, ``deploy`` or ``phase`` takes into account; ``harmless`` is what does not change an answer in the test phase:
engines, training, initial values of weights that a file replaces, and where a training net found its data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fullconv.formats.caffe.layers.base import LayerRefused
from fullconv.formats.caffe.proto import caffe_pb2 as pb


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one message, by name.

    Attributes:
        refused: why a network that sets the field cannot be read, by the field's name.
    """

    read: frozenset[str]
    harmless: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)


def _fields(read: str = "", harmless: str = "", **refused: str) -> Fields:
    return Fields(frozenset(read.split()), frozenset(harmless.split()), refused)


_RECURRENT = "it belongs to a recurrent layer"
# A data layer's source, and the old place of its transformation, which an upgrade moves for V1 files and Caffe ignores in others.
_DATA = "source batch_size scale mean_file crop_size mirror"

FIELDS: Mapping[str, Fields] = {
    "LayerParameter": _fields(
        "name type bottom top phase param blobs include exclude "
        + " ".join(
            descriptor.name for descriptor in pb.LayerParameter.DESCRIPTOR.fields if descriptor.name.endswith("_param")
        ),
        "loss_weight propagate_down",
    ),
    "ParamSpec": _fields("name share_mode", "lr_mult decay_mult"),
    "TransformationParameter": _fields("scale crop_size mean_file mean_value force_color force_gray", "mirror"),
    "LossParameter": _fields("", "ignore_label normalization normalize"),
    "AccuracyParameter": _fields("", "top_k axis ignore_label"),
    "ArgMaxParameter": _fields("out_max_val top_k axis"),
    "BatchNormParameter": _fields("use_global_stats eps", "moving_average_fraction"),
    "BiasParameter": _fields("axis num_axes filler"),
    "ClipParameter": _fields("min max"),
    "ConcatParameter": _fields("axis concat_dim"),
    "ContrastiveLossParameter": _fields("", "margin legacy_version"),
    "ConvolutionParameter": _fields(
        "num_output bias_term pad pad_h pad_w kernel_size kernel_h kernel_w dilation stride stride_h stride_w group axis "
        "weight_filler bias_filler",
        "engine force_nd_im2col",
    ),
    "CropParameter": _fields("axis offset"),
    "DataParameter": _fields("", f"{_DATA} rand_skip backend force_encoded_color prefetch"),
    "DropoutParameter": _fields("", "dropout_ratio"),
    "DummyDataParameter": _fields("data_filler shape num channels height width"),
    "ELUParameter": _fields("alpha"),
    "EltwiseParameter": _fields("operation coeff", "stable_prod_grad"),
    "EmbedParameter": _fields("num_output input_dim bias_term weight_filler bias_filler"),
    "ExpParameter": _fields("base scale shift"),
    "FlattenParameter": _fields("axis end_axis"),
    "HDF5DataParameter": _fields("", "source batch_size shuffle"),
    "HDF5OutputParameter": _fields("", "", file_name="it writes to a file"),
    "HingeLossParameter": _fields("", "norm"),
    "ImageDataParameter": _fields("new_height new_width is_color", f"{_DATA} rand_skip shuffle root_folder"),
    "InfogainLossParameter": _fields("axis", "source"),
    "InnerProductParameter": _fields("num_output bias_term weight_filler bias_filler axis transpose"),
    "InputParameter": _fields("shape"),
    "LRNParameter": _fields("local_size alpha beta norm_region k", "engine"),
    "LogParameter": _fields("base scale shift"),
    "MVNParameter": _fields("normalize_variance across_channels eps"),
    "MemoryDataParameter": _fields("channels height width", "batch_size"),
    "PReLUParameter": _fields("filler channel_shared"),
    "ParameterParameter": _fields("shape"),
    "PoolingParameter": _fields(
        "pool pad pad_h pad_w kernel_size kernel_h kernel_w stride stride_h stride_w global_pooling round_mode",
        "engine",
    ),
    "PowerParameter": _fields("power scale shift"),
    "PythonParameter": _fields(
        "",
        "share_in_parallel",
        module="it names Python code",
        layer="it names Python code",
        param_str="it is for Python code",
    ),
    "ReLUParameter": _fields("negative_slope", "engine"),
    "RecurrentParameter": _fields(
        "", "weight_filler bias_filler debug_info", num_output=_RECURRENT, expose_hidden=_RECURRENT
    ),
    "ReductionParameter": _fields("operation axis coeff"),
    "ReshapeParameter": _fields("shape axis num_axes"),
    "SPPParameter": _fields("pyramid_height pool", "engine"),
    "ScaleParameter": _fields("axis num_axes filler bias_term bias_filler"),
    "ShuffleChannelParameter": _fields("group"),
    "SigmoidParameter": _fields("", "engine"),
    "SliceParameter": _fields("axis slice_point slice_dim"),
    "SoftmaxParameter": _fields("axis", "engine"),
    "SwishParameter": _fields("beta"),
    "TanHParameter": _fields("", "engine"),
    "ThresholdParameter": _fields("threshold"),
    "TileParameter": _fields("axis tiles"),
    "WindowDataParameter": _fields(
        "", f"{_DATA} fg_threshold bg_threshold fg_fraction context_pad crop_mode cache_images root_folder"
    ),
}

# What a layer of the training phase does otherwise than one of the test phase.
_TRAINS: Mapping[str, Callable[[Any], bool]] = {
    "BatchNorm": lambda message: not message.batch_norm_param.HasField("use_global_stats"),
    "Dropout": lambda message: True,
}


def check_fields(message: Any) -> None:
    """Raise LayerRefused where a layer sets a field that it is not read for, or one that belongs to another kind of layer."""
    for descriptor, value in message.ListFields():
        if descriptor.name.endswith("_param") and descriptor.message_type is not None:
            known = FIELDS[descriptor.message_type.name]
            for inner, _ in value.ListFields():
                why = known.refused.get(inner.name)
                if why is not None:
                    raise LayerRefused(f"its {descriptor.name} sets {inner.name}, which nothing here reads: {why}")
    trains = _TRAINS.get(message.type)
    if message.HasField("phase") and message.phase == pb.TRAIN and trains is not None and trains(message):
        raise LayerRefused(
            "it is set to the training phase (phase: TRAIN), in which its answers are drawn or depend on the batch"
        )
