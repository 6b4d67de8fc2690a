"""Pixels to the numbers that a network was trained on: value = (pixel · scale - mean) / std."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.system.guard import reads, require_file, require_start

Channels = Literal["RGB", "BGR", "grey"]
_ROWS = 64
OWN = frozenset({"channels", "scale", "mean", "std"})  # fields of fullconv's own JSON


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How pixels (0..255) become a network's input.

    Attributes:
        channels: order in which the network takes colours; ``grey`` for one channel.
        scale: multiplies the pixel.
        mean, std: one number, or one a channel in the network's order.
    """

    channels: Channels = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.channels not in ("RGB", "BGR", "grey"):
            raise BadInput(f"preprocess: channels is {self.channels!r}, not RGB, BGR or grey")
        numbers = (self.scale, *self.mean, *self.std)
        if not all(np.isfinite(numbers)) or any(value == 0 for value in self.std):
            raise BadInput("preprocess: scale, mean and std must be finite, and std not 0")

    def in_words(self) -> str:
        """For messages: what is done, in order, with numbers rounded."""
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        return f"{self.channels} times {self.scale:.4g}, less {mean}, by {std}"

    def apply(
        self, pixels: npt.NDArray[Any], out: npt.NDArray[np.float32] | None = None, *, ordered: bool = False
    ) -> npt.NDArray[np.float32]:
        """(H, W, C) pixels, colours as RGB, to (1, C, H, W) float32.

        Args:
            ordered: channels are in the network's order already: bands that were chosen one by one are not turned about.
            out: (C, H, W) to be written to instead of a new array.
        """
        count = pixels.shape[2]
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, count):
                raise BadInput(
                    f"preprocess: {name} has {len(getattr(self, name))} values, the network takes {count} channel(s); choose another preprocessing"
                )
        if self.channels == "BGR" and count == 3 and not ordered:
            pixels = pixels[:, :, ::-1]
        if out is None:
            out = np.empty((count, *pixels.shape[:2]), np.float32)
        mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        for row in range(0, len(pixels), _ROWS):  # a few rows at a time stay in the processor's cache
            part = out[:, row : row + _ROWS]
            part[...] = pixels[row : row + _ROWS].transpose(2, 0, 1)  # (H, W, C) to (C, H, W)
            if self.scale != 1:
                part *= np.float32(self.scale)
            if any(self.mean):
                part -= mean
            if any(value != 1 for value in self.std):
                part /= std
        return out[None]

    @staticmethod
    def of(given: Any) -> Preprocess:
        """By name (``raw``, ``unit``, ``signed``, ``imagenet``, ``caffe``), from a file, from a transform of torchvision or albumentations, or as it is.

        Files are fullconv's own JSON (channels, scale, mean, std), albumentations', Hugging Face's and timm's; text that a transform of torchvision
        printed (``.txt``); and a mean of Caffe's (``.binaryproto``: BGR on 0..255, less that).

        Raises:
            BadInput: it is none of these, or does what is not the same for every pixel.
        """
        if isinstance(given, Preprocess):
            return given
        if given is None:
            return NAMED["raw"]
        if str(given) in NAMED:
            return NAMED[str(given)]
        from fullconv.rasters.transforms import of_object, read_transform

        if not isinstance(given, str | Path):
            return of_object(given).preprocess
        path = Path(given)
        if path.suffix.lower() == ".binaryproto":
            return Preprocess(channels="BGR", mean=mean_file(path))  # as Caffe takes images
        if path.suffix == ".json" or path.exists():
            found = read_transform(path)
            return _from_json(path) if found is None else found.preprocess
        raise BadInput(
            f"preprocess {str(given)!r}: not one of {', '.join(NAMED)}, and no such file (.json, .txt, .binaryproto)"
        )


NAMED: Mapping[str, Preprocess] = {
    "raw": Preprocess(),
    "unit": Preprocess(scale=1 / 255),
    "signed": Preprocess(scale=2 / 255, mean=(1.0,)),
    "imagenet": Preprocess(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "caffe": Preprocess(channels="BGR", mean=(104.0, 117.0, 123.0)),
}


def normalized(given: Any, mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> Preprocess:
    """A preprocessing with another mean and standard deviation.

    Args:
        given: as for ``Preprocess.of``; without it the numbers say themselves what they are of: pixels on 0..1 where none is above 1, else 0..255.
        mean, std: one number, or one a channel in the network's order; what ``given`` has, or 0 and 1, where they are None.

    Raises:
        BadInput: the numbers fit neither scale, or std is not above 0.
    """
    if std is not None and min(std) <= 0:
        raise BadInput(f"std {std}: must be above 0")
    numbers = (*(mean or ()), *(std or ()))
    if given is None:
        if mean is not None and min(mean) < 0:
            raise BadInput(
                f"mean {mean}: is below 0; say what pixels are scaled to before it, by preprocess (-p unit, -p signed)"
            )
        trivial = not any(mean or ()) and all(value == 1 for value in std or ())
        if trivial:
            raise BadInput("a mean of 0 and a std of 1 change nothing; -p raw and -p unit say what the network takes")
        base = NAMED["unit"] if max(numbers) <= 1 else NAMED["raw"]
    else:
        base = Preprocess.of(given)
        if base.scale == 1 and max(numbers) <= 1 and any(numbers):
            raise BadInput(
                f"mean and std {numbers}: are of pixels on 0..1, and the preprocessing leaves them on 0..255; take -p unit"
            )
        if base.scale != 1 and max(numbers) > 2:
            raise BadInput(
                f"mean and std {numbers}: are of pixels on 0..255, and the preprocessing scales them by {base.scale:.3g}; take -p raw"
            )
    return Preprocess(base.channels, base.scale, base.mean if mean is None else mean, base.std if std is None else std)


def _from_json(path: Path) -> Preprocess:
    require_file(path, "preprocessing")
    reads(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict) or set(data) - OWN:
        raise BadInput(f"{path}: must be a JSON object with the fields {', '.join(sorted(OWN))}; found {data!r:.120}")
    values: dict[str, Any] = dict(data)
    try:
        if "scale" in values:
            values["scale"] = float(values["scale"])
        for name in ("mean", "std"):
            if name in values:
                values[name] = _numbers(values[name], path)
    except (TypeError, ValueError):
        raise BadInput(f"{path}: scale, mean and std must be numbers or lists of numbers") from None
    return Preprocess(**values)


def _numbers(value: Any, beside: Path) -> tuple[float, ...]:
    if isinstance(value, str):
        return mean_file(beside.parent / value)
    if isinstance(value, Sequence):
        return tuple(float(v) for v in value)
    return (float(value),)


def mean_file(path: Path) -> tuple[float, ...]:
    """One mean a channel from a ``.npy`` or ``.binaryproto`` of (C,) or (C, H, W), in the network's channel order.

    A mean image is averaged over its pixels: on a map a position of the crop has no fixed place.
    """
    require_file(path, "mean file")
    reads(path)
    if path.suffix == ".binaryproto":
        from fullconv.formats.caffe.meanfile import read_binaryproto

        mean = read_binaryproto(path)
    else:
        require_start(path, b"\x93NUMPY", "an .npy file")
        try:
            mean = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise BadInput(f"{path}: not a readable .npy file ({error})") from None
    if mean.ndim not in (1, 3) or mean.size == 0 or mean.dtype.kind not in "fiu":
        raise BadInput(f"{path}: a mean must have the shape (C,) or (C, H, W), found {mean.shape} of {mean.dtype}")
    values = mean if mean.ndim == 1 else mean.mean(axis=(1, 2), dtype=np.float64)
    return tuple(float(v) for v in values)
