"""Whether a map is made in strips that keep rows (``tiling.rows``), and in which: links, bands and strips found within the budget.

Bands of the image, as wide as memory allows, are gone down strip by strip. Tiles stay where every tile must stand alone: where some are left out
(``where``, missing data, pixels that do not decode), where crops take cells' places, and where the network has no necks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import prod

from fullconv.geometry.lengths import map_sizes
from fullconv.graph.necks import between
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.runtimes.between import multiplications
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.exact import exact
from fullconv.runtimes.footprint import run_of, value_shapes
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import chosen
from fullconv.stream.job import Job
from fullconv.stream.pipeline import PIXELS
from fullconv.stream.strips_parts import LEAST_CELLS, SCORES, Network, made
from fullconv.tiling import chain
from fullconv.tiling.cut import Cut, Line, cuts
from fullconv.tiling.memory import in_turn_bytes
from fullconv.tiling.tiles import Tiles
from fullconv.tiling.window import reach

WORTH = 30.0  # seconds that keeping rows must save to be planned
_BETTER = 1.1  # times the work that tiles must take
_COPYING = 20.0  # multiplications in whose time a byte goes out of the engine's layout and back: measured 13 to 34 on one thread
_CUTTING = 4.0  # the same, in which a byte is cut off a way around: measured 0 to 11, mostly 3
_TRIED = 512  # cells a side at which a gap's memory is told
_SHARES = (0.05, 0.14, 0.3)  # of the memory that there is, for a run of the engine
_VALUES = tuple(10.0 ** (-8 + i / 2) for i in range(9))  # of a byte, in work
_BANDS = (32, 8)  # numbers of bands that are tried, and of those the ones that are tried with every chain
_CLOSER = 24  # chains that are looked at closely,
_AGAIN = 4  # each so often, with what it was found to take


def with_rows(
    tiles: Tiles, seconds: float, budget: int, way: Way, view: View, job: Job, lines: Sequence[Line]
) -> Tiles | None:
    """The same map in strips that keep rows; None where tiles that stand alone are as good, or are needed.

    Args:
        tiles: as they are without.
        seconds: about what these take.
        lines: of the image's height and width, as tiles are cut along them.
    """
    if tiles.waste * seconds < WORTH or not _stands(way, view, job):
        return None
    network = Network.of(way, view.size, tiles.cells)
    found = None if network is None else _best(network, tiles, budget, view, lines[1])
    return None if found is None or (1 - tiles.waste) * _BETTER > 1 - found.waste else found


def _stands(way: Way, view: View, job: Job) -> bool:
    """Whether all cells of the image are mapped, by the engine whose links share one memory."""
    engine = chosen(Engine.of(job.runtime), job.precision)
    local = engine == "onnxruntime" and not Engine.of(job.runtime).is_accelerated
    every = job.where is None and not view.may_miss and job.on_error == "stop" and job.confirm is None
    return local and every and job.precision == "fp32" and way.by == "cast" and way.shifts == (1, 1)


def _gaps(network: Network) -> list[chain.Gap] | None:
    """What each gap costs, told from the image's own arithmetic and from parts of it."""
    graph, sizes = network.graph, map_sizes(network.graph, network.size)
    shares = []
    for first, last in pairwise(network.marks):
        steps = [network.size[side] / sizes[first][side] for side in (0, 1)]
        sub = between(graph, first, last)
        halo = []
        for side in (0, 1):
            found = reach(sub, last, sizes[first], side)
            if found.granule != 1:
                return None
            halo.append(max(0.0, float(found.before + found.length - found.slack) * steps[side]))
        part = network.part(first, last, (min(_TRIED, sizes[first][0]), min(_TRIED, sizes[first][1])))
        (shape,) = part.inputs.values()
        run, work = run_of(part, [last], part.inputs), multiplications(part)
        if run is None or work is None:
            return None
        pixels = prod(shape[2:]) * steps[0] * steps[1]
        own = 4 * network.channels(first) / (steps[0] * steps[1])
        behind = [network.size[side] / sizes[last][side] for side in (0, 1)]
        made = 4 * network.channels(last) / (behind[0] * behind[1])
        without = _without_padding(part, work / shape[2], steps[0])
        shares.append((halo, work / pixels, in_turn_bytes([run]) / pixels + own + made, own, made, without))
    total = sum(share[1] for share in shares)
    if total <= 0:
        return None
    image = (PIXELS + 2.0) * network.channels(network.marks[0])  # bytes a pixel as it was read: read, waiting, run on
    return [
        chain.Gap(
            (halo[0], halo[1]), work / total, each, image if i == 0 else own, _COPYING * made / total,
            *((None, 0.0) if without is None else (without[0], without[1] / total)),
        )
        for i, (halo, work, each, own, made, without) in enumerate(shares)
    ]  # fmt: skip


def _without_padding(part: Lowered, row: float, step: float) -> tuple[float, float] | None:
    """Pixels for which a part that is run without padding does its work beside those that it makes, and multiplications a pixel that cutting ways around takes.

    Args:
        part: of a gap, on an input of one shape.
        row: multiplications a row of its input.
        step: pixels from row to row.
    """
    found = exact(part)
    if found is None:
        return None
    (name,) = part.inputs
    shape = found.shape(part.inputs[name])
    if min(shape) < 1:
        return None
    lowered = replace(found.lowered, inputs={name: shape})
    done, shapes = multiplications(lowered, found.around), value_shapes(lowered, lowered.nodes, lowered.inputs)
    if done is None or shapes is None:
        return None
    first, last, each = found.reads[0]
    own = done / row - (shape[2] - (last - first) + each) if row else 0.0
    around = _CUTTING * 2 * 4 * sum(prod(shapes[value]) for value in found.around)  # along both sides
    return max(0.0, own * step), around / (shape[2] * shape[3] * step * step)


def _best(network: Network, tiles: Tiles, budget: int, view: View, line: Line) -> Tiles | None:
    """The chain and the bands that lose least within the budget."""
    gaps = _gaps(network)
    if gaps is None or len(gaps) < 2:
        return None
    free = budget - tiles.base_bytes
    halo = sum(gap.halo[1] for gap in gaps)
    links = chain.spans(gaps)
    ends = SCORES * 4 * network.channels(network.marks[-1]) / prod(network.step)
    splits = _splits(links, free, ends, LEAST_CELLS * network.step[0])
    wide = [cut for cut in cuts(line)[: _BANDS[0]] if cut.length > halo]
    if not splits or not wide:
        return None

    def closer(cut: Cut, split: tuple[chain.Span, ...], ratio: float) -> tuple[float, chain.Way]:
        cost, way = chain.Closer(split, cut.length, free / ratio, ends, network.step[0]).found()
        return (1 + cost) * cut.count * cut.length / network.size[1], way

    middle = splits[len(splits) // 2]
    wide = sorted(wide, key=lambda cut: closer(cut, middle, 1.0)[0])[: _BANDS[1]]
    likely = sorted(product(wide, splits), key=lambda each: closer(each[0], each[1], 1.0)[0])[:_CLOSER]
    best: Tiles | None = None
    for cut, split in likely:
        seen: list[tuple[chain.Leg, ...]] = []
        ratio = 1.0  # of the memory that a chain takes to what was told roughly
        for _ in range(_AGAIN):
            _, way = closer(cut, split, ratio)
            if way.legs in seen:
                break
            seen.append(way.legs)
            strips = made(network, gaps, way, cut, tiles, view)
            if strips is None:
                break
            ratio = (strips.peak_bytes - strips.base_bytes) / (way.column * cut.length)
            if strips.peak_bytes <= budget and (best is None or strips.waste < best.waste):
                best = strips
    return best


def _splits(links: Sequence[chain.Span], free: float, ends: float, least: float) -> list[tuple[chain.Span, ...]]:
    """Where to cut: the cheapest chains for whatever a byte is worth, each once."""
    named = {(span.first, span.last): span for span in links}
    found = {}
    for value, share in product(_VALUES, _SHARES):
        way = chain.cheapest(links, value, share * free, ends, least)
        if way is not None and len(way.legs) > 1:
            split = tuple(named[leg.first, leg.last] for leg in way.legs)
            found[tuple(span.last for span in split)] = split
    return list(found.values())
