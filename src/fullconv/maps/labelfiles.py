"""Names of classes as people have them: text, JSON and tables, with numbers before or behind the names, and ImageNet's by name."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput, MissingExtra
from fullconv.system.libraries import library
from fullconv.system.parse import whole_number
from fullconv.system.text import read_text

KNOWN = {
    "imagenet1k": "imagenet-1k",
    "imagenet12k": "imagenet-12k",
    "imagenet21k": "imagenet-21k",
    "imagenet22k": "imagenet-22k",
}
_TABLES = {".csv": ",", ".tsv": "\t"}
_LONGEST = 64 << 20  # characters of a file
_WORDNET = re.compile(r"n[0-9]{8}")
_NAMES = ("name", "label", "class_name", "classname", "description", "class")
_NUMBERS = ("index", "idx", "id", "number", "class_id", "class_index", "label_id", "value", "class")


def labels_in(given: str | Path) -> list[str]:
    """The labels of a file, in the order of their numbers, or of a list by its name (``imagenet1k``).

    Text has one label a line. JSON is a list, numbers to names or names to numbers, Hugging Face's ``id2label`` or Keras's ``{"0": ["n01440764", "tench"]}``.
    A table has a column of names, and one of numbers where it has two. WordNet's ids alone become names where timm is there.

    Raises:
        BadInput: it is not there, not readable, or does not name every number from 0 on once.
        MissingExtra: a list is asked for that timm has, and it is not installed.
    """
    if str(given) in KNOWN and not Path(given).exists():
        return _known(str(given))
    path = Path(given)
    text = read_text(path, "list of labels", _LONGEST)
    suffix = path.suffix.lower()
    if suffix == ".json":
        found = _of_json(text, path)
    elif suffix in _TABLES:
        found = _of_table(text, _TABLES[suffix], path)
    else:
        found = [line.strip() for line in text.splitlines()]
        while found and not found[-1]:
            found.pop()
    return _spelt(found)


def _of_json(text: str, path: Path) -> list[str]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    for key in ("id2label", "label2id", "class_names", "label_names", "labels", "classes"):
        if isinstance(data, Mapping) and isinstance(data.get(key), list | Mapping):
            data = data[key]
            break
    if isinstance(data, list):
        return [_name(each, path) for each in data]
    if not isinstance(data, Mapping) or not data:
        raise BadInput(f"{path}: holds no labels: a list, numbers to names, or names to numbers, are read")
    return labels_of(data, path)


def labels_of(data: Mapping[Any, Any], path: Path | str) -> list[str]:
    """Of numbers to names, or names to numbers, in the order of the numbers.

    Args:
        path: what holds them, for people.
    """
    numbers = [whole_number(str(key)) for key in data]
    if all(number is not None for number in numbers):
        return _ordered(
            [
                (number, _name(value, path))
                for number, value in zip(numbers, data.values(), strict=True)
                if number is not None
            ],
            path,
        )
    if all(isinstance(value, int) and not isinstance(value, bool) for value in data.values()):
        return _ordered([(value, str(key)) for key, value in data.items()], path)
    raise BadInput(f"{path}: its keys are no numbers, and its values are not either: which class is which is not known")


def _name(value: Any, path: Path | str) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        value = value[1]  # Keras: WordNet's id, and the name
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        value = value["name"]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise BadInput(f"{path}: {str(value)[:60]!r} is no name of a class")
    return str(value).strip()


def _of_table(text: str, delimiter: str, path: Path) -> list[str]:
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(text.splitlines(), delimiter=delimiter)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise BadInput(f"{path}: not a readable table ({error})") from None
    if not rows:
        raise BadInput(f"{path}: holds no labels")
    titles = [title.lower() for title in rows[0]]
    number = next((titles.index(name) for name in _NUMBERS if name in titles), None)
    name = next((titles.index(title) for title in _NAMES if title in titles and titles.index(title) != number), None)
    if name is None and number is not None and not _all_numbers(rows[1:], number):
        name, number = number, None  # a column that is titled "class" and holds names
    if name is not None:
        rows = rows[1:]
    else:  # without titles
        numbers = [i for i in range(len(rows[0])) if _all_numbers(rows, i)]
        number = numbers[0] if len(rows[0]) > 1 and numbers else None
        name = next((i for i in range(len(rows[0])) if i != number), 0)
    width = max(name, -1 if number is None else number) + 1
    short = next((row for row in rows if len(row) < width), None)
    if short is not None:
        raise BadInput(f"{path}: its row {delimiter.join(short)[:60]!r} has too few columns")
    if number is None:
        return [row[name] for row in rows]
    numbered = [(whole_number(row[number]), row[name]) for row in rows]
    wrong = next((row[number] for row, (value, _) in zip(rows, numbered, strict=True) if value is None), None)
    if wrong is not None:
        raise BadInput(f"{path}: {wrong[:60]!r} is no number of a class")
    return _ordered([(value, label) for value, label in numbered if value is not None], path)


def _all_numbers(rows: Sequence[Sequence[str]], column: int) -> bool:
    return bool(rows) and all(len(row) > column and whole_number(row[column]) is not None for row in rows)


def _ordered(numbered: Sequence[tuple[int, str]], path: Path | str) -> list[str]:
    """Names in the order of their numbers, each from 0 on once."""
    seen = sorted(number for number, _ in numbered)
    if seen == list(range(1, len(seen) + 1)):
        raise BadInput(f"{path}: numbers its classes from 1 on, and a network's are numbered from 0; take one off each")
    if seen != list(range(len(seen))):
        wrong = next((i for i, number in enumerate(seen) if number != i), len(seen))
        raise BadInput(
            f"{path}: class {wrong} is {'there twice' if wrong and seen.count(seen[wrong - 1]) > 1 else 'not there'}; every number from 0 on must be there once"
        )
    return [label for _, label in sorted(numbered)]


def _spelt(labels: list[str]) -> list[str]:
    """WordNet's ids with their names behind, where timm knows them."""
    if not labels or not all(_WORDNET.fullmatch(label) for label in labels) or find_spec("timm") is None:
        return labels
    try:
        info = _imagenet("imagenet-22k")
    except MissingExtra:  # there, and does not work: ids are names, too
        return labels
    known = {info.index_to_label_name(i): info.index_to_description(i) for i in range(info.num_classes())}
    return [f"{label} {known[label]}" if label in known else label for label in labels]


def _imagenet(name: str) -> Any:
    """timm's knowledge of a list."""
    return library("timm.data", "timm").ImageNetInfo(name)


def _known(name: str) -> list[str]:
    if find_spec("timm") is not None:
        info = _imagenet(KNOWN[name])
        return [info.index_to_description(i) for i in range(info.num_classes())]
    if name == "imagenet1k" and find_spec("torchvision") is not None:
        return list(library("torchvision.models", "torchvision").ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    raise MissingExtra(
        f"labels {name}: timm has this list, and is not installed: pip install timm; or give a file of labels"
    )
