"""Where a module comes from by name, and its weights."""

from __future__ import annotations

import importlib
import inspect
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.torch.quiet import told
from fullconv.rasters.preprocess import Preprocess

_PREFIXES = ("module.", "_orig_mod.", "model.", "state_dict.", "backbone.", "net.", "network.", "encoder.")
_INSIDE = ("state_dict", "model_state_dict", "model", "net", "weights", "params", "model_ema", "state_dict_ema")
_SHOWN = 3
_WRAPPERS = 3  # how many prefixes a name may carry


@dataclass(frozen=True)
class Source:
    """A module and what its maker says of it."""

    module: nn.Module
    name: str
    input_shape: tuple[int, int, int] | None = None
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()


def build(name: str, weights: Path | None) -> Source:
    """Make a module from ``torchvision:resnet18``, ``timm:efficientnet_b0`` or ``package.module:function``.

    Raises:
        BadInput: no such name, or weights that do not fit.
    """
    library, _, rest = name.partition(":")
    make = {"torchvision": _torchvision, "timm": _timm}.get(library, _own)
    state = None if weights is None else read_state(weights)
    maker = make(name, rest)
    made = maker.module({})
    notes: tuple[str, ...] = ()
    if state is not None:
        assert weights is not None
        classes = _other_classes(made, state)
        if classes is not None and maker.takes_classes:
            made = maker.module({"num_classes": classes})
            notes = (f"the weights are for {classes} classes",)
        load_state(made, state, str(weights))
    else:
        notes = ("no --weights given: its weights are random",)
    return Source(
        made, name, maker.input_shape, maker.preprocess, notes if library in ("torchvision", "timm") or state else ()
    )


@dataclass(frozen=True)
class _Maker:
    module: Callable[[dict[str, Any]], nn.Module]
    takes_classes: bool
    input_shape: tuple[int, int, int] | None = None
    preprocess: Preprocess | None = None


def _torchvision(name: str, model: str) -> _Maker:
    models = _library("torchvision.models", "torchvision")
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
    timm = _library("timm", "timm")
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


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{name} cannot be imported ({error}); install it with: pip install {name}") from None
    except RuntimeError as error:  # torchvision beside a torch of another build
        raise MissingExtra(
            f"{name} does not work with this PyTorch ({told(error)}); install the {name} that belongs to it"
        ) from None


def _near(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""


# Weights ----------------------------------------------------------------------------------------------


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """A state_dict from a .safetensors file, or from a checkpoint without unpickling anything but tensors."""
    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise MissingExtra("safetensors is not installed; install it with: pip install 'fullconv[torch]'") from None
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{path}: not a readable .safetensors file ({error})") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        if "Weights only load failed" not in str(error) and "weights_only" not in str(error):
            raise BadInput(f"{path}: truncated or damaged, not a checkpoint of PyTorch ({told(error)[:200]})") from None
        raise BadInput(
            f"{path}: holds pickled Python objects, whose loading could run code; refused. Where you trust it, keep its tensors alone: "
            'torch.save(torch.load("old.pth", weights_only=False)["state_dict"], "new.pth") (or .state_dict() of a whole module)'
        ) from None
    except Exception as error:  # a damaged file can break the reader at any place
        raise BadInput(f"{path}: truncated or damaged, not a checkpoint of PyTorch ({told(error)[:200]})") from None
    return _tensors(found, path)


def _tensors(found: Any, path: Path) -> dict[str, torch.Tensor]:
    for _ in range(3):  # {"state_dict": {...}}, and the like within
        if not isinstance(found, Mapping):
            break
        tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}
        if tensors and len(tensors) >= len(found) / 2:
            return tensors
        inner = next((found[k] for k in _INSIDE if isinstance(found.get(k), Mapping)), None)
        if inner is None:
            break
        found = inner
    raise BadInput(f"{path}: holds no state_dict (a mapping of names to tensors), but a {type(found).__name__}")


def fitted(state: Mapping[str, torch.Tensor], wanted: set[str]) -> dict[str, torch.Tensor]:
    """The state under the module's names: prefixes that wrappers leave are taken off while that finds more of them."""
    best, tried = dict(state), [dict(state)]
    for _ in range(_WRAPPERS):
        tried = [
            cut
            for names in tried
            for prefix in _PREFIXES
            if any(name.startswith(prefix) for name in names)
            and len(cut := {name.removeprefix(prefix): value for name, value in names.items()}) == len(names)
        ]
        best = max([best, *tried], key=lambda names: len(wanted & set(names)))
    return best


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], path: str) -> None:
    """Load a state_dict; what is missing, unknown or of another shape is told by its first few names."""
    own = module.state_dict()
    found = fitted(state, set(own))
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in found and name not in counters]
    unknown = [name for name in found if name not in own]
    shapes = [
        f"{name} {tuple(found[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    if missing or unknown or shapes:
        parts = [f"missing {_few(missing)}" if missing else "", f"unknown {_few(unknown)}" if unknown else ""]
        parts.append(f"of another shape {_few(shapes)}" if shapes else "")
        raise BadInput(f"{path}: the weights do not fit the network: {'; '.join(p for p in parts if p)}")
    module.load_state_dict(found, strict=False)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _other_classes(module: nn.Module, state: Mapping[str, torch.Tensor]) -> int | None:
    """The number of classes that the weights are for, where only that tells them from the module's."""
    own = module.state_dict()
    found = fitted(state, set(own))
    counts = {
        int(found[name].shape[0])
        for name, value in own.items()
        if name in found and found[name].shape != value.shape and found[name].shape[1:] == value.shape[1:]
    }
    return counts.pop() if len(counts) == 1 else None
