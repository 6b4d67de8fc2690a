"""Tensors of a checkpoint under their names, whatever the file wraps them in; nothing is unpickled but tensors and plain values."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.torch.quiet import told
from fullconv.formats.torch.scripts import is_torchscript
from fullconv.formats.torch.shards import files_of, is_index, shards_of
from fullconv.system.guard import reads

Tensors = Mapping[str, torch.Tensor]
_WRAPPERS = ("module", "_orig_mod")
_DEEPEST = 12  # mappings within mappings
# What training keeps beside a network: tensors in it are no weights.
_TRAINING = re.compile(
    r"(opt|optim|optimizer|optimizers|optimizer_states?|optimizer_state_dict|lr_schedulers?|scheduler|scaler|amp|amp_scaler|callbacks|loops)$"
)
# Classes of values that training scripts leave beside the tensors (arguments, paths, scores): they are passed over, and never imported.
_VALUES = re.compile(
    r"(numpy|argparse|pathlib|omegaconf|lightning|lightning_fabric|pytorch_lightning|yacs|easydict|mmengine|mmcv|datetime|collections|typing|"
    r"enum|types|_codecs)\.|(__builtin__|builtins)\.(dict|list|tuple|set|frozenset|int|float|str|bool|complex|slice)$"
)
_GLOBAL = re.compile(r"(?:GLOBAL|global|class) ([\w.]+\.\w+)")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a file by its whole name, ``state_dict.model.conv1.weight`` say; those of an optimiser are left out.

    Args:
        path: ``.safetensors``, or what ``torch.save`` writes (``.pth``, ``.pt``, ``.ckpt``, ``.bin``); or the index of several such files (``.index.json``).

    Raises:
        BadInput: a file is missing, damaged, it holds pickled objects other than tensors and plain values, or no tensor by a name.
    """
    loaded = _of_shards(path) if is_index(path) else _loaded(path)
    found = dict(_flat(loaded, (), 0))
    if not found:
        raise BadInput(f"{path}: holds no state_dict (a mapping of names to tensors), but a {type(loaded).__name__}")
    return found


def _loaded(path: Path) -> Any:
    return _safetensors(path) if path.suffix == ".safetensors" else _unpickled(path)


def _of_shards(path: Path) -> dict[str, Any]:
    """What several files hold, which an index names."""
    index, *files = files_of(path)
    promised = shards_of(index)
    found: dict[str, Any] = {}
    for file in files:
        reads(file)
        held = _loaded(file)
        if not isinstance(held, Mapping):
            raise BadInput(f"{file}: holds no state_dict (a mapping of names to tensors), but a {type(held).__name__}")
        gone = next((name for name in promised[file.name] if name not in held), None)
        twice = next((name for name in held if name in found), None)
        if gone is not None or twice is not None:
            what = (
                f"does not hold {gone!r}, which"
                if gone is not None
                else f"holds {twice!r}, as another file does, where"
            )
            raise BadInput(f"{file}: {what} {index.name} says otherwise; take index and files of one save_pretrained")
        found.update(held)
    return found


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise MissingExtra("safetensors is not installed; install it with: pip install 'fullconv[torch]'") from None
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: not a readable .safetensors file ({error})") from None


class _PassedOver:
    """Stands for a value of a class that is not imported; whatever is done to it has no effect."""

    def __new__(cls, *args: Any, **more: Any) -> _PassedOver:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        return

    def __setitem__(self, key: Any, value: Any) -> None:
        return

    def append(self, value: Any) -> None:
        return

    def extend(self, values: Any) -> None:
        return


def _passed_over(path: Path) -> list[Any]:
    """What stands for the values' classes while a file is unpickled."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # what is wrong with it, loading tells
        return []
    return [(_PassedOver, name) for name in named if _VALUES.match(name)]


def _unpickled(path: Path) -> Any:
    if is_torchscript(path):
        raise BadInput(
            f"{path}: is a TorchScript file, which holds its network: give it as the model, and leave out --weights"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(_passed_over(path)):
                return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        if "Weights only load failed" not in str(error) and "weights_only" not in str(error):
            raise BadInput(f"{path}: truncated or damaged, not a checkpoint of PyTorch ({told(error)[:200]})") from None
        raise BadInput(_refusal(path, str(error))) from None
    except Exception as error:  # a damaged file can break the reader at any place
        raise BadInput(f"{path}: truncated or damaged, not a checkpoint of PyTorch ({told(error)[:200]})") from None


def _refusal(path: Path, said: str) -> str:
    """Why a file that holds objects is not read, and how its tensors are had where it is trusted."""
    named = _GLOBAL.search(said)
    what = f" ({named[1]})" if named is not None else ""
    old, new = path.name, path.with_suffix(".safe.pth").name
    return (
        f"{path}: holds pickled Python objects{what}, whose loading could run code; refused. Where you trust it, keep its tensors alone, "
        f"in Python: found = torch.load({old!r}, weights_only=False, map_location='cpu'); torch.save(found.state_dict() if hasattr(found, "
        f"'state_dict') else found['state_dict'], {new!r}); then give {new} with --weights"
    )


def _flat(value: Any, names: tuple[str, ...], depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of mappings within mappings, by all their names with dots between."""
    if isinstance(value, torch.Tensor):
        if names:
            yield ".".join(names), value
    elif isinstance(value, Mapping) and depth < _DEEPEST:
        for key, inner in value.items():
            if not (isinstance(inner, Mapping) and _TRAINING.match(str(key))):
                yield from _flat(inner, (*names, str(key)), depth + 1)


def without_wrappers(tensors: Tensors, wanted: set[str]) -> dict[str, torch.Tensor]:
    """The same without ``module.`` and ``_orig_mod.``, which DataParallel and torch.compile leave within names, where no name is lost by it."""
    gone = {part for part in _WRAPPERS if not any(part in name.split(".") for name in wanted)}
    made = {bare(name, gone): value for name, value in tensors.items()}
    return made if len(made) == len(tensors) else dict(tensors)


def bare(name: str, gone: Collection[str] = _WRAPPERS) -> str:
    """A name without parts that wrappers leave in it."""
    return ".".join(part for part in name.split(".") if part not in gone)


def renamed(tensors: Tensors, rules: Sequence[str], path: Path) -> dict[str, torch.Tensor]:
    """The same under other names.

    Args:
        rules: ``OLD=NEW`` each; OLD is a run of whole parts of a name (``head.fc`` of ``head.fc.weight``), NEW may be empty.

    Raises:
        BadInput: a rule is none, fits no name, or makes one name of two.
    """
    for rule in rules:
        old, equals, new = (part.strip().strip(".") for part in rule.partition("="))
        if not equals or not old:
            raise BadInput(
                f"--rename {rule!r}: write OLD=NEW, parts of the weights' names between dots: classifier=fc say"
            )
        made: dict[str, torch.Tensor] = {}
        fits = 0
        for name, value in tensors.items():
            other = f".{name}.".replace(f".{old}.", f".{new}." if new else ".").strip(".")
            fits += other != name
            if not other or other in made:
                raise BadInput(f"{path}: --rename {rule!r} makes one name, {other!r}, of two")
            made[other] = value
        if not fits:
            parts = sorted({part for name in tensors for part in prefixes(name)})
            near = get_close_matches(old, parts, 3) or sorted(parts, key=lambda part: part.count("."))[:5]
            raise BadInput(f"{path}: --rename {rule!r}: no name has {old!r} in it; it has {', '.join(near)}")
        tensors = made
    return dict(tensors)


def prefixes(name: str) -> list[str]:
    """``a``, ``a.b`` of ``a.b.weight``."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts) - 1)]
