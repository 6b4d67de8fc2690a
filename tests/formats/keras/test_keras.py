"""Keras networks: files of Keras 2 and 3, in memory; against Keras itself on crops; no code of a file is run."""

from __future__ import annotations

import json
import os
import zipfile
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
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import map_image, run_cast
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2


def image(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, channels, height, width)).astype(np.float32)


def said(model: keras.Model, values: np.ndarray) -> np.ndarray:
    """Keras's own answer for (N, C, H, W)."""
    with torch.no_grad():
        return model(torch.from_numpy(np.ascontiguousarray(values.transpose(0, 2, 3, 1)))).detach().numpy()


def ran(model: fullconv.Model, values: np.ndarray) -> np.ndarray:
    return next(iter(model.run(values).values()))


def sequential(*parts: layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([layers.Input((16, 16, 3)), *parts])


EXACT = {
    "flatten of (h, w, c)": lambda: sequential(layers.Conv2D(4, 3, activation="relu"), layers.MaxPool2D(), layers.Flatten(), layers.Dense(5)),
    "dense layers": lambda: sequential(
        layers.Conv2D(4, 3), layers.MaxPool2D(), layers.Flatten(), layers.Dense(6, activation="relu"), layers.BatchNormalization(),
        layers.Dropout(0.5), layers.Dense(5, activation="softmax"),
    ),
    "global average": lambda: sequential(layers.Conv2D(4, 3, strides=2), layers.LeakyReLU(), layers.GlobalAveragePooling2D(), layers.Dense(5)),
    "global max": lambda: sequential(layers.Conv2D(4, 3, strides=2), layers.GlobalMaxPooling2D(), layers.Dense(5, activation="sigmoid")),
    "separable": lambda: sequential(layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(3), layers.ReLU(6.0), layers.Flatten(), layers.Dense(5)),
    "permuted": lambda: sequential(layers.Conv2D(4, 3), layers.MaxPool2D(), layers.Permute((3, 1, 2)), layers.Flatten(), layers.Dense(5)),
    "rescaled": lambda: sequential(
        layers.Rescaling(1 / 255), layers.Normalization(mean=0.5, variance=0.1), layers.Conv2D(4, 3), layers.PReLU(shared_axes=[1, 2]),
        layers.AveragePooling2D(2), layers.Reshape((196,)), layers.Dense(5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_every_cell_equals_keras_on_its_crop(tmp_path: Path, name: str) -> None:
    original = EXACT[name]()
    path = tmp_path / "net.keras"
    original.save(path)
    model = fullconv.load(path)
    assert model.plan.exactness.startswith("exact"), model.plan
    assert model.image_shape == (3, 16, 16)
    full, values = model.cast(), image(26, 21)
    found, grid = ran(full, values), full.sampling().over((26, 21))
    for row in range(grid.rows):
        for col in range(grid.cols):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            assert worst(found[0, :, row, col], said(original, values[:, :, y0:y1, x0:x1])[0]) < 1e-5


def squeezed(x):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, layers.Dense(4, activation="sigmoid")(layers.Dense(2, activation="relu")(gate))])


INEXACT = {
    "same padding": (lambda x: layers.Conv2D(4, 3, strides=2, padding="same")(x), "padding"),
    "a gate": (lambda x: squeezed(layers.Conv2D(4, 3)(x)), "local pooling"),
    "a shortcut": (lambda x: layers.Add()([layers.Conv2D(4, 1, strides=2, padding="same")(x), layers.MaxPool2D(3, 2, padding="same")(layers.Conv2D(4, 1)(x))]), "padding"),
}  # fmt: skip


@pytest.mark.parametrize("name", INEXACT)
def test_the_map_of_one_crop_is_kerass_answer(name: str) -> None:
    body, cause = INEXACT[name]
    keras.utils.set_random_seed(0)
    x = layers.Input((16, 16, 3))
    original = keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling2D()(body(x))))
    model = fullconv.load(original)
    assert cause in model.plan.exactness
    full, crop = model.cast(), image(16, 16)
    assert worst(ran(full, crop).reshape(1, 5), said(original, crop)) < 1e-5
    rows, cols = full.sampling().cells((37, 30))
    found = run_cast(full, image(37, 30), full.graph.outputs[0])
    assert found.shape[1] >= rows
    assert found.shape[2] >= cols


@pytest.fixture(scope="module")
def old(shared: Path) -> Path:
    return next((shared / "keras" / "face_classification").glob("*.hdf5"))


@pytest.fixture(scope="module")
def old_model(old: Path) -> fullconv.Model:
    return fullconv.load(old)


@pytest.fixture(scope="module")
def old_full(old_model: fullconv.Model) -> fullconv.Model:
    return old_model.cast()


class TestAnOldFile:
    """mini-XCEPTION as Keras 2.0.5 wrote it: HDF5, trained, separable convolutions, SAME padding."""

    def test_it_is_cast_and_answers_as_keras_does(
        self, old: Path, old_model: fullconv.Model, old_full: fullconv.Model
    ) -> None:
        original, model, full = keras.saving.load_model(old, compile=False), old_model, old_full
        crop = image(64, 64, 1)
        assert model.image_shape == (1, 64, 64)
        assert worst(ran(model, crop), said(original, crop)) < 1e-5
        assert worst(ran(full, crop).reshape(1, 7), said(original, crop)) < 1e-5
        values = image(150, 131, 1)
        grid = full.sampling().over((150, 131))
        crops = run_crops(model, values, model.graph.outputs[0], grid)
        assert crops.shape == (7, grid.rows, grid.cols)
        for row, col in ((0, 0), (2, 3)):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            assert worst(crops[:, row, col], said(original, values[:, :, y0:y1, x0:x1])[0]) < 1e-5
        assert map_image(model, np.zeros((150, 131), np.uint8)).scores.shape == crops.shape

    @pytest.mark.parametrize("suffix", [".onnx", pytest.param(".pt2", marks=pytest.mark.long), ".safetensors"])
    def test_it_is_written(self, old_full: fullconv.Model, tmp_path: Path, suffix: str) -> None:
        full = old_full
        written = full.save(tmp_path / f"net{suffix}")
        assert written[0].exists()
        if suffix != ".safetensors":
            again = fullconv.load(written[0], input_shape=(1, 64, 64))
            assert again.is_fully_convolutional
            assert worst(ran(again, image(100, 84, 1)), ran(full, image(100, 84, 1))) < 1e-6

    def test_its_variables_keep_their_names_and_train(self, old_full: fullconv.Model) -> None:
        module = old_full.module
        names = dict(module.named_parameters())
        assert names["conv2d_1.kernel"].shape == (3, 3, 1, 8)
        module(torch.zeros(1, 64, 64, 1)).sum().backward()
        assert all(p.grad is not None for p in names.values())


class TestCodeIsNotRun:
    def test_a_lambda_in_hdf5(self, tmp_path: Path) -> None:
        path = tmp_path / "net.h5"
        config = {
            "class_name": "Sequential",
            "config": {
                "layers": [{"class_name": "Lambda", "config": {"name": "evil", "function": ["4wEAAAA=", None, None]}}]
            },
        }
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
        with pytest.raises(BadInput, match="layer 'evil' is a Lambda, which holds code"):
            fullconv.load(path)

    def test_a_lambda_in_a_keras_file(self, tmp_path: Path) -> None:
        path = tmp_path / "net.keras"
        sequential(
            layers.Conv2D(4, 3), layers.Lambda(lambda x: x * 2, name="twice"), layers.Flatten(), layers.Dense(5)
        ).save(path)
        with pytest.raises(BadInput, match="layer 'twice' is a Lambda"):
            fullconv.load(path)

    def test_a_class_of_another_module(self, tmp_path: Path) -> None:
        good, path = tmp_path / "good.keras", tmp_path / "net.keras"
        sequential(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5)).save(good)
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename == "config.json":
                    config = json.loads(content)
                    config["config"]["layers"][1] |= {"module": "os", "class_name": "system"}
                    content = json.dumps(config).encode()
                new.writestr(item, content)
        with pytest.raises(BadInput, match=r"is os\.system, no part of Keras"):
            fullconv.load(path)


class TestBadFiles:
    @pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n and no more"])
    def test_damaged(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        path = tmp_path / f"net{suffix}"
        path.write_bytes(content)
        with pytest.raises(BadInput, match="truncated or damaged"):
            fullconv.load(path)

    def test_weights_alone(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file.attrs["layer_names"] = ["a"]
        with pytest.raises(BadInput, match="weights alone"):
            fullconv.load(tmp_path / "w.h5")

    def test_an_open_training_size_is_asked_for(self, tmp_path: Path) -> None:
        model = keras.Sequential(
            [layers.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(5)]
        )
        model.save(tmp_path / "net.keras")
        with pytest.raises(BadInput, match="--input-shape"):
            fullconv.load(tmp_path / "net.keras")
        assert fullconv.load(tmp_path / "net.keras", input_shape=(3, 16, 16)).image_shape == (3, 16, 16)

    def test_no_image(self) -> None:
        model = keras.Sequential([layers.Input((7,)), layers.Dense(5)])
        with pytest.raises(BadInput, match="not one image"):
            fullconv.load(model)

    def test_pixels_in_a_row_become_an_image_as_is_said(self) -> None:
        model = keras.Sequential([layers.Input((48,)), layers.Dense(5)])
        with pytest.raises(
            BadInput, match=r"keras\.Sequential\(\[keras\.Input\(\(H, W, C\)\), keras\.layers\.Flatten\(\), model\]\)"
        ):
            fullconv.load(model)
        found = fullconv.load(keras.Sequential([keras.Input((6, 8, 1)), layers.Flatten(), model]))
        image = np.random.default_rng(0).integers(0, 256, (9, 12), np.uint8)
        cells = fullconv.map(found, image, preprocess="unit").scores
        crop = (image[2:8, 1:9] / np.float32(255)).reshape(1, 48)
        expected = keras.ops.convert_to_numpy(model(crop))[0]
        assert np.abs(cells[:, 2, 1] - expected).max() < 1e-5 * np.abs(expected).max()

    def test_weights_beside(self, tmp_path: Path) -> None:
        sequential(layers.Flatten(), layers.Dense(5)).save(tmp_path / "net.keras")
        with pytest.raises(BadInput, match="leave out --weights"):
            fullconv.load(tmp_path / "net.keras", weights=tmp_path / "net.keras")


def test_what_a_network_does_to_pixels_itself_is_told() -> None:
    rescaled = fullconv.load(
        sequential(layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3))
    )
    assert any(
        "scales pixels itself, by its layer" in note and "Rescaling (scale 0.0039" in note for note in rescaled.notes
    )
    assert rescaled.preprocess is not None
    assert rescaled.preprocess.scale == 1
    normal = fullconv.load(
        sequential(layers.Normalization(mean=0.5, variance=0.1), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3))
    )
    assert any("Normalization: a --preprocess that does so too would do it twice" in note for note in normal.notes)
    assert normal.preprocess is None  # of which pixels its mean is, it does not say
    plain = fullconv.load(sequential(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)))
    assert not any("scales pixels itself" in note for note in plain.notes)


@pytest.mark.parametrize(
    ("shape", "body", "image"),
    [
        ((4, 4, 3), [layers.Flatten()], (3, 4, 4)),
        ((3, 32, 3), [layers.Flatten()], (3, 3, 32)),
        ((8, 9, 6), [layers.Flatten()], (6, 8, 9)),
        ((3, 8, 9), [layers.Flatten()], (3, 8, 9)),  # eight rows of nine colours are no image
        ((3, 8, 3), [layers.Flatten(data_format="channels_first")], (3, 8, 3)),
        ((3, 8, 9), [layers.Permute((2, 3, 1)), layers.Conv2D(4, 3), layers.Flatten()], (3, 8, 9)),
        ((8, 9, 6), [layers.Permute((3, 1, 2)), layers.Flatten()], (6, 8, 9)),
        ((4, 8, 8), [layers.Conv2D(4, 3, data_format="channels_first"), layers.Flatten()], (4, 8, 8)),
    ],
)
def test_which_axis_holds_channels(shape: tuple[int, ...], body: list[Any], image: tuple[int, ...]) -> None:
    """Where no layer says so, as Keras has it by default, and not by whatever sizes could be colours."""
    model = keras.Sequential([keras.Input(shape), *body, layers.Dense(5)])
    read = fullconv.load(model)
    assert read.image_shape == image
    values = np.random.default_rng(0).standard_normal((1, *image)).astype(np.float32)
    own = values if image == shape else values.transpose(0, 2, 3, 1)
    assert worst(read.run(values)[read.output()], model.predict(own, verbose=0)) < 1e-5
