"""Files of Keras 1 and 2: repaired as data, their weights laid anew; what Keras 3 computes otherwise is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import layers

import fullconv
from fullconv.errors import BadInput
from tests.conftest import worst
from tests.formats.keras.old import keras1, keras2, named, written

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2


def lively(model: keras.Model) -> keras.Model:
    """Statistics and scales that are not those of a fresh model."""
    random = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(
            random.uniform(0.2, 1, variable.shape)
            if len(variable.shape) == 1
            else random.normal(0, 0.4, variable.shape)
        )
    return model


def agrees(path: Path, original: keras.Model, shape: tuple[int, int, int]) -> fullconv.Model:
    """The file read, whose answer is the model's."""
    values = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    last = original.inputs[0].shape[-1] == shape[0]
    with torch.no_grad():
        given = values.transpose(0, 2, 3, 1) if last else values
        expected = original(torch.from_numpy(np.ascontiguousarray(given))).detach().numpy()
    model = fullconv.load(path)
    assert worst(next(iter(model.run(values).values())), expected) < 1e-5
    return model


def teachable(tmp_path: Path, swap: bool = False) -> tuple[Path, keras.Model]:
    """A model as Teachable Machine writes it: a functional body and two heads in Sequentials of Sequentials."""
    x = layers.Input((16, 16, 3))
    y = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    y = layers.Conv2D(4, 3, strides=2, use_bias=False, name="Conv1")(y)
    y = layers.BatchNormalization(name="bn")(y)
    y = layers.ReLU(6.0, name="relu")(y)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="dw")(y)
    y = layers.Add(name="add")([y, y])
    y = layers.GlobalAveragePooling2D()(y)
    y = layers.Dense(6, activation="relu", name="d1")(y)
    original = lively(keras.Model(x, layers.Dense(3, activation="softmax", use_bias=False, name="d2")(y)))
    part = {name: original.get_layer(name) for name in ("Conv1", "bn", "dw", "d1", "d2")}
    body = {
        "name": "model1",
        "layers": [
            keras2("InputLayer", "input_1", [], batch_input_shape=[None, 16, 16, 3], sparse=False, ragged=False),
            keras2("ZeroPadding2D", "pad", ["input_1"], padding=[[0, 1], [0, 1]], data_format="channels_last"),
            keras2("Conv2D", "Conv1", ["pad"], filters=4, kernel_size=[3, 3], strides=[2, 2], use_bias=False),
            keras2("BatchNormalization", "bn", ["Conv1"], axis=[3], momentum=0.99, epsilon=1e-3, center=True, scale=True),
            keras2("ReLU", "relu", ["bn"], max_value=6.0, negative_slope=0.0, threshold=0.0),
            keras2("DepthwiseConv2D", "dw", ["relu"], kernel_size=[3, 3], padding="same", use_bias=False, depth_multiplier=1),
            keras2("Add", "add", ["dw", "dw"]),
        ],
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["add", 0, 0]],
    }  # fmt: skip
    first = [
        keras2("InputLayer", "model1_input", batch_input_shape=[None, 16, 16, 3], sparse=False, ragged=False),
        {"class_name": "Functional", "config": body},
        keras2("GlobalAveragePooling2D", "gap", data_format="channels_last"),
    ]
    second = [
        keras2("Dense", "d1", units=6, activation="relu", batch_input_shape=[None, 4]),
        keras2("Dense", "d2", units=3, activation="softmax", use_bias=False),
    ]
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "sequential_4",
            "layers": [
                keras2("InputLayer", "sequential_1_input", batch_input_shape=[None, 16, 16, 3], sparse=False, ragged=False),
                {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": first}},
                {"class_name": "Sequential", "config": {"name": "sequential_3", "layers": second}},
            ],
        },
    }  # fmt: skip
    body_weights = [
        *named(part["Conv1"], "kernel"),
        *named(part["bn"], "gamma", "beta", "moving_mean", "moving_variance"),
        *named(part["dw"], "depthwise_kernel"),
    ]
    order = [0, 1, 2, 5, 3, 4]  # what trains first, as Keras 2 stores nested models
    if swap:
        order = [0, 2, 1, 5, 3, 4]
    weights = {
        "sequential_1": [body_weights[i] for i in order],
        "sequential_3": [*named(part["d1"], "kernel", "bias"), *named(part["d2"], "kernel")],
    }
    return written(tmp_path / "keras_model.h5", config, weights, keras_version="2.4.0", backend="tensorflow"), original


def test_a_model_of_teachable_machine(tmp_path: Path) -> None:
    path, original = teachable(tmp_path)
    model = agrees(path, original, (3, 16, 16))
    assert not model.plan.refusals
    assert not model.notes


def test_weights_in_another_order_than_their_names_are_refused(tmp_path: Path) -> None:
    path, _ = teachable(tmp_path, swap=True)
    with pytest.raises(BadInput, match="where Keras 3 expects its gamma"):
        fullconv.load(path)


def of_keras1(tmp_path: Path, *, ordering: str, **attributes: str) -> tuple[Path, keras.Model]:
    """A Sequential of Keras 1: a list of layers, the first with its input's shape; kernels as (outputs, inputs, rows, columns) with ``th``."""
    planes = ordering == "th"
    shape, data_format = ((3, 12, 11), "channels_first") if planes else ((12, 11, 3), "channels_last")
    original = lively(
        keras.Sequential(
            [
                layers.Input(shape),
                layers.ZeroPadding2D((1, 2), data_format=data_format),
                layers.Conv2D(4, (3, 2), strides=(1, 2), activation="relu", data_format=data_format, name="conv"),
                layers.BatchNormalization(axis=1 if planes else -1, epsilon=1e-3, name="bn"),
                layers.LeakyReLU(negative_slope=0.3),
                layers.MaxPooling2D(2, data_format=data_format),
                layers.Flatten(),
                layers.Dense(5, name="dense"),
            ]
        )
    )
    config = {
        "class_name": "Sequential",
        "config": [
            keras1("ZeroPadding2D", "zeropadding2d_1", padding=[1, 2], dim_ordering=ordering, batch_input_shape=[None, *shape], input_dtype="float32"),
            keras1("Convolution2D", "convolution2d_1", nb_filter=4, nb_row=3, nb_col=2, subsample=[1, 2], border_mode="valid", dim_ordering=ordering, activation="relu"),
            keras1("BatchNormalization", "batchnormalization_1", mode=0, axis=1 if planes else -1, epsilon=1e-3, momentum=0.99, gamma_regularizer=None, beta_regularizer=None),
            keras1("LeakyReLU", "leakyrelu_1", alpha=0.3),
            keras1("MaxPooling2D", "maxpooling2d_1", pool_size=[2, 2], strides=[2, 2], border_mode="valid", dim_ordering=ordering),
            keras1("Dropout", "dropout_1", p=0.5),
            keras1("Flatten", "flatten_1"),
            keras1("Dense", "dense_1", output_dim=5, input_dim=60),
        ],
    }  # fmt: skip
    kernel, bias = original.get_layer("conv").get_weights()
    if attributes.get("backend") == "theano":
        kernel = kernel[::-1, ::-1]
    weights = {
        "convolution2d_1": [
            ("convolution2d_1_W", kernel.transpose(3, 2, 0, 1) if planes else kernel), ("convolution2d_1_b", bias)
        ],
        "batchnormalization_1": [
            (f"batchnormalization_1_{name}", value)
            for name, value in zip(
                ("gamma", "beta", "running_mean", "running_std"), original.get_layer("bn").get_weights(), strict=True
            )
        ],
        "dense_1": named(original.get_layer("dense"), "W", "b", stem="dense_1_{part}"),
    }  # fmt: skip
    return written(tmp_path / "old.h5", config, weights, **attributes), original


@pytest.mark.parametrize("ordering", ["th", "tf"])
@pytest.mark.parametrize(
    "attributes", [{}, {"keras_version": "1.2.2"}, {"keras_version": "1.2.2", "backend": "theano"}]
)
def test_a_sequential_of_keras_1(tmp_path: Path, ordering: str, attributes: dict[str, str]) -> None:
    path, original = of_keras1(tmp_path, ordering=ordering, **attributes)
    model = agrees(path, original, (3, 12, 11))
    assert not model.plan.refusals
    assert bool(model.notes) == ("backend" not in attributes)
    if model.notes:
        assert "does not say which backend trained it" in model.notes[0]


def test_kernels_of_theano_are_turned_round(tmp_path: Path) -> None:
    original = lively(
        keras.Sequential(
            [layers.Input((8, 8, 2)), layers.Conv2D(3, 3, name="c"), layers.Flatten(), layers.Dense(2, name="d")]
        )
    )
    config = {
        "class_name": "Sequential",
        "config": [keras2("Conv2D", "c", filters=3, kernel_size=[3, 3], batch_input_shape=[None, 8, 8, 2]), keras2("Flatten", "f"), keras2("Dense", "d", units=2)],
    }  # fmt: skip
    kernel, bias = original.get_layer("c").get_weights()
    weights = {
        "c": [("c/kernel:0", kernel[::-1, ::-1]), ("c/bias:0", bias)],
        "d": named(original.get_layer("d"), "kernel", "bias"),
    }
    agrees(written(tmp_path / "t.h5", config, weights, keras_version="2.1.3", backend="theano"), original, (2, 8, 8))


@pytest.mark.parametrize(
    ("mode", "joined"),
    [
        ("sum", layers.Add),
        ("mul", layers.Multiply),
        ("ave", layers.Average),
        ("max", layers.Maximum),
        ("concat", layers.Concatenate),
    ],
)
def test_branches_of_keras_1_merge(tmp_path: Path, mode: str, joined: type) -> None:
    x = layers.Input((8, 8, 2))
    a, b = (layers.Conv2D(3, 3, name=name)(x) for name in "ab")
    y = joined()([a, b])
    original = lively(keras.Model(x, layers.Dense(4, name="d")(layers.GlobalAveragePooling2D()(y))))

    def node(layer: dict[str, Any], *inbound: str) -> dict[str, Any]:
        return layer | {
            "name": layer["config"]["name"],
            "inbound_nodes": [[[each, 0, 0] for each in inbound]] if inbound else [],
        }

    def convolution(name: str) -> dict[str, Any]:
        return keras1(
            "Convolution2D",
            name,
            nb_filter=3,
            nb_row=3,
            nb_col=3,
            subsample=[1, 1],
            border_mode="valid",
            dim_ordering="tf",
        )

    config = {
        "class_name": "Model",
        "config": {
            "name": "model_1",
            "layers": [
                node({"class_name": "InputLayer", "config": {"batch_input_shape": [None, 8, 8, 2], "input_dtype": "float32", "sparse": False, "name": "input_1"}}),
                node(convolution("a"), "input_1"),
                node(convolution("b"), "input_1"),
                node({"class_name": "Merge", "config": {"name": "m", "mode": mode, "mode_type": "raw", "concat_axis": -1, "dot_axes": -1, "output_shape": None}}, "a", "b"),
                node(keras1("GlobalAveragePooling2D", "g", dim_ordering="tf"), "m"),
                node(keras1("Dense", "d", output_dim=4, input_dim=None), "g"),
            ],
            "input_layers": [["input_1", 0, 0]],
            "output_layers": [["d", 0, 0]],
        },
    }  # fmt: skip
    weights = {name: named(original.get_layer(name), "W", "b", stem="{layer}_{part}") for name in ("a", "b", "d")}
    model = agrees(written(tmp_path / "m.h5", config, weights, keras_version="1.2.0"), original, (2, 8, 8))
    assert not model.plan.refusals


REFUSED = {
    "hard_sigmoid": (keras2("Dense", "x", units=2, activation="hard_sigmoid"), "which Keras 3 computes otherwise"),
    "hard_sigmoid by its layer": (keras2("Activation", "x", activation="hard_sigmoid"), "which Keras 3 computes otherwise"),
    "normalised by its batch": (keras1("BatchNormalization", "x", mode=2, axis=-1), "mode = 2"),
    "no layer of Keras 3": (keras2("LocallyConnected2D", "x", filters=2, kernel_size=[3, 3]), "which Keras 3 has not"),
    "an argument of Keras 2's own": (keras2("Conv2D", "x", filters=2, kernel_size=[1, 1], strange=3), "strange = 3"),
    "a merge by code": ({"class_name": "Merge", "config": {"name": "x", "mode": "cos"}}, "merges by 'cos'"),
    "resampled by another grid": (keras2("UpSampling2D", "x", size=[2, 2], interpolation="bilinear"), "whose grid was another one"),
    "full padding": (keras1("Convolution2D", "x", nb_filter=1, nb_row=2, nb_col=2, border_mode="full", dim_ordering="tf"), "'full'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_keras_3_has_not_is_refused_by_the_layers_name(tmp_path: Path, name: str) -> None:
    layer, reason = REFUSED[name]
    version = "1.2.0" if "border_mode" in layer["config"] or "mode" in layer["config"] else "2.2.4"
    first = keras2("InputLayer", "i", batch_input_shape=[None, 8, 8, 2])
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [first, layer]}}
    path = written(tmp_path / "r.h5", config, {}, keras_version=version, backend="tensorflow")
    with pytest.raises(BadInput, match=f"layer 'x' .*{reason}.*tf2onnx"):
        fullconv.load(path)


def test_a_head_of_1x1_convolutions(tmp_path: Path) -> None:
    """MobileNet's: global pool, Reshape to (1, 1, C), a convolution, Reshape to classes."""
    x = layers.Input((12, 12, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2)(x))
    y = layers.Conv2D(5, 1)(layers.Dropout(0.1)(layers.Reshape((1, 1, 4))(y)))
    original = lively(keras.Model(x, layers.Activation("softmax")(layers.Reshape((5,))(y))))
    original.save(tmp_path / "m.keras")
    model = agrees(tmp_path / "m.keras", original, (3, 12, 12))
    assert not model.plan.refusals
    values = np.random.default_rng(2).standard_normal((1, 3, 16, 14)).astype(np.float32)
    full = model.cast()
    (mapped,) = full.run(values).values()
    with torch.no_grad():
        crop = (
            original(torch.from_numpy(np.ascontiguousarray(values[:, :, 2:14, :12].transpose(0, 2, 3, 1))))
            .detach()
            .numpy()
        )
    assert worst(mapped[0, :, 1, 0], crop[0]) < 1e-5


class TestFilesOfStrangers:
    def test_weights_in_another_file(self, tmp_path: Path) -> None:
        path, _ = teachable(tmp_path)
        with h5py.File(tmp_path / "other.h5", "w") as other:
            other["secret"] = np.zeros(3)
        with h5py.File(path, "a") as file:
            file["model_weights"]["x"] = h5py.ExternalLink("other.h5", "secret")
        with pytest.raises(BadInput, match="is a link"):
            fullconv.load(path)

    def test_weights_as_raw_bytes_of_another_file(self, tmp_path: Path) -> None:
        path, _ = teachable(tmp_path)
        (tmp_path / "raw").write_bytes(bytes(64))
        with h5py.File(path, "a") as file:
            file.create_dataset("model_weights/x", shape=(8,), dtype="f4", external=[(tmp_path / "raw", 0, 64)])
        with pytest.raises(BadInput, match="lies in another file"):
            fullconv.load(path)

    def test_more_weights_than_it_holds(self, tmp_path: Path) -> None:
        path, _ = teachable(tmp_path)
        with h5py.File(path, "a") as file:
            file.create_dataset("model_weights/x", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))
        with pytest.raises(BadInput, match=r"4000\.0 GB of weights, which it does not hold"):
            fullconv.load(path)
