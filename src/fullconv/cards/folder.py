"""A model's folder as a card: the configuration of WSInfer, timm or Hugging Face that lies beside its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.cards.monai import METADATA, monai_card
from fullconv.cards.read import read_card
from fullconv.cards.transformers import transformers_card
from fullconv.errors import BadInput
from fullconv.formats.torch.shards import is_index
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.transforms import transform_of
from fullconv.system.guard import reads, require_file

_LONGEST = 16 << 20  # bytes of a configuration
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_WEIGHTS = (*WEIGHTS, "model.pth", "pytorch_model.pth")
_PART = re.compile(r"-\d{5}-of-\d{5}(?=\.(safetensors|bin)$)", re.ASCII)
_SCRIPT = "torchscript_model.pt"
_OF_WSINFER = {
    "spec_version", "architecture", "num_classes", "class_names", "name", "patch_size_pixels", "spacing_um_px", "transform", "license",
}  # fmt: skip
_POOLS = ("avg", "", "token", "fast")  # what architectures pool by themselves, as configurations state it


def card_of_folder(path: Path) -> tuple[Card, tuple[str, ...]]:
    """The card of a folder or of its ``config.json``, and what was decided in reading it.

    Raises:
        BadInput: there is no configuration that is known, or it says what is not read.
    """
    folder, config = (path, path / "config.json") if path.is_dir() else (path.parent, path)
    if path.is_dir() and (path / "model.toml").is_file():
        return read_card(path / "model.toml"), ()
    if path.is_dir() and (path / "saved_model.pb").is_file():
        raise BadInput(
            f"{path}: is a SavedModel of TensorFlow; make ONNX of it: python -m tf2onnx.convert --saved-model {quote(str(path))} --output model.onnx"
        )
    if path.is_dir() and (path / METADATA).is_file():
        return monai_card(path, _read)
    if not config.is_file():
        raise BadInput(
            f"{path}: is a folder without a model.toml or config.json, so nothing says which network it holds; name a file"
        )
    data = _read(config)
    if "patch_size_pixels" in data or "spacing_um_px" in data:
        return _wsinfer(data, config, folder)
    if isinstance(data.get("architecture"), str):
        return _timm(data, config, folder)
    if isinstance(data.get("architectures"), list):
        return transformers_card(data, _processor(folder), config, lambda: _weights(folder, config))
    raise BadInput(
        f"{config}: is of no kind that is known (WSInfer, timm, transformers); name the network's own file, and say what the configuration does in a card"
    )


def _processor(folder: Path) -> tuple[Mapping[str, Any], Path] | None:
    """What a folder of transformers says of its image processor, and where."""
    own, whole = folder / "preprocessor_config.json", folder / "processor_config.json"
    if own.is_file():
        return _read(own), own
    inner = _read(whole).get("image_processor") if whole.is_file() else None
    return (inner, whole) if isinstance(inner, dict) else None


def _read(path: Path) -> Mapping[str, Any]:
    require_file(path, "configuration")
    reads(path)
    if path.stat().st_size > _LONGEST:
        raise BadInput(f"{path}: is larger than any configuration ({_LONGEST >> 20} MB)")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path}: is no configuration of a model, but a {type(data).__name__}")
    return data


def _wsinfer(data: Mapping[str, Any], config: Path, folder: Path) -> tuple[Card, tuple[str, ...]]:
    """WSInfer's model zoo, version 1.0: patches of a size at a spacing, perhaps resized, and probabilities of what a TorchScript file says."""
    version = data.get("spec_version")
    if version != "1.0":
        raise BadInput(f"{config}: is of WSInfer's specification {version!r}; 1.0 is read")
    patch, spacing = _whole(data, "patch_size_pixels", config), _number(data, "spacing_um_px", config)
    steps = data.get("transform")
    if not isinstance(steps, list):
        raise BadInput(f"{config}: transform is no list of steps")
    side = patch
    unread = sorted(str(key) for key in data.keys() - _OF_WSINFER)
    notes: tuple[str, ...] = ()
    if unread:
        notes = (f"{config}: is no part of WSInfer's specification, and not read: {', '.join(unread)}",)
    for step in steps:
        if isinstance(step, dict) and step.get("name") == "Resize":
            arguments = step.get("arguments") or {}
            size = arguments.get("size")
            size = size[0] if isinstance(size, list) and len(set(size)) == 1 else size
            side = _whole({"size of Resize": size}, "size of Resize", config)
    if side != patch:
        notes += (
            f"patches of {patch:g} px at {spacing:g} um are resized to {side:g} px: the image is read at {spacing * patch / side:.4g} um a pixel",
        )
    network = folder / _SCRIPT
    if not network.is_file():
        raise BadInput(
            f"{network}: no such file, which {config.name} speaks of; put the model's TorchScript file there"
        )
    names = data.get("class_names")
    classes = _labels(names, config)
    if data.get("num_classes") not in (None, len(classes)):
        raise BadInput(f"{config}: num_classes is {data['num_classes']}, and it names {len(classes)} classes")
    plain = [step for step in steps if not (isinstance(step, dict) and step.get("name") == "Resize")]
    card = Card(
        str(config), network=str(network), input_shape=(3, side, side), classes=classes, pixel_size=spacing * patch / side,
        preprocess=transform_of(plain, str(config)).preprocess, activation="softmax" if len(classes) > 1 else "sigmoid",
        source=_text(data, "name"), licence=_text(data, "license"),
    )  # fmt: skip
    return card, notes


def _timm(data: Mapping[str, Any], config: Path, folder: Path) -> tuple[Card, tuple[str, ...]]:
    """timm's, as it lies on Hugging Face."""
    stated = data.get("pretrained_cfg")
    own: Mapping[str, Any] = stated if isinstance(stated, dict) else data
    more = data.get("model_args")
    if more:
        raise BadInput(
            f"{config}: its network is made with {more}, which is not read; name a function that makes it (package.module:function)"
        )
    for pool in (data.get("global_pool"), own.get("global_pool")):
        if pool not in (None, *_POOLS):
            raise BadInput(
                f"{config}: its network pools by {pool!r}, and timm's {data['architecture']} by its own; refused"
            )
    if data.get("num_classes") == 0:
        raise BadInput(
            f"{config}: its network has no classes (num_classes 0), but features; name one that was trained to classify"
        )
    size = own.get("input_size")
    shape = None
    if size is not None:
        if not isinstance(size, list) or len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
            raise BadInput(f"{config}: input_size is {size!r}, not three whole numbers")
        shape = (size[0], size[1], size[2])
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()
    if own.get("mean") is not None and own.get("std") is not None:
        steps = transform_of({"crop_pct": None, **own}, str(config))
        preprocess, notes = steps.preprocess, tuple(f"{config}: {said}" for said in steps.told())
        if shape is not None and shape[0] == 1:
            preprocess = replace(preprocess, channels="grey")
    names = data.get("label_names", own.get("label_names"))
    count = data.get("num_classes")
    if isinstance(names, list) and count is not None and count != len(names):
        raise BadInput(f"{config}: num_classes is {count}, and its label_names are {len(names)}")
    card = Card(
        str(config), network=f"timm:{data['architecture']}", weights=str(_weights(folder, config)), input_shape=shape,
        classes=() if names is None else _labels(names, config), preprocess=preprocess, licence=_text(own, "license"),
        source=_text(own, "hf_hub_id") or _text(own, "origin_url"),
    )  # fmt: skip
    return card, notes


def _weights(folder: Path, config: Path) -> Path:
    known = [folder / name for name in _WEIGHTS if (folder / name).is_file()]
    known = known or sorted(folder.glob("*.safetensors"))
    part = next((path for path in (*known, *sorted(folder.glob("*.bin"))) if _PART.search(path.name)), None)
    if part is not None and not is_index(known[0] if known else part):
        index = _PART.sub("", part.name)
        raise BadInput(
            f"{part}: is one of several files of weights, and their index is missing: put {index}.index.json beside it"
        )
    if not known:
        raise BadInput(f"{folder}: holds no weights beside {config.name}; put model.safetensors there")
    if len(known) > 1 and known[0].name not in _WEIGHTS:
        raise BadInput(
            f"{folder}: holds {', '.join(path.name for path in known[:4])}; say which with --weights, and the network as MODEL"
        )
    return known[0]


def _labels(names: Any, config: Path) -> tuple[Kind, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{config}: its classes are {names!r:.80}, not a list of names")
    return tuple(Kind(name) for name in names)


def _number(data: Mapping[str, Any], key: str, config: Path) -> float:
    value = data.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e6:
        raise BadInput(f"{config}: {key} is {value!r}, not a number above 0")
    return value


def _whole(data: Mapping[str, Any], key: str, config: Path) -> int:
    value = _number(data, key, config)
    if value != int(value):
        raise BadInput(f"{config}: {key} is {value!r}, not a whole number")
    return int(value)


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) and value else None
