"""What a run is asked for: one value, that can be sent to other processes and compared with that of an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from fullconv import version
from fullconv.confirmation.asked import Confirm
from fullconv.errors import BadInput
from fullconv.maps.probabilities import Asked
from fullconv.maps.ways import By, Finer, Way, way_over
from fullconv.model import Model
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.view import Selection
from fullconv.render.palette import Rgb, spelt
from fullconv.results.advice import Advice
from fullconv.results.encoding import STORED, Stored
from fullconv.results.statement import Statement
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.runtime import Precision

OnError = Literal["stop", "skip"]


@dataclass(frozen=True)
class Job:
    """A map to be made.

    Attributes:
        image: a path, or an image in memory.
        out: a folder, or a URL of an object store.
        preprocess: pixels to network input.
        labels: of all the network's classes.
        select: resolution, bands and missing data.
        by, stride, finer, output, activation, runtime, precision, batch: as for ``fullconv.map``.
        keep: ``all``, ``top1``, or the classes to be kept, by index.
        stored: type of the scores.
        missing: share of a cell's crop above which missing pixels leave it without an answer.
        where: a mask picture, polygons, ``tissue``, ``auto`` or ``auto:SHARE``; None maps all.
        on_error: ``stop`` at pixels that do not decode, or ``skip`` them: they are missing then.
        device_memory: bytes that a run may take of its device; None: of a GPU what is free, of the processor what the process may take.
        confirm: what crops are to confirm; None: nothing.
        statement: what is promised by that, once a sample has said which cells are run as crops.
        colours: of classes that have one of their own, by index.
        advice: what the network's card says of its map.
        compiled: whether PyTorch compiles the network in workers; None: as each of them is told.
    """

    image: Any
    out: str
    preprocess: Preprocess
    labels: tuple[str, ...]
    select: Selection = field(default_factory=Selection)
    by: By = "cast"
    stride: int | None = None
    finer: Finer = "auto"
    output: str | None = None
    activation: Asked = "auto"
    runtime: str = "auto"
    precision: Precision = "fp32"
    batch: int = 16
    keep: str | tuple[int, ...] = "all"
    stored: Stored = "float32"
    missing: float = 0.5
    where: str | None = None
    on_error: OnError = "stop"
    device_memory: int | None = field(default=None, compare=False)
    confirm: Confirm | None = None
    origin: Mapping[str, Any] | None = field(default=None, compare=False)
    statement: Statement | None = field(default=None, compare=False)
    colours: Mapping[int, Rgb] = field(default_factory=dict, compare=False)
    advice: Advice = field(default_factory=Advice, compare=False)
    compiled: bool | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.stored not in STORED:
            raise BadInput(f"type {self.stored!r}: scores are stored as one of {', '.join(STORED)}")
        if not 0 <= self.missing <= 1:
            raise BadInput(f"missing {self.missing}: a share, 0 to 1")
        if self.on_error not in ("stop", "skip"):
            raise BadInput(f"on_error {self.on_error!r}: not stop or skip")

    @property
    def kept(self) -> tuple[int, ...]:
        """Classes whose scores are stored, by index; of top1 none by itself."""
        return self.keep if isinstance(self.keep, tuple) else tuple(range(len(self.labels)))

    @property
    def said(self) -> dict[str, Any]:
        """What a store says of its classes beside their scores: nothing that is computed depends on it."""
        own = {place: self.colours[i] for place, i in enumerate(self.kept) if i in self.colours}
        return {"colours": spelt(own), "advice": self.advice.of(self.kept)}

    def way(self, model: Model, notes: Callable[[str], None] = lambda note: None) -> Way:
        """How the model gets over the image; raises what ``way_over`` does."""
        return way_over(
            model, self.by, self.stride, self.finer, self.output, notes, self.activation, self.runtime, self.precision
        )

    def request(self, model: str, model_print: str, image_print: str, where_print: str | None) -> dict[str, Any]:
        """What must be the same for a run to go on where an earlier one stopped. A store names the engine that was taken."""
        image = str(self.image) if isinstance(self.image, str | Path) else "an image in memory"
        return {
            "numerics": version.NUMERICS,
            "model": {"name": model, "fingerprint": model_print},
            "image": {"name": Path(image).name, "fingerprint": image_print},
            "preprocess": _plain(asdict(self.preprocess)),
            "labels": list(self.labels),
            "select": _plain(self.select.to_json()),
            "by": self.by,
            "stride": self.stride,
            "finer": self.finer,
            "output": self.output,
            "activation": "none" if self.activation == "auto" else self.activation,  # what is computed
            "runtime": self.runtime,
            "precision": self.precision,
            "keep": list(self.keep) if isinstance(self.keep, tuple) else self.keep,
            "stored": self.stored,
            "missing": self.missing,
            "where": where_print,
            "on_error": self.on_error,
            "confirm": None if self.confirm is None else self.confirm.to_json(),
        }


_ADDED: Mapping[str, Any] = {
    "activation": "none",
    "confirm": None,
}  # what requests did not name at first, and what it was then
_OTHER_NUMERICS = "how fullconv computes: another version of it made that result, and this one may give other scores"


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In what two requests differ, in words."""
    found = []
    for key in new:
        before, after = _plain(old.get(key, _ADDED.get(key))), new[key]
        if before == after or (key == "runtime" and Engine.of(after).goes_on(str(before))):
            continue
        if key == "numerics":
            found.append(_OTHER_NUMERICS)
            continue
        if isinstance(after, Mapping) and isinstance(before, Mapping) and "fingerprint" in after:
            same = before.get("fingerprint") == after.get("fingerprint")
            if not same:
                found.append(f"{key}: {before.get('name')} is another one than {after.get('name')}, or has changed")
        else:
            found.append(f"{key}: {_short(before)}, now {_short(after)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    """As JSON holds it, and equal to itself: NaN is a word."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
