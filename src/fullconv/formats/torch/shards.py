"""Weights in several files, as Hugging Face's libraries save large ones: an index that says which file holds which tensor, and the files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.system.guard import require_file
from fullconv.system.text import read_text

SUFFIXES = (".safetensors.index.json", ".bin.index.json")
_LONGEST = 64 << 20  # characters of an index
_MOST = 1000  # files


def is_index(path: Path) -> bool:
    """Whether a file is an index by its name."""
    return path.name.endswith(SUFFIXES)


def shards_of(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Names of an index's files, which lie beside it, each with the tensors that it says are there.

    Raises:
        BadInput: it is no index, or names what does not lie beside it.
    """
    try:
        data = json.loads(read_text(path, "index of weights", _LONGEST))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    named = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(named, dict) or not named or not all(isinstance(each, str) for each in named.values()):
        raise BadInput(f"{path}: has no weight_map of tensors to files, as an index of weights has")
    found: dict[str, list[str]] = {}
    for tensor, file in named.items():
        found.setdefault(file, []).append(tensor)
    kind = path.name.removesuffix(".index.json").rpartition(".")[2]
    wrong = next((file for file in found if _is_elsewhere(file) or not file.endswith(f".{kind}")), None)
    if wrong is not None:
        raise BadInput(f"{path}: names {wrong[:80]!r}, and files of an index are .{kind} and lie beside it; refused")
    if len(found) > _MOST:
        raise BadInput(f"{path}: names {len(found):,} files, more than any network's weights are in")
    return {file: tuple(tensors) for file, tensors in found.items()}


def files_of(path: Path) -> tuple[Path, ...]:
    """All files of weights: itself, or its index and the files that it names.

    Raises:
        BadInput: one is not there.
    """
    if not is_index(path):
        return (path,)
    names = sorted(shards_of(path))
    gone = [name for name in names if not (path.parent / name).is_file()]
    if gone:
        raise BadInput(
            f"{path}: says that weights are in {len(names)} files, and {', '.join(gone[:4])}{' ...' if len(gone) > 4 else ''} "
            f"{'is' if len(gone) == 1 else 'are'} not beside it; put {'it' if len(gone) == 1 else 'them'} there"
        )
    files = tuple(path.parent / name for name in names)
    for each in files:
        require_file(each, "weights")
    return (path, *files)


def _is_elsewhere(name: str) -> bool:
    return name in ("", ".", "..") or any(each in name for each in "/\\:\0")
