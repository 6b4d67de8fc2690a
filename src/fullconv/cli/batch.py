"""Images one after the other: a bad one stops no other, rules are judged, and a table gets a row of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fullconv.cli.mapper import Mapped, Mapper
from fullconv.cli.outputs import Target
from fullconv.cli.terminal import complain, print_event, print_json, tell
from fullconv.errors import BadInput, FullconvError, SomeFailed

if TYPE_CHECKING:
    from fullconv.exports.images import ImageTable
    from fullconv.maps.rules import Verdict

STOP = 3  # exit status where a rule holds


def table_at(path: str | None, mapper: Mapper, *, goes_on: bool = False) -> ImageTable | None:
    """The table of ``--summary``, with columns of the classes of ``--class``, else of all."""
    from fullconv.exports.images import ImageTable
    from fullconv.maps.labels import WINNER

    if path is None:
        return None
    if Path(path).suffix.lower() != ".csv":
        raise BadInput(f"{path}: the table of images is written as .csv; name it so")
    if mapper.features:
        raise BadInput(f"{path}: a table of images counts what wins, and of a layer's features (--head) nothing does")
    numbered = mapper.labels == (WINNER,)  # of which no class has columns
    chosen = mapper.classes or range(0 if numbered else len(mapper.labels))
    return ImageTable(Path(path), [mapper.labels[i] for i in chosen], goes_on=goes_on)


class Batch:
    """What was done so far.

    Attributes:
        failed: images that could not be mapped, each with the reason.
        held: images of which a rule holds.
    """

    def __init__(self, mapper: Mapper, table: ImageTable | None, as_json: bool) -> None:
        self._mapper, self._table, self._as_json = mapper, table, as_json
        self.maps: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []
        self.mapped = 0
        self.held: list[str] = []

    def map(
        self, image: str, target: Target, about: Mapping[str, Any] | None = None, *, alone: bool = False
    ) -> Mapped | None:
        """Map one image, judge it, and add its row; None where it failed.

        Args:
            about: more for its row.
            alone: it is the only one, so that what is wrong is raised.
        """
        try:
            made = self._mapper.map(image, target)
            verdicts = [rule.judge(made.result) for rule in self._mapper.rules]
        except FullconvError as error:
            self.fail(image, target, str(error), about, told=not alone)
            if alone:
                raise
            return None
        self.mapped += 1  # before its row: whoever reads that, and stops this, finds it counted
        self._tell(made, verdicts)
        if self._table is not None:
            holding = "; ".join(each.rule for each in verdicts if each.holds)
            row = {"rules": holding, "seconds": made.seconds, "result": made.files[0], **(about or {})}
            self._table.add(image, made.result, row)
        if target.store is None:
            self.maps.append({**self._mapper.to_json(made), "rules": [_json(each) for each in verdicts]})
        return made

    def fail(
        self, image: str, target: Target, reason: str, about: Mapping[str, Any] | None = None, *, told: bool = True
    ) -> None:
        """Note an image that cannot be mapped."""
        if self._table is not None:
            self._table.add_failed(image, reason, about)
        if not told:
            return
        self.failed.append({"image": image, "reason": reason})  # the others are still worth their time
        complain(f"fullconv: {reason if image in reason else f'{image}: {reason}'}")
        if self._as_json and target.store is not None:
            print_event("failed", self.failed[-1])

    def _tell(self, made: Mapped, verdicts: list[Verdict]) -> None:
        for each in verdicts:
            if self._as_json and made.files and made.files[0].rstrip("/").endswith(".zarr"):
                print_event("rule", {"image": made.image, **_json(each)})
            if each.holds:
                complain(f"fullconv: {made.image}: {each.rule} holds: {'; '.join(each.facts)}")
            elif not self._as_json:
                tell(f"  {each.rule} does not hold: {'; '.join(each.facts)}")
        if any(each.holds for each in verdicts):
            self.held.append(made.image)

    def print_maps(self) -> None:
        """``--json`` of maps in memory: one object."""
        print_json({"maps": self.maps, "failed": [each["reason"] for each in self.failed]})

    def end(self, count: int) -> None:
        """Leave with what came of all images.

        Raises:
            SystemExit: a rule holds: of a line that must stop, whatever became of other images.
            SomeFailed: some could not be mapped.
        """
        failed = ""
        if self.failed:
            names = "\n  ".join(each["image"] for each in self.failed)  # each reason was told once, when it came
            failed = f"{len(self.failed)} of {count} images failed, for the reasons above:\n  {names}"
        if self.held:
            if failed:
                complain(f"fullconv: {failed}")
            complain(
                f"fullconv: a rule of --fail-if holds for {len(self.held)} of {count} images: {', '.join(self.held)}"
            )
            raise SystemExit(STOP)
        if failed:
            raise SomeFailed(failed)


def _json(verdict: Verdict) -> dict[str, Any]:
    return {"rule": verdict.rule, "holds": verdict.holds, "facts": list(verdict.facts)}
