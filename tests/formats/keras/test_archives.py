"""Archives (``.keras``) of Keras 2, HDF5 under that name, and layers of Keras 2 that go by another name in Keras 3."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import fullconv
from fullconv.errors import BadInput
from fullconv.formats.keras.archive import filled
from tests.conftest import worst
from tests.formats.keras.old import archived, keras2, named, written
from tests.formats.keras.test_old import agrees, lively

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2
SHAPE = (3, 14, 13)


def two_convolutions() -> keras.Model:
    x = layers.Input((14, 13, 3))
    y = layers.Conv2D(4, 3, name="first")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.LeakyReLU(negative_slope=0.2, name="leaky")(y)
    y = layers.Conv2D(4, 3, name="second")(y)
    y = layers.Flatten(name="flat")(y)
    return lively(keras.Model(x, layers.Dense(3, name="dense")(y)))


def described(**leaky: Any) -> dict[str, Any]:
    """``two_convolutions`` as Keras 2.15 says it."""
    own = {"module": "keras.layers", "registered_name": None, "build_config": {"input_shape": [None, 14, 13, 3]}}
    made = [
        keras2("InputLayer", "input_1", batch_input_shape=[None, 14, 13, 3], sparse=False, ragged=False),
        keras2("Conv2D", "first", filters=4, kernel_size=[3, 3]),
        keras2("BatchNormalization", "norm", axis=[3], momentum=0.99, epsilon=1e-3, center=True, scale=True),
        keras2("LeakyReLU", "leaky", **(leaky or {"alpha": 0.2})),
        keras2("SpatialDropout2D", "drop", rate=0.3, noise_shape=None, seed=None, data_format="channels_last"),
        keras2("Conv2D", "second", filters=4, kernel_size=[3, 3]),
        keras2("Flatten", "flat", data_format="channels_last"),
        keras2("Dense", "dense", units=3),
    ]
    inner = {"name": "sequential", "layers": [each | own for each in made]}
    return {"module": "keras", "class_name": "Sequential", "config": inner, "registered_name": None}


@pytest.mark.parametrize(
    ("version", "stem", "second"),
    [("2.15.0", "layers/", "conv2d_1"), ("2.13.1", "_layer_checkpoint_dependencies/", "conv2d_2"), ("2.15.0", "layers\\", "conv2d_1")],
)  # fmt: skip
def test_an_archive_of_keras_2(tmp_path: Path, version: str, stem: str, second: str) -> None:
    """Also as 2.13 numbered its layers, and as Windows joined names."""
    original = two_convolutions()
    weights = {name: original.get_layer(name).get_weights() for name in ("first", "norm", "second", "dense")}
    groups = {
        f"{stem}conv2d": weights["first"], f"{stem}batch_normalization": weights["norm"], f"{stem}{second}": weights["second"],
        f"{stem}dense": weights["dense"],
    }  # fmt: skip
    model = agrees(archived(tmp_path / "net.keras", described(), groups, version), original, SHAPE)
    assert not model.plan.refusals
    assert not model.notes


def test_weights_that_an_archive_has_not(tmp_path: Path) -> None:
    original = two_convolutions()
    groups = {"layers/conv2d": original.get_layer("first").get_weights()}
    with pytest.raises(BadInput, match="the weights of 1 of 2 layers conv2d"):
        fullconv.load(archived(tmp_path / "net.keras", described(), groups, "2.15.0"))
    groups |= {"layers/conv2d_1": [np.zeros((3, 3, 5, 4)), np.zeros(4)]}
    with pytest.raises(BadInput, match="the weights of layer 'second' are not its own"):
        fullconv.load(archived(tmp_path / "net.keras", described(), groups, "2.15.0"))


def test_no_layer_keeps_the_weights_that_it_was_made_with(tmp_path: Path) -> None:
    """They are random ones."""
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((4, 3))
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3, name="dense")])
    with pytest.raises(BadInput, match=r"layer 'dense' has weights, and its configuration names no such layer"):
        filled(model, {"config": {"layers": []}}, tmp_path / "weights.h5", tmp_path / "weights.h5")


def test_an_archive_whose_weights_lie_elsewhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["kernel"] = np.zeros((3, 3, 3, 4))
    path = archived(tmp_path / "net.keras", described(), {}, "2.15.0")
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(outside), "/kernel")
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights.getvalue())
    with pytest.raises(BadInput, match="is a link"):
        fullconv.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.npz", b"")
    with pytest.raises(BadInput, match="may hold pickled Python"):
        fullconv.load(path)


def test_hdf5_and_archives_under_each_others_names(tmp_path: Path) -> None:
    """Keras before 2.13 wrote HDF5 under ``.keras``."""
    original = two_convolutions()
    weights = {
        "first": named(original.get_layer("first"), "kernel", "bias"),
        "norm": named(original.get_layer("norm"), "gamma", "beta", "moving_mean", "moving_variance"),
        "second": named(original.get_layer("second"), "kernel", "bias"),
        "dense": named(original.get_layer("dense"), "kernel", "bias"),
    }
    agrees(
        written(tmp_path / "old.keras", described(), weights, keras_version="2.12.0", backend="tensorflow"),
        original,
        SHAPE,
    )
    original.save(tmp_path / "new.keras")
    (tmp_path / "new.keras").rename(tmp_path / "new.h5")
    agrees(tmp_path / "new.h5", original, SHAPE)


def functional(path: Path, body: list[dict[str, Any]], end: str, weights: dict[str, Any]) -> Path:
    """A functional model of Keras 2 as HDF5."""
    config = {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": body,
            "input_layers": [["input_1", 0, 0]],
            "output_layers": [[end, 0, 0]],
        },
    }
    return written(path, config, weights, keras_version="2.15.0", backend="tensorflow")


def operation(name: str, function: str, of: str, **arguments: Any) -> dict[str, Any]:
    """An operation of TensorFlow as Keras 2 kept it: its one call without a list around it."""
    config = {"name": f"tf.{name}", "trainable": True, "dtype": "float32", "function": function}
    return {
        "class_name": "TFOpLambda",
        "name": f"tf.{name}",
        "config": config,
        "inbound_nodes": [[of, 0, 0, arguments | {"name": None}]],
    }


def test_operations_of_tensorflow_are_layers(tmp_path: Path) -> None:
    """As ``preprocess_input(inputs)``, hard swish and ``tf.reduce_mean`` come into a file; layers' names may have slashes."""
    x = layers.Input((14, 13, 3))
    y = layers.Conv2D(4, 3, name="conv")(x / 127.5 - 1)
    y = y * layers.ReLU(6.0)(y + 3.0) * (1 / 6)
    y = layers.Dense(3, name="dense")(layers.GlobalAveragePooling2D()(1 - y))
    original = lively(keras.Model(x, y))
    body = [
        keras2("InputLayer", "input_1", [], batch_input_shape=[None, 14, 13, 3], sparse=False, ragged=False),
        operation("truediv", "math.truediv", "input_1", y=127.5),
        operation("subtract", "math.subtract", "tf.truediv", y=1.0),
        keras2("Conv2D", "block/conv", ["tf.subtract"], filters=4, kernel_size=[3, 3]),
        operation("add", "__operators__.add", "block/conv", y=3.0),
        operation("relu6", "nn.relu6", "tf.add"),
        operation("multiply", "math.multiply", "block/conv", y=["tf.relu6", 0, 0]),
        operation("sixth", "math.multiply", "tf.multiply", y=1 / 6),
        operation("from_one", "math.subtract", "_CONSTANT_VALUE", y=["tf.sixth", 0, 0]),
        operation("mean", "math.reduce_mean", "tf.from_one", axis=[1, 2]),
        keras2("Dense", "dense", ["tf.mean"], units=3),
    ]
    body[8]["inbound_nodes"][0][1:3] = [-1, 1.0]
    stored = {
        "block/conv": named(original.get_layer("conv"), "kernel", "bias", stem="block/{layer}/{part}:0"),
        "dense": named(original.get_layer("dense"), "kernel", "bias"),
    }
    model = agrees(functional(tmp_path / "net.h5", body, "dense", stored), original, SHAPE)
    assert any("scales pixels itself" in note for note in model.notes)
    body[5]["config"]["function"] = "image.adjust_hue"
    with pytest.raises(BadInput, match=r"layer 'tf.relu6' is image.adjust_hue"):
        fullconv.load(functional(tmp_path / "other.h5", body, "dense", stored))


def test_a_model_within_a_model_counts_its_calls_from_its_first(tmp_path: Path) -> None:
    """Keras 2 counted the making of an inner model as a call; what augments is nothing to an image that is looked at."""
    inner = keras.Sequential([layers.Conv2D(4, 3, activation="relu", name="conv")], name="body")
    x = layers.Input((14, 13, 3))
    original = lively(
        keras.Model(x, layers.Dense(2, name="dense")(layers.GlobalAveragePooling2D(name="gap")(inner(x))))
    )
    sequential = {
        "class_name": "Sequential", "name": "body", "inbound_nodes": [[["grow", 1, 0, {"training": False}]]],
        "config": {"name": "body", "layers": [
            keras2("InputLayer", "conv_input", batch_input_shape=[None, 14, 13, 3], sparse=False, ragged=False),
            keras2("Conv2D", "conv", filters=4, kernel_size=[3, 3], activation="relu"),
        ]},
    }  # fmt: skip
    grow = {
        "class_name": "Sequential", "name": "grow", "inbound_nodes": [[["input_1", 0, 0, {}]]],
        "config": {"name": "grow", "layers": [keras2("RandomHeight", "taller", factor=0.1, batch_input_shape=[None, 14, 13, 3])]},
    }  # fmt: skip
    body = [
        keras2("InputLayer", "input_1", [], batch_input_shape=[None, 14, 13, 3], sparse=False, ragged=False),
        grow,
        sequential,
        keras2("GlobalAveragePooling2D", "gap", ["body"], data_format="channels_last"),
        keras2("Dense", "dense", ["gap"], units=2),
    ]
    body[3]["inbound_nodes"][0][0][1] = 1
    stored = {
        "body": named(original.get_layer("body").get_layer("conv"), "kernel", "bias"),
        "dense": named(original.get_layer("dense"), "kernel", "bias"),
    }
    agrees(functional(tmp_path / "net.h5", body, "dense", stored), original, SHAPE)


@pytest.mark.parametrize("kind", ["SyncBatchNormalization", "BatchNormalization"])
def test_half_precision_and_synchronised_statistics(tmp_path: Path, kind: str) -> None:
    original = lively(
        keras.Sequential(
            [layers.Input((14, 13, 3)), layers.BatchNormalization(name="norm"), layers.GlobalMaxPooling2D()]
        )
    )
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    config = {
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": [
            keras2(kind, "norm", axis=[3], momentum=0.99, epsilon=1e-3, dtype=policy, batch_input_shape=[None, 14, 13, 3]),
            keras2("GlobalMaxPooling2D", "pool", data_format="channels_last", dtype=policy),
        ]},
    }  # fmt: skip
    stored = {"norm": named(original.get_layer("norm"), "gamma", "beta", "moving_mean", "moving_variance")}
    path = written(tmp_path / "net.h5", config, stored, keras_version="2.15.0", backend="tensorflow")
    assert agrees(path, original, SHAPE).notes == ("computed in mixed_float16 by Keras, and here in float32",)


def test_resampling_by_the_version_that_wrote_it(tmp_path: Path) -> None:
    """2.15 is later than 2.3; what PyTorch resamples otherwise is refused."""
    original = keras.Sequential(
        [layers.Input((14, 13, 3)), layers.UpSampling2D(interpolation="bilinear"), layers.Flatten()]
    )

    def file(how: str) -> Path:
        config = {
            "class_name": "Sequential",
            "config": {"name": "sequential", "layers": [
                keras2("UpSampling2D", "up", size=[2, 2], interpolation=how, data_format="channels_last", batch_input_shape=[None, 14, 13, 3]),
                keras2("Flatten", "flat", data_format="channels_last"),
            ]},
        }  # fmt: skip
        return written(tmp_path / f"{how}.h5", config, {}, keras_version="2.15.0", backend="tensorflow")

    agrees(file("bilinear"), original, SHAPE)
    with pytest.raises(BadInput, match="layer 'up' resamples by bicubic"):
        fullconv.load(file("bicubic"))


@pytest.mark.parametrize("reshaped", [True, False])
def test_rows_and_columns_without_channels_are_grey(tmp_path: Path, reshaped: bool) -> None:
    """As the first network of TensorFlow's own tutorial takes them."""
    inner = [layers.Reshape((14, 13, 1)), layers.Conv2D(3, 3, activation="relu")] if reshaped else []
    original = lively(keras.Sequential([layers.Input((14, 13)), *inner, layers.Flatten(), layers.Dense(4)]))
    original.save(tmp_path / "net.keras")
    model = fullconv.load(tmp_path / "net.keras")
    assert model.image_shape == (1, 14, 13)
    assert model.notes == ("its input has rows and columns and no channels: images go in as grey",)
    image = np.random.default_rng(2).random((1, 1, 17, 18), np.float32)
    (found,) = model.cast().run(image).values()
    for row, col in ((0, 0), (3, 5)):
        crop = image[:, 0, row : row + 14, col : col + 13]
        assert worst(found[:, :, row, col], original(crop).detach().numpy()) < 1e-5


def test_a_damaged_archive_and_one_that_states_no_input(tmp_path: Path) -> None:
    config = described()
    config["config"]["layers"][:2] = [keras2("Conv2D", "first", filters=4, kernel_size=[3, 3])]
    path = archived(tmp_path / "open.keras", config, {}, "2.15.0")
    with pytest.raises(BadInput):
        fullconv.load(path)
    (tmp_path / "bare.keras").write_bytes(
        path.read_bytes().replace(b'"2.15.0"', b'"2.15.1"')
    )  # its checksum is another's
    with pytest.raises(BadInput, match="cannot load it"):
        fullconv.load(tmp_path / "bare.keras")
    with pytest.raises(BadInput, match="not built yet, not one image"):
        fullconv.load(keras.Sequential([layers.Conv2D(4, 3), layers.Flatten()]))
