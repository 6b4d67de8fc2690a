"""Average pools that pad one side more: as TensorFlow and JAX compute them, held against their definition."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import pytest
from keras import layers

import fullconv
from fullconv.formats.keras.pooling import uneven
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2


def means(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """The mean of what lies in each window of (n, c, h, w), padded as SAME pads."""
    starts = []
    for size in x.shape[2:]:
        before, _ = uneven(size, kernel, stride)
        starts.append([i * stride - before for i in range(-(-size // stride))])
    rows = [
        np.stack([x[:, :, max(0, r) : r + kernel, max(0, c) : c + kernel].mean((2, 3)) for c in starts[1]], -1)
        for r in starts[0]
    ]
    return np.stack(rows, 2)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), (2, 1), (4, 1), (4, 2), (5, 3), (4, 3), (3, 1)])
@pytest.mark.parametrize("size", [(12, 13), (15, 14)])
def test_what_is_padded_is_no_part_of_a_mean(tmp_path: Path, kernel: int, stride: int, size: tuple[int, int]) -> None:
    net = keras.Sequential([layers.Input((*size, 3)), layers.AveragePooling2D(kernel, stride, padding="same")])
    net.save(tmp_path / "net.keras")
    model = fullconv.load(tmp_path / "net.keras")
    x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
    (found,) = model.run(x).values()
    expected = means(x, kernel, stride)
    assert worst(found.transpose(0, 3, 1, 2) if found.shape[-1] == 3 else found, expected) < 1e-6
    changes = any(len(set(uneven(n, kernel, stride))) > 1 for n in size)
    assert any("pad one side more" in note for note in model.notes) == changes


def classifier() -> keras.Model:
    parts = [layers.Conv2D(4, 3), layers.AveragePooling2D(3, 2, padding="same"), layers.Flatten(), layers.Dense(3)]
    return keras.Sequential([layers.Input((18, 18, 3)), *parts])


def test_a_classifier_with_such_a_pool_is_cast(tmp_path: Path) -> None:
    net = classifier()
    net.save(tmp_path / "net.keras")
    model = fullconv.load(tmp_path / "net.keras")
    image = np.random.default_rng(1).random((1, 3, 30, 34), np.float32)
    (cells,) = model.cast().run(image).values()
    grid = model.cast().sampling().over((30, 34))
    assert cells.shape[2:] == (grid.rows, grid.cols)
    kernel, bias = net.layers[0].get_weights()
    dense, offset = net.layers[-1].get_weights()
    crop = image[:, :, :18, :18]
    windows = np.lib.stride_tricks.sliding_window_view(crop, (3, 3), (2, 3))
    maps = np.einsum("nchwij,ijco->nohw", windows, kernel) + bias[:, None, None]
    expected = means(maps, 3, 2).transpose(0, 2, 3, 1).reshape(1, -1) @ dense + offset
    first = model.cast().run(np.ascontiguousarray(crop))
    assert worst(next(iter(first.values()))[:, :, 0, 0], expected) < 1e-5


def test_what_pytorch_trained_stays_as_it_is(tmp_path: Path) -> None:
    """HDF5 says which backend wrote it; a model in memory is its user's, and what the backends part in is told."""
    net = classifier()
    net.save(tmp_path / "net.h5")
    x = np.random.default_rng(0).random((1, 3, 18, 18), np.float32)
    own = net(x.transpose(0, 2, 3, 1)).detach().numpy()
    for source in (tmp_path / "net.h5", net):
        model = fullconv.load(source)
        assert worst(next(iter(model.run(x).values())), own) < 1e-5
        assert any("as Keras on PyTorch does" in note for note in model.notes)
