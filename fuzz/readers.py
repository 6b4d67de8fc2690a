"""The targets: one a reader, and one for networks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx

import fullconv
from fullconv.formats.caffe.proto import caffe_pb2
from fuzz import images, mutate, stores
from fuzz.networks import target as networks
from fuzz.target import Target

ROOT = Path(__file__).parents[1]
SHAPE = (3, 16, 16)
_MOST = 1 << 20  # numbers of a value that is computed


# Networks of ONNX ---------------------------------------------------------------------------------


def _onnx_seeds(folder: Path) -> list[Path]:
    from tests.formats.onnx.nets import EXACT, write

    return [write(folder / f"{i}.onnx", body, w, opset=opset) for i, (body, w, opset) in enumerate(EXACT.values())]


def _cast(path: Path, **more: Any) -> None:
    """Read, plan, and, where nothing is refused, cast and run."""
    model = fullconv.load(path, **more)
    str(model.plan)
    if model.plan.refusals or any(prod(axes.shape) > _MOST for axes in model.graph.values.values()):
        return
    full = model.cast()
    _, height, width = full.image_shape
    if height * width < 1 << 12:
        full.run(np.zeros((1, *full.image_shape), np.float32))


# Caffe --------------------------------------------------------------------------------------------


def _prototxt_seeds(folder: Path) -> list[Path]:
    from tests import helpers

    texts = [helpers.LENET]
    for golden in sorted((ROOT / "tests" / "goldens").glob("*.npz")):
        with np.load(golden) as data:
            texts.append(data["prototxt"].tobytes().decode())
    return [_written(folder / f"{i}.prototxt", text.encode()) for i, text in enumerate(texts)]


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _lenet(folder: Path) -> tuple[Path, Path]:
    from tests import helpers

    prototxt, weights = helpers.model(helpers.LENET).save(folder / "net.prototxt")
    return prototxt, weights


_NET: dict[str, Path] = {}  # the network that weights are read for, beside the seeds


def _caffemodel_seeds(folder: Path) -> list[Path]:
    prototxt, weights = _lenet(folder)
    _NET["prototxt"] = prototxt
    return [weights]


def _caffe_hdf5_seeds(folder: Path) -> list[Path]:
    from tests import helpers

    prototxt, weights = helpers.model(helpers.LENET).save(folder / "net.prototxt", folder / "net.caffemodel.h5")
    _NET["prototxt"] = prototxt
    return [weights]


def _weights(path: Path) -> None:
    model = fullconv.load(_NET["prototxt"], weights=path)
    model.cast().run(np.zeros((1, *model.image_shape), np.float32))


def _mean_seeds(folder: Path) -> list[Path]:
    seeds = []
    for i, shape in enumerate([(1, 3, 4, 5), (1, 1, 2, 2), (3, 1, 1, 1)]):
        blob = caffe_pb2.BlobProto()
        blob.data.extend(np.linspace(0, 255, int(np.prod(shape))).tolist())
        blob.num, blob.channels, blob.height, blob.width = shape
        if i == 1:
            blob.shape.dim.extend(shape)
        seeds.append(_written(folder / f"{i}.binaryproto", blob.SerializeToString()))
    return seeds


def _mean(path: Path) -> None:
    from fullconv.rasters.preprocess import mean_file

    if not np.isfinite(mean_file(path)).all():
        raise fullconv.BadInput("not finite, and the caller is told")


# Keras and PyTorch --------------------------------------------------------------------------------


def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


def _keras_seeds(suffix: str) -> Callable[[Path], list[Path]]:
    def seeds(folder: Path) -> list[Path]:
        _keras()
        from tests.formats.keras.test_keras import EXACT

        paths = []
        for i, name in enumerate(list(EXACT)[:4]):
            path = folder / f"{i}{suffix}"
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the older format
                EXACT[name]().save(path)
            paths.append(path)
        return paths

    return seeds


def _program_seeds(folder: Path) -> list[Path]:
    import torch
    from tests.formats.torch.nets import EXACT

    torch.manual_seed(0)
    names = ["flatten", "global average"]
    return [
        path
        for i, n in enumerate(names)
        for path in fullconv.load(EXACT[n]().eval(), input_shape=SHAPE).save(folder / f"{i}.pt2")
    ]


def _state_seeds(suffix: str) -> Callable[[Path], list[Path]]:
    def seeds(folder: Path) -> list[Path]:
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(0)
        state = small().state_dict()
        path = folder / f"net{suffix}"
        if suffix == ".safetensors":
            save_file(state, path)
            return [path]
        torch.save({"state_dict": state, "epoch": 3, "name": "net"}, path)
        old = folder / f"old{suffix}"
        torch.save(state, old, _use_new_zipfile_serialization=False)
        return [path, old]

    return seeds


def small() -> Any:
    """A module that checkpoints are read into."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


def _state(path: Path) -> None:
    from fullconv.formats.torch.checkpoint import read_tensors
    from fullconv.formats.torch.readings import Weights
    from fullconv.formats.torch.source import build

    build("fuzz.readers:small", Weights(path, read_tensors(path)))


# Results, labels, preprocessing -------------------------------------------------------------------


def _result_seeds(folder: Path) -> list[Path]:
    from tests import helpers

    model = helpers.model(helpers.LENET)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
    fullconv.map(model, pixels, preprocess="unit").save(folder / "map.npz")
    return [folder / "map.npz"]


def _result(path: Path) -> None:
    found = fullconv.ClassMap.load(path)
    str(found.best)
    found.peaks(0)


def _label_seeds(folder: Path) -> list[Path]:
    texts = [
        b"zero\none\ntwo\n",
        "n01 cat, puss\nn02 dög\nn03 fox\n".encode(),
        b'["a", "b", "c"]',
        b'{"0": "a", "1": "b", "2": "c"}',
    ]
    suffixes = ["txt", "txt", "json", "json"]
    return [_written(folder / f"{i}.{s}", t) for i, (t, s) in enumerate(zip(texts, suffixes, strict=True))]


def _labels(path: Path) -> None:
    from fullconv.maps.classmap import read_labels

    labels = read_labels(path, 3)
    if len(labels) != 3 or not all(isinstance(label, str) for label in labels):
        raise AssertionError(f"labels of three classes are {labels!r}")


def _preprocess_seeds(folder: Path) -> list[Path]:
    texts: list[dict[str, Any]] = [
        {"channels": "RGB", "scale": 0.00392, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]},
        {"channels": "grey", "scale": 1.0, "mean": 33.0},
        {"channels": "BGR", "mean": [104, 117, 123]},
    ]
    return [_written(folder / f"{i}.json", json.dumps(t).encode()) for i, t in enumerate(texts)]


def _preprocess(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    given = fullconv.Preprocess.of(path)
    given.apply(pixels)


def _onnx_fields(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return mutate.fields(onnx.ModelProto)(data, random, others)


_NET_PROTO = mutate.fields(caffe_pb2.NetParameter)
_CONFIG = mutate.archive(mutate.either(mutate.damaged, mutate.hdf5))

TARGETS = {
    target.name: target
    for target in (
        Target("onnx", ".onnx", _onnx_seeds, mutate.either(mutate.damaged, _onnx_fields, _onnx_fields), _cast),
        Target("prototxt", ".prototxt", _prototxt_seeds, mutate.either(mutate.text, mutate.text, mutate.damaged), _cast),
        Target("caffemodel", ".caffemodel", _caffemodel_seeds, mutate.either(mutate.damaged, _NET_PROTO), _weights),
        Target("caffe-hdf5", ".h5", _caffe_hdf5_seeds, mutate.either(mutate.damaged, mutate.hdf5, mutate.hdf5), _weights),
        Target("mean", ".binaryproto", _mean_seeds, mutate.either(mutate.damaged, mutate.fields(caffe_pb2.BlobProto)), _mean),
        Target("keras", ".keras", _keras_seeds(".keras"), mutate.either(mutate.damaged, _CONFIG, _CONFIG), _cast, 60, 12),
        Target("keras-h5", ".h5", _keras_seeds(".h5"), mutate.either(mutate.damaged, mutate.hdf5, mutate.hdf5), _cast, 60, 12),
        Target("pt2", ".pt2", _program_seeds, mutate.either(mutate.damaged, mutate.archive(mutate.damaged)), _cast, 60, 12),
        Target("checkpoint", ".pt", _state_seeds(".pt"), mutate.either(mutate.damaged, mutate.archive(mutate.damaged)), _state, 30, 12),
        Target("safetensors", ".safetensors", _state_seeds(".safetensors"), mutate.damaged, _state, 30, 12),
        Target("results", ".npz", _result_seeds, mutate.either(mutate.damaged, mutate.archive(mutate.damaged)), _result),
        Target("stores", ".zip", stores.seeds, mutate.archive(mutate.either(mutate.damaged, mutate.document)), stores.read),
        Target("labels", ".txt", _label_seeds, mutate.either(mutate.damaged, mutate.text, mutate.document), _labels),
        Target("preprocess", ".json", _preprocess_seeds, mutate.either(mutate.damaged, mutate.document, mutate.document), _preprocess),
        Target("networks", ".onnx", networks.seeds, networks.drawn, networks.judged, 60),
        Target("edits", ".onnx", networks.edit_seeds, networks.edited, networks.judged, 60),
        *images.TARGETS,
    )
}  # fmt: skip
