"""Names of columns and classes that no two share: labels come from anyone, and formats have columns of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fullconv.maps.classmap import ClassMap


def names_of(labels: Sequence[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """A name a class: its label, with its number behind where another class, or a column of ``taken``, has the same (whatever the case)."""
    used = Counter(label.casefold() for label in labels)
    used.update({name.casefold(): 1 for name in taken})
    names = [label if used[label.casefold()] == 1 else f"{label} ({i})" for i, label in enumerate(labels)]
    seen: set[str] = set()
    for i, name in enumerate(names):
        while name.casefold() in seen:  # a label that ends like that by itself
            name += f" ({i})"
        names[i] = name
        seen.add(name.casefold())
    return tuple(names)


def number_of(found: ClassMap, index: int) -> int:
    """A class's number among all of the network's, of which a store may keep some."""
    return index if found.record is None else found.record.number(index)
