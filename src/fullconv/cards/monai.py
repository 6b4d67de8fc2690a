"""A bundle of MONAI (of a classification) as a card: its TorchScript or ONNX file, and what its configurations say. None of its expressions is evaluated.

Names and sizes are those of ``configs/metadata.json``. What is done to pixels is what ``configs/inference`` lists, step by step: the metadata's range of
values is what files of images hold or what the network gets, as its author took it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.errors import BadInput
from fullconv.rasters.preprocess import Preprocess

METADATA = Path("configs") / "metadata.json"
_INFERENCE = Path("configs") / "inference.json"
_NETWORKS = ("models/model.ts", "models/model.onnx")
# Steps that change no pixel, or are done to every image that is read anyway.
_NOTHING = {
    "loadimage", "aschannelfirst", "ensurechannelfirst", "addchannel", "ensuretype", "casttotype", "totensor", "squeezedim", "identity",
}  # fmt: skip
_SIZES = ("resize", "centerspatialcrop", "resizewithpadorcrop", "spatialpad")


def monai_card(folder: Path, read: Callable[[Path], Mapping[str, Any]]) -> tuple[Card, tuple[str, ...]]:
    """The card of a bundle, and what was decided in reading it.

    Args:
        read: reads a file of JSON.

    Raises:
        BadInput: it holds no network that is read, is no classification, or does to pixels what is not the same for each.
    """
    about = folder / METADATA
    metadata = read(about)
    takes, gives = _data_format(metadata, about)
    network = next((folder / name for name in _NETWORKS if (folder / name).is_file()), None)
    if network is None:
        raise BadInput(
            f"{folder}: holds neither {' nor '.join(_NETWORKS)}, and networks of MONAI are not built here; make it: python -m monai.bundle ckpt_export "
            f"network_def --filepath {folder / _NETWORKS[0]} --ckpt_file {folder}/models/model.pt --meta_file {about} --config_file {folder / _INFERENCE}"
        )
    if not (folder / _INFERENCE).is_file():
        raise BadInput(
            f"{folder / _INFERENCE}: no such file, so that nothing says what is done to pixels; name {network} as MODEL with a card of your own"
        )
    inference = read(folder / _INFERENCE)
    steps = _Steps(f"{folder / _INFERENCE}", str(network))
    for name, values in _listed(inference, "preprocessing", "image"):
        steps.take(name, values)
    activation = None
    for name, values in _listed(inference, "postprocessing", "pred"):
        if name == "activations":
            activation = (
                "softmax" if values.get("softmax") is True else "sigmoid" if values.get("sigmoid") is True else None
            )
    size = takes.get("spatial_shape")
    whole = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    channels = takes.get("num_channels")
    shape = (channels, size[0], size[1]) if whole and size is not None and type(channels) is int else None
    card = Card(
        str(about), network=str(network), input_shape=shape, preprocess=steps.preprocess(takes), classes=_classes(gives, about),
        activation=activation, source=f"{metadata.get('name', metadata.get('task', 'a bundle of MONAI'))}, version {metadata.get('version', '?')}",
    )  # fmt: skip
    return card, steps.remarks


class _Steps:
    """What is done to pixels, in order: value = pixel · factor + offset, each channel."""

    def __init__(self, where: str, network: str) -> None:
        self._where, self._network = where, network
        self._factor, self._offset = [1.0], [0.0]
        self.remarks: tuple[str, ...] = ()

    def take(self, name: str, values: Mapping[str, Any]) -> None:
        if name in _NOTHING:
            return
        if name in _SIZES:
            size = values.get("spatial_size", values.get("roi_size"))
            self.remarks = (
                *self.remarks,
                f"{self._where}: brings images to {size} by {name}, which a map does not: give the resolution that crops had then with --mpp or --level",
            )
        elif name == "scaleintensityrange":
            a, b, low, high = (self._numbers(name, values, key)[0] for key in ("a_min", "a_max", "b_min", "b_max"))
            if a == b:
                raise self._refused(name, "has a range of nothing")
            factor = (high - low) / (b - a)
            self._then([factor], [low - a * factor])
        elif name == "normalizeintensity" and values.get("subtrahend") is not None and not values.get("nonzero"):
            means = self._numbers(name, values, "subtrahend")
            stds = self._numbers(name, {"divisor": 1.0, **values}, "divisor")
            if not all(stds):
                raise self._refused(name, "divides by 0")
            count = max(len(means), len(stds))
            means, stds = (each * count if len(each) == 1 else each for each in (means, stds))
            self._then([1 / std for std in stds], [-mean / std for mean, std in zip(means, stds, strict=True)])
        else:
            raise self._refused(name, "is no step that is the same for every pixel")

    def preprocess(self, takes: Mapping[str, Any]) -> Preprocess:
        """All steps as one: (pixel - mean) / std."""
        stds = tuple(1 / factor for factor in self._factor)
        means = tuple(-offset / factor for offset, factor in zip(self._offset, self._factor, strict=True))
        made = Preprocess(mean=means, std=stds)
        defined = takes.get("channel_def")
        order = [str(defined.get(str(i)))[:1].upper() for i in range(3)] if isinstance(defined, dict) else []
        if takes.get("num_channels") == 1:
            return replace(made, channels="grey")
        return replace(made, channels="BGR") if order == ["B", "G", "R"] else made

    def _then(self, factors: list[float], offsets: list[float]) -> None:
        count = max(len(factors), len(self._factor))
        each = [side * count if len(side) == 1 else side for side in (self._factor, self._offset, factors, offsets)]
        if len({len(side) for side in each}) != 1:
            raise self._refused("a step", "is of another number of channels than the one before")
        self._factor = [a * b for a, b in zip(each[0], each[2], strict=True)]
        self._offset = [a * b + c for a, b, c in zip(each[1], each[2], each[3], strict=True)]
        if not all(self._factor):
            raise self._refused("a step", "makes every pixel the same")

    def _numbers(self, name: str, values: Mapping[str, Any], key: str) -> list[float]:
        value = values.get(key)
        given: list[Any] = value if isinstance(value, list) else [value]
        if not given or not all(isinstance(number, int | float) and not isinstance(number, bool) for number in given):
            raise self._refused(name, f"has {key} {value!r:.60}, which is no number")
        return [float(number) for number in given]

    def _refused(self, name: str, why: str) -> BadInput:
        return BadInput(
            f"{self._where}: its step {name!r} {why}; name {self._network} as MODEL, and say what goes in with --preprocess or a card"
        )


def _data_format(metadata: Mapping[str, Any], where: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the one image is that goes in, and what comes out of it."""
    found = metadata.get("network_data_format")
    sides = [found.get(side) if isinstance(found, dict) else None for side in ("inputs", "outputs")]
    each = [next(iter(side.values())) if isinstance(side, dict) and len(side) == 1 else None for side in sides]
    if not isinstance(each[0], dict) or not isinstance(each[1], dict):
        raise BadInput(f"{where}: its network_data_format is not of one image in and one answer out")
    if each[1].get("format") not in ("classes", "classification", "labels") and each[1].get("type") not in (
        "probabilities", "probability", "classification",
    ):  # fmt: skip
        raise BadInput(
            f"{where}: its network gives {each[1].get('type')!r} of the format {each[1].get('format')!r}, and no classes"
        )
    return each[0], each[1]


def _classes(gives: Mapping[str, Any], where: Path) -> tuple[Kind, ...]:
    defined, count = gives.get("channel_def"), gives.get("num_channels")
    if not isinstance(defined, dict) or not defined:
        return ()
    names = [defined.get(str(i)) for i in range(len(defined))]
    if not all(isinstance(name, str) for name in names) or (type(count) is int and count != len(names)):
        raise BadInput(f"{where}: its channel_def does not name every one of {count} outputs from 0 on")
    return tuple(Kind(str(name)) for name in names)


def _listed(data: Mapping[str, Any], part: str, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The steps of a part that are done to this key: name in small letters without the d of dictionaries, and arguments."""
    found = data.get(part)
    steps = found.get("transforms") if isinstance(found, dict) else found
    for step in steps if isinstance(steps, list) else ():
        if not isinstance(step, dict) or step.get("_disabled_") is True:
            continue
        keys = step.get("keys", key)
        if key in (keys if isinstance(keys, list) else [keys]) or str(keys).startswith(("$", "@")):
            name = str(step.get("_target_", "")).rpartition(".")[2].lower()
            yield name.removesuffix("dict").removesuffix("d") if name != "identity" else name, step
