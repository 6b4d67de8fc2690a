"""A bundle of MONAI (of a classification) as a card: its network, and what its configurations say. None of its expressions is evaluated.

Names and sizes are those of ``configs/metadata.json``. What is done to pixels is what ``configs/inference`` (else the validation of ``configs/train``) lists,
step by step: the metadata's range of values is what files of images hold or what the network gets, as its author took it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fullconv.cards.bundle import Configuration
from fullconv.cards.card import Card, Kind
from fullconv.cards.intensity import Steps
from fullconv.errors import BadInput

METADATA = Path("configs") / "metadata.json"
_CONFIGURATIONS = tuple(
    Path("configs") / f"{name}.{kind}" for name in ("inference", "train") for kind in ("json", "yaml", "yml")
)
_BEFORE = ("preprocessing",), ("validate::preprocessing", "val_preprocessing", "validation::preprocessing")
_BEHIND = ("postprocessing",), ("validate::postprocessing", "val_postprocessing", "postprocessing")
_NETWORKS = ("models/model.ts", "models/model.onnx")
_WEIGHTS = "models/model.pt"
# What MONAI's TorchVisionFCModel changes of nothing but the number of classes: its pool of 7 cells is the whole of a crop of 224.
_POOL = ["avg", {"kernel_size": 7, "stride": 1}]
_RESNETS = re.compile(r"(wide_)?resne(x)?t\d+(_\w+)?", re.ASCII)


def monai_card(folder: Path, read: Callable[[Path], Mapping[str, Any]]) -> tuple[Card, tuple[str, ...]]:
    """The card of a bundle, and what was decided in reading it.

    Args:
        read: reads a file of JSON.

    Raises:
        BadInput: it holds no network that is read, is no classification, or does to pixels what is not the same for each.
    """
    about = folder / METADATA
    metadata = read(about)
    (key, takes), (answer, gives) = _data_format(metadata, about)
    shape = _shape(takes)
    path = next((folder / name for name in _CONFIGURATIONS if (folder / name).is_file()), None)
    if path is None:
        raise BadInput(
            f"{folder / _CONFIGURATIONS[0]}: no such file (nor .yaml, nor train), so that nothing says what is done to pixels; name the network's file as "
            "MODEL with a card of your own"
        )
    said = Configuration(path, read)
    own = path.stem == "inference"
    network, weights = _network(folder, said, shape)
    steps = Steps(str(path), str(network if weights is None else weights))
    before = said.at(*_BEFORE[not own])
    if before is None:
        raise BadInput(
            f"{path}: has no {_BEFORE[not own][0]}, so that nothing says what is done to pixels; name {network} as MODEL, with --preprocess or a card"
        )
    for name, values in said.steps(before, (key, "image"), _BEFORE[not own][0]):
        steps.take(name, values)
    activation, behind = _activation(said, said.at(*_BEHIND[not own]), (answer, "pred"))
    if shape is None and steps.size is not None and type(takes.get("num_channels")) is int:
        shape = (takes["num_channels"], *steps.size)
    card = Card(
        str(about), network=str(network), weights=weights, input_shape=shape, preprocess=steps.preprocess(takes), classes=_classes(gives, about),
        activation=activation, source=f"{metadata.get('name', metadata.get('task', 'a bundle of MONAI'))}, version {metadata.get('version', '?')}",
    )  # fmt: skip
    trained = (
        ()
        if own
        else (f"{path}: its validation says what is done to pixels, since there is no configuration of inference",)
    )
    return card, (*trained, *steps.remarks, *behind)


def _shape(takes: Mapping[str, Any]) -> tuple[int, int, int] | None:
    size, channels = takes.get("spatial_shape"), takes.get("num_channels")
    whole = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    return (
        (channels, size[0], size[1]) if whole and size is not None and type(channels) is int and channels > 0 else None
    )


def _network(folder: Path, said: Configuration, shape: tuple[int, int, int] | None) -> tuple[str, str | None]:
    """The network, and its weights where they lie apart: a file of it, or one of torchvision's that the configuration defines."""
    file = next((folder / name for name in _NETWORKS if (folder / name).is_file()), None)
    if file is not None:
        return str(file), None
    defined = said.at("network_def", "network")
    values = {key: said.value(value) for key, value in defined.items()} if isinstance(defined, Mapping) else {}
    target = str(values.pop("_target_", ""))
    name = _torchvisions(target, values, shape)
    if name is not None:
        if not (folder / _WEIGHTS).is_file():
            raise BadInput(
                f"{folder / _WEIGHTS}: no such file, and {said.path} speaks of its weights ({target}, torchvision's {name}); put it there"
            )
        return f"torchvision:{name}", str(folder / _WEIGHTS)
    what = f" (its network_def is {target!r:.60})" if target else ""
    raise BadInput(
        f"{folder}: holds neither {' nor '.join(_NETWORKS)}, nor {_WEIGHTS} of a network of torchvision's, and networks of MONAI are not built here{what}; make it: "
        f"python -m monai.bundle ckpt_export network_def --filepath {folder / _NETWORKS[0]} --ckpt_file {folder / _WEIGHTS} --meta_file {folder / METADATA} "
        f"--config_file {said.path}"
    )


def _torchvisions(target: str, values: Mapping[str, Any], shape: tuple[int, int, int] | None) -> str | None:
    """The network of torchvision's that a definition makes, but for its number of classes; None where it is another one."""
    asked = {
        key: value for key, value in values.items() if key not in ("num_classes", "pretrained", "weights", "progress")
    }
    library, _, name = target.rpartition(".")
    if library in ("torchvision.models", "models") and name.islower() and not asked:
        return name
    if name != "TorchVisionFCModel":
        return None
    usual: dict[str, Any] = {
        "dim": 2,
        "use_conv": False,
        "pool": _POOL,
        "bias": True,
        "fc_name": "fc",
        "node_name": "",
        "model_name": "resnet18",
    }
    made = {**usual, **asked}
    model = made.pop("model_name")
    is_whole = made["pool"] is None or (made["pool"] == _POOL and shape is not None and shape[1:] == (224, 224))
    plain = (
        all(made[key] == usual[key] for key in made.keys() & usual.keys() - {"pool", "use_conv"})
        and made.keys() <= usual.keys()
    )
    return model if plain and is_whole and isinstance(model, str) and _RESNETS.fullmatch(model) else None


def _activation(said: Configuration, behind: Any, keys: tuple[str, str]) -> tuple[str | None, tuple[str, ...]]:
    """What stands behind the network; and what is to be known where that is not read."""
    found: list[str] = []
    try:
        for name, values in said.steps(behind, keys, "postprocessing") if behind is not None else ():
            if name == "activations":
                asked = [way for way in ("softmax", "sigmoid") if values.get(way) in (True, [True])]
                if len(asked) != 1 or values.get("other") is not None:
                    return None, (
                        f"{said.path}: what its postprocessing does by activations is not read; say it with --activation",
                    )
                found += asked
    except BadInput as error:
        return None, (f"{error}; say what stands behind the network with --activation",)
    return (found[0] if len(found) == 1 else None), ()


def _data_format(
    metadata: Mapping[str, Any], where: Path
) -> tuple[tuple[str, Mapping[str, Any]], tuple[str, Mapping[str, Any]]]:
    """The one image that goes in, and what comes out of it, each by its name."""
    found = metadata.get("network_data_format")
    sides = [found.get(side) if isinstance(found, dict) else None for side in ("inputs", "outputs")]
    each = [next(iter(side.items())) if isinstance(side, dict) and len(side) == 1 else ("", None) for side in sides]
    (name, takes), (answer, gives) = each
    if not isinstance(takes, dict) or not isinstance(gives, dict):
        raise BadInput(f"{where}: its network_data_format is not of one image in and one answer out")
    if gives.get("format") not in ("classes", "classification", "labels") and gives.get("type") not in (
        "probabilities", "probability", "classification",
    ):  # fmt: skip
        raise BadInput(
            f"{where}: its network gives {gives.get('type')!r} of the format {gives.get('format')!r}, and no classes"
        )
    return (str(name), takes), (str(answer), gives)


def _classes(gives: Mapping[str, Any], where: Path) -> tuple[Kind, ...]:
    defined, count = gives.get("channel_def"), gives.get("num_channels")
    if not isinstance(defined, dict) or not defined:
        return ()
    names = [defined.get(str(i)) for i in range(len(defined))]
    if not all(isinstance(name, str) for name in names) or (type(count) is int and count != len(names)):
        raise BadInput(f"{where}: its channel_def does not name every one of {count} outputs from 0 on")
    return tuple(Kind(str(name)) for name in names)
