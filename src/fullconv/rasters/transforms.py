"""Preprocessing as other libraries write it down: the steps that are the same for every pixel, and those of size told.

Read are albumentations' JSON, what torchvision's transforms print of themselves (in a text file), Hugging Face's ``preprocessor_config.json``, timm's
``pretrained_cfg`` and WSInfer's list of steps. A step that is drawn at random, or that looks at the whole image, is refused by its name.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.rasters.preprocess import NAMED, OWN, Preprocess
from fullconv.system.text import read_text

Size = tuple[int, int]
Step = tuple[str, Mapping[str, Any]]

# Steps by their last name, lower case. What changes no pixel, or is done to every image that is read anyway:
_NOTHING = {"compose", "sequential", "toimage", "topuretensor", "totensorv2", "noop", "identity", "rgb", "piltotensor"}
_SCALES = {"totensor", "maybetotensor", "convertimagedtype"}  # bytes to 0..1
_RESIZES = {"resize", "smallestmaxsize", "longestmaxsize", "rescale"}
_CROPS = {"centercrop", "padifneeded"}
_PIXEL = 255.0
_LONGEST = 1 << 20  # characters of a file


@dataclass(frozen=True, slots=True)
class Transform:
    """What a file of steps says.

    Attributes:
        preprocess: the steps that are the same for every pixel.
        crop: (height, width) that crops have in the end, where it says.
        resized: what images are resized to before, in words; empty where they are not.
    """

    preprocess: Preprocess
    crop: Size | None = None
    resized: str = ""

    def told(self, of_network: Size | None = None) -> tuple[str, ...]:
        """What a map does not do of it, in words.

        Args:
            of_network: (height, width) of the crops that the network takes.
        """
        said = []
        if self.resized:
            said.append(
                f"the transform resizes images to {self.resized}, which a map does not: give the resolution that crops had then with --mpp or --level"
            )
        if self.crop is not None and of_network is not None and self.crop != of_network:
            said.append(
                f"the transform ends in crops of {self.crop[1]}×{self.crop[0]} px, and the network takes {of_network[1]}×{of_network[0]}"
            )
        return tuple(said)


@dataclass
class _Reader:
    """Steps taken in order."""

    where: str
    made: Preprocess = field(default_factory=Preprocess)
    crop: Size | None = None
    resized: str = ""
    normalized: bool = False

    def take(self, name: str, values: Mapping[str, Any]) -> None:
        kind = name.rpartition(".")[2].lower()
        if not self._is_sure(values):
            raise self._refused(name, "is drawn at random: it belongs to training; give the transform of validation")
        if kind in _NOTHING:
            return
        if kind in _SCALES or (kind == "todtype" and values.get("scale", False)):
            self._scale(1 / _PIXEL)
        elif kind == "tofloat":
            self._scale(1 / self._number(name, values, "max_value", _PIXEL))
        elif kind == "todtype":
            return
        elif kind == "normalize":
            self._normalize(name, values)
        elif kind in _RESIZES:
            self._resize(name, values)
        elif kind in _CROPS:
            self.crop = _size(values) or self.crop
        elif (
            kind in ("grayscale", "togray") and values.get("num_output_channels", 1 if kind == "grayscale" else 3) == 1
        ):
            self.made = replace(self.made, channels="grey")
        else:
            raise self._refused(
                name,
                "is no step that is the same for every pixel; write what it does as scale, mean and std in a JSON file",
            )

    def _is_sure(self, values: Mapping[str, Any]) -> bool:
        chance = values.get("p", 1)
        return not _is_number(chance) or chance == 1

    def _scale(self, factor: float) -> None:
        if factor == 1:
            return
        if self.normalized or self.made.scale != 1:
            raise BadInput(
                f"{self.where}: scales pixels twice; write what is meant as scale, mean and std in a JSON file"
            )
        self.made = replace(self.made, scale=factor)

    def _normalize(self, name: str, values: Mapping[str, Any]) -> None:
        if self.normalized:
            raise BadInput(f"{self.where}: normalizes twice; write what is meant as scale, mean and std in a JSON file")
        if values.get("normalization", "standard") != "standard":
            raise self._refused(
                name, f"normalizes by each image ({values['normalization']}), which no map of parts can"
            )
        if "max_pixel_value" in values:  # albumentations' takes bytes, and scales them itself
            self._scale(1 / self._number(name, values, "max_pixel_value", _PIXEL))
        mean, std = (self._numbers(name, values, key, usual) for key, usual in (("mean", 0.0), ("std", 1.0)))
        self.made = replace(self.made, mean=mean, std=std)
        self.normalized = True

    def _resize(self, name: str, values: Mapping[str, Any]) -> None:
        size = _size(values)
        if size is not None:
            self.crop = size
        shown = values.get("max_size") if size is None else None
        self.resized = (
            f"{size[1]}×{size[0]} px" if size is not None else f"{shown} px a side" if shown else "another size"
        )

    def _number(self, name: str, values: Mapping[str, Any], key: str, usual: float) -> float:
        (value,) = self._numbers(name, {key: usual if values.get(key) is None else values[key]}, key, usual)[:1]
        if value == 0:
            raise self._refused(name, f"has {key} 0")
        return value

    def _numbers(self, name: str, values: Mapping[str, Any], key: str, usual: float) -> tuple[float, ...]:
        given = values.get(key)
        each = (
            [usual]
            if given is None
            else list(given)
            if isinstance(given, Sequence) and not isinstance(given, str)
            else [given]
        )
        if not each or not all(map(_is_number, each)):
            raise self._refused(name, f"has {key} {given!r}: numbers are meant")
        return tuple(float(value) for value in each)

    def _refused(self, name: str, why: str) -> BadInput:
        return BadInput(f"{self.where}: its step {name.rpartition('.')[2]!r} {why}")


def transform_of(data: Any, where: str) -> Transform:
    """The steps of JSON that is read.

    Args:
        data: albumentations' dictionary, a list of steps with ``name`` and ``arguments``, Hugging Face's or timm's configuration.
        where: what it is, for messages.

    Raises:
        BadInput: it is none of these, or has a step that is not the same for every pixel.
    """
    if isinstance(data, Mapping) and isinstance(data.get("pretrained_cfg"), Mapping):
        data = data["pretrained_cfg"]
    if isinstance(data, Mapping) and any(key in data for key in ("image_mean", "do_normalize", "do_rescale")):
        return _hugging_face(data, where)
    if isinstance(data, Mapping) and "mean" in data and "std" in data and ("input_size" in data or "crop_pct" in data):
        return _timm(data, where)
    reader = _Reader(where)
    for name, values in _steps(data, where):
        reader.take(name, values)
    return _finished(reader)


def printed(text: str, where: str) -> Transform:
    """The steps of what torchvision's transforms print of themselves: ``Compose(...)`` with a step a line, or a preset's ``ImageClassification(...)``.

    Raises:
        BadInput: it is no such text, or has a step that is not the same for every pixel.
    """
    lines = [line.strip().rstrip(",") for line in text.strip().splitlines() if line.strip()]
    preset = re.fullmatch(r"(\w+)\(", lines[0]) if lines else None
    if preset is None or lines[-1] not in (")", "])"):
        raise BadInput(
            f"{where}: is not what a transform of torchvision prints of itself (Compose(...), ImageClassification(...))"
        )
    reader = _Reader(where)
    inner = lines[1:-1]
    if preset[1] == "Compose":
        for line in inner:
            reader.take(*_call(line, where))
        return _finished(reader)
    values = dict(_keyword(line, where) for line in inner)
    reader.take("Resize", {"size": values.get("resize_size")})
    reader.take("CenterCrop", {"size": values.get("crop_size")})
    reader.take("ToTensor", {})
    reader.take("Normalize", values)
    return _finished(reader)


def _steps(data: Any, where: str) -> Iterator[Step]:
    if isinstance(data, Mapping) and "transform" in data:
        data = data["transform"]
    if isinstance(data, Mapping) and isinstance(data.get("transforms"), list):
        yield (
            str(data.get("__class_fullname__", "Compose")),
            {"p": data.get("p", 1)},
        )  # one that draws from its steps is refused by its name
        for step in data["transforms"]:
            yield from _steps(step, where)
        return
    if isinstance(data, list):
        for step in data:
            yield from _steps(step, where)
        return
    if isinstance(data, Mapping):
        name = data.get("__class_fullname__", data.get("name"))
        values = data.get("arguments", data)
        if isinstance(name, str) and isinstance(values, Mapping | None):
            yield name, values or {}
            return
    raise BadInput(
        f"{where}: is no preprocessing that is known: fullconv's own (channels, scale, mean, std), albumentations', Hugging Face's, timm's or a list of steps "
        "with name and arguments"
    )


def _hugging_face(data: Mapping[str, Any], where: str) -> Transform:
    reader = _Reader(where)
    if data.get("do_resize", True) and data.get("size") is not None:
        reader.take("Resize", {"size": data["size"]})
    if data.get("do_center_crop", False):
        reader.take("CenterCrop", {"size": data.get("crop_size")})
    if data.get("do_rescale", True):
        factor = data.get("rescale_factor", 1 / _PIXEL)
        if not _is_number(factor) or factor <= 0:
            raise BadInput(f"{where}: rescale_factor {factor!r} is no number above 0")
        reader.made = replace(reader.made, scale=float(factor))
    if data.get("do_normalize", data.get("image_mean") is not None):
        if data.get("image_mean") is None or data.get("image_std") is None:
            raise BadInput(f"{where}: normalizes, and does not say by which mean and std (image_mean, image_std)")
        reader.take("Normalize", {"mean": data["image_mean"], "std": data["image_std"]})
        if data.get("rescale_offset", False) and data.get("do_rescale", True):  # one is taken off before
            reader.made = replace(reader.made, mean=tuple(1 + mean for mean in reader.made.mean))
        if data.get("include_top", False):  # EfficientNet's classifiers are divided by it twice
            reader.made = replace(reader.made, mean=reader.made.mean, std=tuple(std * std for std in reader.made.std))
    elif data.get("do_normalize") is None and not _kind_of(data).startswith("MobileViT"):
        raise BadInput(f"{where}: does not say whether it normalizes (do_normalize, image_mean, image_std)")
    if data.get("do_flip_channel_order", False):  # the last step
        mean, std = (tuple(reversed(values)) for values in (reader.made.mean, reader.made.std))
        reader.made = replace(reader.made, channels="BGR", mean=mean, std=std)
    return _finished(reader)


def _kind_of(data: Mapping[str, Any]) -> str:
    """Which processor it is of; the one that normalizes nothing where it does not say."""
    return str(data.get("image_processor_type", data.get("feature_extractor_type", "MobileViT")))


def _timm(data: Mapping[str, Any], where: str) -> Transform:
    reader = _Reader(where)
    reader.take("ToTensor", {})
    reader.take("Normalize", data)
    size = data.get("input_size")
    if isinstance(size, list) and len(size) == 3:
        reader.crop = _size({"size": size[1:]})
    share = data.get("crop_pct")
    if reader.crop is not None and isinstance(share, int | float) and 0 < share <= 1:
        reader.resized = f"{int(min(reader.crop) / share)} px, their shorter side"
    return _finished(reader)


def _finished(reader: _Reader) -> Transform:
    made = reader.made
    if reader.normalized and made.scale == 1 and max(map(abs, (*made.mean, *made.std))) <= 1:
        raise BadInput(
            f"{reader.where}: its mean and std are of pixels on 0..1, and no step brings them there (ToTensor, ToDtype with scale=True); write what is meant as "
            "scale, mean and std in a JSON file"
        )
    return Transform(reader.made, reader.crop, reader.resized)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(values: Mapping[str, Any]) -> Size | None:
    """(height, width) of a step, None where it does not say both."""
    size = values.get("size")
    if size is None:
        size = [values.get("height", values.get("min_height")), values.get("width", values.get("min_width"))]
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        size = [size.get("height", edge), size.get("width", edge)]
    if _is_number(size):
        size = [size, size]
    if isinstance(size, Sequence) and len(size) == 1:
        size = [size[0], size[0]]
    whole = isinstance(size, Sequence) and len(size) == 2 and all(isinstance(each, int) and each > 0 for each in size)
    return (int(size[0]), int(size[1])) if whole and size is not None else None


def _call(line: str, where: str) -> Step:
    """A step as it prints: ``Resize(size=256, interpolation=bilinear)``."""
    try:
        found = ast.parse(line, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, ast.Call) or not isinstance(found.func, ast.Name) or found.args:
        raise BadInput(f"{where}: its line {line[:80]!r} is no step that torchvision prints")
    return found.func.id, {each.arg: _value(each.value) for each in found.keywords if each.arg is not None}


def _keyword(line: str, where: str) -> tuple[str, Any]:
    name, _, text = line.partition("=")
    _, values = _call(f"step({line})", where)
    if not text or name not in values:
        raise BadInput(f"{where}: its line {line[:80]!r} is no value that torchvision prints")
    return name, values[name]


def _value(node: ast.expr) -> Any:
    """A number, a list of such, or None for what is only a name; ``tensor([...])`` is its list."""
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None


def of_object(given: Any) -> Transform:
    """The steps of a transform of torchvision or albumentations in memory.

    Raises:
        BadInput: it is neither, or has a step that is not the same for every pixel.
    """
    name = f"preprocess {type(given).__name__}"
    library = type(given).__module__.partition(".")[0]
    if library == "albumentations":
        return transform_of(given.to_dict(), name)
    if library in ("torchvision", "timm", "torch"):
        return printed(repr(given), name)
    raise BadInput(f"{name}: is no Preprocess, no name and no file, and no transform of torchvision or albumentations")


def read_transform(path: Path) -> Transform | None:
    """The transform of a file, JSON or text; None of fullconv's own JSON (channels, scale, mean, std).

    Raises:
        BadInput: it is missing, or no preprocessing that is known.
    """
    text = read_text(path, "preprocessing", _LONGEST)
    if path.suffix.lower() == ".txt":
        return printed(text, str(path))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    return None if _is_own(data) else transform_of(data, str(path))


def _is_own(data: Any) -> bool:
    """Whether it is meant for fullconv's own JSON: its fields, and none of another's."""
    others = {
        "transform",
        "transforms",
        "input_size",
        "crop_pct",
        "pretrained_cfg",
        "image_mean",
        "name",
        "__class_fullname__",
    }
    return isinstance(data, Mapping) and (not set(data) - OWN or bool(set(data) & OWN and not set(data) & others))


def told_of(given: Any, of_network: Size | None) -> tuple[str, ...]:
    """What a map does not do of a preprocessing that is asked for, in words.

    Args:
        given: as for ``Preprocess.of``.
        of_network: (height, width) of the network's crops.
    """
    if given is None or isinstance(given, Preprocess) or str(given) in NAMED:
        return ()
    if not isinstance(given, str | Path):
        return of_object(given).told(of_network)
    path = Path(given)
    found = None if path.suffix.lower() not in (".json", ".txt") else read_transform(path)
    return () if found is None else found.told(of_network)
