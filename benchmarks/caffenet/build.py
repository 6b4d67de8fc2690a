"""CaffeNet from its published layer list, with random weights, in fullconv's own Caffe writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fullconv.formats.caffe.network import build_network
from fullconv.formats.caffe.text import parse_prototxt
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer
from fullconv.formats.caffe.write import write_network

CONV = "convolution_param { num_output: %d kernel_size: %d %s }"
LRN = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
POOL = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"


def _layer(name: str, kind: str, bottom: str, top: str, param: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {param} }}\n'


def prototxt(batch: int = 10) -> str:
    """The reference CaffeNet's deploy file."""
    text = 'name: "CaffeNet"\nlayer { name: "data" type: "Input" top: "data" input_param { shape '
    text += f"{{ dim: {batch} dim: 3 dim: 227 dim: 227 }} }} }}\n"
    text += _layer("conv1", "Convolution", "data", "conv1", CONV % (96, 11, "stride: 4"))
    text += _layer("relu1", "ReLU", "conv1", "conv1") + _layer("pool1", "Pooling", "conv1", "pool1", POOL)
    text += _layer("norm1", "LRN", "pool1", "norm1", LRN)
    text += _layer("conv2", "Convolution", "norm1", "conv2", CONV % (256, 5, "pad: 2 group: 2"))
    text += _layer("relu2", "ReLU", "conv2", "conv2") + _layer("pool2", "Pooling", "conv2", "pool2", POOL)
    text += _layer("norm2", "LRN", "pool2", "norm2", LRN)
    text += _layer("conv3", "Convolution", "norm2", "conv3", CONV % (384, 3, "pad: 1")) + _layer(
        "relu3", "ReLU", "conv3", "conv3"
    )
    text += _layer("conv4", "Convolution", "conv3", "conv4", CONV % (384, 3, "pad: 1 group: 2"))
    text += _layer("relu4", "ReLU", "conv4", "conv4")
    text += _layer("conv5", "Convolution", "conv4", "conv5", CONV % (256, 3, "pad: 1 group: 2"))
    text += _layer("relu5", "ReLU", "conv5", "conv5") + _layer("pool5", "Pooling", "conv5", "pool5", POOL)
    bottom = "pool5"
    for name, outputs in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        text += _layer(name, "InnerProduct", bottom, name, f"inner_product_param {{ num_output: {outputs} }}")
        if name != "fc8":
            text += _layer(f"relu{name[2]}", "ReLU", name, name) + _layer(f"drop{name[2]}", "Dropout", name, name)
        bottom = name
    return text + _layer("prob", "Softmax", "fc8", "prob")


SHAPES = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}


def build(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write caffenet.prototxt and caffenet.caffemodel (244 MB) where they are not yet; their paths."""
    network, weights = folder / "caffenet.prototxt", folder / "caffenet.caffemodel"
    if network.exists() and weights.exists():
        return network, weights
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    saved = []
    for name, shape in SHAPES.items():
        fan_in = int(np.prod(shape[1:]))
        values = rng.standard_normal(int(np.prod(shape)), np.float32) * np.float32(np.sqrt(2 / fan_in))
        bias = rng.standard_normal(shape[0], np.float32) * np.float32(0.1)
        saved.append(SavedLayer(name, (SavedBlob(values, shape), SavedBlob(bias, (shape[0],)))))
    net = build_network(parse_prototxt(prototxt()), "caffenet.prototxt", saved)
    write_network(net, network, weights)
    return network, weights
