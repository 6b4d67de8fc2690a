"""Configurations of MONAI's bundles as data: JSON or YAML, whose references are followed and whose expressions are never evaluated.

``@a::b`` (or ``@a#b``) is another value of the file, ``$@a`` the same as an expression, ``$@a + @b`` two lists behind each other, and
``$monai.utils.CommonKeys.IMAGE`` the text ``image``. Any other expression stays the text that it is, and what needs its value refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.system.libraries import library
from fullconv.system.text import read_text

_LONGEST = 1 << 20  # characters of YAML, which is read slowly; the zoo's longest has 20,000
_ENDLESS = 1 << 62  # values
_DEEPEST = 24  # steps within steps
_MOST = 1000  # steps and lists of such
_REFERENCE = re.compile(r"\$?\s*[@%]([\w.]+(?:(?:::|#)[\w.]+)*)\s*", re.ASCII)
_KEY = re.compile(r"\$\s*(?:monai\.utils\.)?CommonKeys\.(\w+)", re.ASCII)

Step = tuple[str, Mapping[str, Any]]


class Configuration:
    """One file.

    Attributes:
        path: where it lies, for messages.
    """

    def __init__(self, path: Path, read: Callable[[Path], Mapping[str, Any]]) -> None:
        """Args:
        read: reads a file of JSON.
        """
        self.path = path
        self._data = read(path) if path.suffix == ".json" else _of_yaml(path)
        self._found: dict[str, Any] = {}  # by name; of one that leads to itself None
        self._seen = 0

    def value(self, given: Any) -> Any:
        """A value with its references followed; an expression as it stands."""
        if not isinstance(given, str):
            return given
        key = _KEY.fullmatch(given)
        if key is not None:
            return key[1].lower()
        parts = given.split("+") if given.startswith("$") else [given]
        found = []
        for part in parts:
            reference = _REFERENCE.fullmatch(part)
            if reference is None or (value := self._at(reference[1])) is None:
                return given
            found.append(value)
        if len(found) == 1:
            return found[0]
        is_lists = all(isinstance(value, list) for value in found) and sum(map(len, found)) <= _MOST
        return [each for value in found for each in value] if is_lists else given

    def at(self, *names: str) -> Any:
        """What lies at the first of these names (``validate::preprocessing``) that is there; None where none is."""
        return next((value for name in names if (value := self._at(name)) is not None), None)

    def _at(self, name: str) -> Any:
        if name in self._found:
            return self._found[name]
        self._found[name] = None
        found: Any = self._data
        for part in re.split("::|#", name):
            if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, Mapping) and part in found:
                found = found[part]
            else:
                return None
            found = self.value(found)
        self._found[name] = found
        return found

    def steps(self, given: Any, keys: tuple[str, ...], what: str, depth: int = 0) -> Iterator[Step]:
        """Transforms that are done to one of these keys: each one's name in small letters without the d of dictionaries, and its arguments.

        Raises:
            BadInput: a list of steps, or whether one is done, is an expression.
        """
        self._seen += 1
        if depth > _DEEPEST or self._seen > _MOST:
            raise BadInput(f"{self.path}: its {what} has more steps, or steps within steps, than any")
        found = self.value(given)
        if isinstance(found, list):
            for each in found:
                yield from self.steps(each, keys, what, depth + 1)
            return
        if not isinstance(found, Mapping) or not isinstance(found.get("_target_"), str):
            raise BadInput(
                f"{self.path}: its {what} has {str(found)[:60]!r} where a step is meant, and no expression is evaluated"
            )
        name = found["_target_"].rpartition(".")[2].lower()
        skipped = self.value(found.get("_disabled_", False))
        if skipped is True or str(skipped).lower() == "true":
            return
        if str(skipped).startswith("$"):
            raise BadInput(
                f"{self.path}: whether its step {name!r} is done is the expression {str(skipped)[:60]!r}, which is not evaluated; write true or false"
            )
        values = {key: self.value(value) for key, value in found.items()}
        if name == "compose":
            yield from self.steps(values.get("transforms"), keys, what, depth + 1)
            return
        done_to = values.get("keys", keys[0])
        named = [self.value(key) for key in (done_to if isinstance(done_to, list) else [done_to])]
        if any(key in keys or str(key).startswith(("$", "@")) for key in named):
            yield name if name == "identity" else name.removesuffix("dict").removesuffix("d"), values


def _of_yaml(path: Path) -> Mapping[str, Any]:
    """A file of YAML, by the loader that makes plain values alone."""
    text = read_text(path, "configuration in YAML", _LONGEST)
    yaml = library("yaml", "PyYAML", "pyyaml")
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())[:200]}") from None
    if _size(data, {}) > _LONGEST:  # a few names of one another, written out in a message say, fill all memory
        raise BadInput(f"{path}: its aliases (*name) make it larger than any configuration")
    if not isinstance(data, dict):
        raise BadInput(f"{path}: is no configuration of a bundle, but a {type(data).__name__}")
    return data


def _size(data: Any, known: dict[int, int]) -> int:
    """Values with all that aliases stand for, infinitely many where one stands within itself; ``known`` by where they lie."""
    if not isinstance(data, dict | list):
        return 1
    if id(data) not in known:
        known[id(data)] = _ENDLESS
        parts = (*data, *data.values()) if isinstance(data, dict) else data
        known[id(data)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(data)]
