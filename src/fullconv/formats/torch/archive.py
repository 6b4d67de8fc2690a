"""What a .pt2 archive may hold: tensors, and a graph of PyTorch's own operators under plain names. Nothing that loading would execute.

torch.export.load falls back to unpickling whatever an archive holds, writes Python code with the names that its graph gives, and
evaluates its size expressions. So all three are checked before it is called.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fullconv.errors import BadInput
from fullconv.formats.torch.quiet import quiet, told
from fullconv.system.zips import DAMAGED

_LARGEST_JSON = 256 * 2**20
_NAME = re.compile(r"\w*", re.ASCII)
_TENSOR = re.compile(r"[\w.\-]*", re.ASCII)
_OPERATOR = re.compile(
    r"torch\.ops\.\w+\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+|torch\._sym_\w+", re.ASCII
)
_SIZES = re.compile(r"[\w\s+\-*/%().,<>=]*", re.ASCII)
_QUOTED = re.compile(r"'([suz]f?\d+|[\d.]+)'", re.ASCII)
_SYMBOL = re.compile(r"[suz]f?\d+")
_FUNCTIONS = frozenset(
    [
        "Mod",
        "PythonMod",
        "FloorDiv",
        "CleanDiv",
        "CeilDiv",
        "Max",
        "Min",
        "Pow",
        "PowByNatural",
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "And",
        "Or",
        "Not",
        "True",
        "False",
        "IntTrueDiv",
        "FloatTrueDiv",
        "ToFloat",
        "TruncToInt",
        "FloorToInt",
        "CeilToInt",
        "RoundToInt",
        "ModularIndexing",
        "Abs",
        "Integer",
        "oo",
        "int_oo",
        "Symbol",
        "Add",
        "Mul",
        "Rational",
        "Float",
        "precision",
        "positive",
        "integer",
        "nonnegative",
        "negative",
        "nonpositive",
        "nonzero",
        "zero",
        "even",
        "odd",
        "real",
        "finite",
        "extended_real",
        "Infinity",
        "NegativeInfinity",
        "S",
    ]
)
_FILES = ("from_file",)  # operators that open files


def check(path: Path) -> None:
    """Raise BadInput unless all that the archive holds is tensors and plain names."""
    try:
        with zipfile.ZipFile(path) as archive:
            raw = _raw_members(archive, path)
            for name in archive.namelist():
                if name.rsplit("/", 1)[-1].startswith("custom_obj"):
                    raise BadInput(f"{path}: holds a custom object ({name}), whose loading could run code; refused")
                if name.endswith(".json"):
                    _plain_names(_json(archive, name, path), path)
                    continue
                if name in raw:
                    continue
                with archive.open(name) as member:
                    head = member.read(2)
                if head == b"PK" or head[:1] == b"\x80":
                    _only_tensors(archive.read(name), name, path)
    except DAMAGED as error:
        raise BadInput(f"{path}: truncated or damaged, not a .pt2 file of torch.export ({error})") from None


def _json(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    if archive.getinfo(name).file_size > _LARGEST_JSON:
        raise BadInput(f"{path}: {name} is too large to be a graph or a list of weights")
    try:
        return json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: truncated or damaged: {name} is no JSON ({error})") from None


def _raw_members(archive: zipfile.ZipFile, path: Path) -> set[str]:
    """Members that are bytes of tensors and are never unpickled, by the archive's own lists."""
    raw = set()
    for name in archive.namelist():
        if not name.endswith("_config.json"):
            continue
        try:
            for entry in _json(archive, name, path)["config"].values():
                if not entry["use_pickle"]:
                    raw.add(f"{name.rsplit('/', 1)[0]}/{entry['path_name']}")
        except (KeyError, TypeError, AttributeError):
            continue  # of another kind; what it would have listed is checked as a pickle
    return raw


def _only_tensors(content: bytes, name: str, path: Path) -> None:
    try:
        with quiet():
            torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # of the unpickler, or of what it met in a damaged file
        raise BadInput(
            f"{path}: {name} holds more than tensors, and loading it could run code; refused ({told(error)[:160]}). Export the module "
            "anew with torch.export.save"
        ) from None


def _plain_names(document: Any, path: Path) -> None:
    """Names become Python code, size expressions are evaluated, operators are looked up: each must be nothing but that."""
    for kind, text in _strings(document):
        if kind == "name" and not _NAME.fullmatch(text):
            _refuse(path, "the name", text)
        if kind == "tensor" and not _TENSOR.fullmatch(text):
            _refuse(path, "the name", text)
        if kind == "operator" and (not _OPERATOR.fullmatch(text) or any(word in text for word in _FILES)):
            _refuse(path, "the operator", text)
        if kind == "sizes":
            bare = _QUOTED.sub(r"\1", text)  # Symbol('s31', positive=True)
            words = re.findall(r"[A-Za-z_]\w*", bare)
            if not _SIZES.fullmatch(bare) or not all(word in _FUNCTIONS or _SYMBOL.fullmatch(word) for word in words):
                _refuse(path, "the size", text)


def _refuse(path: Path, what: str, text: str) -> None:
    raise BadInput(
        f"{path}: {what} {text[:60]!r} of its graph could run code; refused. Export the module anew with torch.export.save"
    )


def _strings(document: Any) -> Iterator[tuple[str, str]]:
    """Every string of a graph's JSON that PyTorch makes code of, with its kind."""
    todo = [(document, "")]
    while todo:
        value, above = todo.pop()
        if isinstance(value, list):
            todo.extend((item, above) for item in value)
        if not isinstance(value, dict):
            continue
        for key, inner in value.items():
            if above.endswith("_values"):
                yield "name", key
            if isinstance(inner, str):
                if key == "name":
                    yield "name", inner
                elif key.endswith(("_name", "_to_mutate")) or key == "fqn":
                    yield "tensor", inner
                elif key in ("target", "as_operator") and above != "metadata":
                    yield "operator", inner
                elif key == "expr_str":
                    yield "sizes", inner
            elif key != "metadata":
                todo.append((inner, key))
