"""What a map shows, in words: the classes that win, and the places of those that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from fullconv.cli.terminal import note, say, tell

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap, Peak
    from fullconv.maps.rules import Rule
    from fullconv.model import Model

FEATURES = "features"  # ``ClassMap.score_kind`` of a layer's map
_TOP = 5
_LISTED = 20


def require_numbers(model: Model, options: Mapping[str, Any], rules: Sequence[Rule], named: bool = False) -> None:
    """Before the work: a threshold, or a rule's number, that means nothing for the scores that will be, and a class where none has scores."""
    from fullconv.errors import BadInput
    from fullconv.maps.threshold import least_score
    from fullconv.maps.ways import way_over

    if options["threshold"] is None and not rules and not named:
        return
    stride = options["stride"] if options["by"] == "crops" else None
    how = {key: options[key] for key in ("output", "activation", "runtime", "precision")}
    kind = way_over(model, options["by"], stride, **how).score_kind
    if kind == FEATURES and rules:
        raise BadInput("--fail-if holds scores of classes; of a layer's features no rule is told")
    if kind == "winner" and named:
        raise BadInput(
            "--class: the network gives the winner's number alone, and no class has scores of its own; the picture shows all numbers"
        )
    if options["threshold"] is not None:
        least_score(kind, options["threshold"])
    for rule in rules:
        rule.require(kind, None if model.card is None else model.card.threshold)


def note_raw(model: Model) -> None:
    """Of a network whose pixels nobody says how to put in."""
    if model.graph.image is not None:
        colours = "RGB on 0..255" if model.image_shape[0] == 3 else "0..255"
        note(f"no --preprocess given: pixels go in raw, {colours}")


def tell_map(result: ClassMap, image: str) -> None:
    """What a map is: its cells, and whether they equal their crops."""
    grid = result.grid
    step, crop = (
        " × ".join(f"{float(side):g}" for side in sides)
        for sides in (dict.fromkeys(reversed(grid.stride)), reversed(grid.crop))
    )
    what = {FEATURES: f"{len(result.labels)} channels of {result.output}", "winner": "the winner's number"}.get(
        result.score_kind, f"{len(result.labels)} classes" if len(result.labels) > 1 else "1 class"
    )
    tell(f"{image}: {grid.rows} × {grid.cols} cells of {what}, one every {step} px, each for a crop of {crop} px")
    say(f"  {result.exactness}")
    if result.statement is not None:
        say(f"  {result.statement}")


def peaks_of(result: ClassMap, classes: Sequence[int], threshold: float | None) -> list[Peak]:
    """The places of some classes, the best first; without a class, the best cell of each of those that show most."""
    if not classes:
        return [] if result.score_kind in (FEATURES, "winner") else _strongest(result)
    if _is_ranked(result, threshold):
        return [peak for i in classes for peak in result.peaks(i, -inf)[:_TOP]]
    return [peak for i in classes for peak in result.peaks(i, threshold)]


def tell_peaks(
    result: ClassMap, classes: Sequence[int], threshold: float | None, peaks: Sequence[Peak], where: str
) -> None:
    """Print them.

    Args:
        where: all of them are, in words.
    """
    crop = ", with the crop (x0, y0, x1, y1):"
    if not classes and result.score_kind == FEATURES:
        return
    if not classes:
        tell(f"  {_shares(result)}")
        if peaks:
            tell(f"  strongest{crop}")
        _lines(peaks)
        return
    for i in classes:
        label, mine = result.labels[i], [peak for peak in peaks if peak.label == result.labels[i]]
        if _is_ranked(result, threshold):
            tell(f"  the strongest places of {label!r}{crop}")
        else:
            least = result.least_score(threshold)
            best = result.highest(i) if not mine else None
            much = f"{len(mine)} place{'s' if len(mine) != 1 else ''} of {label!r} score{'s' if len(mine) == 1 else ''}"
            none = "; no cell has an answer" if best is None else f"; its best is {best.score:.3g}"
            tell(f"  {much if mine else f'no place of {label!r} scores'} {least:g} or more{crop if mine else none}")
        _lines(mine[:_LISTED])
        if len(mine) > _LISTED:
            tell(f"    and {len(mine) - _LISTED} more; {where}")


def _lines(peaks: Sequence[Peak]) -> None:
    for peak in peaks:
        tell(f"    {peak.score:8.4f}  {peak.label}  ({', '.join(f'{v:g}' for v in peak.box)})")


def _is_ranked(result: ClassMap, threshold: float | None) -> bool:
    """Whether the strongest places of a class are listed, since no threshold was given and none suggests itself."""
    return threshold is None and result.score_kind in ("logits", "log-probabilities", FEATURES)


def _shares(result: ClassMap) -> str:
    import numpy as np

    from fullconv.maps.summary import numbers_of, wins_of

    if result.score_kind == "winner":  # its one channel's label says no number's name
        named = [(str(number), count) for number, count in numbers_of(result).items()]
        what = "the winner's number, of"
    elif len(result.labels) == 1:
        return _range(result)
    else:
        counts = wins_of(result)
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        named = [(result.labels[i] + ("" if i in result.findings else " (background)"), int(counts[i])) for i in order]
        what = "winning class of"
    total = sum(count for _, count in named)
    if not total:
        return "no cell has an answer"
    shares = ", ".join(f"{name} in {count / total:.1%}" for name, count in named[:_TOP])
    more = f", and {len(named) - _TOP} more" if len(named) > _TOP else ""
    return f"{what} {total:,} cells: {shares}{more}"


def _range(result: ClassMap) -> str:
    """Of one class, which wins everywhere: how it scores, and the share of cells that reach the threshold where one is usual."""
    import numpy as np

    from fullconv.maps.summary import wins_of

    low, high, total = np.inf, -np.inf, 0
    for _, _, block in result.blocks(0):
        scores = block[~np.isnan(block)]
        if scores.size:
            low, high, total = min(low, float(scores.min())), max(high, float(scores.max())), total + scores.size
    if not total:
        return "no cell has an answer"
    side = result.side
    reach = "" if side is None else f"; {int(wins_of(result)[0]) / total:.1%} of them score {side:g} or more"
    return f"{result.labels[0]} scores {low:.3g} to {high:.3g} in {total:,} cells{reach}"


def _strongest(result: ClassMap) -> list[Peak]:
    """The best cell of each of the classes that reach highest; of a store, of those that win most cells. Background is none of them."""
    import numpy as np

    from fullconv.maps.summary import wins_of

    if result.record is None:
        highest = np.fmax.reduce(result.scores, axis=(1, 2))  # cells without an answer are NaN
        order = np.argsort(-np.nan_to_num(highest, nan=-np.inf), kind="stable")
    else:
        counts = wins_of(result)
        order = np.argsort(-counts, kind="stable")[: int(np.count_nonzero(counts))]
    some = [int(i) for i in order if i in result.findings][:_TOP]
    return [peak for i in some if (peak := result.highest(i)) is not None]
