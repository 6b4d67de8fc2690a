"""Small networks as text, for tests that need one of a certain shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fullconv.errors import BadInput, CannotRun
from fullconv.formats.caffe.format import Caffe
from fullconv.formats.caffe.network import build_network
from fullconv.formats.caffe.placement import place
from fullconv.formats.caffe.text import parse_prototxt
from fullconv.formats.caffe.upgrade import upgrade
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer
from fullconv.graph.nodes import Graph
from fullconv.model import Model


def layer(name: str, kind: str, bottoms: str = "", tops: str = "", param: str = "") -> str:
    """One V2 layer; bottoms and tops by spaces."""
    sides = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(
        f' top: "{t}"' for t in (tops or name).split()
    )
    return f'layer {{ name: "{name}" type: "{kind}"{sides} {param} }}\n'


def data(*shape: int, name: str = "data") -> str:
    dims = " ".join(f"dim: {d}" for d in shape)
    return layer(name, "Input", "", name, f"input_param {{ shape {{ {dims} }} }}")


def conv(name: str, bottom: str, outputs: int, kernel: int, extra: str = "") -> str:
    return layer(
        name,
        "Convolution",
        bottom,
        name,
        f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {extra} }}",
    )


def pool(name: str, bottom: str, kernel: int, stride: int, extra: str = "") -> str:
    return layer(name, "Pooling", bottom, name, f"pooling_param {{ kernel_size: {kernel} stride: {stride} {extra} }}")


def fc(name: str, bottom: str, outputs: int, extra: str = "") -> str:
    return layer(name, "InnerProduct", bottom, name, f"inner_product_param {{ num_output: {outputs} {extra} }}")


def graph(text: str) -> Graph:
    return place(upgrade(parse_prototxt(text)), "test.prototxt").graph()


def model(text: str, seed: int = 0) -> Model:
    """A model of this text with random weights of sane size."""
    return Model(network(text, seed), Caffe(), Path("test.prototxt"))


def network(text: str, seed: int = 0):
    raw = parse_prototxt(text)
    rng = np.random.default_rng(seed)
    return build_network(raw, "test.prototxt", random_weights(upgrade(raw), rng))


def random_weights(net, rng: np.random.Generator) -> list[SavedLayer]:
    saved = []
    for placed in place(net, "test.prototxt").layers:
        blobs = []
        for i, spec in enumerate(placed.learned):
            fan = max(1, int(np.prod(spec.shape[1:])))
            values = rng.standard_normal(int(np.prod(spec.shape)), np.float32) / np.float32(np.sqrt(fan))
            if placed.kind == "BatchNorm":
                values = np.abs(values) + 0.5 if i else values
            blobs.append(SavedBlob(values.astype(np.float32), spec.shape))
        if blobs:
            saved.append(SavedLayer(placed.name, tuple(blobs)))
    return saved


__all__ = ["BadInput", "Caffe", "CannotRun", "Model"]

LENET = (
    data(1, 1, 28, 28) + conv("conv1", "data", 4, 5) + pool("pool1", "conv1", 2, 2) + conv("conv2", "pool1", 6, 5)
    + pool("pool2", "conv2", 2, 2) + fc("ip1", "pool2", 12) + layer("relu1", "ReLU", "ip1", "ip1")
    + fc("ip2", "ip1", 3) + layer("prob", "Softmax", "ip2")
)  # fmt: skip
