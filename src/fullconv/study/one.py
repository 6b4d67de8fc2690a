"""One image of a study: its map, what is written of it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from fullconv import fingerprint
from fullconv.errors import FullconvError
from fullconv.exports.export import export
from fullconv.maps.classmap import ClassMap
from fullconv.maps.rules import Rule
from fullconv.maps.summary import leading
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.view import View
from fullconv.reports.report import report_mapped
from fullconv.reports.study import agreed
from fullconv.results.places import storage_of
from fullconv.results.store import Store
from fullconv.stream.job import difference
from fullconv.stream.run import job_of, map_raster, request_of
from fullconv.study.asked import PAGE, Asked
from fullconv.study.counted import counted, unit_of
from fullconv.study.outcome import Outcome
from fullconv.system.guard import guarded, require_writable
from fullconv.trust.agreement import agreement, told_alike

Report = Callable[[str, Mapping[str, Any]], None]
Notes = Callable[[str], None]
Agreed = tuple[float, float, float]  # a share and its interval
_TABLES, _RASTERS, _PICTURES = ("csv", "parquet"), ("tif", "ome.tif"), ("png", "svg", "pdf")


class Mapper:
    """Maps images of one study by one network."""

    def __init__(self, model: Model, asked: Asked) -> None:
        self._model, self._asked = model, asked
        self._print: str | None = None
        self._rules = [Rule.parse(text, self._labels()) for text in asked.rules]

    def _labels(self) -> tuple[str, ...]:
        from fullconv.maps.ways import class_labels

        options = self._asked.options
        return class_labels(self._model, options.get("labels"), options.get("output"), options.get("by", "cast"))

    def earlier(self, image: str) -> Outcome | None:
        """What became of it before, where that is what is asked for now, and all of it is still there."""
        found = Outcome.load(self._outcome_file(image))
        if found is None or not found.mapped or not all(Path(file).exists() for file in found.files):
            return None
        with guarded(image):
            if found.request != self._asked.request(self._request(image)):
                return None
            return found if Store.record_of(storage_of(found.files[0])).finished else None

    def map(self, image: str, report: Report, notes: Notes) -> Outcome:
        """Map it, or go on with its map, and write what is asked for of it; an error of fullconv's own is an outcome too."""
        start = perf_counter()
        self._outcome_file(image).unlink(missing_ok=True)
        try:
            with guarded(image):
                made = self._made(image, report, notes, start)
        except FullconvError as error:
            return Outcome(image, error=str(error))
        made.save(self._outcome_file(image))
        return made

    def _made(self, image: str, report: Report, notes: Notes, start: float) -> Outcome:
        asked, store = self._asked, f"{self._asked.base(image)}.zarr"
        request = self._request(image)
        place = storage_of(store)
        anew = asked.restart and place.exists() and bool(difference(Store.record_of(place).request, request))
        result = map_raster(
            self._model, image, store, memory=asked.memory, restart=anew, report=report, notes=notes, **asked.options
        )
        report("writing", {})
        kept = self._kept(result)
        share = self._agreement(image, result, notes)
        files = [store, *self._write(image, result, kept, notes)]
        answered, classes = counted(result, kept, asked.threshold)
        height, width = result.grid.image
        if PAGE.lstrip(".") in asked.exports:
            files += self._report(image, result, kept, share, perf_counter() - start, notes)
        rules = tuple(verdict.rule for rule in self._rules if (verdict := rule.judge(result)).holds)
        return Outcome(
            image, request=asked.request(request), files=tuple(files), width=width, height=height, rows=result.grid.rows, cols=result.grid.cols,
            answered=answered, winner=leading(result, [each.cells for each in classes]), rules=rules, exactness=result.exactness, agreement=share,
            seconds=perf_counter() - start, unit=unit_of(result), failed_tiles=0 if result.record is None else len(result.record.failed),
            classes=classes,
        )  # fmt: skip

    def _write(self, image: str, result: ClassMap, kept: tuple[int, ...], notes: Notes) -> list[str]:
        """The picture and the exports, by their names."""
        base, written = self._asked.base(image), []
        for end, about in self._wanted(image, result, kept):
            path = base.with_name(f"{base.name}.{end}")
            try:
                export(result, path, **about)
            except FullconvError as error:  # the map is there, and so is what else can be written
                notes(f"{path}: not written ({error})")
                continue
            written.append(str(path))
        return written

    def _wanted(self, image: str, result: ClassMap, kept: tuple[int, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is written beside the store: the end of its name, and the options of its export."""
        asked = self._asked
        seeks = kept and asked.threshold is not None
        found = {"name": kept, "threshold": asked.threshold} if seeks else {}
        regions = (
            "winners" if result.has_winners else "regions"
        )  # of one class, which wins over no other, what reaches its threshold
        for suffix in ("png", *(each for each in asked.exports if f".{each}" != PAGE)):
            if suffix in _PICTURES:
                yield suffix, {"image": image, "name": kept[0] if len(kept) == 1 else None}
            elif suffix in _RASTERS:
                yield suffix, {}
            elif suffix in _TABLES:
                numbers = result.score_kind == "winner"
                yield suffix, {"what": "peaks", **found} if seeks else {"what": "cells" if numbers else "areas"}
            else:
                yield suffix, {"what": "regions", **found} if seeks else {"what": regions}
        for i in kept if asked.by_class and seeks else ():
            name = "".join(c if c.isalnum() or c in "-_ " else "_" for c in result.labels[i]).strip() or str(i)
            yield f"{name}.geojson", {"what": "regions", "name": i, "threshold": asked.threshold}

    def _report(
        self, image: str, result: ClassMap, kept: tuple[int, ...], share: Agreed | None, seconds: float, notes: Notes
    ) -> list[str]:
        """The page, by its name."""
        asked, base = self._asked, self._asked.base(image)
        path = base.with_name(f"{base.name}{PAGE}")
        access = Access(bool(asked.options.get("trust")), bool(asked.options.get("allow_remote")))
        told = "" if share is None else agreed(share, told_alike(result.side))
        try:
            require_writable(path)
            report_mapped(result, image, path, told, seconds, kept or None, asked.threshold, self._model.card, access)
        except FullconvError as error:
            notes(f"{path}: not written ({error})")
            return []
        return [str(path)]

    def _kept(self, result: ClassMap) -> tuple[int, ...]:
        """The classes asked for by their places in the store, which may hold some of all."""
        record = result.record
        assert record is not None, "a study's maps are stores"
        places = {record.number(i): i for i in range(len(result.labels))}
        return tuple(places[i] for i in self._asked.classes if i in places)

    def _agreement(self, image: str, result: ClassMap, notes: Notes) -> Agreed | None:
        """Share of the cells whose winner is their crop's, with its interval, by some."""
        how = self._asked.options
        exact = not self._model.plan.inexact and how.get("precision", "fp32") == "fp32"
        if exact or result.by != "cast" or not self._asked.verify:
            return None
        keep = {
            key: value for key, value in how.items() if key not in ("keep", "stored", "workers", "scheduler", "client")
        }
        try:
            found = agreement(self._model, image, result, memory=self._asked.memory, **keep)
        except FullconvError as error:
            notes(f"{image}: not compared with crops ({error})")
            return None
        if found.share is None or found.share.share is None:
            return None
        return (found.share.share, *found.share.ends)

    def _request(self, image: str) -> dict[str, Any]:
        self._print = self._print or fingerprint.of_model(self._model)
        job = job_of(
            self._model,
            image,
            "",
            **{
                key: value
                for key, value in self._asked.options.items()
                if key not in ("workers", "scheduler", "client")
            },
        )
        with closing(View(image, job.select)) as view:
            return request_of(self._model, view, job, self._print)

    def _outcome_file(self, image: str) -> Path:
        base = self._asked.base(image)
        return base.with_name(f"{base.name}.json")
