"""Options that every way to map takes, by their names on the command line; what takes them says so in its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

import numpy as np

from fullconv.errors import BadInput
from fullconv.maps.colours import Given
from fullconv.maps.probabilities import Asked
from fullconv.maps.scales import Fuse
from fullconv.maps.ways import By, Finer
from fullconv.rasters.preprocess import Preprocess
from fullconv.results.encoding import Stored
from fullconv.runtimes.runtime import Precision
from fullconv.stream.job import OnError

Function = TypeVar("Function", bound=Callable[..., Any])


class MapOptions(TypedDict, total=False):
    """Of ``map_raster``, and of all that compares with such a map."""

    preprocess: str | Path | Preprocess | None
    labels: str | Path | Sequence[str] | None
    colours: Given
    level: int | None
    mpp: float | None
    bands: str | Sequence[int | str] | None
    nodata: float | None
    missing: float
    where: str | Path | None
    by: By
    stride: int | None
    finer: Finer
    output: str | None
    activation: Asked
    runtime: str
    precision: Precision
    batch: int
    keep: str | Sequence[str | int]
    stored: Stored
    on_error: OnError
    device_memory: int | None
    confirm: float | str | None
    confirm_class: str | int | None
    confirm_threshold: float | None
    trust: bool
    allow_remote: bool
    subdataset: str | None


class WholeOptions(MapOptions, total=False):
    """Of ``map``, whose result lies in memory."""

    fuse: Fuse


_WHOLE = {"level": 0, "stride": 1, "batch": 1, "device_memory": 1}  # the least of each
_NUMBERS = ("mpp", "nodata", "missing", "confirm_threshold")
_NAMES = ("by", "finer", "runtime", "precision", "on_error", "fuse", "output", "subdataset")
_MAY_BE_NONE = ("level", "stride", "device_memory", "mpp", "nodata", "confirm_threshold", "output", "subdataset")


def _of_kind(name: str, value: Any) -> Any:
    """A value as Python's own number, text or list, of NumPy's too; BadInput where it is of another kind."""
    value = value.tolist() if name in ("bands", "scales") and isinstance(value, np.ndarray) else value
    if value is None and name in _MAY_BE_NONE:
        return value
    if name in _WHOLE:
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < _WHOLE[name]:
            raise BadInput(f"{name} {value!r}: must be a whole number, at least {_WHOLE[name]}")
        return int(value)
    if name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise BadInput(f"{name} {value!r}: must be a number")
        return (
            int(value) if isinstance(value, Integral) else float(value)
        )  # a value for no data may be any whole number
    if name in _NAMES and not isinstance(value, str):
        raise BadInput(f"{name} {value!r}: must be a name")
    if name == "bands" and not isinstance(value, str | Sequence | None):
        raise BadInput(f"bands {value!r}: must be a list of names and numbers, or a text of them")
    if (
        name == "scales"
        and value is not None
        and not (isinstance(value, Sequence) and all(isinstance(each, Real) for each in value))
    ):
        raise BadInput(f"scales {value!r}: must be a list of numbers")
    return value


def takes(*sources: Callable[..., Any], known_as: str = "") -> Callable[[Function], Function]:
    """A function's ``**options`` spelt out in its signature, with the defaults of what they are handed to: ``help`` and editors show them. Others are a
    TypeError that names the function and what may be meant.

    Args:
        sources: what takes them, by keywords; of one name the first's.
        known_as: its public name, where that is another.
    """

    def spelt(function: Function) -> Function:
        own = inspect.signature(function)

        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            unknown = [name for name in given if name not in names]
            if unknown:
                near = get_close_matches(unknown[0], names, 1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(
                    f"{known_as or function.__name__}() got an unexpected keyword argument {unknown[0]!r}{meant}"
                )
            return function(*args, **{name: _of_kind(name, value) for name, value in given.items()})

        kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {each.name for each in kept}
        for source in sources:
            for each in inspect.signature(source).parameters.values():
                if each.kind is inspect.Parameter.KEYWORD_ONLY and each.name not in names:
                    kept.append(each)
                    names.add(each.name)
        checked.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
        return cast(Function, checked)

    return spelt
