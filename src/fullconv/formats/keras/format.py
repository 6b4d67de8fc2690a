"""Keras behind the Format protocol: reading is its own; a network that was read is one of PyTorch, and goes on as such."""

from __future__ import annotations

from typing import Any

from fullconv.formats.format import Reading
from fullconv.formats.keras.read import read_keras
from fullconv.formats.torch.format import Torch
from fullconv.formats.torch.network import TorchNet


class Keras:
    """The Keras format."""

    name = "keras"

    def __init__(self) -> None:
        torch = Torch()
        self.suffixes, self.dialect, self.framework = torch.suffixes, torch.dialect, torch.framework
        self.graph, self.batch, self.preprocess, self.notes = torch.graph, torch.batch, torch.preprocess, torch.notes
        self.recorded, self.metadata = torch.recorded, torch.metadata
        self.apply, self.lower, self.write = torch.apply, torch.lower, torch.write
        self.adapt, self.unadapted = torch.adapt, torch.unadapted
        self.trainable, self.with_weights = torch.trainable, torch.with_weights
        self.check, self.accepts, self.resize = torch.check, torch.accepts, torch.resize

    def read(self, source: Any, reading: Reading) -> TorchNet:
        return read_keras(source, reading)
