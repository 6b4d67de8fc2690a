"""Keras's own applications by name, ``keras:ResNet50@imagenet``: made, fetched and kept by Keras; their preprocessing is measured, not copied."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.preprocess import NAMED, Preprocess

SCHEME = "keras:"
_WEIGHTS = "imagenet"


def application(keras: Any, name: str) -> Any:
    """The model of a name, with its weights.

    Raises:
        BadInput: there is no such application or no such weights, or they are neither in Keras's cache nor to be had.
    """
    maker = maker_of(keras, name)
    try:
        with redirect_stdout(sys.stderr):  # where Keras tells that it downloads
            return maker(weights=_WEIGHTS)
    except Exception as error:  # of the network, or of a file that is damaged
        said = " ".join(str(error).split())
        url = re.search(r"https?://[^\s:]+", said)
        home = Path(import_module("keras.src.backend.config").keras_home()) / "models"
        where = f"put {url[0]} at {home / url[0].rpartition('/')[2]}" if url else f"put its file into {home}"
        raise BadInput(f"{name}: its weights are not here and cannot be had ({said[:200]}); {where}") from None


def maker_of(keras: Any, name: str) -> Any:
    """What makes the model of a name."""
    which, _, weights = name.removeprefix(SCHEME).partition("@")
    known = [each for each in dir(keras.applications) if each[0].isupper()]
    if which not in known:
        near = ", ".join(get_close_matches(which, known, 3))
        raise BadInput(f"{name}: Keras has no application of this name{near and f'; did you mean {near}?'}")
    if weights != _WEIGHTS:
        raise BadInput(f"{name}: Keras has weights of {_WEIGHTS} for it: {SCHEME}{which}@{_WEIGHTS}")
    return getattr(keras.applications, which)


def preprocessing_of(maker: Any) -> Preprocess:
    """What its ``preprocess_input`` does to a pixel, found by asking it for some.

    Raises:
        BadInput: it does what is not the same for every pixel.
    """
    own = import_module(maker.__module__).preprocess_input
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3), np.random.default_rng(0).integers(0, 256, (4, 3))])

    def asked(pixels: Any) -> Any:
        return np.asarray(own(np.array(pixels, np.float32)[:, None, None, :], data_format="channels_last"))[:, 0, 0, :]

    got = asked(probes)
    if np.array_equal(got, probes):
        return NAMED["raw"]
    order = (got[1:4] - got[0]).argmax(axis=0).tolist()
    if order not in ([0, 1, 2], [2, 1, 0]):
        raise BadInput(f"{maker.__module__}: its preprocess_input mixes colours, and is not read")
    scales = [(got[1 + given, i] - got[0, i]) / 255 for i, given in enumerate(order)]
    means, stds = (
        tuple(float(v) for v in side)
        for side in ([-got[0, i] / s for i, s in enumerate(scales)], [1 / s for s in scales])
    )
    found = Preprocess("RGB" if order[0] == 0 else "BGR", mean=means, std=stds)
    if not np.allclose(found.apply(probes[None])[0, :, 0].T, got, atol=1e-4):
        raise BadInput(f"{maker.__module__}: its preprocess_input is not the same for every pixel, and is not read")
    return found
