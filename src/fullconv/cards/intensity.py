"""What MONAI's transforms do to pixels, where that is the same for every pixel: value = pixel · factor + offset, each channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fullconv.errors import BadInput
from fullconv.rasters.preprocess import Preprocess

# Steps that change no pixel, or are done to every image that is read anyway.
_NOTHING = {
    "loadimage", "aschannelfirst", "ensurechannelfirst", "addchannel", "ensuretype", "casttotype", "totensor", "tonumpy", "todevice", "squeezedim", "identity",
    "selectitems", "deleteitems",
}  # fmt: skip
_SIZES = ("resize", "centerspatialcrop", "resizewithpadorcrop", "spatialpad")
_PIXEL = 255.0
_ROUNDING = 1e-6  # of a range's ends, relative


class Steps:
    """What is done to pixels, in order.

    Attributes:
        size: (height, width) that a step brings images to; None where none does.
        remarks: what a map does not do of it.
    """

    def __init__(self, where: str, network: str) -> None:
        """Args:
        where: the file that lists them, and `network`: the network's own file, for messages.
        """
        self._where, self._network = where, network
        self._factor, self._offset = [1.0], [0.0]
        self.size: tuple[int, int] | None = None
        self.remarks: tuple[str, ...] = ()

    def take(self, name: str, values: Mapping[str, Any]) -> None:
        """One more step, by its name in small letters.

        Raises:
            BadInput: it is not the same for every pixel.
        """
        if name in _NOTHING:
            return
        if name in _SIZES:
            self._resize(name, values)
        elif name == "scaleintensityrange":
            self._range(name, values)
        elif (
            name == "scaleintensity" and {"minv", "maxv"} <= values.keys() and values["minv"] is values["maxv"] is None
        ):
            self._then([1 + self._one(name, values, "factor")], [0.0])
        elif name == "scaleintensity":
            raise self._refused(
                name,
                "scales each image by its own least and highest value, which no map of parts can (for pictures that reach from black to white that is "
                "-p unit, where minv is 0 and maxv 1)",
            )
        elif name == "shiftintensity" and values.get("safe", False) is False:
            self._then([1.0], [self._one(name, values, "offset")])
        elif name == "normalizeintensity":
            self._normalize(name, values)
        else:
            raise self._refused(name, "is no step that is the same for every pixel")

    def preprocess(self, takes: Mapping[str, Any]) -> Preprocess:
        """All steps as one: (pixel - mean) / std.

        Args:
            takes: what the metadata says of the image.
        """
        stds = tuple(1 / factor for factor in self._factor)
        means = tuple(-offset / factor for offset, factor in zip(self._offset, self._factor, strict=True))
        made = Preprocess(mean=means, std=stds)
        defined = takes.get("channel_def")
        order = [str(defined.get(str(i)))[:1].upper() for i in range(3)] if isinstance(defined, dict) else []
        if takes.get("num_channels") == 1:
            return replace(made, channels="grey")
        return replace(made, channels="BGR") if order == ["B", "G", "R"] else made

    def _resize(self, name: str, values: Mapping[str, Any]) -> None:
        size = values.get("spatial_size", values.get("roi_size"))
        sides = [size, size] if type(size) is int else size
        if isinstance(sides, list) and len(sides) == 2 and all(type(side) is int and side > 0 for side in sides):
            self.size = (sides[0], sides[1])
        self.remarks = (
            *self.remarks,
            f"{self._where}: brings images to {size} by {name}, which a map does not: give the resolution that crops had then with --mpp or --level",
        )

    def _range(self, name: str, values: Mapping[str, Any]) -> None:
        a, b = (self._one(name, values, key) for key in ("a_min", "a_max"))
        own = values.get("b_min") is None or values.get("b_max") is None  # then it is 0..1
        low, high = (0.0, 1.0) if own else (self._one(name, values, key) for key in ("b_min", "b_max"))
        if a == b:
            raise self._refused(name, "has a range of nothing")
        if values.get("clip", False) is not False:
            ends = [pixel * f + o for pixel in (0.0, _PIXEL) for f, o in zip(self._factor, self._offset, strict=True)]
            room = _ROUNDING * max(abs(a), abs(b))
            if min(ends) < min(a, b) - room or max(ends) > max(a, b) + room:
                raise self._refused(
                    name,
                    f"cuts off what is not from {a:g} to {b:g}, and pixels go from {min(ends):g} to {max(ends):g} there",
                )
        factor = (high - low) / (b - a)
        self._then([factor], [low - a * factor])

    def _normalize(self, name: str, values: Mapping[str, Any]) -> None:
        if values.get("subtrahend") is None or values.get("divisor") is None:
            raise self._refused(
                name,
                "goes by each image's own mean or deviation (without subtrahend and divisor), which no map of parts can",
            )
        if values.get("nonzero", False) is not False:
            raise self._refused(name, "leaves out pixels that are 0 (nonzero)")
        means, stds = (self._numbers(name, values, key) for key in ("subtrahend", "divisor"))
        if not all(stds):
            raise self._refused(name, "divides by 0")
        count = max(len(means), len(stds))
        means, stds = (each * count if len(each) == 1 else each for each in (means, stds))
        if len(means) != len(stds):
            raise self._refused(name, f"has {len(means)} numbers to subtract and {len(stds)} to divide by")
        self._then([1 / std for std in stds], [-mean / std for mean, std in zip(means, stds, strict=True)])

    def _then(self, factors: list[float], offsets: list[float]) -> None:
        count = max(len(factors), len(self._factor))
        each = [side * count if len(side) == 1 else side for side in (self._factor, self._offset, factors, offsets)]
        if len({len(side) for side in each}) != 1:
            raise self._refused("a step", "is of another number of channels than the one before")
        self._factor = [a * b for a, b in zip(each[0], each[2], strict=True)]
        self._offset = [a * b + c for a, b, c in zip(each[1], each[2], each[3], strict=True)]
        if not all(self._factor):
            raise self._refused("a step", "makes every pixel the same")

    def _one(self, name: str, values: Mapping[str, Any], key: str) -> float:
        return self._numbers(name, values, key)[0]

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
