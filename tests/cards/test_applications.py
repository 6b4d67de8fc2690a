"""Keras's applications by name: Keras's own models from Keras's own cache, with pixels put in as its preprocess_input does."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

os.environ["KERAS_BACKEND"] = "torch"

import h5py
import keras
import numpy as np
import pytest
from keras.src.backend import config
from keras.src.legacy.saving import legacy_h5_format

import fullconv
from fullconv.cards import zoo
from fullconv.cards.zoo import card_of_name
from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.keras import applications
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2


@pytest.mark.parametrize(
    "name", ["ResNet50", "VGG16", "MobileNetV2", "DenseNet121", "EfficientNetB0", "ConvNeXtTiny", "NASNetMobile"]
)
def test_preprocessing_is_the_applications_own(name: str) -> None:
    """Of each of its modes: caffe, tf, torch, and none."""
    maker = applications.maker_of(keras, f"keras:{name}@imagenet")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    module = __import__(maker.__module__, fromlist=["preprocess_input"])
    expected = module.preprocess_input(pixels[None].astype(np.float32), data_format="channels_last")[0].transpose(
        2, 0, 1
    )
    assert worst(applications.preprocessing_of(maker).apply(pixels)[0], expected) < 1e-4


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setattr(config, "keras_home", lambda: str(tmp_path))

    def offline(*given: object, **more: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    (tmp_path / "models").mkdir()
    return tmp_path


def test_a_name_is_a_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = keras.applications.MobileNet

    def small(weights: str | None) -> keras.Model:
        return whole(alpha=0.25, input_shape=(128, 128, 3), weights=weights)

    small.__module__ = whole.__module__
    monkeypatch.setattr(keras.applications, "MobileNet", small)
    with pytest.raises(
        BadInput,
        match=r"are not here and cannot be had.*put https://.*/mobilenet_2_5_128_tf\.h5 at .*models/mobilenet_2_5_128_tf\.h5",
    ):
        fullconv.load("keras:MobileNet@imagenet")
    keras.utils.set_random_seed(0)
    made = small(None)
    with h5py.File(home / "models" / "mobilenet_2_5_128_tf.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, made)
    found = applications.application(keras, "keras:MobileNet@imagenet")
    assert all(np.array_equal(a, b) for a, b in zip(found.get_weights(), made.get_weights(), strict=True))
    (home / "mine.toml").write_text('network = "keras:MobileNet@imagenet"\nthreshold = 0.2\n')
    model = fullconv.load(home / "mine.toml", check=False)
    assert model.image_shape == (3, 128, 128)
    assert model.card.labels[281].startswith("tabby")
    assert model.card.threshold == 0.2
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    values = keras.applications.mobilenet.preprocess_input(pixels[None].astype(np.float32))
    expected = made(values, training=False).detach().numpy()[0]
    assert worst(fullconv.map(model, pixels, by="crops").scores[:, 0, 0], expected) < 1e-6


def test_names_that_are_none() -> None:
    with pytest.raises(BadInput, match="no application of this name; did you mean ResNet50"):
        card_of_name("keras:Resnet50@imagenet", None)
    with pytest.raises(BadInput, match=r"has weights of imagenet for it: keras:ResNet50@imagenet"):
        card_of_name("keras:ResNet50", None)


def test_classes_have_numbers_where_no_library_knows_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Keras alone, without timm and torchvision: the network is whole."""

    def fails(name: str) -> None:
        raise MissingExtra("timm has this list, and is not installed: pip install timm")

    monkeypatch.setattr(zoo, "labels_in", fails)
    card, notes = card_of_name("keras:ResNet50@imagenet", None)
    assert card.classes == ()
    assert card.preprocess == applications.preprocessing_of(keras.applications.ResNet50)
    assert "classes have their numbers alone: timm has this list" in notes[0]
