"""A folder with a network, its card and an image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from tests.cards.carded import CARD, SIDE, net


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    fullconv.load(net(), input_shape=(3, SIDE, SIDE)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, exported: Path) -> Path:
    shutil.copy(exported, tmp_path / "net.onnx")
    (tmp_path / "model.toml").write_text(CARD)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path
