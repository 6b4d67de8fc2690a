"""What the person who trained a network wrote down of it, as one value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from fullconv.errors import BadInput
from fullconv.rasters.preprocess import Preprocess

ACTIVATIONS = ("softmax", "sigmoid", "none")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of a network.

    Attributes:
        name: its label.
        colour: ``#rrggbb``.
        background: what is of no interest: tissue that is healthy, ground.
    """

    name: str
    colour: str | None = None
    background: bool = False

    def __post_init__(self) -> None:
        if self.colour is not None and not _COLOUR.fullmatch(self.colour):
            raise BadInput(f"colour {self.colour!r} of class {self.name!r}: write it as #rrggbb")


@dataclass(frozen=True, slots=True)
class Card:
    """A model card. What is None (or empty) it does not say.

    Attributes:
        origin: the file that says it, for messages.
        network: a file, or ``torchvision:NAME`` or ``timm:NAME``.
        weights: the weights file, where weights lie apart.
        fingerprint: ``sha256:`` and the digest of the weights file, or of the network's where there is none apart.
        weights_prefix, rename: as for ``fullconv.load``.
        input_shape: (C, H, W) of a crop.
        preprocess: pixels to network input.
        classes: in the network's order.
        output: which output is meant.
        activation: ``softmax`` or ``sigmoid`` behind that output, or ``none``.
        threshold: least score that counts.
        pixel_size: that it was trained at: micrometres of a slide, metres of a scene.
        tolerance: share by which an image's pixels may differ from that.
        bands: of the image, in the network's order: by number, from 1 on, or by name.
        licence, source: for people.
    """

    origin: str
    network: str | None = None
    weights: str | None = None
    fingerprint: str | None = None
    weights_prefix: str | None = None
    rename: tuple[str, ...] = ()
    input_shape: tuple[int, int, int] | None = None
    preprocess: Preprocess | None = None
    classes: tuple[Kind, ...] = ()
    output: str | None = None
    activation: str | None = None
    threshold: float | None = None
    pixel_size: float | None = None
    tolerance: float = 0.05
    bands: tuple[int | str, ...] | None = None
    licence: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if self.activation not in (None, *ACTIVATIONS):
            raise BadInput(f"{self.origin}: activation {self.activation!r}: not one of {', '.join(ACTIVATIONS)}")
        if self.pixel_size is not None and not (isfinite(self.pixel_size) and self.pixel_size > 0):
            raise BadInput(f"{self.origin}: pixel_size {self.pixel_size}: must be a number above 0")
        if not 0 <= self.tolerance < 1:
            raise BadInput(f"{self.origin}: tolerance {self.tolerance}: a share, from 0 to below 1")
        if self.threshold is not None and not isfinite(self.threshold):
            raise BadInput(f"{self.origin}: threshold {self.threshold}: must be a finite number")
        if self.input_shape is not None and (len(self.input_shape) != 3 or min(self.input_shape) < 1):
            raise BadInput(
                f"{self.origin}: input_shape {list(self.input_shape)}: three whole numbers, C, H, W, each at least 1"
            )
        if self.bands is not None and not (
            self.bands and all(band >= 1 if isinstance(band, int) else bool(band.strip()) for band in self.bands)
        ):
            raise BadInput(f"{self.origin}: bands {list(self.bands)}: names, or whole numbers from 1 on")
        if self.fingerprint is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", self.fingerprint):
            raise BadInput(f"{self.origin}: fingerprint {self.fingerprint!r}: sha256: and 64 digits of 0-9a-f")

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, None where it names none."""
        return tuple(kind.name for kind in self.classes) or None

    def to_json(self) -> dict[str, Any]:
        """All that it says, by the names that a file has."""
        said: dict[str, Any] = {
            "network": self.network, "weights": self.weights, "fingerprint": self.fingerprint, "weights_prefix": self.weights_prefix,
            "rename": list(self.rename) or None, "input_shape": None if self.input_shape is None else list(self.input_shape),
            "output": self.output, "activation": self.activation, "threshold": self.threshold, "pixel_size": self.pixel_size,
            "tolerance": self.tolerance if self.pixel_size is not None else None, "bands": None if self.bands is None else list(self.bands),
            "licence": self.licence, "source": self.source, "preprocess": None if self.preprocess is None else _plain(self.preprocess),
            "classes": [_said(kind) for kind in self.classes] or None,
        }  # fmt: skip
        return {key: value for key, value in said.items() if value is not None}


def _plain(preprocess: Preprocess) -> dict[str, Any]:
    return {
        "channels": preprocess.channels,
        "scale": preprocess.scale,
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
    }


def _said(kind: Kind) -> Mapping[str, Any]:
    said: dict[str, Any] = {"name": kind.name}
    if kind.colour is not None:
        said["colour"] = kind.colour
    if kind.background:
        said["background"] = True
    return said
