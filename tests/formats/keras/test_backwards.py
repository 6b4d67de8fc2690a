"""Colours that a network turns round itself (``preprocess_input`` of ResNet and VGG): what PyTorch's indexing has no word for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import pytest
from keras import layers

import fullconv
from fullconv.errors import BadInput
from tests.conftest import worst
from tests.formats.keras.old import keras2, named
from tests.formats.keras.test_archives import functional, operation
from tests.formats.keras.test_old import agrees, lively

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2
SHAPE = (3, 14, 13)
MEANS = [103.939, 116.779, 123.68]
WHOLE = {"start": None, "stop": None, "step": None}
TURNED = WHOLE | {"step": -1}
ELLIPSIS = {"class_name": "__ellipsis__"}


def body_of(x: Any, name: str = "conv") -> Any:
    y = layers.Conv2D(4, 3, name=name)(x)
    return layers.Dense(3, name="dense")(layers.Flatten(name="flat")(y))


def turned(index: list[Any], **more: Any) -> list[dict[str, Any]]:
    """Layers of Keras 2 of ``preprocess_input(inputs)`` in front of a body."""
    getitem = {
        "class_name": "SlicingOpLambda",
        "name": "tf.__operators__.getitem",
        "config": {"name": "tf.__operators__.getitem", "dtype": "float32", "function": "__operators__.getitem"},
        "inbound_nodes": [["input_1", 0, 0, {"slice_spec": index, **more}]],
    }
    return [
        keras2("InputLayer", "input_1", [], batch_input_shape=[None, 14, 13, 3], sparse=False, ragged=False),
        getitem,
        operation("means", "nn.bias_add", "tf.__operators__.getitem", bias=[-each for each in MEANS]),
        keras2("Conv2D", "conv", ["tf.means"], filters=4, kernel_size=[3, 3]),
        keras2("Flatten", "flat", ["conv"]),
        keras2("Dense", "dense", ["flat"], units=3),
    ]


def original() -> keras.Model:
    x = layers.Input((14, 13, 3))
    return lively(keras.Model(x, body_of(keras.ops.flip(x, axis=-1) - np.array(MEANS, np.float32))))


def weights(model: keras.Model) -> dict[str, Any]:
    return {name: named(model.get_layer(name), "kernel", "bias") for name in ("conv", "dense")}


@pytest.mark.parametrize("index", [[ELLIPSIS, TURNED], [WHOLE, WHOLE | {"step": 1}, WHOLE, TURNED]])
def test_files_of_keras_2(index: list[Any], tmp_path: Path) -> None:
    model = original()
    read = agrees(functional(tmp_path / "net.h5", turned(index, var=None), "dense", weights(model)), model, SHAPE)
    full = read.cast()
    image = np.random.default_rng(0).normal(100, 50, (1, 3, 30, 25)).astype(np.float32)
    found = full.run(image)[full.output()]
    for row, col in ((0, 0), (3, 5), (found.shape[2] - 1, found.shape[3] - 1)):
        crop = np.ascontiguousarray(image[:, :, row : row + 14, col : col + 13])
        assert worst(found[0, :, row, col], next(iter(read.run(crop).values()))[0]) < 1e-5
    assert any("scales pixels itself" in note for note in read.notes)


@pytest.mark.parametrize(
    "index",
    [[ELLIPSIS, WHOLE], [TURNED], [WHOLE, WHOLE, TURNED], [ELLIPSIS, WHOLE | {"step": -2}], [ELLIPSIS, TURNED | {"start": 1}], [ELLIPSIS, 0],
     [WHOLE, WHOLE, TURNED, TURNED]],
)  # fmt: skip
def test_other_cuts_of_keras_2_are_refused(index: list[Any], tmp_path: Path) -> None:
    path = functional(tmp_path / "net.h5", turned(index), "dense", weights(original()))
    with pytest.raises(BadInput, match=r"layer 'tf.__operators__.getitem' is __operators__.getitem of TensorFlow"):
        fullconv.load(path)


@pytest.mark.parametrize(
    ("turn", "axes"),
    [
        (lambda x: x[..., ::-1], [3]),
        (lambda x: x[:, :, :, ::-1], [3]),
        (lambda x: x[:, ::-1], [1]),
        (lambda x: x[:, ::-1, ..., ::-1], [1, 3]),
        (lambda x: x[..., None, ::-1][..., 0, :], [3]),
    ],
)
def test_networks_of_keras_3(turn: Callable[[Any], Any], axes: list[int], tmp_path: Path) -> None:
    """Against the same network over an image that was turned round by NumPy: Keras on PyTorch cannot run it itself."""
    x = layers.Input((14, 13, 3))
    model, plain = keras.Model(x, body_of(turn(x))), keras.Model(x, body_of(x))
    lively(plain)
    model.set_weights(plain.get_weights())
    model.save(tmp_path / "net.keras")
    image = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    last = image.transpose(0, 2, 3, 1)
    wanted = plain.predict(np.flip(last, axes).copy(), verbose=0)
    for source in (tmp_path / "net.keras", model):
        read = fullconv.load(source)
        assert worst(next(iter(read.run(image).values())), wanted) < 1e-5
        assert bool(read.plan.refusals) == (axes != [3])
