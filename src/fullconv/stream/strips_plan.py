"""Whether a map is made in strips that keep rows (``tiling.rows``), and in which: links, bands and strips found within the budget.

Bands of the image, as wide as memory allows, are gone down strip by strip. Tiles stay where every tile must stand alone: where some are left out
(``where``, missing data, pixels that do not decode), where crops take cells' places, and where the network has no necks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, prod

from fullconv.errors import BadInput, CannotRun, Refused
from fullconv.geometry.lengths import map_sizes, misfit
from fullconv.graph.necks import between, leading_to, necks
from fullconv.graph.nodes import Graph, Opaque, Whole, Window
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.runtimes.between import lowered_between, multiplications
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.footprint import run_of
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import chosen
from fullconv.stream.job import Job
from fullconv.stream.pipeline import ANSWERS, PIXELS
from fullconv.tiling import chain
from fullconv.tiling.cut import Cut, Line, Side, cuts
from fullconv.tiling.memory import in_turn_bytes
from fullconv.tiling.rows import Kept, Link, aligned, evenly, pieces
from fullconv.tiling.tiles import Tiles
from fullconv.tiling.window import Reach, reach

WORTH = 30.0  # seconds that keeping rows must save to be planned
_BETTER = 1.1  # times the work that tiles must take
_COPYING = 50.0  # multiplications in whose time a byte goes out of the engine's layout and back: measured 40 to 60
_TRIED = 512  # cells a side at which a gap's memory is told
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6)  # of the memory that there is, for a run of the engine
_VALUES = tuple(10.0 ** (-9 + i / 4) for i in range(28))
_NARROWER = 8  # numbers of bands that are tried
_LEAST_CELLS = 16  # a strip, as many as a chunk's side has
_MOST_CELLS = 256
_SCORES = ANSWERS + 1 + 1 / 3  # copies of a strip's scores: written, waiting, made, and coarser levels


@dataclass(frozen=True)
class _Network:
    """What is known of a network that may be cut.

    Attributes:
        marks: the image, necks, and the output.
        size: (height, width) of the image as the network runs on it.
        grid: (rows, cols) of the map.
    """

    graph: Graph
    lowered: Lowered
    marks: tuple[str, ...]
    size: tuple[int, int]
    cells: tuple[int, int]
    step: tuple[int, int]

    def channels(self, value: str) -> int:
        return self.graph.values[value].shape[1]


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
    network = _network(way, view.size, tiles.cells)
    found = None if network is None else _best(network, tiles, budget, view, lines[1])
    return None if found is None or (1 - tiles.waste) * _BETTER > 1 - found.waste else found


def _stands(way: Way, view: View, job: Job) -> bool:
    """Whether all cells of the image are mapped, by the engine whose links share one memory."""
    engine = chosen(Engine.of(job.runtime), job.precision)
    local = engine == "onnxruntime" and not Engine.of(job.runtime).is_accelerated
    every = job.where is None and not view.may_miss and job.on_error == "stop" and job.confirm is None
    return local and every and job.precision == "fp32" and way.by == "cast" and way.shifts == (1, 1)


def _network(way: Way, size: tuple[int, int], cells: tuple[int, int]) -> _Network | None:
    graph, image = way.model.graph, way.model.graph.image
    if image is None or not all(_follows(graph, node.outputs, node.touch) for node in leading_to(graph, way.output)):
        return None
    try:
        lowered = way.model.lowered({image: graph.values[image].shape})
    except CannotRun:
        return None
    batch = way.model.format.batch(way.model.native)
    marks = [image, *(value for value in necks(graph, way.output) if value in lowered.outputs), way.output]
    marks = [value for value in marks if _is_map(graph, value)]
    if not lowered.any_size or batch not in (None, 1) or marks[0] != image or marks[-1] != way.output:
        return None
    fits = way.model.fitting(size, way.output)
    steps = int(way.sampling.stride[0]), int(way.sampling.stride[1])
    return _Network(graph, lowered, tuple(_fewer(graph, marks)), fits, cells, steps)


def _follows(graph: Graph, outputs: Sequence[str], touch: object) -> bool:
    if isinstance(touch, Window):
        return touch.like is None
    return not isinstance(touch, Whole | Opaque)


def _is_map(graph: Graph, value: str) -> bool:
    axes = graph.values[value]
    return (
        axes.is_map and axes.rank == 4 and axes.channel_axis == 1 and [axes.space_axis(s) for s in ("h", "w")] == [2, 3]
    )


def _fewer(graph: Graph, marks: Sequence[str]) -> Iterator[str]:
    """Of necks without a window between them, the one of least bytes alone."""
    kept = marks[0]
    for value in marks[1:]:
        moves = any(isinstance(node.touch, Window) for node in leading_to(graph, value, kept))
        if kept == marks[0] or moves:
            yield kept
        elif value != marks[-1] and prod(graph.values[value].shape[1:]) > prod(graph.values[kept].shape[1:]):
            continue
        kept = value
    yield kept


# Cuts --------------------------------------------------------------------------------------------


def _gaps(network: _Network) -> list[chain.Gap] | None:
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
        shape = (1, network.channels(first), min(_TRIED, sizes[first][0]), min(_TRIED, sizes[first][1]))
        part = lowered_between(network.lowered, first, last, shape)
        run = None if part is None else run_of(part, [last], part.inputs)
        work = None if part is None else multiplications(part)
        if run is None or work is None:
            return None
        pixels = prod(shape[2:]) * steps[0] * steps[1]
        own = 4 * network.channels(first) / (steps[0] * steps[1])
        behind = [network.size[side] / sizes[last][side] for side in (0, 1)]
        made = 4 * network.channels(last) / (behind[0] * behind[1])
        shares.append((halo, work / pixels, in_turn_bytes([run]) / pixels + own + made, own, made))
    total = sum(share[1] for share in shares)
    if total <= 0:
        return None
    image = (PIXELS + 2.0) * network.channels(network.marks[0])  # bytes a pixel as it was read: read, waiting, run on
    return [
        chain.Gap((halo[0], halo[1]), work / total, each, image if i == 0 else own, _COPYING * made / total)
        for i, (halo, work, each, own, made) in enumerate(shares)
    ]


def _best(network: _Network, tiles: Tiles, budget: int, view: View, line: Line) -> Tiles | None:
    """The chain and the bands that lose least within the budget."""
    gaps = _gaps(network)
    if gaps is None or len(gaps) < 2:
        return None
    free = budget - tiles.base_bytes
    halo = sum(gap.halo[1] for gap in gaps)
    ends = _SCORES * 4 * network.channels(network.marks[-1]) / prod(network.step)
    least = _LEAST_CELLS * network.step[0]
    wide = cuts(line)
    best: Tiles | None = None
    for share in _SHARES:
        ways = []
        for value in _VALUES:
            found = chain.cheapest(gaps, value, share * free, ends, least)
            if found is None or len(found.legs) < 2:
                continue
            width = min(float(network.size[1]), (1 - share) * free / found.column)
            if width > halo:
                bands = 1 if width >= network.size[1] else ceil((network.size[1] - halo) / (width - halo))
                ways.append(((1 + found.lost) * (1 + (bands - 1) * halo / network.size[1]), width, found))
        if not ways:
            continue
        _, width, found = min(ways, key=lambda each: each[0])
        at = next((i for i, cut in enumerate(wide) if cut.length <= width), len(wide) - 1)
        for cut in wide[max(0, at - 1) : at + _NARROWER]:  # told roughly: the widest that fits
            made = _made(network, gaps, found, cut, tiles, view)
            if made is not None and made.peak_bytes <= budget:
                best = made if best is None or made.waste < best.waste else best
                break
    return best


# Parts -------------------------------------------------------------------------------------------


def _made(
    network: _Network, gaps: Sequence[chain.Gap], way: chain.Way, band: Cut, alone: Tiles, view: View
) -> Tiles | None:
    """Strips and bands as they are run; None where the network does not take such bands."""
    size = network.size[0], band.length
    if misfit(network.graph, size) is not None:
        return None
    sizes = map_sizes(network.graph, size)
    chunk, edges = _strips(network.cells[0], way.legs[-1].rows / network.step[0], alone.lead[0])
    links: list[Link] = []
    for leg in reversed(way.legs):
        reads, makes = network.marks[leg.first], network.marks[leg.last]
        down, along = _reaches(network.graph, reads, makes, sizes[reads])
        if links:
            stops = sorted({piece.part[1] for piece in links[0].rows})
            edges = aligned(stops, round(leg.rows * sizes[makes][0] / size[0]))
        halo = sum(gap.halo[1] for gap in gaps[leg.first : leg.last])
        cols = evenly(sizes[makes][1], round((leg.cols - halo) * sizes[makes][1] / size[1]))
        if any(max(b - a for a, b in pairwise(side)) < found.least for side, found in ((edges, down), (cols, along))):
            return None  # parts too short for their padding
        links.insert(0, Link(reads, makes, pieces(down, edges), pieces(along, cols)))
    works = [sum(gap.work for gap in gaps[leg.first : leg.last]) for leg in way.legs]
    whole = map_sizes(network.graph, network.size)
    done = sum(
        work * prod(link.part) * len(link.rows) * len(link.cols) * band.count / prod(whole[link.reads])
        for work, link in zip(works, links, strict=True)
    )
    kept = Kept(tuple(links), max(0.0, 1 - 1 / done))
    run, stage = kept_bytes(kept, network.graph, network.lowered, view, sizes[kept.links[-1].makes])
    y = tuple(Side(piece.cells, (kept.read_for(i),)) for i, piece in enumerate(links[-1].rows))
    return Tiles(
        y, band.sides(), (kept.links[0].part[0], band.length), (chunk, band.chunk), network.cells, alone.image,
        run, stage, alone.base_bytes, alone.lead, kept,
    )  # fmt: skip


def _strips(cells: int, most: float, lead: int) -> tuple[int, tuple[int, ...]]:
    """Cells a chunk's side, and the edges of strips, which lie on chunks."""
    each = max(_LEAST_CELLS, int(most))
    chunk = ceil(each / ceil(each / _MOST_CELLS))
    each = chunk * ceil(each / chunk)
    edges = [each * i - lead for i in range(1, ceil((cells + lead) / each)) if each * i > lead]
    return chunk, (0, *edges, cells)


def _reaches(graph: Graph, first: str, last: str, size: tuple[int, int]) -> tuple[Reach, Reach]:
    sub = between(graph, first, last)
    return reach(sub, last, size, 0), reach(sub, last, size, 1)


def kept_bytes(
    kept: Kept, graph: Graph, lowered: Lowered, view: View, cells: tuple[int, int], runtime: str = "onnxruntime"
) -> tuple[int, int]:
    """Predicted bytes of the engine with the rows that are kept, and of what is read, waits and is written.

    Args:
        cells: (rows, cols) that the last link makes of a band.
    """
    networks, beside, rows = [], 0, 0
    for i, link in enumerate(kept.links):
        channels, made = graph.values[link.reads].shape[1], graph.values[link.makes].shape[1]
        shape = (1, channels, *link.part)
        part = lowered_between(lowered, link.reads, link.makes, shape)
        run = None if part is None else run_of(part, [link.makes], dict.fromkeys(part.inputs, shape), runtime)
        if run is None:
            return 1 << 62, 0
        networks.append(run)
        most = [max(p.cells[1] - p.origin for p in side) for side in (link.rows, link.cols)]
        whole = i and len(link.cols) == 1 and kept.held[i] == link.part[0]  # read where it lies
        beside = max(beside, 4 * (0 if whole else channels * prod(link.part)) + 4 * made * prod(most))
        if i:
            rows += 4 * channels * kept.held[i] * kept.links[i - 1].width
    strip = max(piece.cells[1] - piece.cells[0] for piece in kept.links[-1].rows)
    scores = int(_SCORES * 4 * graph.values[kept.links[-1].makes].shape[1] * strip * cells[1])
    height, width = kept.links[0].part[0], kept.links[0].cols[-1].part[1]
    pixels = view.stage_bytes(height, width) + PIXELS * view.pixel_bytes(height, width)
    return in_turn_bytes(networks) + beside + rows, pixels + scores


def as_kept(tiles: Tiles, way: Way, view: View, base: int, out: object) -> Tiles:
    """The tiles of an earlier run, which keep rows, with their memory.

    Raises:
        BadInput: they are not this network's.
    """
    kept = tiles.kept
    assert kept is not None, "asked of tiles that keep rows"
    network = _network(way, view.size, tiles.cells)
    size = 0 if network is None else network.size[0], tiles.shape[1]
    try:
        if network is None or misfit(network.graph, size) is not None:
            raise ValueError("another network")
        sizes = map_sizes(network.graph, size)
        for link in kept.links:
            down, along = _reaches(network.graph, link.reads, link.makes, sizes[link.reads])
            for side, found in ((link.rows, down), (link.cols, along)):
                if side != pieces(found, (0, *(piece.cells[1] for piece in side))):
                    raise ValueError(f"parts of {link.reads}")
        if [piece.cells for piece in kept.links[-1].rows] != [side.cells for side in tiles.y]:
            raise ValueError("strips")
        if [link.reads for link in kept.links[1:]] != [link.makes for link in kept.links[:-1]]:
            raise ValueError("links")
        run, stage = kept_bytes(kept, network.graph, network.lowered, view, sizes[kept.links[-1].makes])
    except (ArithmeticError, KeyError, Refused, ValueError, IndexError) as error:
        raise BadInput(
            f"{out}: was begun with strips that are not this network's ({error}); start anew with --restart"
        ) from None
    return replace(tiles, run_bytes=run, stage_bytes=stage, base_bytes=base)
