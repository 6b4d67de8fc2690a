"""Where a module comes from by name, with its weights."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fullconv.errors import BadInput
from fullconv.formats.torch.quiet import told
from fullconv.formats.torch.readings import Weights
from fullconv.rasters.preprocess import Preprocess
from fullconv.system.libraries import library


@dataclass(frozen=True)
class Source:
    """A module and what its maker says of it."""

    module: nn.Module
    name: str
    input_shape: tuple[int, int, int] | None = None
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()


def build(name: str, weights: Weights | None) -> Source:
    """Make a module from ``torchvision:resnet18``, ``timm:efficientnet_b0`` or ``package.module:function``.

    Raises:
        BadInput: no such name, or weights that do not fit.
    """
    zoo, _, rest = name.partition(":")
    if zoo == "transformers":
        return _transformers(name, Path(rest), weights)
    make = {"torchvision": _torchvision, "timm": _timm}.get(zoo, _own)
    maker = make(name, rest)
    made = maker.module({})
    notes: tuple[str, ...] = ()
    if weights is not None:
        classes = weights.reading(made).classes if maker.takes_classes else None
        if classes is not None:
            made = maker.module({"num_classes": classes})
            notes = (f"the weights are for {classes} classes",)
        notes += weights.load(made)
    elif zoo in ("torchvision", "timm"):
        notes = ("no --weights given: its weights are random",)
    return Source(made, name, maker.input_shape, maker.preprocess, notes)


@dataclass(frozen=True)
class _Maker:
    module: Callable[[dict[str, Any]], nn.Module]
    takes_classes: bool
    input_shape: tuple[int, int, int] | None = None
    preprocess: Preprocess | None = None


def _torchvision(name: str, model: str) -> _Maker:
    models = library("torchvision.models", "torchvision")
    if model not in models.list_models(module=models):
        raise BadInput(
            f"{name}: torchvision has no classifier of this name{_near(model, models.list_models(module=models))}"
        )
    shape, preprocess = (3, 224, 224), None
    try:  # the preset of its published weights, without fetching them
        preset = models.get_model_weights(model).DEFAULT.transforms()
        shape = (3, *(preset.crop_size * 2)[:2])
        preprocess = Preprocess("RGB", 1 / 255, tuple(preset.mean), tuple(preset.std))
    except (AttributeError, KeyError, ValueError):
        pass
    return _Maker(lambda more: _made(name, models.get_model, model, weights=None, **more), True, shape, preprocess)


def _timm(name: str, model: str) -> _Maker:
    timm = library("timm", "timm")
    if not timm.is_model(model):
        raise BadInput(f"{name}: timm has no model of this name{_near(model, timm.list_models())}")
    made: list[nn.Module] = []

    def make(more: dict[str, Any]) -> nn.Module:
        made.append(_made(name, timm.create_model, model, pretrained=False, **more))
        return made[-1]

    config = timm.get_pretrained_cfg(model)
    shape = tuple(config.input_size) if config is not None and config.input_size else (3, 224, 224)
    preprocess = None
    if config is not None and config.mean and config.std:
        preprocess = Preprocess("RGB" if shape[0] == 3 else "grey", 1 / 255, tuple(config.mean), tuple(config.std))
    return _Maker(make, True, shape, preprocess)


def _transformers(name: str, folder: Path, weights: Weights | None) -> Source:
    """A folder of transformers, weights and all."""
    from fullconv.formats.torch.transformers import classifier_in

    if weights is not None:
        raise BadInput(f"{folder}: holds its weights; leave out --weights")
    return Source(classifier_in(folder), name)


def _own(name: str, function: str) -> _Maker:
    """A user's own function, named on purpose: it is imported and called."""
    module = name.partition(":")[0]
    with _here_first():
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise BadInput(f"{name}: cannot import {module!r} ({error})") from None
        except Exception as error:
            raise BadInput(f"{name}: importing {module!r} failed: {type(error).__name__}: {error}") from None
    maker: Any = found
    for part in function.split("."):
        maker = getattr(maker, part, None)
    if maker is None:
        raise BadInput(f"{name}: {module} has no {function!r}")
    if isinstance(maker, nn.Module):
        module_itself: nn.Module = maker
        return _Maker(lambda more: module_itself, False)
    if not callable(maker):
        raise BadInput(f"{name}: is a {type(maker).__name__}, neither an nn.Module nor a function that makes one")
    try:
        takes = "num_classes" in inspect.signature(maker).parameters
    except (TypeError, ValueError):
        takes = False
    return _Maker(lambda more: _made(name, maker, **more), takes)


def _made(name: str, maker: Callable[..., Any], *args: Any, **more: Any) -> nn.Module:
    try:
        with warnings.catch_warnings():  # of a library about its own defaults
            warnings.simplefilter("ignore")
            found = maker(*args, **more)
    except Exception as error:
        raise BadInput(f"{name}: making it failed: {type(error).__name__}: {told(error)}") from None
    if not isinstance(found, nn.Module):
        raise BadInput(f"{name}: made a {type(found).__name__}, not an nn.Module")
    return found


@contextmanager
def _here_first() -> Iterator[None]:
    """The working folder is looked at first, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _near(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""
