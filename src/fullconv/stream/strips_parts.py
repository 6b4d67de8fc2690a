"""Strips that keep rows as they are run: the parts of every link, what of the work is done more than once, and the memory that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil, prod

from fullconv.errors import BadInput, BrokenPromise, CannotRun, Refused
from fullconv.geometry.lengths import map_sizes, misfit
from fullconv.graph.necks import between, leading_to, necks
from fullconv.graph.nodes import Graph, Opaque, Whole, Window
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.runtimes.between import lowered_between
from fullconv.runtimes.exact import Exact, exact
from fullconv.runtimes.footprint import run_of
from fullconv.runtimes.lowered import Lowered
from fullconv.stream.pipeline import ANSWERS, PIXELS
from fullconv.tiling import chain
from fullconv.tiling.cut import Cut, Side
from fullconv.tiling.memory import Run, in_turn_bytes
from fullconv.tiling.rows import Bare, Kept, Link, aligned, evenly, pieces
from fullconv.tiling.tiles import Tiles
from fullconv.tiling.window import Reach, reach

LEAST_CELLS = 16  # a strip, as many as a chunk's side has
_MOST_CELLS = 256
SCORES = ANSWERS + 1 + 1 / 3  # copies of a strip's scores: written, waiting, made, and coarser levels


@dataclass(frozen=True)
class Network:
    """What is known of a network that may be cut.

    Attributes:
        marks: the image, necks, and the output.
        size: (height, width) of the image as the network runs on it.
        cells: (rows, cols) of the map.
        step: pixels from cell to cell.
    """

    graph: Graph
    lowered: Lowered
    marks: tuple[str, ...]
    size: tuple[int, int]
    cells: tuple[int, int]
    step: tuple[int, int]
    _exact: dict[tuple[str, str], Exact | None] = field(default_factory=dict, repr=False)
    _reaches: dict[tuple[str, str, int, int], Reach] = field(default_factory=dict, repr=False)
    _runs: dict[tuple[str, str, int, int, bool], Run] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(way: Way, size: tuple[int, int], cells: tuple[int, int]) -> Network | None:
        """None where its answers do not follow from windows alone, or where no image of another size goes through."""
        graph, image = way.model.graph, way.model.graph.image
        if image is None or not all(_follows(node.touch) for node in leading_to(graph, way.output)):
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
        return Network(graph, lowered, tuple(_fewer(graph, marks)), fits, cells, steps)

    def channels(self, value: str) -> int:
        return self.graph.values[value].shape[1]

    def reach(self, reads: str, makes: str, size: tuple[int, int], side: int) -> Reach:
        """Of a link, over what it reads of (height, width)."""
        key = reads, makes, side, size[side]
        if key not in self._reaches:
            self._reaches[key] = reach(between(self.graph, reads, makes), makes, size, side)
        return self._reaches[key]

    def part(self, reads: str, makes: str, size: tuple[int, int]) -> Lowered:
        """A link, on parts of (height, width)."""
        found = lowered_between(self.lowered, reads, makes, (1, self.channels(reads), *size))
        if found is None:
            raise BrokenPromise(f"no network from {reads} to {makes}")
        return found

    def exact(self, reads: str, makes: str) -> Exact | None:
        """A link without padding; None where it has to have some."""
        key = reads, makes
        if key not in self._exact:
            self._exact[key] = exact(self.part(reads, makes, self.graph.values[reads].map_size))
        return self._exact[key]

    def bare(self, reads: str, makes: str) -> Bare | None:
        """What a link's parts without padding read; None where it has to have some."""
        found = self.exact(reads, makes)
        return None if found is None else Bare(found.first, found.last, found.step)

    def run(self, link: Link, height: int, is_exact: bool) -> Run:
        """The engine's steps for a part of a link.

        Raises:
            LookupError: its memory cannot be told.
        """
        key = link.reads, link.makes, height, link.part[1], is_exact
        if key not in self._runs:
            part = self.part(link.reads, link.makes, (height, link.part[1]))
            bare = self.exact(link.reads, link.makes) if is_exact else None
            run = run_of(part if bare is None else bare.lowered, [link.makes], part.inputs)
            if run is None:
                raise LookupError(f"sizes from {link.reads} to {link.makes}")
            self._runs[key] = run
        return self._runs[key]


def _follows(touch: object) -> bool:
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


def made(network: Network, way: chain.Way, band: Cut, alone: Tiles, view: View) -> tuple[float, Tiles] | None:
    """A chain as planned, in strips and bands as they are run, with what it costs: its work and what copies cost, over the work that must be done.

    None where the network does not take such bands, or its memory cannot be told.

    Args:
        alone: the same map's tiles that stand alone.
    """
    size = network.size[0], band.length
    if misfit(network.graph, size) is not None:
        return None
    sizes = map_sizes(network.graph, size)
    chunk, edges = _strips(network.cells[0], way.legs[-1].rows / network.step[0], alone.lead[0])
    links: list[Link] = []
    done = 0.0  # of the network's work
    for leg in reversed(way.legs):
        reads, makes = network.marks[leg.span.first], network.marks[leg.span.last]
        down, along = (network.reach(reads, makes, sizes[reads], side) for side in (0, 1))
        if links:
            stops = sorted({piece.part[1] for piece in links[0].rows})
            edges = aligned(stops, round(leg.rows * sizes[makes][0] / size[0]))
        cols = evenly(sizes[makes][1], round((leg.cols - leg.span.halo[1]) * sizes[makes][1] / size[1]))
        if any(max(b - a for a, b in pairwise(side)) < found.least for side, found in ((edges, down), (cols, along))):
            return None  # parts too short for their padding
        bare = network.bare(reads, makes) if leg.span.exact else None
        link = Link(reads, makes, pieces(down, edges, bare), pieces(along, cols))
        links.insert(0, link)
        across = len(link.cols) * link.part[1] / sizes[reads][1]
        done += _rows_done(leg.span, link, bare, size[0], sizes[reads][0]) * across
    over = band.count * band.length / network.size[1]
    kept = Kept(tuple(links), max(0.0, 1 - 1 / (done * over)))
    try:
        run, stage = _bytes(kept, network, view, sizes[kept.links[-1].makes])
    except LookupError:
        return None
    y = tuple(Side(piece.cells, (kept.read_for(i),)) for i, piece in enumerate(links[-1].rows))
    tiles = Tiles(
        y, band.sides(), (kept.links[0].part[0], band.length), (chunk, band.chunk), network.cells, alone.image,
        run, stage, alone.base_bytes, alone.lead, kept,
    )  # fmt: skip
    return (done + sum(leg.span.costs for leg in way.legs)) * over, tiles


def _rows_done(span: chain.Span, link: Link, bare: Bare | None, pixels: int, rows: int) -> float:
    """A link's share of the network's work, with what its parts do once more.

    Args:
        pixels, rows: the image's height, and that of what the link reads.
    """
    done = 0.0
    for (height, is_exact), count in link.kinds.items():
        if is_exact and bare is not None:
            made = height - (bare.last - bare.first) + bare.step
            done += count * (span.work * made / rows + span.again / pixels)
        else:
            done += count * span.work * height / rows
    return done


def _strips(cells: int, most: float, lead: int) -> tuple[int, tuple[int, ...]]:
    """Cells a chunk's side, and the edges of strips, which lie on chunks."""
    each = max(LEAST_CELLS, int(most))
    chunk = ceil(each / ceil(each / _MOST_CELLS))
    each = chunk * ceil(each / chunk)
    edges = [each * i - lead for i in range(1, ceil((cells + lead) / each)) if each * i > lead]
    return chunk, (0, *edges, cells)


def _bytes(kept: Kept, network: Network, view: View, cells: tuple[int, int]) -> tuple[int, int]:
    """Predicted bytes of the engine with the rows that are kept, and of what is read, waits and is written.

    Args:
        cells: (rows, cols) that the last link makes of a band.

    Raises:
        LookupError: the engine's memory cannot be told.
    """
    runs, beside, rows = list[Run](), 0, 0
    for i, link in enumerate(kept.links):
        channels, made = network.channels(link.reads), network.channels(link.makes)
        runs.extend(network.run(link, *kind) for kind in link.kinds)
        most = [max(p.cells[1] - p.origin for p in side) for side in (link.rows, link.cols)]
        heights = {height for height, _ in link.kinds}
        whole = i and len(link.cols) == 1 and heights == {kept.held[i]}  # read where it lies
        beside = max(beside, 4 * (0 if whole else channels * prod(link.part)) + 4 * made * prod(most))
        if i:
            rows += 4 * channels * kept.held[i] * kept.links[i - 1].width
    strip = max(piece.cells[1] - piece.cells[0] for piece in kept.links[-1].rows)
    scores = int(SCORES * 4 * network.channels(kept.links[-1].makes) * strip * cells[1])
    height, width = kept.links[0].part[0], kept.links[0].cols[-1].part[1]
    pixels = view.stage_bytes(height, width) + PIXELS * view.pixel_bytes(height, width)
    return in_turn_bytes(runs) + beside + rows, pixels + scores


def as_kept(tiles: Tiles, way: Way, view: View, base: int, out: object) -> Tiles:
    """The tiles of an earlier run, which keep rows, with their memory.

    Raises:
        BadInput: they are not this network's.
    """
    kept = tiles.kept
    assert kept is not None, "asked of tiles that keep rows"
    network = Network.of(way, view.size, tiles.cells)
    size = 0 if network is None else network.size[0], tiles.shape[1]
    try:
        if network is None or misfit(network.graph, size) is not None:
            raise ValueError("another network")
        sizes = map_sizes(network.graph, size)
        for link in kept.links:
            bare = network.bare(link.reads, link.makes) if any(piece.exact for piece in link.rows) else None
            for side, (parts, without) in enumerate(((link.rows, bare), (link.cols, None))):
                found = network.reach(link.reads, link.makes, sizes[link.reads], side)
                if parts != pieces(found, (0, *(piece.cells[1] for piece in parts)), without):
                    raise ValueError(f"parts of {link.reads}")
        if [piece.cells for piece in kept.links[-1].rows] != [side.cells for side in tiles.y]:
            raise ValueError("strips")
        if [link.reads for link in kept.links[1:]] != [link.makes for link in kept.links[:-1]]:
            raise ValueError("links")
        run, stage = _bytes(kept, network, view, sizes[kept.links[-1].makes])
    except (ArithmeticError, BrokenPromise, LookupError, Refused, ValueError) as error:
        raise BadInput(
            f"{out}: was begun with strips that are not this network's ({error}); start anew with --restart"
        ) from None
    return replace(tiles, run_bytes=run, stage_bytes=stage, base_bytes=base)
