"""Rules, one operation at a time: which touch, which axis, which axes come out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Layout, Linear, Opaque, Pointwise, Span, Whole, Window
from fullconv.operators import Effect, Operation, effect_of

SIZES = {"n": 1, "c": 4, "h": 6, "w": 7, "t": 5}
ONE = SIZES | {"h": 1, "w": 1}
INT = np.int64


def axes(text: str, one: bool = False) -> Axes:
    return Axes.parse(text, ONE if one else SIZES)


def effect(kind: str, inputs: Any, out: Any, /, opset: int = 21, **attributes: Any) -> Effect:
    """An operator's effect. Inputs are axes, or the numbers of constants; ``out`` is one shape or several."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    names = tuple(None if value is None else f"v{i}" for i, value in enumerate(given))
    known = tuple(value if isinstance(value, Axes) else None for value in given)
    constants = {f"v{i}": np.asarray(v) for i, v in enumerate(given) if v is not None and not isinstance(v, Axes)}
    shapes = out if isinstance(out[0], tuple) else (out,)
    return effect_of(Operation(kind, names, known, shapes, attributes, constants, frozenset(), opset))


def reason(found: Effect) -> str:
    assert isinstance(found.touch, Opaque | Whole), found.touch
    return found.touch.reason


# Space is a root ------------------------------------------------------------------------------

ALONG_ONE = [  # operators along height or width of a map of one cell
    ("Softmax", {"axis": 2}, (1, 4, 1, 1), 13),
    ("Softmax", {}, (1, 4, 1, 1), 13),
    ("Softmax", {"axis": 2}, (1, 4, 1, 1), 11),
    ("LogSoftmax", {"axis": 3}, (1, 4, 1, 1), 9),
    ("LpNormalization", {"axis": 2}, (1, 4, 1, 1), 13),
    ("ArgMax", {"axis": 2}, (1, 4, 1, 1), 13),
    ("ArgMax", {"axis": 3, "keepdims": 0}, (1, 4, 1), 13),
    ("LayerNormalization", {"axis": 3}, (1, 4, 1, 1), 17),
    ("LayerNormalization", {"axis": 1}, (1, 4, 1, 1), 17),
    ("Split", {"axis": 2}, (1, 4, 1, 1), 13),
    ("Select", {"axis": 3}, (1, 4, 1), 13),
    ("ReduceMin", {"axes": [2]}, (1, 4, 1, 1), 13),
    ("ReduceMean", {"axes": [1, 2, 3]}, (1, 1, 1, 1), 13),
    ("ReduceSum", {"axes": [3], "keepdims": 0}, (1, 4, 1), 11),
]


@pytest.mark.parametrize(("kind", "attributes", "shape", "opset"), ALONG_ONE)
def test_the_sides_of_a_map_of_one_cell_are_space(kind: str, attributes: dict, shape: tuple, opset: int) -> None:
    found = effect(kind, axes("n c h w", one=True), shape, opset=opset, **attributes)
    assert isinstance(found.touch, Opaque) or (isinstance(found.touch, Whole) and found.touch.how == "other")


def test_maps_of_one_cell_joined_along_height() -> None:
    one = axes("n c h w", one=True)
    assert "not the channels" in reason(effect("Concat", (one, one), (1, 4, 2, 1), axis=2))
    assert effect("Concat", (one, one), (1, 8, 1, 1), axis=1).touch == Pointwise(axis=1)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Hardmax"])
def test_before_operator_set_13_it_runs_over_all_axes_behind_its_own(kind: str) -> None:
    one = effect(kind, axes("n c h w", one=True), (1, 4, 1, 1), opset=11)
    assert one.touch == Pointwise(axis=1, trailing=True)
    assert isinstance(effect(kind, axes("n c h w"), (1, 4, 6, 7), opset=11).touch, Whole)
    last = effect(kind, axes("n h w c"), (1, 6, 7, 4), opset=11, axis=-1)
    assert last.touch == Pointwise(axis=3, trailing=True, from_end=True)
    assert effect(kind, axes("n c h w"), (1, 4, 6, 7), opset=13, axis=1).touch == Pointwise(axis=1)


def test_a_flattened_map_of_one_cell_is_a_vector_of_channels() -> None:
    flat = axes("n (c h w)", one=True)
    assert effect("Softmax", flat, (1, 4)).touch == Pointwise(axis=1, from_end=True)
    assert effect("BatchNormalization", (flat, *[np.ones(4)] * 4), (1, 4)).touch == Pointwise(axis=1)
    assert effect("Add", (flat, np.ones(4)), (1, 4)).aligned == ("v1",)
    assert effect("LayerNormalization", (flat, np.ones(4)), (1, 4)).touch == Pointwise(
        axis=1, trailing=True, from_end=True
    )


@pytest.mark.parametrize("kind", ["Softmax", "BatchNormalization", "LayerNormalization", "TopK", "Split", "ReduceOver"])
def test_a_flattened_map_of_more_cells_is_space(kind: str) -> None:
    found = (
        effect(kind, axes("n (c h w)"), (1, 168), axis=1)
        if kind != "BatchNormalization"
        else effect(kind, axes("n (c h w)"), (1, 168))
    )
    assert isinstance(found.touch, Whole)
    assert found.touch.how == "other"


@pytest.mark.parametrize(("which", "over"), [([2, 3], ("h", "w")), ([-2, -1], ("h", "w")), ([3], ("w",))])
@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(("kind", "how"), [("ReduceMean", "mean"), ("ReduceMax", "max")])
def test_means_and_maxima_over_the_map(which: list, over: tuple, one: bool, kind: str, how: str) -> None:
    shape = [1, 4, 1, 1] if one else [1, 4, 6, 7]
    for i in which:
        shape[i] = 1
    found = effect(kind, axes("n c h w", one), tuple(shape), axes=which)
    assert found.touch == Whole(how, over=over)
    assert found.outputs[0].is_map


def test_other_reductions_over_the_map_are_refused() -> None:
    assert "no sliding form" in reason(effect("ReduceProd", axes("n c h w"), (1, 4, 1, 1), axes=[2, 3]))
    assert "batch" in reason(effect("ReduceMean", axes("n c h w"), (1, 1, 1, 1)))
    assert "together" in reason(effect("ReduceMean", axes("n c h w"), (1, 1, 1, 7), axes=[1, 2]))


def test_a_reduction_of_no_axes_that_says_so_changes_nothing() -> None:
    found = effect("ReduceSum", axes("n c h w"), (1, 4, 6, 7), noop_with_empty_axes=1)
    assert found == Effect(Pointwise(), (axes("n c h w"),))


# Axes are counted from the first ----------------------------------------------------------------

FROM_END = [
    ("Softmax", (1, 4), {}),
    ("LpNormalization", (1, 4), {}),
    ("ReduceL2", (1, 1), {"axes": [-1]}),
    ("ReduceMean", (1,), {"axes": [-1], "keepdims": 0}),
    ("ArgMax", (1, 1), {"axis": -1}),
    ("TopK", ((1, 2), (1, 2)), {"axis": -1}),
    ("ReduceOver", (1, 2), {"axis": -1}),
    ("Split", ((1, 2), (1, 2)), {"axis": -1}),
    ("Select", (1,), {"axis": -1}),
    ("Slice", (1, 2), {"starts": [0], "ends": [2], "axes": [-1]}),
    ("Pad", (1, 6), {"pads": [0, 1, 0, 1]}),
]


@pytest.mark.parametrize(("kind", "shape", "attributes"), FROM_END)
def test_an_axis_counted_from_the_end_is_told_from_the_first(kind: str, shape: Any, attributes: dict) -> None:
    touch = effect(kind, axes("n c"), shape, **attributes).touch
    assert isinstance(touch, Pointwise)
    assert (touch.axis, touch.from_end) == (1, True)


def test_more_of_them_with_inputs() -> None:
    v = axes("n c")
    assert effect("Gather", (v, np.array([0, 2], INT)), (1, 2), axis=-1).touch == Pointwise(axis=1, from_end=True)
    assert effect("Gather", (v, np.array([0, 2], INT)), (1, 2), axis=1).touch == Pointwise(axis=1)
    assert effect("Concat", (v, v), (1, 8), axis=-1).touch == Pointwise(axis=1, from_end=True)
    single = Axes.image((1, 1))
    grown = effect("Expand", (single, np.array([1, 3], INT)), (1, 3))
    assert grown.touch == Pointwise(axis=1, from_end=True)
    assert grown.outputs[0].shape == (1, 3)
    scale = np.ones(4, np.float32)
    found = effect("QuantizeLinear", (v, scale, np.zeros(4, np.uint8)), (1, 4), axis=-1)
    assert (found.touch, found.aligned) == (Pointwise(axis=1, from_end=True), ())
    assert effect("DequantizeLinear", (axes("n c h w"), scale), (1, 4, 6, 7)).touch == Pointwise(axis=1)
    assert isinstance(effect("DequantizeLinear", (axes("n c h w"), np.ones(6)), (1, 4, 6, 7), axis=2).touch, Whole)
    assert effect("DequantizeLinear", (axes("n c h w"), np.float32(1)), (1, 4, 6, 7)).touch == Pointwise()


@pytest.mark.parametrize("kind", ["Softmax", "ArgMax", "Concat", "Split", "Select", "TopK"])
def test_along_the_batch_nothing_is_cast(kind: str) -> None:
    shape = (4,) if kind == "Select" else (1, 4)
    assert isinstance(effect(kind, axes("n c"), shape, axis=0).touch, Opaque | Whole)


# Slices and pads --------------------------------------------------------------------------------


def test_a_slice_of_channels_keeps_as_many_as_it_keeps() -> None:
    for starts, ends, count in (([0], [3], 3), ([1], [2**31 - 1], 3), ([-2], [2**31 - 1], 2), ([0], [-1], 3)):
        found = effect("Slice", axes("n c h w"), (1, count, 6, 7), starts=starts, ends=ends, axes=[1])
        assert found.outputs[0].shape == (1, count, 6, 7)
        assert found.touch == Pointwise(axis=1)


def test_a_slice_of_height_and_width_is_a_window_of_one_cell() -> None:
    found = effect(
        "Slice", axes("n c h w"), (1, 4, 2, 6), starts=[1, 0], ends=[2**63 - 1, -1], axes=[2, 3], steps=[3, 1]
    )
    assert found.touch == Window(Span(1, Fraction(3), 1, -1, 0), Span(1, Fraction(1), 1, 0, -1))
    assert found.outputs[0].map_size == (2, 6)


@pytest.mark.parametrize(
    ("starts", "ends", "rows"),
    [([-3], [2**31 - 1], 3), ([-4], [-1], 3), ([0], [3], 3), ([0], [6], 6), ([-9], [2**31 - 1], 6)],
)
def test_a_slice_at_a_fixed_place_of_the_map_is_refused(starts: list, ends: list, rows: int) -> None:
    found = effect("Slice", axes("n c h w"), (1, 4, rows, 7), starts=starts, ends=ends, axes=[2])
    assert "fixed place" in reason(found)
    one = effect("Slice", axes("n c h w", one=True), (1, 4, 1, 1), starts=[-1], ends=[2**31 - 1], axes=[3])
    assert "fixed place" in reason(one)


def test_slices_that_no_rule_has() -> None:
    back = effect("Slice", axes("n c h w"), (1, 4, 6, 7), starts=[-1], ends=[-100], axes=[2], steps=[-1])
    assert "backwards" in reason(back)
    colours = effect(
        "Slice", axes("n c h w"), (1, 4, 6, 7), starts=[0, -1], ends=[10**9, -(10**9)], axes=[0, 1], steps=[1, -1]
    )
    assert isinstance(colours.touch, Pointwise)  # as tf2onnx turns RGB round
    flat = effect("Slice", axes("n (c h w)"), (1, 100), starts=[0], ends=[100], axes=[1])
    assert isinstance(flat.touch, Opaque)
    batch = effect("Slice", Axes.image((2, 4, 6, 7)), (1, 4, 6, 7), starts=[0], ends=[1], axes=[0])
    assert isinstance(batch.touch, Opaque)


def test_pads() -> None:
    m = axes("n c h w")
    found = effect("Pad", (m, np.array([0, 0, 1, 2, 0, 0, 0, -1])), (1, 4, 7, 8))
    assert found.touch == Window(Span(1, pad_before=1), Span(1, pad_before=2, pad_after=-1))
    some = effect("Pad", (m, np.array([2, 1, -1, 0]), None, np.array([-1, 2])), (1, 4, 7, 8))
    assert some.touch == Window(Span(1, pad_before=1), Span(1, pad_before=2, pad_after=-1))
    channels = effect("Pad", (m, np.array([0, 1, 0, 0, 0, 2, 0, 0])), (1, 7, 6, 7))
    assert channels == Effect(Pointwise(axis=1), channels.outputs)
    assert channels.outputs[0].shape == (1, 7, 6, 7)
    assert "wraps" in reason(effect("Pad", (m, np.array([0, 0, 0, 1, 0, 0, 0, 0])), (1, 4, 6, 8), mode="wrap"))
    assert isinstance(effect("Pad", (m, np.array([1, 0, 0, 0, 0, 0, 0, 0])), (2, 4, 6, 7)).touch, Opaque)


# Windows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "pads", "out"),
    [(7, 2, 2, (0, 0), 4), (13, 1, 2, (0, 0), 7), (16, 1, 2, (0, 0), 8), (7, 2, 3, (0, 0), 3), (8, 2, 3, (0, 0), 3),
     (6, 3, 2, (1, 1), 4), (7, 3, 2, (1, 1), 4), (9, 2, 4, (0, 1), 3)],
)  # fmt: skip
def test_rounding_up_leaves_out_a_window_that_starts_past_the_input(
    length: int, kernel: int, stride: int, pads: tuple, out: int
) -> None:
    import torch

    if pads[0] == pads[1]:
        real = torch.nn.functional.max_pool1d(torch.zeros(1, 1, length), kernel, stride, pads[0], ceil_mode=True)
        assert real.shape[-1] == out
    m = Axes.image((1, 4, length, length))
    found = effect(
        "MaxPool", m, (1, 4, out, out), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pads[0]] * 2 + [pads[1]] * 2,
        ceil_mode=1,
    )  # fmt: skip
    assert isinstance(found.touch, Window)
    larger = effect(
        "MaxPool", m, (1, 4, out + 1, out + 1), kernel_shape=[kernel] * 2, strides=[stride] * 2,
        pads=[pads[0]] * 2 + [pads[1]] * 2, ceil_mode=1,
    )  # fmt: skip
    assert isinstance(larger.touch, Opaque)


def test_convolutions() -> None:
    m, w = axes("n c h w"), np.zeros((8, 4, 3, 3))
    found = effect("Conv", (m, w, None), (1, 8, 3, 3), strides=[2, 2], pads=[1, 0, 0, 1], kernel_shape=[3, 3])
    assert found.touch == Window(Span(3, Fraction(2), 1, 1, 0), Span(3, Fraction(2), 1, 0, 1))
    wide = effect("Conv", (m, w, None), (1, 8, 2, 3), dilations=[2, 2])
    assert wide.touch == Window(Span(3, dilation=2), Span(3, dilation=2))
    same = effect("Conv", (m, w, None), (1, 8, 3, 4), strides=[2, 2], auto_pad="SAME_UPPER")
    assert same.touch == Window(Span(3, Fraction(2), 1, 0, 1), Span(3, Fraction(2), 1, 1, 1), auto=True)
    turned = effect("Conv", (axes("n c w h"), w, None), (1, 8, 5, 4))
    assert "no map of" in reason(turned)
    up = effect("ConvTranspose", (m, np.zeros((4, 2, 3, 3))), (1, 2, 12, 14), strides=[2, 2], pads=[1, 1, 0, 0])
    assert up.touch == Window(Span(3, Fraction(1, 2), 1, 1, 0), Span(3, Fraction(1, 2), 1, 1, 0))
    plain = effect("ConvTranspose", (m, np.zeros((4, 2, 3, 3))), (1, 2, 8, 9))
    assert plain.touch == Window(Span(3, pad_before=2, pad_after=2), Span(3, pad_before=2, pad_after=2))


def test_a_window_over_the_whole_map_with_a_stride_is_a_global_pool() -> None:
    m = axes("n c h w")
    found = effect("AveragePool", m, (1, 4, 1, 1), kernel_shape=[6, 7], strides=[6, 7])
    assert found.touch == Whole("mean")
    sliding = effect("AveragePool", m, (1, 4, 1, 1), kernel_shape=[6, 7])
    assert sliding.touch == Window(Span(6), Span(7))


RESIZED = [  # mode, where, rounding, factor -> kernel and what lies before, None where it is refused
    ("nearest", "asymmetric", "floor", 3, (3, 0)),
    ("nearest", "half_pixel", "round_prefer_floor", 3, (3, 0)),
    ("nearest", "half_pixel", "round_prefer_ceil", 2, (2, 0)),
    ("nearest", "asymmetric", "ceil", 2, None),
    ("nearest", "asymmetric", "round_prefer_floor", 3, None),
    ("nearest", "align_corners", "floor", 2, None),
    ("nearest", "tf_crop_and_resize", "floor", 2, None),
    ("linear", "half_pixel", "floor", 2, (4, 1)),
    ("linear", "half_pixel", "floor", 3, (5, 1)),
    ("linear", "pytorch_half_pixel", "floor", 2, (4, 1)),
    ("linear", "asymmetric", "floor", 2, (3, 1)),
    ("linear", "align_corners", "floor", 2, None),
    ("cubic", "half_pixel", "floor", 2, None),
]


@pytest.mark.parametrize(("mode", "where", "rounding", "factor", "expected"), RESIZED)
def test_resampling_by_the_cells_that_each_output_reads(
    mode: str, where: str, rounding: str, factor: int, expected: Any
) -> None:
    shape = (1, 4, 6 * factor, 7 * factor)
    scales = np.array([1, 1, factor, factor], np.float32)
    found = effect(
        "Resize", (axes("n c h w"), None, scales), shape, mode=mode, coordinate_transformation_mode=where, nearest_mode=rounding
    )  # fmt: skip
    if expected is None:
        assert "resamples" in reason(found)
        return
    kernel, before = expected
    span = Span(kernel, Fraction(1, factor), 1, before, kernel - factor - before)
    assert found.touch == Window(span, span)


def test_upsample_and_the_first_resize_count_from_a_cells_corner() -> None:
    for kind, opset, inputs in (
        ("Upsample", 9, (axes("n c h w"), np.ones(4))),
        ("Resize", 10, (axes("n c h w"), np.ones(4))),
    ):
        found = effect(kind, inputs, (1, 4, 12, 14), opset=opset, mode="linear")
        span = Span(3, Fraction(1, 2), 1, 1, 0)
        assert found.touch == Window(span, span)


def test_resampling_to_other_than_whole_factors() -> None:
    found = effect("Resize", (axes("n c h w"), None, np.ones(4)), (1, 4, 9, 14), mode="nearest")
    assert "no whole factor" in reason(found)


# Constants and operands ---------------------------------------------------------------------------


def test_constants_a_channel_and_a_position() -> None:
    m = axes("n c h w")
    assert effect("Mul", (m, np.ones((4, 1, 1))), m.shape) == Effect(Pointwise(), (m,))
    assert "each position" in reason(effect("Mul", (m, np.ones(7)), m.shape))
    assert "each position" in reason(effect("Mul", (np.ones((6, 1)), m), m.shape))
    assert "each position" in reason(effect("Add", (axes("n (c h w)"), np.ones(168)), (1, 168)))
    assert effect("Add", (axes("n c"), np.float32(2)), (1, 4)).aligned == ()
    tokens = Axes.parse("n t c", SIZES)
    assert effect("Add", (tokens, np.ones((5, 1))), (1, 5, 4)).aligned == ("v1",)


def test_a_constant_along_an_axis_before_one_of_size_one_is_refused() -> None:
    laid = Axes((*axes("n c").axes, ()))
    assert "not the last" in reason(effect("Add", (laid, np.ones((4, 1))), (1, 4, 1)))


def test_operands_whose_positions_are_others_are_refused() -> None:
    square = {"n": 1, "c": 4, "h": 6, "w": 6}
    m, turned = Axes.parse("n c h w", square), Axes.parse("n c w h", square)
    assert "positions" in reason(effect("Add", (m, turned), (1, 4, 6, 6)))
    assert effect("Add", (m, m), (1, 4, 6, 6)).touch == Pointwise()
    flat, other = axes("n (c h w)"), axes("n (h w c)")
    assert "positions" in reason(effect("Add", (flat, other), (1, 168)))
    vector = Axes.image((1, 7))
    assert "positions" in reason(effect("Add", (axes("n c h w"), vector), (1, 4, 6, 7)))
    assert "positions" in reason(effect("Concat", (m, turned), (1, 8, 6, 6), axis=1))


def test_a_gate_of_one_cell_takes_the_maps_axes() -> None:
    m, gate = axes("n c h w"), axes("n c h w", one=True)
    assert effect("Mul", (gate, m), m.shape).outputs == (m,)
    spread = effect("Mul", (Axes.parse("n c h w", SIZES | {"c": 1}), np.ones((3, 1, 1))), (1, 3, 6, 7))
    assert spread.outputs[0].shape == (1, 3, 6, 7)
    assert spread.outputs[0].is_map


def test_expand_states_no_height_or_width() -> None:
    m = Axes.parse("n c h w", SIZES | {"c": 1})
    ok = effect("Expand", (m, np.array([1, 3, 1, 1])), (1, 3, 6, 7))
    assert ok.touch == Pointwise(axis=1)
    assert "as numbers" in reason(effect("Expand", (m, np.array([1, 3, 6, 7])), (1, 3, 6, 7)))
    one = axes("n c h w", one=True)
    assert "spreads" in reason(effect("Expand", (one, np.array([1, 4, 6, 7])), (1, 4, 6, 7)))
    assert isinstance(effect("Expand", (m, np.array([5, 1, 1, 1])), (5, 1, 6, 7)).touch, Opaque)


def test_tile_repeats_axes_of_one_and_lays_no_copies_side_by_side() -> None:
    m = Axes.parse("n c h w", SIZES | {"c": 1})
    assert effect("Tile", (m, np.array([1, 3, 1, 1])), (1, 3, 6, 7)).touch == Pointwise(axis=1)
    assert "side by side" in reason(effect("Tile", (m, np.array([1, 1, 2, 1])), (1, 1, 12, 7)))
    assert "side by side" in reason(effect("Tile", (axes("n c h w"), np.array([1, 2, 1, 1])), (1, 8, 6, 7)))
    assert "spreads" in reason(effect("Tile", (axes("n c h w", one=True), np.array([1, 1, 6, 7])), (1, 4, 6, 7)))
    assert isinstance(effect("Tile", (m, np.array([5, 1, 1, 1])), (5, 1, 6, 7)).touch, Opaque)


# Weight matrices ------------------------------------------------------------------------------------


def test_dense_layers() -> None:
    flat = axes("n (c h w)")
    found = effect("Gemm", (flat, np.zeros((168, 5)), np.zeros(5)), (1, 5))
    assert (found.touch, found.linear) == (Whole("linear"), Linear(5, flat.axes[1]))
    vector = axes("n c")
    assert effect("MatMul", (vector, np.zeros((4, 5))), (1, 5)).touch == Pointwise(flat=True)
    assert "data transposed" in reason(effect("Gemm", (vector, np.zeros((4, 4))), (4, 4), transA=1))
    assert "each row" in reason(effect("Gemm", (axes("n c"), np.zeros((4, 5)), np.zeros((2, 5))), (2, 5)))


def test_a_matrix_over_a_token_is_a_dense_layer_and_over_a_map_of_channels_last_none() -> None:
    token = Axes((axes("n c").axes[0], (), axes("n c").axes[1]))
    found = effect("MatMul", (token, np.zeros((4, 5))), (1, 1, 5))
    assert (found.touch, found.linear) == (Pointwise(axis=2, from_end=True), Linear(5, token.axes[2]))
    last = effect("MatMul", (axes("n h w c"), np.zeros((4, 5))), (1, 6, 7, 5))
    assert (last.touch, last.linear) == (Pointwise(axis=3, from_end=True), None)
    assert isinstance(effect("MatMul", (axes("n c h w"), np.zeros((7, 5))), (1, 4, 6, 5)).touch, Whole)
    assert isinstance(effect("MatMul", (axes("n c h w", one=True), np.zeros((1, 5))), (1, 4, 1, 5)).touch, Whole)
    tokens = axes("n t c")
    assert effect("MatMul", (tokens, np.zeros((4, 6))), (1, 5, 6)).linear is None


# Layout -----------------------------------------------------------------------------------------------


def test_layouts_and_stacks() -> None:
    m = axes("n c h w")
    assert effect("Flatten", m, (1, 168)) == Effect(Layout(), (axes("n (c h w)"),))
    assert effect("Transpose", m, (1, 6, 7, 4), perm=[0, 2, 3, 1]).outputs == (axes("n h w c"),)
    fixed = effect("Reshape", (m, np.array([1, 2, 2, 6, 7])), (1, 2, 2, 6, 7))
    assert fixed.touch == Layout(fixed=True)
    free = effect("Reshape", (m, np.array([0, -1, 1, 1])), (1, 168, 1, 1))
    assert isinstance(free.touch, Layout)
    stacked = effect("Stack", (m, m), (1, 2, 4, 6, 7), axis=1, name="s")
    assert stacked.touch == Pointwise(axis=1)
    square = {"n": 1, "c": 4, "h": 6, "w": 6}
    turned = Axes.parse("n c h w", square), Axes.parse("n c w h", square)
    assert "positions" in reason(effect("Stack", turned, (1, 2, 4, 6, 6), axis=1, name="s"))


def test_the_batch_stays_where_it_is() -> None:
    two = Axes.image((2, 4, 6, 7))
    assert "moves the batch" in reason(effect("Transpose", two, (4, 2, 6, 7), perm=[1, 0, 2, 3]))
    assert "moves the batch" in reason(effect("Reshape", (two, np.array([8, 1, 6, 7])), (8, 1, 6, 7)))


def test_output_padding_lies_behind() -> None:
    given = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
    found = effect("ConvTranspose", (axes("n c h w"), np.zeros((4, 2, 3, 3))), (1, 2, 12, 14), **given)
    assert found.touch == Window(Span(3, Fraction(1, 2), 1, 1, 0), Span(3, Fraction(1, 2), 1, 1, 0))


def test_moments_over_the_map() -> None:
    m = axes("n c h w")
    for kind in ("InstanceNormalization", "GroupNormalization"):
        assert effect(kind, (m, np.ones(4), np.ones(4)), m.shape).touch == Whole("statistics")
    assert "batch" in reason(effect("MeanVarianceNormalization", m, m.shape))
    assert effect("MeanVarianceNormalization", m, m.shape, axes=[2, 3]).touch == Whole("statistics")
    grouped = axes("n c (h w)")
    assert "not the whole map" in reason(effect("InstanceNormalization", (grouped, np.ones(4), np.ones(4)), (1, 4, 42)))
    assert isinstance(effect("GroupNormalization", (axes("n c"), np.ones(4), np.ones(4)), (1, 4)).touch, Opaque)


def test_parameters_of_each_position_are_refused() -> None:
    m = axes("n c h w")
    assert "each position" in reason(effect("LayerNormalization", (m, np.ones((4, 6, 7))), m.shape, axis=1))
    assert "each position" in reason(effect("LayerNormalization", (m, np.ones(7)), m.shape))
    last = effect("LayerNormalization", (axes("n h w c"), np.ones(4)), (1, 6, 7, 4))
    assert last.touch == Pointwise(axis=3, trailing=True, from_end=True)
    assert isinstance(effect("BatchNormalization", (axes("n h w c"), *[np.ones(6)] * 4), (1, 6, 7, 4)).touch, Whole)
