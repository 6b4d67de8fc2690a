from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fullconv.errors import BrokenPromise
from fullconv.graph.nodes import Pointwise, Span, Whole, Window
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.edit import GlobalToSliding, LinearToConv, RemoveLayout, SetAxis
from fullconv.surgery.plan import make_plan
from tests import helpers as h

POOLED = (
    h.data(1, 3, 20, 14)
    + h.conv("c", "data", 6, 3)
    + h.layer("gap", "Pooling", "c", "gap", "pooling_param { pool: AVE global_pooling: true }")
)


def plan(text: str):
    return make_plan(h.graph(text), Dialect(rename=lambda name: f"{name}-conv"))


def test_inner_products_become_convolutions_of_the_map() -> None:
    found = plan(h.LENET)
    assert [str(e) for e in found.edits] == [
        "ip1 (12, 96) -> ip1-conv (12, 6, 4, 4)",
        "ip2 (3, 12) -> ip2-conv (3, 12, 1, 1)",
    ]
    assert not found.refusals
    assert found.predicted is not None
    nodes = {node.name: node for node in found.predicted}
    assert nodes["ip1-conv"].touch == Window(Span(4), Span(4))
    assert nodes["prob"].touch == Pointwise(axis=1)
    assert str(found.predicted.values["prob"]) == "n c h w"
    assert found.predicted.values["prob"].shape == (1, 3, 1, 1)


def test_kernels_follow_height_and_width() -> None:
    found = plan(h.data(1, 2, 9, 13) + h.conv("c", "data", 3, 3) + h.fc("ip", "c", 4))
    (edit,) = found.edits
    assert isinstance(edit, LinearToConv)
    assert edit.kernel == (7, 11)


def test_a_global_pool_slides() -> None:
    found = plan(POOLED + h.fc("ip", "gap", 4))
    assert [type(e) for e in found.edits] == [GlobalToSliding, LinearToConv]
    assert found.edits[0].kernel == (18, 12)
    assert found.edits[1].kernel == (1, 1)


def test_a_window_that_is_the_whole_map_slides_by_one() -> None:
    """Its stride was never used; kept, it would thin the map out."""
    text = (
        h.data(1, 3, 20, 20)
        + h.conv("c", "data", 6, 5, "stride: 2")
        + h.pool("p", "c", 8, 8, "pool: AVE")
        + h.fc("ip", "p", 4)
    )
    model = h.model(text)
    assert isinstance(model.plan.edits[0], GlobalToSliding)
    assert model.sampling().stride == (2, 2)
    image = np.random.default_rng(0).standard_normal((1, 3, 24, 26), np.float32)
    np.testing.assert_allclose(
        model.cast().run(image)["ip"][0, :, 2, 3], model.run(image[:, :, 4:, 6:])["ip"][0], atol=1e-5
    )


@pytest.mark.parametrize("how", ['"Flatten"', '"Reshape"'])
def test_a_flatten_goes_and_its_readers_read_the_map(how: str) -> None:
    param = "reshape_param { shape { dim: 0 dim: -1 } }" if "Reshape" in how else ""
    text = h.data(1, 2, 8, 8) + h.conv("c", "data", 3, 3) + h.layer("flat", how.strip('"'), "c", "flat", param)
    text += h.layer("relu", "ReLU", "flat", "flat") + h.layer("drop", "Dropout", "flat", "flat") + h.fc("ip", "flat", 4)
    found = plan(text)
    assert [type(e) for e in found.edits] == [RemoveLayout, LinearToConv]
    full = h.model(text)
    image = np.random.default_rng(0).standard_normal((2, 2, 8, 8), np.float32)
    np.testing.assert_allclose(full.cast().run(image)["ip"][:, :, 0, 0], full.run(image)["ip"], atol=1e-5)


def test_a_flatten_that_was_the_output_leaves_the_map_as_output() -> None:
    found = plan(POOLED + h.layer("flat", "Flatten", "gap"))
    assert found.predicted is not None
    assert found.predicted.outputs == ("gap",)


def test_reshapes_of_a_vector_to_one_cell_and_back_go_away() -> None:
    text = h.LENET.replace('bottom: "ip2"', 'bottom: "back"') + ""
    text = text.replace(
        'layer { name: "prob"',
        h.layer("one", "Reshape", "ip2", "one", "reshape_param { shape { dim: 0 dim: 0 dim: 1 dim: 1 } }")
        + h.layer("back", "Flatten", "one")
        + 'layer { name: "prob"',
    )
    model = h.model(text)
    image = np.random.default_rng(0).standard_normal((1, 1, 36, 36), np.float32)
    full = model.cast()
    assert full.run(image)["prob"].shape == (1, 3, 3, 3)
    np.testing.assert_allclose(
        full.run(image)["prob"][0, :, 2, 1], model.run(image[:, :, 8:36, 4:32])["prob"][0], atol=1e-6
    )


def test_axes_counted_from_the_end_are_spelt() -> None:
    found = plan(
        h.LENET.replace('name: "prob" type: "Softmax"', 'name: "prob" type: "Softmax" softmax_param { axis: -1 }')
    )
    assert isinstance(found.edits[-1], SetAxis)
    assert found.edits[-1].axis == 1


def test_argmax_over_everything_is_told_to_run_over_classes() -> None:
    text = h.LENET + h.layer("best", "ArgMax", "prob", "best", "argmax_param { top_k: 2 }")
    model = h.model(text)
    assert isinstance(model.plan.edits[-1], SetAxis)
    image = np.random.default_rng(0).standard_normal((1, 1, 32, 28), np.float32)
    best = model.cast().run(image)["best"]
    assert best.shape == (1, 2, 2, 1)
    np.testing.assert_array_equal(best[0, :, 1, 0], model.run(image[:, :, 4:])["best"].ravel())


def test_a_baked_reshape_to_the_same_shape_goes_away() -> None:
    text = h.data(1, 4, 8, 8) + h.conv("c", "data", 6, 3)
    text += h.layer("split", "Reshape", "c", "s", "reshape_param { shape { dim: 0 dim: 6 dim: 6 dim: 6 } }") + h.conv(
        "d", "s", 3, 6
    )
    found = plan(text)
    (edit,) = found.edits
    assert isinstance(edit, RemoveLayout)
    assert (edit.node, edit.becomes) == ("split", "c")
    assert h.model(text).cast().run(np.zeros((1, 4, 20, 11), np.float32))["d"].shape == (1, 3, 13, 4)


def test_branches_and_several_outputs() -> None:
    text = (
        h.data(1, 3, 16, 16) + h.conv("a", "data", 4, 3) + h.conv("b", "data", 4, 3) + h.layer("sum", "Eltwise", "a b")
    )
    text += (
        h.layer("cat", "Concat", "sum a")
        + h.fc("cls", "cat", 2)
        + h.layer("prob", "Softmax", "cls")
        + h.fc("box", "cat", 4)
    )
    found = plan(text)
    assert found.predicted is not None
    assert found.predicted.outputs == ("prob", "box")
    model = h.model(text)
    image = np.random.default_rng(0).standard_normal((1, 3, 20, 18), np.float32)
    full = model.cast().run(image)
    crop = model.run(image[:, :, 2:18, 1:17])
    for name in ("prob", "box"):
        np.testing.assert_allclose(full[name][0, :, 2, 1], crop[name][0], atol=1e-5)


def test_a_gate_is_refused_where_it_meets_the_map() -> None:
    text = (
        POOLED
        + h.fc("squeeze", "gap", 6)
        + h.layer("gate", "Sigmoid", "squeeze")
        + h.layer("scaled", "Scale", "c gate", "scaled", "scale_param { axis: 0 }")
        + h.fc("ip", "scaled", 2)
    )
    found = plan(text)
    assert [r.node for r in found.refusals] == ["scaled"]
    assert "18×12" in found.refusals[0].reason
    assert found.predicted is None


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (h.layer("x", "SPP", "c", "x", "spp_param { pyramid_height: 2 }"), "pyramid"),
        (h.layer("x", "Softmax", "c", "x", "softmax_param { axis: 2 }"), "along height or width"),
        (h.layer("x", "Reduction", "c", "x", "reduction_param { axis: 1 }"), "channels and positions"),
        (h.layer("x", "Scale", "c", "x", "scale_param { num_axes: -1 }"), "for each position"),
        (h.layer("x", "Concat", "c c", "x", "concat_param { axis: 2 }"), "along height or width"),
        (h.layer("x", "Tile", "c", "x", "tile_param { axis: 3 tiles: 2 }"), "repeats the map"),
        (h.layer("x", "InnerProduct", "c", "x", "inner_product_param { num_output: 2 axis: 2 }"), "axis 1"),
        (h.layer("x", "ArgMax", "c", "x"), "positions of the map"),
    ],
)
def test_what_no_window_gives_is_refused_with_node_and_reason(layer: str, reason: str) -> None:
    found = plan(h.data(1, 2, 9, 9) + h.conv("c", "data", 3, 3) + layer)
    assert [r.node for r in found.refusals] == ["x"]
    assert reason in found.refusals[0].reason


def test_a_net_without_an_image_is_refused() -> None:
    found = plan(h.data(4, 10) + h.fc("ip", "data", 3))
    assert "no input is an image" in str(found.refusals[0])


def test_a_fully_convolutional_net_needs_nothing() -> None:
    found = plan(h.data(1, 3, 20, 20) + h.conv("a", "data", 4, 3) + h.layer("p", "Softmax", "a"))
    assert found.is_empty
    assert "nothing to do" in str(found)


def test_statistics_stay_and_make_the_map_inexact() -> None:
    found = plan(h.data(1, 2, 9, 9) + h.layer("m", "MVN", "data") + h.fc("ip", "m", 3))
    assert [(c.kind, c.node) for c in found.inexact] == [("statistics", "m")]
    assert found.graph.nodes[0].touch == Whole("statistics")


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        (h.conv("c", "data", 3, 3), []),
        (h.conv("c", "data", 3, 3, "pad: 1"), ["padding"]),
        (h.pool("c", "data", 3, 2), ["ceil overhang"]),  # 16 -> 8 windows reach cell 17
        (h.pool("c", "data", 2, 2), []),
        (h.pool("c", "data", 3, 2, "round_mode: FLOOR"), []),
        (h.layer("c", "LRN", "data", "c", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"), ["padding"]),
    ],
)
def test_exactness_is_read_off_the_graph(body: str, kinds: list[str]) -> None:
    found = plan(h.data(1, 2, 16, 16) + body + h.fc("ip", "c", 3))
    assert [cause.kind for cause in found.inexact] == kinds
    assert found.exactness.startswith("exact" if not kinds else "not exact")


@pytest.mark.parametrize(("kernel", "pad", "padded"), [(2, 0, False), (4, 1, True), (4, 3, False), (3, 0, True)])
def test_upsampling_is_told_and_its_borders_are_padding(kernel: int, pad: int, padded: bool) -> None:
    """Cells on the steps of the layers before equal their crops, unless the border reads past it; cells between do not."""
    text = h.data(1, 1, 16, 16) + h.conv("c", "data", 3, 2, "stride: 2")
    text += h.layer(
        "up",
        "Deconvolution",
        "c",
        "up",
        f"convolution_param {{ num_output: 2 kernel_size: {kernel} stride: 2 pad: {pad} }}",
    )
    model = h.model(text + h.fc("ip", "up", 3))
    assert {cause.kind for cause in model.plan.inexact} == ({"padding", "resampling"} if padded else {"resampling"})
    image = np.random.default_rng(0).standard_normal((1, 1, 20, 20), np.float32)
    full = model.cast().run(image)["ip"][0]
    gaps = np.array(
        [
            [np.abs(full[:, y, x] - model.run(image[:, :, y : y + 16, x : x + 16])["ip"][0]).max() for x in range(5)]
            for y in range(5)
        ]
    )
    assert gaps[1::2].min() > 1e-3
    assert (gaps[::2, ::2].max() < 1e-5) == (not padded)


def test_a_plan_serialises() -> None:
    data = json.loads(json.dumps(plan(h.LENET).to_json()))
    assert data["edits"][0]["edit"] == "LinearToConv"
    assert data["edits"][0]["kernel"] == [4, 4]
    assert data["exact"] is True


def test_a_format_that_does_not_do_as_planned_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph that is read back must be the one that the plan predicted."""
    model = h.model(h.LENET)
    apply = h.Caffe.apply
    monkeypatch.setattr(h.Caffe, "apply", lambda self, net, plan: apply(self, net, replace(plan, edits=plan.edits[:1])))
    with pytest.raises(BrokenPromise, match="ip2-conv"):
        model.cast()


def test_planning_is_pure() -> None:
    graph = h.graph(h.LENET)
    assert make_plan(graph) == make_plan(graph)
    assert graph == h.graph(h.LENET)


def test_a_decoder_runs_and_is_refused_where_it_makes_space() -> None:
    text = (
        h.data(1, 2, 8, 8)
        + h.fc("code", "data", 18)
        + h.layer("grid", "Reshape", "code", "grid", "reshape_param { shape { dim: 0 dim: 2 dim: 3 dim: 3 } }")
    )
    text += h.layer("up", "Deconvolution", "grid", "up", "convolution_param { num_output: 1 kernel_size: 2 stride: 2 }")
    model = h.model(text)
    assert model.run(np.zeros((1, 2, 8, 8), np.float32))["up"].shape == (1, 1, 6, 6)
    assert [r.node for r in model.plan.refusals] == ["grid"]
    assert "mixes other axes into the batch, height or width" in model.plan.refusals[0].reason


def test_a_blob_of_fixed_size_cannot_meet_the_map() -> None:
    text = h.data(1, 2, 8, 8) + h.layer(
        "k", "DummyData", "", "k", "dummy_data_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } }"
    )
    text += h.layer("sum", "Eltwise", "data k") + h.fc("ip", "sum", 3)
    assert [(r.node, "fixed size" in r.reason) for r in plan(text).refusals] == [("sum", True)]


def test_a_vector_input_cannot_meet_what_became_a_map() -> None:
    text = (
        h.data(1, 2, 8, 8) + h.data(1, 3, name="extra") + h.fc("ip", "data", 3) + h.layer("sum", "Eltwise", "ip extra")
    )
    assert [(r.node, "stays n c" in r.reason) for r in plan(text).refusals] == [("sum", True)]


def test_an_input_that_nothing_reads_needs_no_value() -> None:
    model = h.model(h.data(1, 2, 8, 8) + h.data(1, 1, 1, 1, name="label") + h.fc("ip", "data", 3))
    assert model.run(np.zeros((1, 2, 8, 8), np.float32))["ip"].shape == (1, 3)
