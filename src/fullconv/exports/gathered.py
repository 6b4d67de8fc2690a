"""The maps that one export is of: their images' names, and that they are of one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.maps.colours import Given, colours_of
from fullconv.maps.labels import Named, classes_named
from fullconv.maps.summary import image_name
from fullconv.system.guard import reads

Result = ClassMap | str | Path


@dataclass(frozen=True, slots=True)
class Gathered:
    """Maps of the same classes.

    Attributes:
        maps: one at least.
        notes: what is to be known of them.
        images: a name a map, no two the same: its image's, or the result's where images share one or the map does not say it.
    """

    maps: tuple[ClassMap, ...]
    images: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(results: Result | Sequence[Result], *, partial: bool) -> Gathered:
        """Open results.

        Args:
            partial: stores that are not finished are taken as they are.

        Raises:
            BadInput: a result is none of fullconv's or not finished, or two are of different classes or kinds of scores.
        """
        given = [results] if isinstance(results, ClassMap | str | Path) else list(results)
        if not given:
            raise BadInput("no map to export was given")
        maps = tuple(each if isinstance(each, ClassMap) else ClassMap.load(each) for each in given)
        for found in maps:
            reads(getattr(found.scores, "name", None))  # the store that it lies in
        named = [
            _name(each, found, i, len(given) > 1) for i, (each, found) in enumerate(zip(given, maps, strict=True), 1)
        ]
        notes = []
        for name, found in zip(named, maps, strict=True):
            if found.record is not None and not found.record.finished:
                told = f"{name}: is not finished: cells of tiles that are not done have no answer"
                if not partial:
                    raise BadInput(
                        f"{told}; go on with the command that made it, or write what is there with --partial (partial=True)"
                    )
                notes.append(told)
            _require_alike(named[0], maps[0], name, found)
        images = [image_name(found) for found in maps]
        often = Counter(images)
        known = (image if image and often[image] == 1 else name for image, name in zip(images, named, strict=True))
        return Gathered(maps, tuple(known), tuple(notes))

    def coloured(self, given: Given) -> Gathered:
        """The same with colours of one's own."""
        own = colours_of(given, self.labels)
        return (
            replace(self, maps=tuple(replace(each, colours={**each.colours, **own}) for each in self.maps))
            if own
            else self
        )

    @property
    def labels(self) -> tuple[str, ...]:
        return self.maps[0].labels

    def classes(self, name: Named | None) -> tuple[int, ...]:
        """Indices of the classes that are named; of all, where none is."""
        return tuple(range(len(self.labels))) if name is None else classes_named(self.labels, name)

    @property
    def background(self) -> tuple[int, ...]:
        """Classes that every map's card calls background, by index; none where that is all of them."""
        found = tuple(i for i in range(len(self.labels)) if all(i in each.advice.background for each in self.maps))
        return () if len(found) == len(self.labels) else found

    def __iter__(self) -> Iterator[tuple[str, ClassMap]]:
        return iter(zip(self.images, self.maps, strict=True))

    def only(self, out: Path, what: str) -> ClassMap:
        """The one map, for formats that hold no more."""
        if len(self.maps) > 1:
            raise BadInput(
                f"{out}: holds {what} of one map, and {len(self.maps)} were given; several go into .geojson, .gpkg, .fgb, .csv or .parquet"
            )
        return self.maps[0]


def _name(given: Result, found: ClassMap, number: int, several: bool) -> str:
    """A result's own name: its path, or its place in the list."""
    if not isinstance(given, ClassMap):
        return str(given)
    return str(getattr(found.scores, "name", "")) or (f"map {number}" if several else "")


def _require_alike(name: str, first: ClassMap, other_name: str, other: ClassMap) -> None:
    if first.labels != other.labels:
        count, has = len(first.labels), len(other.labels)
        differ = next(
            (
                f"class {i} is {a!r} in one and {b!r} in the other"
                for i, (a, b) in enumerate(zip(first.labels, other.labels, strict=False))
                if a != b
            ),
            f"{count} and {has} classes",
        )
        raise BadInput(f"{name} and {other_name}: are of different classes ({differ}); export them one by one")
    kinds = {first.score_kind, other.score_kind} - {""}
    if len(kinds) > 1:
        raise BadInput(
            f"{name} and {other_name}: scores are {first.score_kind} in one and {other.score_kind} in the other, which no threshold or column "
            "can hold together; export them one by one"
        )
