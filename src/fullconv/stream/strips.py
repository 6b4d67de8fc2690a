"""The door of a map whose rows are kept: the network as a chain of links, each of which runs as soon as its rows are there (``tiling.rows``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fullconv.errors import BrokenPromise, FullconvError
from fullconv.maps.finite import require_numbers
from fullconv.maps.ways import Way
from fullconv.runtimes.between import lowered_between
from fullconv.runtimes.exact import exact
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Session, compiler
from fullconv.stream.door import Array, Done, Loaded
from fullconv.stream.job import Job
from fullconv.stream.processor import kept as kept_of
from fullconv.stream.processor import values_of
from fullconv.system.memory import give_back
from fullconv.tiling.cut import Side
from fullconv.tiling.rows import Flow, Kept, Piece
from fullconv.tiling.tiles import Tile


class Rows:
    """The last rows of a value across a band: those that its reader still needs."""

    def __init__(self, channels: int, most: int, width: int) -> None:
        self._values = np.zeros((channels, most, width), np.float32)
        self.begin(0)

    def begin(self, row: int) -> None:
        """Nothing is held, and nothing above this row is needed."""
        self._top = self._end = row

    def make_room(self, base: int, stop: int) -> None:
        """Drop what is above ``base``, so that there is room for rows up to ``stop``."""
        if stop - self._top > self._values.shape[1]:
            first = max(0, min(base, self._end) - self._top)
            held = self._end - self._top - first
            for plane in self._values:  # a plane at a time: what overlaps is copied
                plane[:held] = plane[first : first + held].copy()
            self._top += first
        if stop - self._top > self._values.shape[1]:
            raise BrokenPromise(f"rows up to {stop} do not fit behind {self._top}")

    def put(self, rows: tuple[int, int], cols: tuple[int, int], made: Array) -> None:
        """Cells (C, rows, cols) of the value; what is above the first row that is held is left out."""
        first = max(rows[0], self._top)
        self._values[:, first - self._top : rows[1] - self._top, cols[0] : cols[1]] = made[:, first - rows[0] :]
        self._end = max(self._end, rows[1])

    def part(self, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        """(1, C, rows, cols), in one piece."""
        if rows[0] < self._top or rows[1] > self._end:
            raise BrokenPromise(f"rows {rows} are read, and {self._top} to {self._end} are held")
        found = self._values[:, rows[0] - self._top : rows[1] - self._top, cols[0] : cols[1]]
        return np.ascontiguousarray(found)[None]


class Strips:
    """The door to an engine on the processor that keeps rows. Tiles come as ``Tiles.steps`` has them."""

    depth = 1

    def __init__(self, job: Job, way: Way, ordered: bool, kept: Kept) -> None:
        """Args:
        ordered: channels are in the network's order already.
        """
        self.job, self.way, self.kept, self._ordered = job, way, kept, ordered
        graph, links = way.model.graph, kept.links
        image = links[0].reads
        lowered = way.model.lowered({image: graph.values[image].shape})
        # The whole network's engine holds the weights too, and memory of the largest image that it saw, which it gives back for a small one.
        way.model.run(np.zeros((1, *way.model.image_shape), np.float32), outputs=[way.output], runtime=job.runtime)
        way.model.let_go()
        give_back()
        self._compile, _ = compiler(job.runtime, job.precision)
        from fullconv.runtimes.onnxruntime import give_back_arena  # the engine of strips, which is loaded by now

        self._give_back = give_back_arena
        self._parts: list[Lowered] = []
        self._sessions: dict[int, tuple[bool, Session]] = {}  # of links, for exact parts or for those with padding
        for link in links:
            part = lowered_between(lowered, link.reads, link.makes, (1, graph.values[link.reads].shape[1], *link.part))
            if part is None:
                raise BrokenPromise(f"no network from {link.reads} to {link.makes}")
            self._parts.append(part)
            self._replace(len(self._parts) - 1, is_exact=link.rows[0].exact)  # before any values lie beside the weights
        self._rows = [
            Rows(graph.values[link.reads].shape[1], kept.held[i], links[i - 1].width)
            for i, link in enumerate(links)
            if i
        ]
        self._classes = graph.values[way.output].shape[1]
        self._buffer = np.zeros((way.model.image_shape[0], *links[0].part), np.float32)
        self._flow: Flow | None = None

    def start(self, loaded: Loaded) -> Loaded:
        """The pixels stay as they are: each part is preprocessed when it is run."""
        return loaded

    def finish(self, ticket: Loaded) -> Done:
        strip = ticket.tile.kept
        if strip is None or (self._flow is None and not strip.anew):
            raise BrokenPromise(f"tile {ticket.tile.name} does not follow on any rows")
        if strip.anew:
            self._begin(ticket.tile.row)
        flow, last = self._flow, len(self.kept.links) - 1
        assert flow is not None, "it was begun"
        try:
            if strip.part is not None:
                self._run(flow, 0, ticket)
                while (link := flow.ready()) is not None:
                    self._run(flow, link, ticket)
            if not strip.ends:
                return Done(ticket.tile, None, None, {})
            scores = self._scores(flow, last, ticket.tile)
        except FullconvError:
            self._flow = None
            raise
        require_numbers(self.way.model, self._crop(), scores)
        scores, top1 = kept_of(self.job, scores, ticket.answers)
        return Done(ticket.tile, scores, top1, ticket.mark)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _begin(self, strip: int) -> None:
        self._flow = Flow.at(self.kept.links, strip)
        for i, rows in enumerate(self._rows, 1):
            rows.begin(self._flow.base(i))

    def _run(self, flow: Flow, number: int, ticket: Loaded) -> None:
        """A link's next part, its cells to those of the next link."""
        link = self.kept.links[number]
        piece = flow.ran(number)
        self._rows[number].make_room(flow.base(number + 1), piece.cells[1])
        for along in link.cols:
            if number:
                values = self._rows[number - 1].part(piece.part, along.part)
            else:
                values = self._pixels(ticket, piece.part, along.part)
            made = self._answer(number, piece, values)
            self._rows[number].put(piece.cells, along.cells, made[:, piece.take, along.take])

    def _scores(self, flow: Flow, number: int, tile: Tile) -> Array:
        """(classes, rows, cols) of the strip's cells."""
        link = self.kept.links[number]
        piece = flow.ran(number)
        if piece.cells != tile.y.cells:
            raise BrokenPromise(f"cells {piece.cells} are made, and tile {tile.name} has {tile.y.cells}")
        step = int(self.way.sampling.stride[1])
        first = tile.x.cells[0] - tile.x.parts[0][0] // step  # of a band's cells
        last = first + tile.x.cells[1] - tile.x.cells[0]
        scores = np.empty((self._classes, piece.cells[1] - piece.cells[0], last - first), np.float32)
        for along in link.cols:
            a, b = max(first, along.cells[0]), min(last, along.cells[1])
            if a >= b:
                continue
            made = self._answer(number, piece, self._rows[number - 1].part(piece.part, along.part))
            scores[:, :, a - first : b - first] = made[:, piece.take, a - along.origin : b - along.origin]
        return scores

    def _crop(self) -> Array:
        """(1, C, H, W) of what was run last, as large as a crop, to look for the layer whose answers are no numbers."""
        crop = np.zeros((1, *self.way.model.image_shape), np.float32)
        part = self._buffer[:, : crop.shape[2], : crop.shape[3]]
        crop[0, :, : part.shape[1], : part.shape[2]] = part
        return crop

    def _answer(self, number: int, piece: Piece, values: Array) -> Array:
        lowered, makes = self._parts[number], self.kept.links[number].makes
        if self._sessions.get(number, (not piece.exact,))[0] != piece.exact:
            self._replace(number, is_exact=piece.exact)
        (name,) = lowered.inputs
        (found,) = self._sessions[number][1].run({name: values}, [makes])
        return np.asarray(found[0])

    def _replace(self, number: int, *, is_exact: bool) -> None:
        """Make a link's session anew: each holds the weights, and a band has few parts with padding."""
        lowered, makes = self._parts[number], self.kept.links[number].makes
        if self._sessions.pop(number, None) is not None:
            self._give_back()  # the new one's weights would lie where the next runs have their values, and these beside them
        bare = exact(lowered) if is_exact else None
        if is_exact and bare is None:
            raise BrokenPromise(f"{makes} is made with padding alone")
        session = self._compile(lowered if bare is None else bare.lowered, [makes], self.job.precision)
        self._sessions[number] = is_exact, session

    def _pixels(self, loaded: Loaded, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        """(1, C, H, W) of a part of the image; columns are counted from the band's first."""
        tile, pixels = loaded.tile, loaded.pixels
        assert pixels is not None, "a strip has pixels"
        left = tile.x.read[0]
        part = replace(tile, y=Side(tile.y.cells, (rows,)), x=Side(tile.x.cells, ((left + cols[0], left + cols[1]),)))
        return values_of(
            replace(loaded, tile=part, pixels=pixels[:, cols[0] : cols[1]]),
            self.job,
            self.way,
            self._ordered,
            self._buffer,
        )
