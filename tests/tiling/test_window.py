"""Parts of an image give the whole image's cells: for every structure, at every border."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullconv.errors import Refused
from fullconv.loading import load
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import run_cast
from fullconv.model import Model
from fullconv.tiling.cut import Cut, Line, cuts
from fullconv.tiling.window import crop_reach, reach
from tests import helpers as h
from tests.formats.torch import nets

NOISE = 1e-6  # of the largest answer: the engine's own, between shapes of its input


def lines_of(full: Model, size: tuple[int, int]) -> tuple[list[Line], tuple[int, int]]:
    output = full.output()
    fits = full.fitting(size, output)
    cells = full.sampling(output).cells(size)
    return [Line((reach(full.graph, output, fits, i),), cells[i], size[i]) for i in (0, 1)], fits


def worst_seam(full: Model, size: tuple[int, int], choose, most: int = 24) -> float:
    """The largest difference of a tiled map from the whole image's, as a share of the largest answer."""
    (y, x), fits = lines_of(full, size)
    output, channels = full.output(), full.image_shape[0]
    if not (y.cells and x.cells):
        return 0.0
    image = np.zeros((1, channels, *fits), np.float32)
    pixels = np.random.default_rng(0).standard_normal((1, channels, *size)).astype(np.float32)
    image[:, :, : size[0], : size[1]] = pixels[:, :, : fits[0], : fits[1]]
    whole = run_cast(full, image, output)[:, : y.cells, : x.cells]
    down, right = choose(cuts(y)), choose(cuts(x))
    pairs = [(a, b) for a in down.sides() for b in right.sides()]
    corners = [pairs[0], pairs[-1], pairs[len(right.sides()) - 1], pairs[-len(right.sides())]]
    worst = 0.0
    for a, b in [*corners, *random.Random(0).sample(pairs, min(most, len(pairs)))]:
        (y0, y1), (x0, x1) = a.parts[0], b.parts[0]
        found = full.run(image[:, :, y0:y1, x0:x1], outputs=[output])[output][0]
        top, left = (int(s / line.reaches[0].step) for s, line in ((y0, y), (x0, x)))
        (r0, r1), (c0, c1) = a.cells, b.cells
        part = found[:, r0 - top : r1 - top, c0 - left : c1 - left]
        expected = whole[:, r0:r1, c0:c1]
        assert part.shape == expected.shape
        worst = max(worst, float(np.abs(part - expected).max()))
    return worst / float(np.abs(whole).max())


def finest(found: list[Cut]) -> Cut:
    return found[-1]


def middle(found: list[Cut]) -> Cut:
    return found[len(found) // 2]


STRUCTURES = {
    **nets.EXACT,
    **{name: pair[0] for name, pair in nets.INEXACT.items()},
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure(name: str) -> None:
    torch.manual_seed(0)
    full = load(STRUCTURES[name]().eval(), input_shape=nets.SHAPE).cast()
    for size in ((61, 50), (42, 77)):
        for choose in (finest, middle):
            assert worst_seam(full, size, choose) <= NOISE, (size, choose)


@pytest.mark.parametrize("choose", [finest, middle])
def test_trained_nets(lenet: Model, quick: Model, choose) -> None:
    """LeNet has no padding; the CIFAR net pads and pools in ceil mode, with windows that reach past the image's end."""
    for model in (lenet, quick):
        for size in ((100, 131), (203, 170), (97, 64)):
            assert worst_seam(model.cast(), size, choose) <= 2e-6


def test_a_finer_map(quick: Model) -> None:
    assert worst_seam(quick.refined(2), (90, 83), finest) <= 2e-6


def test_within_channel_normalisation(shared: Path) -> None:
    folder = shared / "caffe" / "cifar10_full_caffe_h5"
    full = load(folder / "cifar10_full.prototxt", folder / "cifar10_full_iter_70000.caffemodel.h5").cast()
    assert worst_seam(full, (203, 170), finest) <= 2e-6


@st.composite
def net(draw: st.DrawFn) -> str:
    """A random net: padded and ceil windows, strides, dilations, branches that meet again, deconvolutions."""
    text, bottom, channels, size = h.data(1, 2, 40, 40), "data", 2, 40
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "pool", "branch", "up"]))
        kernel, pad = draw(st.integers(1, 4)), draw(st.integers(0, 2))
        stride = draw(st.sampled_from([1, 1, 2, 3]))
        name = f"l{i}"
        if kind == "conv" and size + 2 * pad > 2 * kernel:
            dilation = draw(st.integers(1, 2))
            text += h.conv(name, bottom, 3, kernel, f"stride: {stride} pad: {pad} dilation: {dilation}")
            size, channels = (size + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1, 3
        elif kind == "pool" and size > kernel + 2:
            mode = draw(st.sampled_from(["MAX", "AVE"]))
            text += h.pool(name, bottom, max(2, kernel), stride, f"pool: {mode} pad: {min(pad, max(2, kernel) - 1)}")
            size = (size + 2 * min(pad, max(2, kernel) - 1) - max(2, kernel)) // stride + 1
        elif kind == "branch" and channels == 3:
            text += h.conv(f"{name}a", bottom, 3, 3, "pad: 1") + h.conv(f"{name}b", bottom, 3, 5, "pad: 2")
            text += h.layer(name, "Eltwise", f"{name}a {name}b")
        elif kind == "up" and size < 60:
            param = f"convolution_param {{ num_output: 3 kernel_size: {max(2, kernel)} stride: 2 pad: {min(pad, 1)} }}"
            text += h.layer(name, "Deconvolution", bottom, name, param)
            size, channels = size * 2, 3
        else:
            text += h.layer(name, "TanH", bottom, name)
        bottom = name
        if size < 6:
            break
    return text + h.conv("last", bottom, 4, 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(net(), st.integers(60, 130), st.integers(60, 130), st.sampled_from([finest, middle]))
def test_random_nets(text: str, height: int, width: int, choose) -> None:
    full = h.model(text).cast()
    if any(step.denominator != 1 for step in full.sampling().stride):
        return
    assert worst_seam(full, (height, width), choose, most=12) <= 2e-6


def test_crops_need_their_own_pixels_only(lenet: Model) -> None:
    sampling = lenet.sampling()
    line = Line((crop_reach(100, sampling.stride[0], sampling.crop[0]),), 19, 100)
    image = np.random.default_rng(0).standard_normal((1, 1, 100, 100)).astype(np.float32)
    whole = run_crops(lenet, image, lenet.output(), sampling.over((100, 100)))
    for side in finest(cuts(line)).sides():
        (first, last), (start, stop) = side.cells, side.parts[0]
        part = image[:, :, first * 4 : stop, :]
        assert start <= first * 4
        grid = sampling.over(part.shape[2:])
        assert grid.rows >= last - first
        found = run_crops(lenet, part, lenet.output(), grid)
        np.testing.assert_allclose(found[:, : last - first], whole[:, first:last], atol=1e-6)


def test_what_pools_the_whole_image_is_refused_by_name() -> None:
    torch.manual_seed(0)
    model = load(nets.gated(nets.SE()).eval(), input_shape=nets.SHAPE, global_pooling="global")
    full = model.cast()
    with pytest.raises(Refused, match="no tile holds; use --global-pooling local"):
        reach(full.graph, full.output(), (64, 64), 0)
