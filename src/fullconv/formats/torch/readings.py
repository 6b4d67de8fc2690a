"""Which tensors of a file are a network's: under which prefix, in whose spelling. One reading must fill the network, and no other.

A checkpoint may hold a network several times (its weights, their moving average, teacher and student), under any prefix, with a head
under a name of its own. All ways to read it are looked at; what is left over is told, and what would be a choice is left to the user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fullconv.errors import BadInput
from fullconv.formats.torch.checkpoint import Tensors, bare, prefixes, renamed, without_wrappers

_SHOWN = 3
_COUNTER = "num_batches_tracked"  # of batch normalisation's training; older files have none
_MEASURES = ("total_ops", "total_params", "n_averaged")  # of tools that count, and of averages


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a file as a network's weights.

    Attributes:
        prefix: under which they lie in the file, with its dot; empty where names are the network's own.
        names: the file's name of each tensor of the network.
        missing: the network's tensors that the file has not.
        unknown: tensors under the prefix that the network has not.
        shapes: the network's tensors that are of another shape there.
        classes: the number of classes that the weights are for, where only that tells their shapes from the network's.
        head: the file's name of the network's last layer, and the network's, where they differ.
    """

    prefix: str
    names: Mapping[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    shapes: tuple[str, ...]
    classes: int | None = None
    head: tuple[str, str] | None = None

    def fits(self, ignore_unknown: bool) -> bool:
        """Whether it fills the network, but for the number of classes."""
        return (
            not self.missing and (ignore_unknown or not self.unknown) and (not self.shapes or self.classes is not None)
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """A file's tensors, with what the user says of their names.

    Attributes:
        path: the file, for messages.
        tensors: by whole name.
        prefix: under which the network's are, where the user says.
        rename: ``OLD=NEW`` each.
        ignore_unknown: go on where the file has tensors beside the network's that the network has not.
    """

    path: Path
    tensors: Tensors
    prefix: str | None = None
    rename: tuple[str, ...] = ()
    ignore_unknown: bool = False

    def reading(self, module: nn.Module) -> Reading:
        """The one reading that fills the module, but for its number of classes.

        Raises:
            BadInput: none does, or several do.
        """
        tensors, found = self._readings(module)
        asked = (self.prefix or "").strip(".")
        if asked:
            within = [
                each for each in found if any(f".{way}." in f".{each.prefix}" for way in (asked, bare(asked)) if way)
            ]
            if not within:
                raise BadInput(
                    f"{self.path}: --weights-prefix {asked!r}: no weights of the network are there; {_offered(found)}"
                )
            found = within
        fits = [each for each in found if each.fits(self.ignore_unknown)]
        if not fits:
            raise BadInput(self._unfit(module, tensors, found, asked))
        best = [each for each in fits if not each.shapes] or fits
        first = best[0]
        others = [each for each in best[1:] if not _same(tensors, first, each)]
        if others:
            ways = ", ".join(f"{each.prefix.rstrip('.') or '(no prefix)'}" for each in (first, *others))
            raise BadInput(
                f"{self.path}: holds the network's weights {1 + len(others)} times, with other numbers: under {ways}. Say which with "
                f"--weights-prefix (weights_prefix=), {others[0].prefix.rstrip('.')} say"
            )
        return first

    def load(self, module: nn.Module) -> tuple[str, ...]:
        """Put the weights into a module; what a user should know of them.

        Raises:
            BadInput: they do not fill it.
        """
        reading = self.reading(module)
        tensors = self._named(module)
        if reading.shapes:
            raise BadInput(self._unfit(module, tensors, [reading], ""))
        owned = _own(module)
        state = {
            name: tensors[given].reshape(_shape(tensors[given], owned[name])) for name, given in reading.names.items()
        }
        for name, own in owned.items():
            if name in state and own.is_floating_point() and not state[name].is_floating_point():
                raise BadInput(
                    f"{self.path}: {reading.names[name]} is of {state[name].dtype}, and the network's {name} of {own.dtype}: quantised "
                    "weights are not read; give those that were trained"
                )
        try:
            module.load_state_dict(state, strict=False)
        except Exception as error:  # of the module's own hooks, or of sparse tensors
            raise BadInput(f"{self.path}: the weights do not go into the network: {error}") from None
        return _remarks(reading, tensors)

    def _named(self, module: nn.Module) -> dict[str, torch.Tensor]:
        return without_wrappers(renamed(self.tensors, self.rename, self.path), set(_own(module)))

    def _readings(self, module: nn.Module) -> tuple[dict[str, torch.Tensor], list[Reading]]:
        """All ways that fill some of the network, those that fill most first."""
        tensors, own = self._named(module), _own(module)
        found: dict[tuple[tuple[str, str], ...], Reading] = {}
        for spelling in _spellings(module, list(own)):
            for prefix in _prefixes(tensors, own, spelling):
                each = _read(tensors, own, spelling, prefix)
                found.setdefault(tuple(sorted(each.names.items())), each)
        ways = sorted(found.values(), key=lambda each: (len(each.missing), len(each.prefix)))
        full = [each for each in ways if not each.missing]
        # Another copy of the network beneath the first's prefix is a reading of its own, and no surplus of the first.
        copies = {name for each in full for name in each.names.values()}
        ways = [_without(each, copies) for each in ways]
        return tensors, ways

    def _unfit(self, module: nn.Module, tensors: Tensors, found: Sequence[Reading], asked: str) -> str:
        own = _own(module)
        best = (
            found[0]
            if found
            else Reading("", {}, tuple(n for n in own if not n.endswith(_COUNTER)), tuple(tensors), ())
        )
        where = f" under {best.prefix.rstrip('.')!r}" if best.prefix and not asked else ""
        sizes = [f"{n} {tuple(tensors[best.names[n]].shape)} for {tuple(own[n].shape)}" for n in best.shapes]
        parts = [
            f"missing {_few(best.missing)}" if best.missing else "",
            f"unknown {_few(best.unknown)}" if best.unknown else "",
            f"of another shape {_few(sizes)}" if sizes else "",
        ]
        hints = ""
        if best.unknown and not best.missing and not best.shapes:
            hints = (
                "; the file may be of a larger network. Where these are no part of it, --ignore-unused-weights goes on"
            )
        elif best.missing and best.unknown:
            hints = "; where names alone differ, say so with --rename OLD=NEW"
        return f"{self.path}: the weights{where} do not fit the network: {'; '.join(part for part in parts if part)}{hints}"


def _own(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}


def _spellings(module: nn.Module, names: Sequence[str]) -> list[dict[str, str]]:
    """The network's names as a file may have them, each with the network's own: as they are; with children by number, as
    ``nn.Sequential(*net.children())`` has them; and without the name of the body that holds all but the head.
    """
    children = [name for name, _ in module.named_children()]
    spellings = [{name: name for name in names}]
    number = {child: str(i) for i, child in enumerate(children)}
    if any(child != at for child, at in number.items()) and all(name.partition(".")[0] in number for name in names):
        spellings.append({f"{number[n.partition('.')[0]]}.{n.partition('.')[2]}": n for n in names})
    body = Counter(name.partition(".")[0] for name in names).most_common(1)
    if body and body[0][0] in number and 1 < len({name.partition(".")[0] for name in names}) <= 2:
        spellings.append({name.removeprefix(f"{body[0][0]}."): name for name in names})
    return spellings


def _prefixes(tensors: Tensors, own: Tensors, spelling: Mapping[str, str]) -> list[str]:
    """Prefixes under which the file has as many of the network's tensors as under any, or all but a head's."""
    counts: Counter[str] = Counter()
    for name in tensors:
        at = 0
        while at >= 0:
            wanted = spelling.get(name[at:])
            if wanted is not None and not wanted.endswith(_COUNTER):
                counts[name[:at]] += 1
            dot = name.find(".", at)
            at = dot + 1 if dot >= 0 else -1
    most = max(counts.values(), default=0)
    enough = sum(not name.endswith(_COUNTER) for name in own) - 2
    return [prefix for prefix, count in counts.items() if count == most or count >= max(1, enough)]


def _read(tensors: Tensors, own: Tensors, spelling: Mapping[str, str], prefix: str) -> Reading:
    names = {wanted: prefix + given for given, wanted in spelling.items() if prefix + given in tensors}
    missing = [name for name in own if name not in names and not name.endswith(_COUNTER)]
    head = _head(tensors, own, names, missing, prefix)
    if head is not None:
        for name in missing:
            names[name] = f"{head[0]}.{name.rpartition('.')[2]}"
        missing = []
    taken = set(names.values())
    unknown = [
        name
        for name in tensors
        if name.startswith(prefix) and name not in taken and not name.endswith((_COUNTER, *_MEASURES))
    ]
    shapes = [name for name in names if _shape(tensors[names[name]], own[name]) != own[name].shape]
    return Reading(
        prefix, names, tuple(missing), tuple(unknown), tuple(shapes), _classes(tensors, own, names, shapes), head
    )


def _head(
    tensors: Tensors, own: Tensors, names: Mapping[str, str], missing: Sequence[str], prefix: str
) -> tuple[str, str] | None:
    """The one matrix that the file has beside the body, where the network lacks one alone: its name there, and here."""
    layers = {name.rpartition(".")[0] for name in missing}
    if len(layers) != 1 or f"{(layer := layers.pop())}.weight" not in missing:
        return None
    above = prefix[: prefix.rstrip(".").rfind(".") + 1]
    taken = set(names.values())
    left = {n: v for n, v in tensors.items() if n.startswith(above) and n not in taken}
    matrices = [name for name, value in left.items() if value.ndim > 1]
    wanted = own[f"{layer}.weight"]
    if (
        len(matrices) != 1
        or not matrices[0].endswith(".weight")
        or _shape(left[matrices[0]], wanted)[1:] != wanted.shape[1:]
    ):
        return None
    other = matrices[0].removesuffix(".weight")
    roles = {name.rpartition(".")[2] for name in missing}
    return (other, layer) if roles == {n[len(other) + 1 :] for n in left if n.startswith(f"{other}.")} else None


def _shape(tensor: torch.Tensor, like: torch.Tensor) -> torch.Size:
    """A tensor's shape as the network has it: a kernel of one cell, (K, C, 1, 1), is the matrix (K, C)."""
    whole = like.ndim == 2 and tensor.ndim == 4 and tensor.shape[2:] == (1, 1)
    return tensor.shape[:2] if whole else tensor.shape


def _classes(tensors: Tensors, own: Tensors, names: Mapping[str, str], shapes: Sequence[str]) -> int | None:
    """The number of classes that the weights are for, where only that tells them from the module's."""
    pairs = [(_shape(tensors[names[name]], own[name]), own[name].shape) for name in shapes]
    if not all(len(a) and len(a) == len(b) and a[1:] == b[1:] for a, b in pairs):
        return None
    counts = {int(given[0]) for given, _ in pairs}
    return counts.pop() if len(counts) == 1 and 0 not in counts else None


def _without(reading: Reading, copies: set[str]) -> Reading:
    own = set(reading.names.values())
    unknown = tuple(name for name in reading.unknown if name in own or name not in copies)
    return Reading(
        reading.prefix, reading.names, reading.missing, unknown, reading.shapes, reading.classes, reading.head
    )


def _same(tensors: Tensors, one: Reading, other: Reading) -> bool:
    """Whether two readings give a network the same numbers."""
    return one.names.keys() == other.names.keys() and all(
        tensors[given].shape == tensors[other.names[name]].shape
        and torch.equal(tensors[given], tensors[other.names[name]])
        for name, given in one.names.items()
        if not name.endswith(_COUNTER)
    )


def _offered(found: Sequence[Reading]) -> str:
    whole = [each.prefix.rstrip(".") or "(no prefix)" for each in found if not each.missing]
    return f"they are under {', '.join(whole)}" if whole else "nor anywhere else"


def _remarks(reading: Reading, tensors: Tensors) -> tuple[str, ...]:
    remarks = []
    if reading.prefix:
        remarks.append(f"the weights are those under {reading.prefix.rstrip('.')!r} of the file")
    if reading.head is not None:
        remarks.append(f"the file's {reading.head[0]!r} is taken for the network's last layer, {reading.head[1]!r}")
    shared = {prefix for each in reading.names.values() for prefix in prefixes(each)}
    gone = Counter(_parting(name, shared) for name in _left(reading, tensors))
    if gone:
        few = _few([f"{name} ({count} tensors)" if count > 1 else name for name, count in gone.items()])
        remarks.append(f"of the file, no part of the network and left out: {few}")
    return tuple(remarks)


def _left(reading: Reading, tensors: Tensors) -> list[str]:
    taken = set(reading.names.values())
    return [name for name in tensors if name not in taken and not name.endswith((_COUNTER, *_MEASURES))]


def _parting(name: str, shared: set[str]) -> str:
    """The first parts of a name, as many as tell it from all that were taken."""
    return next((prefix for prefix in (*prefixes(name), name) if prefix not in shared), name)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
