"""A chain of links that keep rows: each strip's rows are made when it is wanted, from wherever a run begins."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest

from fullconv.tiling import chain
from fullconv.tiling.rows import Bare, Flow, Kept, Link, aligned, evenly, pieces
from fullconv.tiling.window import Reach


def a_chain(height: int, windows: list[tuple[int, int]], strip: int, about: list[int]) -> Kept:
    """Links of one window each, (kernel, stride) with same padding, over so many rows."""
    heights = [height]
    for _, stride in windows:
        heights.append(-(-heights[-1] // stride))
    edges = (0, *range(strip - 1, heights[-1], strip), heights[-1])
    links: list[Link] = []
    for i in reversed(range(len(windows))):
        kernel, stride = windows[i]
        pad = kernel // 2
        before, after = Fraction(pad), Fraction(heights[i] - (kernel - pad) + stride)
        reach = Reach(heights[i], Fraction(stride), stride, before, after)
        if links:
            edges = aligned(sorted({piece.part[1] for piece in links[0].rows}), about[i])
        links.insert(0, Link(str(i), str(i + 1), pieces(reach, edges), pieces(reach, (0, heights[i + 1]))))
    return Kept(tuple(links), 0.0)


@pytest.mark.parametrize("seed", range(40))
def test_every_strip_can_be_made_from_where_a_run_begins(seed: int) -> None:
    chance = random.Random(seed)
    windows = [(chance.choice((1, 3, 5, 7, 9)), chance.choice((1, 1, 2))) for _ in range(chance.randint(2, 6))]
    kept = a_chain(chance.randint(400, 3000), windows, chance.randint(3, 40), [chance.randint(2, 60) for _ in windows])
    last, strips = kept.links[-1], len(kept.links[-1].rows)
    assert [piece.cells[0] for piece in last.rows[1:]] == [piece.cells[1] for piece in last.rows[:-1]]
    for begin in {0, strips - 1, chance.randrange(strips), chance.randrange(strips)}:
        flow = Flow.at(kept.links, begin)
        tops = [flow.base(i) for i in range(len(kept.links))]
        for strip in range(begin, min(strips, begin + 6)):
            for part in kept.parts_for(strip, anew=strip == begin):
                assert part == flow.next[0], "the first link's parts follow on each other"
                link: int | None = 0
                while link is not None:
                    piece = flow.ran(link)
                    assert piece.cells[0] <= max(tops[link + 1], piece.cells[0]) <= piece.cells[1]
                    assert flow.made[link + 1] - flow.base(link + 1) <= kept.held[link + 1]
                    link = flow.ready()
            assert flow.has(len(kept.links) - 1), "all rows of the strip are there"
            for i, link_of in enumerate(kept.links[1:], 1):
                assert link_of.rows[min(flow.next[i], len(link_of.rows) - 1)].part[0] >= tops[i]
            flow.ran(len(kept.links) - 1)


def test_pieces_are_of_one_length_and_give_each_cell_once() -> None:
    reach = Reach(100, Fraction(2), 2, Fraction(3), Fraction(100 - 4 + 2))
    found = pieces(reach, (0, 13, 26, 39, 50))
    assert {piece.part[1] - piece.part[0] for piece in found} == {found[0].part[1]}
    assert [piece.cells for piece in found] == [(0, 13), (13, 26), (26, 39), (39, 50)]
    assert all(piece.origin * 2 == piece.part[0] for piece in found)
    assert found[-1].part[1] == 100


def test_edges_lie_where_a_reader_stops() -> None:
    stops = [21, *range(35, 200, 16), 203]
    found = aligned(stops, 16)
    assert set(range(67, 200, 16)) <= set(found)
    assert (found[0], found[-1]) == (0, 203)
    assert len(found) <= len(stops) + 3
    assert max(b - a for a, b in pairwise(found)) == 16
    halves = aligned(stops, 8)
    assert set(range(67, 200, 8)) <= set(halves)
    assert evenly(10, 4) == (0, 3, 6, 10)


def test_a_cut_is_made_where_it_costs_less_than_what_is_done_twice() -> None:
    def gap(halo: float, cut: float) -> chain.Gap:
        return chain.Gap((halo, halo), 0.5, 60.0, 12.0, cut)

    free = chain.cheapest(chain.spans([gap(64, 0.0), gap(64, 0.0)]), 1e-6, 3e8, 1.0, 16)
    dear = chain.cheapest(chain.spans([gap(64, 9.0), gap(64, 9.0)]), 1e-6, 3e8, 1.0, 16)
    assert free is not None
    assert [(leg.span.first, leg.span.last) for leg in free.legs] == [(0, 1), (1, 2)]
    assert dear is not None
    assert [(leg.span.first, leg.span.last) for leg in dear.legs] == [(0, 2)]
    assert free.lost < dear.lost
    assert chain.cheapest(chain.spans([gap(64, 0.0)]), 1e-6, 1.0, 1.0, 16) is None, "no room for one part"


def test_parts_without_padding_read_what_their_cells_read() -> None:
    """Two convolutions of 3×3 over 100 rows: cells from 2 on, and up to 98, read no padding."""
    reach = Reach(100, Fraction(1), 1, Fraction(2), Fraction(100 - 3 + 1))
    found = pieces(reach, (0, 20, 40, 60, 79, 100), Bare(-2, 3, 1))
    assert [piece.exact for piece in found] == [False, True, True, True, False]
    assert [piece.part for piece in found if piece.exact] == [(18, 42), (38, 62), (57, 81)]
    assert [piece.take for piece in found if piece.exact] == [slice(0, 20), slice(0, 20), slice(1, 20)]
    assert [piece.part for piece in found if not piece.exact] == [(0, 22), (77, 100)]
    link = Link("a", "b", found, pieces(reach, (0, 100)))
    assert link.tops == (0, 18, 38, 57, 77)
    assert link.kinds == {(22, False): 1, (23, False): 1, (24, True): 3}
    assert link.part == (24, 100)
    assert Link.from_json(link.to_json()) == link
    old = link.to_json()["cols"][0]
    assert len(old) == 5, "parts with padding are told as ever"


def test_cells_that_see_padding_alone_have_a_part() -> None:
    """A window of 3 rows behind 5 of padding: cells from 45 on read no row of the image."""
    reach = Reach(40, Fraction(1), 1, Fraction(5), Fraction(40 + 5 - 3 + 1))
    for bare in (None, Bare(-5, -2, 1)):
        found = pieces(reach, (0, 10, 20, 30, 45, 48), bare)
        assert [piece.cells for piece in found] == [(0, 10), (10, 20), (20, 30), (30, 45), (45, 48)]
        assert all(0 <= piece.part[0] < piece.part[1] <= 40 for piece in found)
        assert found[-1].part[1] == 40
        assert all(piece.take.start >= 0 for piece in found)


def test_links_have_padding_where_ways_around_cost_more() -> None:
    gaps = [chain.Gap((32, 32), 0.5, 60.0, 12.0, 0.001, 8.0, around) for around in (0.001, 9.0)]
    way = chain.cheapest(chain.spans(gaps), 1e-6, 3e8, 1.0, 16)
    assert way is not None
    assert [leg.span.exact for leg in way.legs] == [True, False]
