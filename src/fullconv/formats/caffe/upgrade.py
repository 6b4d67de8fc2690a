"""Older Caffe layouts brought to V2, as Caffe itself does when it reads them.

V0 (a ``layer`` inside each ``layers``, types as lower-case words, padding layers of their own) to V1 (types as
an enum, parameters in messages a type) to V2 (types as strings, learning rates in ParamSpec). Inputs declared on
the net become an Input layer.
"""

from __future__ import annotations

from typing import Any

from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.versions import to_version_1


class UpgradeError(ValueError):
    """An old layout that does not follow its own rules."""


_V0_TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT", "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT", "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING", "relu": "RELU", "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA",
}  # fmt: skip

_V1_TYPES = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice", "TANH": "TanH",
    "WINDOW_DATA": "WindowData", "THRESHOLD": "Threshold",
}  # fmt: skip

# V0 field -> for each type word, where V1 keeps it. "transform_param" serves every type.
_V0_FIELDS: dict[str, dict[str, str]] = {
    "num_output": {"conv": "convolution_param.num_output", "innerproduct": "inner_product_param.num_output"},
    "biasterm": {"conv": "convolution_param.bias_term", "innerproduct": "inner_product_param.bias_term"},
    "weight_filler": {"conv": "convolution_param.weight_filler", "innerproduct": "inner_product_param.weight_filler"},
    "bias_filler": {"conv": "convolution_param.bias_filler", "innerproduct": "inner_product_param.bias_filler"},
    "pad": {"conv": "convolution_param.pad", "pool": "pooling_param.pad"},
    "kernelsize": {"conv": "convolution_param.kernel_size", "pool": "pooling_param.kernel_size"},
    "group": {"conv": "convolution_param.group"},
    "stride": {"conv": "convolution_param.stride", "pool": "pooling_param.stride"},
    "pool": {"pool": "pooling_param.pool"},
    "dropout_ratio": {"dropout": "dropout_param.dropout_ratio"},
    "local_size": {"lrn": "lrn_param.local_size"},
    "alpha": {"lrn": "lrn_param.alpha"},
    "beta": {"lrn": "lrn_param.beta"},
    "k": {"lrn": "lrn_param.k"},
    "source": {
        "data": "data_param.source", "hdf5_data": "hdf5_data_param.source", "images": "image_data_param.source",
        "window_data": "window_data_param.source", "infogain_loss": "infogain_loss_param.source",
    },
    "scale": {"*": "transform_param.scale"},
    "meanfile": {"*": "transform_param.mean_file"},
    "batchsize": {
        "data": "data_param.batch_size", "hdf5_data": "hdf5_data_param.batch_size",
        "images": "image_data_param.batch_size", "window_data": "window_data_param.batch_size",
    },
    "cropsize": {"*": "transform_param.crop_size"},
    "mirror": {"*": "transform_param.mirror"},
    "rand_skip": {"data": "data_param.rand_skip", "images": "image_data_param.rand_skip"},
    "shuffle_images": {"images": "image_data_param.shuffle"},
    "new_height": {"images": "image_data_param.new_height"},
    "new_width": {"images": "image_data_param.new_width"},
    "concat_dim": {"concat": "concat_param.concat_dim"},
    "det_fg_threshold": {"window_data": "window_data_param.fg_threshold"},
    "det_bg_threshold": {"window_data": "window_data_param.bg_threshold"},
    "det_fg_fraction": {"window_data": "window_data_param.fg_fraction"},
    "det_context_pad": {"window_data": "window_data_param.context_pad"},
    "det_crop_mode": {"window_data": "window_data_param.crop_mode"},
    "hdf5_output_param": {"hdf5_output": "hdf5_output_param"},
}  # fmt: skip


def upgrade(net: Any) -> Any:
    """A V2 copy of any NetParameter."""
    out = pb.NetParameter()
    out.CopyFrom(net)
    if out.layers and out.layer:
        raise UpgradeError("both 'layer' (V2) and 'layers' (V1) are given; keep one")
    if any(layer.HasField("layer") for layer in out.layers):
        _v0_to_v1(out)
    if out.layers:
        _move_transformations(out)
        _v1_to_v2(out)
    _inputs_to_layer(out)
    for layer in out.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            del layer.param[:]  # statistics are not learned; older files gave them rates
    to_version_1(out)
    return out


def _v0_to_v1(net: Any) -> None:
    old = list(net.layers)
    pads: dict[str, Any] = {}  # top of a padding layer -> the layer
    del net.layers[:]
    for item in old:
        v0 = item.layer
        if not item.HasField("layer"):
            raise UpgradeError(f"layer {item.name!r} is V1 among V0 layers")
        if v0.type == "padding":
            if len(item.bottom) != 1 or len(item.top) != 1:
                raise UpgradeError(f"padding layer {v0.name!r} needs one bottom and one top")
            pads[item.top[0]] = item
            continue
        new = net.layers.add(name=v0.name)
        for bottom in item.bottom:
            padding = pads.get(bottom)
            if padding is not None:
                if v0.type not in ("conv", "pool"):
                    raise UpgradeError(
                        f"padding layer {padding.layer.name!r} is read by {v0.name!r}, which is {v0.type}"
                    )
                v0.pad = padding.layer.pad
                bottom = padding.bottom[0]
            new.bottom.append(bottom)
        new.top.extend(item.top)
        new.blobs.extend(v0.blobs)
        new.blobs_lr.extend(v0.blobs_lr)
        new.weight_decay.extend(v0.weight_decay)
        if v0.type not in _V0_TYPES:
            raise UpgradeError(f"layer {v0.name!r}: unknown V0 layer type {v0.type!r}")
        new.type = pb.V1LayerParameter.LayerType.Value(_V0_TYPES[v0.type])
        _copy_fields(v0, new)
    for layer in net.layers:
        for i, bottom in enumerate(layer.bottom):
            if bottom in pads:  # pragma: no cover - every use was replaced above
                layer.bottom[i] = pads[bottom].bottom[0]


def _copy_fields(v0: Any, new: Any) -> None:
    for descriptor, value in v0.ListFields():
        if descriptor.name in ("name", "type", "blobs", "blobs_lr", "weight_decay", "new_num", "new_channels"):
            continue
        places = _V0_FIELDS.get(descriptor.name, {})
        path = places.get(v0.type) or places.get("*")
        if path is None:
            raise UpgradeError(f"layer {v0.name!r}: field {descriptor.name!r} has no meaning for type {v0.type!r}")
        *parents, leaf = path.split(".")
        target = new
        for parent in parents:
            target = getattr(target, parent)
        field = target.DESCRIPTOR.fields_by_name[leaf]
        if field.is_repeated:
            getattr(target, leaf).append(value)
        elif field.message_type is not None:
            getattr(target, leaf).CopyFrom(value)
        else:
            setattr(target, leaf, value)


def _move_transformations(net: Any) -> None:
    """Early V1 kept scale, mean, crop and mirror in the data layer's own parameters."""
    for layer in net.layers:
        for name in ("data_param", "image_data_param", "window_data_param"):
            if not layer.HasField(name):
                continue
            param = getattr(layer, name)
            for field in ("scale", "mean_file", "crop_size", "mirror"):
                if param.HasField(field):
                    setattr(layer.transform_param, field, getattr(param, field))
                    param.ClearField(field)


def _v1_to_v2(net: Any) -> None:
    old = list(net.layers)
    del net.layers[:]
    for v1 in old:
        new = net.layer.add(name=v1.name)
        if v1.HasField("type"):
            name = pb.V1LayerParameter.LayerType.Name(v1.type)
            if name not in _V1_TYPES:
                raise UpgradeError(f"layer {v1.name!r} has the type {name}, which is no layer")
            new.type = _V1_TYPES[name]
        for field in ("bottom", "top", "loss_weight"):
            getattr(new, field).extend(getattr(v1, field))
        for field in ("include", "exclude", "blobs"):
            getattr(new, field).extend(getattr(v1, field))
        for i, shared in enumerate(v1.param):
            _spec(new, i).name = shared
        for i, mode in enumerate(v1.blob_share_mode):
            _spec(new, i).share_mode = mode
        for i, rate in enumerate(v1.blobs_lr):
            _spec(new, i).lr_mult = rate
        for i, decay in enumerate(v1.weight_decay):
            _spec(new, i).decay_mult = decay
        for descriptor, value in v1.ListFields():
            if descriptor.name.endswith("_param"):
                getattr(new, descriptor.name).CopyFrom(value)


def _spec(layer: Any, i: int) -> Any:
    while len(layer.param) <= i:
        layer.param.add()
    return layer.param[i]


def _inputs_to_layer(net: Any) -> None:
    """``input`` with ``input_shape`` or four ``input_dim`` each become an Input layer."""
    if not net.input:
        return
    names, shapes, dims = list(net.input), list(net.input_shape), list(net.input_dim)
    if not shapes and not dims:  # names alone: Caffe leaves them out, which is well beside Input layers of theirs
        made = {top for layer in net.layer for top in layer.top}
        names = [name for name in names if name not in made]
        if not names:
            del net.input[:]
            return
    layer = pb.LayerParameter(name="input", type="Input", top=names)
    if shapes and len(shapes) not in (1, len(names)):
        raise UpgradeError(f"{len(names)} inputs but {len(shapes)} input_shape")
    if dims and not shapes and len(dims) != 4 * len(names):
        raise UpgradeError(f"{len(names)} inputs need {4 * len(names)} input_dim, found {len(dims)}")
    for i in range(len(names) if shapes or dims else 0):
        dim = shapes[min(i, len(shapes) - 1)].dim if shapes else dims[4 * i : 4 * i + 4]
        layer.input_param.shape.add().dim.extend(dim)
    rest = list(net.layer)
    del net.layer[:]
    net.layer.append(layer)
    net.layer.extend(rest)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
