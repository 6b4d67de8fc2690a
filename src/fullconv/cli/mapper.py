"""One image mapped as a command's options say, into what its output's name says: in memory, or tile by tile into a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.compared import compared
from fullconv.cli.idle import require_drawn, require_mapped, require_of
from fullconv.cli.options import PICTURED
from fullconv.cli.outputs import Target
from fullconv.cli.places import note_raw, peaks_of, require_numbers, tell_map, tell_peaks
from fullconv.cli.reading import bytes_of, numbers_of
from fullconv.cli.terminal import complain, note, noted_once, print_event, progress, tell, waiting
from fullconv.cli.watching import watching
from fullconv.errors import BadInput, FullconvError
from fullconv.system.guard import require_writable
from fullconv.system.notebook import counted

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap
    from fullconv.model import Model
    from fullconv.trust.agreement import Agreement

_DRAWING = 192 << 20  # bytes that a picture takes while it is drawn: measured 50 to 183 MB
_HOW = (
    "preprocess", "labels", "colours", "by", "stride", "finer", "output", "activation", "runtime", "precision", "batch", "trust", "allow_remote",
    "subdataset", "level", "mpp", "bands", "nodata", "missing", "where", "on_error", "confirm",
)  # fmt: skip
# What a store alone has, and what it is where nobody asks.
_STORED = {"keep": "all", "stored": "float32", "scheduler": None, "device_memory": None}
_CALLED = {"keep": "--keep", "stored": "--dtype", "scheduler": "--dask", "device_memory": "--device-memory"}


@dataclass(frozen=True, slots=True)
class Mapped:
    """One image's map, and what was written of it.

    Attributes:
        classes: those of ``--class``, by index.
        files: what lies where, the map first.
        seconds: that it took.
        again: it was finished before, and is left as it was.
        agreement: of some cells with their crops, where the map is not exact and that was measured.
    """

    image: str
    result: ClassMap
    classes: tuple[int, ...]
    files: tuple[str, ...]
    seconds: float
    again: bool = False
    agreement: Agreement | None = None


class Mapper:
    """Maps images by one network and one set of options."""

    def __init__(
        self,
        options: Mapping[str, Any],
        name: str | None,
        threshold: float | None,
        as_json: bool,
        *,
        renews: bool = False,
    ) -> None:
        """Open the network; what is wrong with the options is told before any image is read.

        Args:
            options: of ``fullconv map``, by their names there.
            name: the classes of ``--class``.
            renews: a store that is of an image as it was, or of other options, is made anew.
        """
        from fullconv.maps.carded import advice_of
        from fullconv.maps.features import at_layer
        from fullconv.maps.labels import classes_named
        from fullconv.maps.rules import Rule
        from fullconv.maps.ways import class_labels

        self._options, self._name, self._as_json, self._renews = options, name, as_json, renews
        self._print: str | None = None
        self.model: Model = options["model"]()
        asked = at_layer(self.model, options["output"])
        self.features = asked is not self.model
        self.labels = class_labels(self.model, options["labels"], options["output"], options["by"])
        if threshold is None and name is not None:
            threshold = advice_of(asked, self.labels, options["output"], options["activation"]).threshold
        require_mapped(options)
        if threshold is not None and name is None and len(self.labels) == 1:
            name = self.labels[0]  # whose threshold it is
        require_of("--threshold", "threshold", used=name is not None, of="the places of one class (--class)")
        self._threshold = threshold
        self.classes = () if name is None else classes_named(self.labels, name)
        self._memory = bytes_of(options["memory"])
        self._device_memory = bytes_of(options["device_memory"], "--device-memory")
        self._first = True
        self._scales = None if options["scales"] is None else numbers_of("--scales", options["scales"])
        self._notes = noted_once()
        self.rules = [Rule.parse(text, self.labels) for text in options["fail_if"]]
        require_numbers(self.model, {**options, "threshold": threshold}, self.rules, name is not None)
        if options["preprocess"] is None and self.model.preprocess is None:
            note_raw(self.model)

    def require(self, target: Target) -> None:
        """BadInput, before the work, where options and output do not go together, or a file must not be written."""
        heat = bool(self.classes) or len(self.labels) == 1
        require_drawn(picture=target.picture is not None, heat=heat or self.features)
        if target.store is not None:
            if self._scales is not None:
                raise BadInput(
                    "--scales maps images that fit in memory; give --level or --mpp, and a result for each resolution"
                )
            self._require_kept()
            return
        for key, usual in _STORED.items():
            if self._options[key] != usual:
                raise BadInput(f"{_CALLED[key]} is for stores, and {target.files[0]} is none; name a store: -o x.zarr")
        for path in (target.scores, *self.pictures(target.picture)):
            if path is not None:
                require_writable(path)

    def _require_kept(self) -> None:
        """BadInput where a store is not to hold what is asked of it."""
        from fullconv.stream.run import kept_classes

        kept = kept_classes(self.labels, self._options["keep"])
        tests = [test for rule in self.rules for test in rule.tests]
        asked = [("--class", i) for i in self.classes] + [("--fail-if", test.index) for test in tests]
        for option, i in asked:
            if not isinstance(kept, str) and i not in kept:
                raise BadInput(
                    f"{option} {self.labels[i]!r}: its scores are not among those of --keep {self._options['keep']}"
                )
        if any(test.measure == "score" for test in tests) and (kept == "top1" or self._options["stored"] != "float32"):
            raise BadInput("--fail-if holds scores as they are: leave --keep top1 and --dtype out")

    def adapt(self, aims: Mapping[str, Target], crops: int) -> None:
        """``--adapt``: map with a network that is fitted to crops of these images first."""
        from fullconv.cli.adapting import adapted_for

        self.model, report = adapted_for(self.model, aims, crops, self._options, self._memory, self._notes)
        self._print = None
        if self.model.heads:
            self._options = {**self._options, "output": self.model.heads[-1].head.output}
        if report is not None:
            self._event("adapted", report.to_json())
            if not self._as_json:
                tell(str(report))

    def pictures(self, path: Path | None, labels: Sequence[str] | None = None) -> dict[Path, int | None]:
        """Each picture with its class: of several classes one each, by the class's number, since names may be no file names."""
        if path is None:
            return {}
        if len(self.classes) > 1:
            return {path.with_suffix(f".{i}{path.suffix}"): i for i in self.classes}
        return {path: self.classes[0] if self.classes else None}

    def plan(self, image: str, target: Target) -> None:
        """``--dry-run``: print what would be done."""
        from fullconv.stream.run import plan_raster
        from fullconv.stream.whole import plan_whole

        how = self._how()
        if target.store is not None:
            others = {key: self._options[key] for key in ("workers", "scheduler")}
            plan: Any = plan_raster(
                self.model, image, memory=self._memory, notes=self._notes, **others, **how, **self._kept()
            )
        else:
            more = {"scales": self._scales, "fuse": self._options["fuse"], "workers": self._options["workers"]}
            plan = plan_whole(self.model, image, memory=self._memory, notes=self._notes, **how, **more)
        self._event("plan", {"image": image, "would_write": target.files, **plan.to_json()})
        if not self._as_json:
            tell(f"{image}: {plan}\nnothing is written; without --dry-run: {', '.join(target.files)}")

    def map(self, image: str, target: Target) -> Mapped:
        """Map an image and write what the output's name says; what it shows is printed."""
        start = perf_counter()
        return self._in_memory(image, target, start) if target.store is None else self._stored(image, target, start)

    def _how(self) -> dict[str, Any]:
        how = {key: self._options[key] for key in _HOW}
        if how["confirm"] is None:
            return how
        return how | {"confirm_class": self._name, "confirm_threshold": self._threshold}

    def _kept(self) -> dict[str, Any]:
        kept = {key: self._options[key] for key in ("keep", "stored")}
        return {**kept, "device_memory": self._device_memory}

    def _request(self, image: str) -> dict[str, Any]:
        from fullconv.fingerprint import of_model
        from fullconv.rasters.view import View
        from fullconv.stream.run import job_of, request_of

        self._print = self._print or of_model(self.model)
        job = job_of(self.model, image, "", **self._how(), **self._kept())
        with closing(View(image, job.select)) as view:
            return request_of(self.model, view, job, self._print)

    def request(self, image: str) -> str:
        """What tells this map of this image, by these options, from every other: short, and the same on every machine."""
        told = {key: self._options[key] for key in (*PICTURED, "scales", "fuse", "fail_if")}
        whole = [self._request(image), told, self.classes]
        return sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _is_of_other(self, image: str, store: str) -> bool:
        from fullconv.results.places import storage_of
        from fullconv.results.store import Store
        from fullconv.stream.job import difference

        place = storage_of(store)
        return place.exists() and bool(difference(Store.record_of(place).request, self._request(image)))

    def _in_memory(self, image: str, target: Target, start: float) -> Mapped:
        from fullconv.stream.whole import map_whole

        options = self._options
        how = {**self._how(), "fuse": options["fuse"], "workers": options["workers"]}
        steps = {"cast": "shifts", "crops": "crops"}[options["by"]]
        many = options["by"] == "crops" or (options["stride"] is not None and options["finer"] == "shifts")

        def run(**watch: Any) -> ClassMap:
            return map_whole(
                self.model, image, memory=self._memory, scales=self._scales, notes=self._notes, **watch, **how
            )

        if many:
            with progress(Path(image).name, steps) as report:
                result = run(progress=report)
        else:
            with waiting(f"mapping {Path(image).name}"):
                result = run()
        files = []
        if target.scores is not None:
            result.save(target.scores)
            files.append(str(target.scores))
        for path, index in self.pictures(target.picture).items():
            result.save_picture(path, index, **{key: options[key] for key in PICTURED})
            files.append(str(path))
        agreement = self._compared(image, result)
        made = Mapped(image, result, self.classes, tuple(files), perf_counter() - start, agreement=agreement)
        if not self._as_json:
            tell_map(result, image)
            self._tell_agreement(agreement)
            self._tell_peaks(result, "all are in the scores, or printed with --json")
            tell(f"wrote {' and '.join(files)}")
        return made

    def _stored(self, image: str, target: Target, start: float) -> Mapped:
        from fullconv.stream.run import map_raster

        assert target.store is not None, "a store has a name"
        picture = None if target.picture is None else self._overview(target.picture)
        how = {key: self._options[key] for key in ("restart", "workers", "scheduler")} | self._how() | self._kept()
        if self._renews and self._is_of_other(image, target.store):
            how["restart"] = True
        with watching(image, self._as_json) as (report, seen):
            try:
                result = map_raster(
                    self.model, image, target.store, memory=self._memory, report=report, notes=self._notes, **how
                )
            except KeyboardInterrupt:
                complain("fullconv: stopped; what is done is kept, and the same command goes on from there")
                raise click.exceptions.Exit(130) from None
        again = "finished" in seen
        drawn = [] if picture is None or again or not self._has_room(picture) else self._draw(result, picture)
        for path in drawn:
            self._event("picture", {"image": image, "picture": str(path)})
        if not self._as_json:
            self._tell_store(result, image, target.store, seen)
            for path in drawn:
                tell(f"wrote {path}")
        agreement = None if again else self._compared(image, result)
        if agreement is not None:
            self._event("agreement", {"image": image, **agreement.to_json()})
        if not self._as_json:
            self._tell_agreement(agreement)
        files = (target.store, *map(str, drawn))
        return Mapped(image, result, self._kept_classes(result), files, perf_counter() - start, again, agreement)

    def _compared(self, image: str, result: ClassMap) -> Agreement | None:
        """Some cells held against their crops: of the first image, and where that is less work than the map."""
        first, self._first = self._first, False
        if self.features or not self._options.get("verify", False):
            return None
        return compared(self.model, image, result, self._memory, self._how(), always=first)

    @staticmethod
    def _tell_agreement(found: Agreement | None) -> None:
        if found is not None:
            tell(f"  {found}")

    def _kept_classes(self, result: ClassMap) -> tuple[int, ...]:
        """The classes of ``--class`` by their places in a store, which may hold some of all."""
        record = result.record
        if record is None:
            return self.classes
        places = {record.number(i): i for i in range(len(result.labels))}
        return tuple(places[i] for i in self.classes)

    def _overview(self, picture: Path) -> Path | None:
        """The picture beside a store; none where a file of somebody's is there, the image itself say."""
        try:
            for path in self.pictures(picture):
                require_writable(path)
        except BadInput as error:
            note(f"the map has no picture beside it ({error})")
            return None
        return picture

    def _has_room(self, picture: Path) -> bool:
        """Whether a picture can be drawn within the memory that was set; what it takes does not depend on the image."""
        from fullconv.system.memory import resident_bytes

        if self._memory is None or resident_bytes() + _DRAWING <= self._memory:
            return True
        note(
            f"{picture}: not drawn, since that takes some {_DRAWING >> 20} MB more than --memory leaves; fullconv export makes it"
        )
        return False

    def _draw(self, result: ClassMap, picture: Path) -> list[Path]:
        """The classes named as heat, else the winning classes; a picture that cannot be is said, and spoils no map."""
        drawn = []
        try:
            numbers = dict(zip(self.classes, self._kept_classes(result), strict=True))
            for path, index in self.pictures(picture).items():
                result.save_picture(
                    path, None if index is None else numbers[index], **{key: self._options[key] for key in PICTURED}
                )
                drawn.append(path)
        except FullconvError as error:
            note(f"{picture}: not drawn ({error})")
        return drawn

    def _tell_store(self, result: ClassMap, image: str, out: str, seen: Mapping[str, Any]) -> None:
        tell_map(result, image)
        if "finished" in seen:
            tell(f"  {out} was finished before; --restart makes it anew")
            return
        self._tell_peaks(
            result,
            f"fullconv export {out} -o peaks.csv --what peaks --class ... writes them all",
            self._kept_classes(result),
        )
        done = seen["done"]
        if done["left_out"]:
            tell(
                f"  {done['left_out']:,} of {done['cells']:,} cells ({done['left_out'] / done['cells']:.1%}) left out: outside --where, or without data"
            )
        for tile in done["failed"]:
            tell(f"  tile {tile['tile']}: {tile['reason']}; these pixels are missing")
        tell(
            f"wrote {out}: {counted(done['tiles'], 'tile')} in {done['seconds']:,.1f} s, peak memory {done['peak_bytes'] / 1e6:,.0f} MB "
            f"(predicted {done['predicted_bytes'] / 1e6:,.0f} MB)"
        )
        if done["text"]:
            tell(f"  {done['text']}")

    def _tell_peaks(self, result: ClassMap, where: str, classes: tuple[int, ...] | None = None) -> None:
        chosen = self.classes if classes is None else classes
        tell_peaks(result, chosen, self._threshold, peaks_of(result, chosen, self._threshold), where)

    def _event(self, event: str, what: Mapping[str, Any]) -> None:
        """One line an event."""
        if self._as_json:
            print_event(event, what)

    def to_json(self, made: Mapped) -> dict[str, Any]:
        """What ``--json`` says of a map in memory."""
        result, pictures = made.result, [file for file in made.files if not file.endswith(".npz")]
        peaks = peaks_of(result, made.classes, self._threshold)
        return {
            "image": made.image,
            "scores": next((file for file in made.files if file.endswith(".npz")), None),
            "overlay": pictures[0] if pictures else None,
            "overlays": pictures,
            "output": result.output,
            "by": result.by,
            "exactness": result.exactness,
            "score_kind": result.score_kind,
            "confirmed": None if result.statement is None else result.statement.to_json(),
            "classes": len(result.labels),
            "grid": result.grid.in_numbers(),
            "scales": list(result.scales),
            "agreement": None if made.agreement is None else made.agreement.to_json(),
            "found": [
                {"label": p.label, "score": p.score, "row": p.row, "col": p.col, "box": list(p.box)} for p in peaks
            ],
        }
