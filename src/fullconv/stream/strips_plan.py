"""Whether a map is made in strips that keep rows (``tiling.rows``), and in which: links, bands and strips found within the budget.

Bands of the image, as wide as memory allows, are gone down strip by strip. Tiles stay where every tile must stand alone: where some are left out
(``where``, missing data, pixels that do not decode), where crops take cells' places, and where the network has no necks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import ceil, prod

from fullconv.geometry.lengths import map_sizes
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.runtimes.between import multiplications
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.exact import Exact
from fullconv.runtimes.footprint import run_of, value_shapes
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import chosen
from fullconv.stream.job import Job
from fullconv.stream.pipeline import PIXELS
from fullconv.stream.strips_parts import LEAST_CELLS, SCORES, Network, made
from fullconv.tiling import chain
from fullconv.tiling.cut import Line, cuts
from fullconv.tiling.memory import in_turn_bytes
from fullconv.tiling.tiles import Tiles

WORTH = 30.0  # seconds that keeping rows must save to be planned
_BETTER = 1.1  # times as long tiles must take
_COPYING = 20.0  # multiplications in whose time a byte goes out of the engine's layout and back: measured 0 to 40
_CUTTING = 10.0  # the same, in which a byte is cut off a way around: measured 6 to 13
_TRIED = 512  # cells a side at which a gap's memory is told
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6)  # of the memory that there is, for a run of the engine
_VALUES = tuple(10.0 ** (-9 + i / 4) for i in range(28))  # of a byte, in work
_NARROWER = 8  # numbers of bands that are tried
_CLOSER = 16  # chains that are made ready, the likeliest first


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
    return None if found is None or found[0] * _BETTER > 1 / (1 - tiles.waste) else found[1]


def _stands(way: Way, view: View, job: Job) -> bool:
    """Whether all cells of the image are mapped, by the engine whose links share one memory."""
    engine = chosen(Engine.of(job.runtime), job.precision)
    local = engine == "onnxruntime" and not Engine.of(job.runtime).is_accelerated
    every = job.where is None and not view.may_miss and job.on_error == "stop" and job.confirm is None
    return local and every and job.precision == "fp32" and way.by == "cast" and way.shifts == (1, 1)


def _gaps(network: Network) -> list[chain.Gap] | None:
    """What each gap costs, told from the image's own arithmetic and from parts of it."""
    sizes = map_sizes(network.graph, network.size)
    shares = []
    for first, last in pairwise(network.marks):
        steps = [network.size[side] / sizes[first][side] for side in (0, 1)]
        halo = []
        for side in (0, 1):
            found = network.reach(first, last, sizes[first], side)
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
        without = _without_padding(network.exact(first, last), part, work, steps[0])
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


def _without_padding(found: Exact | None, part: Lowered, work: int, step: float) -> tuple[float, float] | None:
    """Pixels for which a part that is run without padding does its work beside those that it makes, and multiplications a pixel that cutting ways around takes.

    Args:
        part: of a gap, on an input of one shape.
        work: multiplications that it takes.
        step: pixels from row to row.
    """
    shapes = None if found is None else value_shapes(found.lowered, found.lowered.nodes, part.inputs)
    done = None if found is None else multiplications(replace(found.lowered, inputs=part.inputs), found.around)
    if found is None or shapes is None or done is None:
        return None
    (shape,) = part.inputs.values()
    cut = [prod(shapes[value]) for value in found.around]
    rows = (shape[2] - (found.last - found.first)) // found.step * found.step + found.step
    own = done * shape[2] / work - rows if work else 0.0
    return max(0.0, own * step), _CUTTING * 4 * sum(cut) / (shape[2] * shape[3] * step * step)


def _best(network: Network, tiles: Tiles, budget: int, view: View, line: Line) -> tuple[float, Tiles] | None:
    """The chain and the bands that cost least within the budget, with what they cost."""
    gaps = _gaps(network)
    if gaps is None or len(gaps) < 2:
        return None
    free, links = budget - tiles.base_bytes, chain.spans(gaps)
    halo = sum(gap.halo[1] for gap in gaps)
    ends = SCORES * 4 * network.channels(network.marks[-1]) / prod(network.step)
    wide, ways = cuts(line), list[tuple[float, float, chain.Way]]()
    for share, value in product(_SHARES, _VALUES):
        found = chain.cheapest(links, value, share * free, ends, LEAST_CELLS * network.step[0])
        if found is None or len(found.legs) < 2:
            continue
        width = min(float(network.size[1]), (1 - share) * free / found.column)
        if width > halo:
            bands = 1 if width >= network.size[1] else ceil((network.size[1] - halo) / (width - halo))
            ways.append(((1 + found.lost) * (1 + (bands - 1) * halo / network.size[1]), width, found))
    best: tuple[float, Tiles] | None = None
    for _, width, found in sorted(ways, key=lambda each: each[0])[:_CLOSER]:
        at = next((i for i, cut in enumerate(wide) if cut.length <= width), len(wide) - 1)
        for cut in wide[max(0, at - 1) : at + _NARROWER]:  # told roughly: the widest that fits
            if best is not None and best[0] <= (1 + found.lost) * cut.count * cut.length / network.size[1]:
                break
            strips = made(network, found, cut, tiles, view)
            if strips is not None and strips[1].peak_bytes <= budget:
                best = strips if best is None or strips[0] < best[0] else best
                break
    return best
