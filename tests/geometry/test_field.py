from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fullconv.errors import Refused
from fullconv.geometry.field import out_of_step, receptive_fields
from fullconv.geometry.grid import Grid, sampling
from fullconv.geometry.lengths import fitting, map_sizes, misfit
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Graph, Node, Pointwise, Span, Whole, Window
from fullconv.surgery.plan import make_plan
from tests import helpers as h

INCEPTION = (
    h.data(1, 3, 40, 33) + h.conv("stem", "data", 4, 3, "stride: 2")
    + h.conv("a", "stem", 3, 1) + h.conv("b", "stem", 3, 3, "pad: 1") + h.conv("c", "stem", 3, 5, "pad: 2")
    + h.pool("p", "stem", 3, 1, "pad: 1") + h.layer("cat", "Concat", "a b c p") + h.fc("ip", "cat", 5)
)  # fmt: skip


def support(text: str, size: tuple[int, int], output: str, cell: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows and columns of the image on which one cell depends: every pixel changed in turn (positive weights)."""
    net = h.network(text)
    weights = {name: tuple(np.abs(a) + 0.1 for a in blobs) for name, blobs in net.weights.items()}
    model = h.Model(net.with_message(net.message, weights), h.Caffe()).cast()
    base = np.ones((1, model.image_shape[0], *size), np.float32)
    at = model.run(base)[output][0, :, cell[0], cell[1]].sum()
    rows = [y for y in range(size[0]) if _changed(model, base, at, output, cell, (slice(None), slice(None), y))]
    cols = [
        x for x in range(size[1]) if _changed(model, base, at, output, cell, (slice(None), slice(None), slice(None), x))
    ]
    return rows[0], rows[-1] + 1, cols[0], cols[-1] + 1


def _changed(model, base, at, output, cell, where) -> bool:
    image = base.copy()
    image[where] += 1
    return bool(abs(model.run(image)[output][0, :, cell[0], cell[1]].sum() - at) > 1e-3)


def test_field_over_branches_is_the_support_of_a_cell() -> None:
    predicted = make_plan(h.graph(INCEPTION)).predicted
    assert predicted is not None
    field = receptive_fields(predicted)["ip"]
    row, col = 6, 5
    y0, y1, x0, x1 = support(INCEPTION, (70, 60), "ip", (row, col))
    assert (y0, x0) == tuple(o + i * s for o, i, s in zip(field.offset, (row, col), field.stride, strict=True))
    assert (y1 - y0, x1 - x0) == field.size


def test_branches_that_step_differently_are_refused_by_name() -> None:
    text = (
        h.data(1, 3, 20, 20)
        + h.conv("a", "data", 2, 3, "stride: 2")
        + h.layer("like", "Pooling", "data", "b", "pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }")
    )
    text += h.layer("up", "Deconvolution", "b", "up", "convolution_param { num_output: 2 kernel_size: 2 stride: 2 }")
    text += h.layer("cut", "Crop", "up a", "cut", "crop_param { axis: 2 offset: 0 }") + h.layer(
        "sum", "Eltwise", "a cut"
    )
    with pytest.raises(Refused, match="sum: branches meet with strides 2×2 and 1×1 px"):
        receptive_fields(h.graph(text))


def test_map_sizes_follow_the_image() -> None:
    predicted = make_plan(h.graph(INCEPTION)).predicted
    assert predicted is not None
    sizes = map_sizes(predicted, (71, 90))
    found = h.model(INCEPTION).cast().run(np.zeros((1, 3, 71, 90), np.float32), outputs=["stem", "cat", "ip"])
    assert {name: found[name].shape[2:] for name in found} == {name: sizes[name] for name in ("stem", "cat", "ip")}


def test_cells_are_told_as_pixels() -> None:
    predicted = make_plan(h.graph(h.LENET)).predicted
    assert predicted is not None
    grid = sampling(predicted, "prob").over((61, 75))
    assert (grid.rows, grid.cols) == ((61 - 28) // 4 + 1, (75 - 28) // 4 + 1)
    assert grid.box(2, 3) == (12, 8, 40, 36)
    assert grid.centre(2, 3) == (12 + 13.5, 8 + 13.5)
    assert grid.nearest(25.5, 21.5) == (2, 3)
    assert grid.nearest(0, 0) == (0, 0)
    assert grid.nearest(74.9, 60.9) == (grid.rows - 1, grid.cols - 1)
    with pytest.raises(IndexError, match="outside the image"):
        grid.nearest(75, 0)
    with pytest.raises(IndexError, match="outside the map"):
        grid.box(grid.rows, 0)
    assert Grid.from_json(grid.to_json()) == grid


def test_a_coarser_grids_cells_lie_in_the_middle_of_theirs() -> None:
    pairs = [(Fraction(a), Fraction(b)) for a, b in ((4, 6), (20, 30), (9, 14), (20, 30))]
    grid = Grid(7, 9, *pairs, (50, 80))
    for factor in (2, 3, 4):
        coarse = grid.coarser(factor)
        assert (coarse.rows, coarse.cols) == (-(-7 // factor), -(-9 // factor))
        assert (coarse.crop, coarse.field, coarse.image) == (grid.crop, grid.field, grid.image)
        for row in range(7 // factor):
            for col in range(9 // factor):
                cells = [(row * factor + i, col * factor + j) for i in range(factor) for j in range(factor)]
                middle = np.mean([grid.centre(*cell) for cell in cells], axis=0)
                assert coarse.centre(row, col) == pytest.approx(tuple(middle))


def test_a_net_cast_and_stated_at_another_size_keeps_its_crop() -> None:
    full = h.model(h.LENET).cast().resized(60, 72)
    assert full.sampling().crop == (28, 28)
    assert full.sampling().stride == (Fraction(4), Fraction(4))


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_a_dense_net_without_a_crop_has_cells_of_its_step(kernel: int) -> None:
    """It gives as many cells as its input has pixels, one more, or two more: a crop of 1, 0 or -1 pixels."""
    found = sampling(h.graph(h.data(1, 1, 16, 12) + h.conv("a", "data", 2, kernel, f"pad: {kernel - 1}")), "a")
    assert found.crop == found.stride == (1, 1)


def test_upsampling_gives_rational_strides() -> None:
    text = h.data(1, 2, 16, 16) + h.conv("a", "data", 2, 3, "stride: 2")
    text += h.layer(
        "up", "Deconvolution", "a", "up", "convolution_param { num_output: 2 kernel_size: 8 stride: 4 pad: 2 }"
    )
    field = receptive_fields(h.graph(text))["up"]
    assert field.stride == (Fraction(1, 2), Fraction(1, 2))


def test_branches_out_of_step_are_named_with_their_offsets() -> None:
    """A window of two cells looks half a pixel further than one of three with a pixel of padding."""
    text = (
        h.data(1, 1, 12, 12)
        + h.conv("a", "data", 2, 3, "pad: 1")
        + h.conv("b", "data", 2, 1)
        + h.layer("ab", "Eltwise", "a b")
    )
    assert list(out_of_step(h.graph(text))) == []
    text = (
        h.data(1, 1, 12, 12)
        + h.conv("a", "data", 2, 2)
        + h.conv("b", "data", 2, 4, "pad: 1")
        + h.layer("ab", "Eltwise", "a b")
    )
    assert list(out_of_step(h.graph(text))) == []
    text = (
        h.data(1, 1, 12, 12)
        + h.conv("a", "data", 2, 3)
        + h.conv("b", "data", 2, 5, "pad: 1")
        + h.layer("ab", "Eltwise", "a b")
    )
    assert list(out_of_step(h.graph(text))) == []
    text = (
        h.data(1, 1, 12, 12)
        + h.conv("a", "data", 1, 3, "stride: 2 pad: 1")
        + h.pool("b", "data", 2, 2)
        + h.layer("ab", "Eltwise", "a b")
    )
    ((node, centres),) = out_of_step(h.graph(text))
    assert node.name == "ab"
    assert centres == (("a", (0, 0)), ("b", (Fraction(1, 2), Fraction(1, 2))))


def _scaled(first: str) -> Graph:
    """A pooled statistic laid over its own map, whichever comes first."""
    sizes = {"n": 1, "c": 2, "h": 6, "w": 5}
    image, one = Axes.parse("n c h w", sizes), Axes.parse("n c h w", {**sizes, "h": 1, "w": 1})
    reads = ("s", "x") if first == "s" else ("x", "s")
    nodes = (
        Node("pool", "GlobalAveragePool", ("x",), ("s",), Whole("mean")),
        Node("scale", "Mul", reads, ("y",), Pointwise()),
        Node("relu", "Relu", ("y",), ("z",), Pointwise()),
    )
    return Graph(("x",), ("z",), nodes, {"x": image, "s": one, "y": image, "z": image})


@pytest.mark.parametrize("first", ["s", "x"])
def test_maps_laid_over_each_other_are_as_large_as_the_largest(first: str) -> None:
    graph = _scaled(first)
    assert map_sizes(graph, (9, 7)) == {"x": (9, 7), "s": (1, 1), "y": (9, 7), "z": (9, 7)}
    assert misfit(graph, (9, 7)) is None
    assert fitting(graph, (9, 7), "z", (9, 7)) == (9, 7)
    assert sampling(graph, "z").cells((9, 7)) == (9, 7)


def test_sizes_that_do_not_meet_are_cut_behind_the_last_crop() -> None:
    """A branch that halves by rounding up and one by rounding down: even sizes go through, and no cell is lost."""
    sizes = {"n": 1, "c": 2, "h": 8, "w": 8}
    image = Axes.parse("n c h w", sizes)
    half = image.with_size(4, 4)
    plain, same = Span(1, Fraction(2)), Span(3, Fraction(2), pad_after=1)
    nodes = (
        Node("a", "Conv", ("x",), ("p",), Window(plain, plain)),
        Node("b", "Conv", ("x",), ("q",), Window(same, same)),
        Node("add", "Add", ("p", "q"), ("y",), Pointwise()),
    )
    graph = Graph(("x",), ("y",), nodes, {"x": image, "p": half, "q": half, "y": half})
    assert misfit(graph, (11, 12)) is not None
    cells = sampling(graph, "y").cells((11, 13))
    assert fitting(graph, (11, 13), "y", cells) == (10, 12)
    assert map_sizes(graph, (10, 12))["y"] >= cells
    assert fitting(graph, (12, 14), "y", sampling(graph, "y").cells((12, 14))) == (12, 14)
    for image, fits in (((12, 13), (12, 12)), ((13, 14), (12, 14))):  # the side that goes through stays as it is
        assert fitting(graph, image, "y", sampling(graph, "y").cells(image)) == fits


def test_an_image_is_filled_up_where_cutting_would_cost_cells() -> None:
    image = Axes.parse("n c h w", {"n": 1, "c": 2, "h": 8, "w": 8})
    blocks = Window(Span(4, Fraction(4)), Span(4, Fraction(4)), divides=True)
    graph = Graph(("x",), ("y",), (Node("a", "S2D", ("x",), ("y",), blocks),), {"x": image, "y": image.with_size(2, 2)})
    assert fitting(graph, (9, 11), "y", (2, 3)) == (8, 12)
    assert misfit(graph, (8, 12)) is None
    for size in ((8, 11), (9, 12)):
        assert f"its input has {size[0]}×{size[1]}" in str(misfit(graph, size))


@pytest.mark.parametrize(("over", "size"), [("h", (1, 7)), ("w", (9, 1)), ("hw", (1, 1))])
def test_what_pools_one_side_leaves_the_other(over: str, size: tuple[int, int]) -> None:
    image = Axes.parse("n c h w", {"n": 1, "c": 2, "h": 6, "w": 5})
    pooled = image.with_size(*(1 if side in over else n for side, n in (("h", 6), ("w", 5))))
    pool = Node("pool", "ReduceMean", ("x",), ("y",), Whole("mean", over=tuple(over)))
    assert map_sizes(Graph(("x",), ("y",), (pool,), {"x": image, "y": pooled}), (9, 7))["y"] == size
