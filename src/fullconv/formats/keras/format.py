"""Keras behind the Format protocol: reading is its own, a network that was read is one of PyTorch."""

from __future__ import annotations

from typing import Any

from fullconv.formats.format import Reading
from fullconv.formats.keras.read import read_keras
from fullconv.formats.torch.format import Torch
from fullconv.formats.torch.network import TorchNet


class Keras(Torch):
    """The Keras format."""

    name = "keras"

    def read(self, source: Any, reading: Reading) -> TorchNet:
        return read_keras(source, reading)
