"""A folder of Hugging Face's transformers as a card: the classifier that its own library makes, an ONNX file beside, or a ResNet, which torchvision has too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.cards.resnet import as_torchvision
from fullconv.errors import BadInput
from fullconv.formats.torch.shards import files_of
from fullconv.rasters.transforms import transform_of

ONNX = ("model.onnx", "onnx/model.onnx")  # as optimum-cli and the hub's people lay it
Processor = tuple[Mapping[str, Any], Path]
_UNSAID = "{}: no preprocessor_config.json lies beside it, so that nothing says how pixels go in: give --preprocess (signed, imagenet, ...)."
_AS_THEY_ARE = "Without it they go in as they are, on 0..255"
_KIND = "ForImageClassification"
_ACTIVATIONS = {"single_label_classification": "softmax", "multi_label_classification": "sigmoid"}


def transformers_card(
    data: Mapping[str, Any], processor: Processor | None, config: Path, weights: Callable[[], Path]
) -> tuple[Card, tuple[str, ...]]:
    """The card of a folder, and what is to be known of it.

    Args:
        data: its ``config.json``.
        processor: what its ``preprocessor_config.json`` says, and where it lies; None where there is none.
        weights: looks for the file of weights; BadInput where there is none.

    Raises:
        BadInput: it holds no image classifier, or nothing here makes its network.
    """
    folder, kind = config.parent, next(iter(data["architectures"]), "")
    if not isinstance(kind, str) or not kind.endswith(_KIND):
        raise BadInput(f"{config}: is a {kind!r:.60} of transformers, and no image classifier (...{_KIND})")
    card = _about(data, processor, config)
    raw = _UNSAID.format(config)
    sizes: tuple[str, ...] = ()
    if processor is not None:
        raw, sizes = (
            "",
            tuple(f"{processor[1]}: {said}" for said in transform_of(processor[0], str(processor[1])).told()),
        )
    exported = next((folder / name for name in ONNX if (folder / name).is_file()), None)
    if exported is not None:
        return replace(card, network=str(exported)), (*_told(raw, _AS_THEY_ARE), *sizes)
    if kind == f"ResNet{_KIND}" and (found := as_torchvision(data)) is not None:
        name, rename = found
        return replace(card, network=f"torchvision:{name}", weights=str(weights()), rename=rename), (
            *_told(raw),
            *sizes,
        )
    if find_spec("transformers") is None:
        raise BadInput(
            f"{config}: is a {kind} of transformers, which makes its network: pip install 'fullconv[transformers]', or make ONNX of it: optimum-cli export "
            f"onnx --model {folder} --task image-classification {folder}"
        )
    files = files_of(weights())
    if files[-1].suffix != ".safetensors":
        raise BadInput(
            f"{weights()}: are weights as a pickle, which transformers reads and fullconv does not; save them as safetensors: "
            f"AutoModelForImageClassification.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    return replace(card, network=f"transformers:{folder}"), (*_told(raw, _AS_THEY_ARE), *sizes)


def _told(*parts: str) -> tuple[str, ...]:
    return (" ".join(parts),) if parts[0] else ()


def _about(data: Mapping[str, Any], processor: Processor | None, config: Path) -> Card:
    """What the configurations say beside the network."""
    names, channels, side = data.get("id2label"), data.get("num_channels", 3), data.get("image_size")
    preprocess, sides = None, None
    if processor is not None:
        beside, where = processor
        preprocess = transform_of(beside, str(where)).preprocess
        if channels == 1:
            preprocess = replace(preprocess, channels="grey")
        sides = _sides(beside)
    if sides is None:
        sides = _pair(side if isinstance(side, list) else [side, side])
    return Card(
        str(config), input_shape=None if sides is None or not isinstance(channels, int) else (channels, *sides), preprocess=preprocess,
        classes=() if names is None else _kinds(names, config), activation=_ACTIVATIONS.get(str(data.get("problem_type"))),
    )  # fmt: skip


def _kinds(names: Any, config: Path) -> tuple[Kind, ...]:
    listed = [names.get(str(i)) for i in range(len(names))] if isinstance(names, dict) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise BadInput(f"{config}: its id2label does not name every class from 0 on")
    return tuple(Kind(str(name)) for name in listed)


def _sides(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) that images have in the end; None where it does not say."""
    size = data.get("crop_size") if data.get("do_center_crop") else data.get("size")
    if not isinstance(size, dict):
        size = {"shortest_edge": size}
    return _pair([size.get(key, size.get("shortest_edge")) for key in ("height", "width")])


def _pair(sides: Any) -> tuple[int, int] | None:
    whole = len(sides) == 2 and all(type(each) is int and each > 0 for each in sides)
    return (sides[0], sides[1]) if whole else None
