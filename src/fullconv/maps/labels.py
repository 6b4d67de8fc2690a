"""Names of classes: which class a name means, and names from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from operator import index
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.maps.labelfiles import labels_in, labels_of
from fullconv.system.notebook import counted
from fullconv.system.parse import whole_number

WINNER = "winner's number"
Named = str | int | Sequence[str | int]  # classes: one, or several


def class_index(labels: Sequence[str], name: str | int) -> int:
    """Index of a class by label, by the one label that contains the words, or by number.

    Raises:
        BadInput: no class or several classes answer to the name.
    """
    if not isinstance(name, str):
        try:
            name = index(name)  # NumPy's numbers too
        except TypeError:
            raise BadInput(f"class {name!r}: a label or a number is meant") from None
        if 0 <= name < len(labels):
            return name
        raise BadInput(f"class {name}: there are {len(labels)} classes, 0 to {len(labels) - 1}")
    if name in labels:
        return list(labels).index(name)
    number = whole_number(name)
    if number is not None and number < len(labels):
        return number
    words = [i for i, label in enumerate(labels) if name.lower() in label.lower()]
    if len(words) == 1:
        return words[0]
    if words:
        shown = "; ".join(labels[i] for i in words[:5])
        more = " ..." if len(words) > 5 else ""
        raise BadInput(f"class {name!r} could be {len(words)} classes: {shown}{more}; name one whole")
    near = _near(labels, name)
    if near:
        meant = ", ".join(map(repr, near))
        raise BadInput(f"no class is named {name!r}; did you mean {meant}? ({len(labels)} classes)")
    more = ", ..." if len(labels) > 5 else ""
    if tuple(labels) == (WINNER,):
        raise BadInput(
            f"no class is named {name!r}: the network gives the winner's number alone, and no class has scores of its own"
        )
    if len(labels) == 1:
        raise BadInput(f"no class is named {name!r}; the one class is {labels[0]!r}")
    raise BadInput(
        f"no class is named {name!r}; the {len(labels)} classes are {', '.join(map(repr, labels[:5]))}{more}"
    )


def classes_named(labels: Sequence[str], name: Named) -> tuple[int, ...]:
    """Indices of one class, or of several: a list, or text with commas between; a label may hold commas itself.

    Raises:
        BadInput: no class or several classes answer to a name.
    """
    if isinstance(name, Iterable) and not isinstance(name, str):
        return tuple(dict.fromkeys(class_index(labels, each) for each in name))
    if not isinstance(name, str) or "," not in name:
        return (class_index(labels, name),)
    try:
        return (class_index(labels, name),)
    except BadInput:
        parts = [part.strip() for part in name.split(",") if part.strip()]
        if not parts:
            raise
        return tuple(dict.fromkeys(class_index(labels, part) for part in parts))


def _near(labels: Sequence[str], name: str) -> list[str]:
    """At most three labels that may be meant: spelt alike, a short form of the name (TUM of tumour), or its long form."""
    asked = _letters(name)
    spellings = [(_letters(part), label) for label in labels for part in dict.fromkeys((label, *label.split(",")))]
    spelt = get_close_matches(asked, list(dict.fromkeys(letters for letters, _ in spellings)), 3, 0.5) if asked else []
    alike = [label for close in spelt for letters, label in spellings if letters == close]
    short = [label for label in labels if _shortens(_letters(label), asked) or _shortens(asked, _letters(label))]
    short.sort(key=lambda label: (not asked.startswith(_letters(label)), -len(label)))
    return list(dict.fromkeys([*short[:3], *alike]))[:3]


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _shortens(short: str, long: str) -> bool:
    """Whether a word of at least two letters is made of letters of a longer one, in its order, from its first on."""
    if not 2 <= len(short) < len(long) or short[0] != long[0]:
        return False
    left = iter(long)
    return all(letter in left for letter in short)


def number_label(given: str | Path | Sequence[str] | None) -> str:
    """What the one value of a network that gives the winner's number is called: no class of its own, and no card's labels are of it.

    Raises:
        BadInput: names of several classes, which no map of numbers holds.
    """
    if given is None:
        return WINNER
    labels = labels_in(given) if isinstance(given, str | Path) else [str(label) for label in given]
    if len(labels) != 1:
        where = f"{given}: " if isinstance(given, str | Path) else ""
        raise BadInput(
            f"{where}{counted(len(labels), 'label')}, and the network gives the winner's number alone, which the map holds as a number; "
            "leave out the labels, or choose an output of scores with --head (output=)"
        )
    return labels[0]


def read_labels(given: str | Path | Sequence[str] | Mapping[int, str] | None, classes: int) -> tuple[str, ...]:
    """Labels from a file (see ``labelfiles.labels_in``), of a list by its name, or as given; numbers where there are none.

    Raises:
        BadInput: they are not as many as the network has classes, or not readable.
    """
    if given is None:
        return tuple(map(str, range(classes)))
    if isinstance(given, str | Path):
        labels, where = labels_in(given), str(given)
    elif isinstance(given, Mapping):
        labels, where = labels_of(given, "labels"), "labels"
    elif isinstance(given, Iterable):
        labels, where = [str(label) for label in given], "labels"
    else:
        raise BadInput(f"labels {given!r}: names in the network's order, numbers to names, or a file are meant")
    if len(labels) != classes:
        raise BadInput(
            f"{where}: holds {counted(len(labels), 'label')}, the network has {counted(classes, 'class', 'classes')}; give one for each, in the network's order"
        )
    return tuple(labels)
