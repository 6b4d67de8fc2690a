from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullconv.graph.axes import Axes, AxesError, flatten_order, fuse, whole

MAP = Axes.parse("n c h w", {"n": 2, "c": 12, "h": 4, "w": 6})


def order_of(axes: Axes, source: Axes) -> np.ndarray:
    """Where each value of ``source`` lies in a tensor of ``axes``: the expression evaluated, with no layout operator."""
    index = np.arange(int(np.prod(source.shape))).reshape(source.shape)
    roots = [axis[0].root for axis in source.axes]
    grids = np.meshgrid(*[np.arange(a.size) for a in axes.atoms], indexing="ij")
    position = {root: np.zeros(grids[0].shape if grids else (), int) for root in roots}
    for atom, grid in zip(axes.atoms, grids, strict=True):
        position[atom.root] = position[atom.root] + grid * atom.inner
    return index[tuple(position[root] for root in roots)].reshape(axes.shape)


def factors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


@st.composite
def layouts(draw: st.DrawFn) -> list[tuple[str, object]]:
    return draw(
        st.lists(
            st.tuples(st.sampled_from(["permute", "merge", "split"]), st.randoms(use_true_random=False)), max_size=6
        )
    )


@given(layouts())
def test_random_layouts_mean_what_numpy_does(steps) -> None:
    axes, values = MAP, np.arange(np.prod(MAP.shape)).reshape(MAP.shape)
    for kind, random in steps:
        if kind == "permute":
            order = list(range(axes.rank))
            random.shuffle(order)
            axes, values = axes.permute(order), values.transpose(order)
        elif kind == "merge" and axes.rank > 1:
            start = random.randrange(axes.rank - 1)
            stop = random.randrange(start + 2, axes.rank + 1)
            axes = axes.merge(start, stop)
            values = values.reshape(axes.shape)
        elif kind == "split":
            axis = random.randrange(axes.rank)
            size = axes.shape[axis]
            part = random.choice(factors(size))
            try:
                axes = axes.split(axis, (part, size // part))
            except AxesError:
                continue  # a cut through an atom that is no divisor of it
            values = values.reshape(axes.shape)
        assert axes.shape == values.shape
        assert (order_of(axes, MAP) == values).all()


@given(st.permutations(range(4)))
def test_a_permutation_and_its_inverse_is_the_identity(order: list[int]) -> None:
    assert MAP.permute(order).permute(np.argsort(order).tolist()) == MAP


@given(st.sampled_from(factors(12)), st.sampled_from(factors(12)))
def test_splits_fuse_back(a: int, b: int) -> None:
    assert MAP.split(1, (a, 12 // a)).merge(1, 3) == MAP
    assert MAP.reshape((2 * a, 12 // a, 24)).reshape(MAP.shape) == MAP
    twice = fuse(MAP.split(1, (b, 12 // b)).atoms)
    assert twice == MAP.atoms


def test_a_channel_shuffle_splits_and_swaps_atoms_of_c() -> None:
    shuffled = MAP.split(1, (3, 4)).permute((0, 2, 1, 3, 4)).merge(1, 3)
    assert str(shuffled) == "n (c/1%4 c/4%3) h w"
    assert shuffled.is_map
    assert not any(atom.is_space for atom in shuffled.axes[1])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 2, 1), (0, 2, 1, 3)])
def test_flatten_order_gives_the_weights_of_a_convolution(order: tuple[int, ...]) -> None:
    """Oracle: a matrix over the flattened map equals a kernel over the map."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal(MAP.shape)
    flat = MAP.permute(order).merge(1, 4)
    matrix = rng.standard_normal((5, flat.shape[1]))
    by_matrix = image.transpose(order).reshape(2, -1) @ matrix.T
    how = flatten_order(flat.axes[1], MAP.axes[1])
    kernel = matrix.reshape(5, *how.sizes).transpose(0, *(p + 1 for p in how.permutation)).reshape(5, 12, 4, 6)
    np.testing.assert_allclose(by_matrix, np.einsum("nchw,kchw->nk", image, kernel), rtol=1e-12)
    assert how.is_identity == (order == (0, 1, 2, 3))


def test_flatten_order_follows_split_channels() -> None:
    """(c_inner h w c_outer): the channels come back in the map's order."""
    axes = MAP.split(1, (3, 4)).permute((0, 2, 3, 4, 1)).merge(1, 5)
    rng = np.random.default_rng(1)
    image, matrix = rng.standard_normal(MAP.shape), rng.standard_normal((5, 288))
    flat = image.reshape(2, 3, 4, 4, 6).transpose(0, 2, 3, 4, 1).reshape(2, -1)
    how = flatten_order(axes.axes[1], MAP.axes[1])
    kernel = matrix.reshape(5, *how.sizes).transpose(0, *(p + 1 for p in how.permutation)).reshape(5, 12, 4, 6)
    np.testing.assert_allclose(flat @ matrix.T, np.einsum("nchw,kchw->nk", image, kernel), rtol=1e-12)


@given(st.sampled_from(factors(12)), st.permutations(range(4)))
def test_flatten_order_follows_shuffled_channels(groups: int, order: list[int]) -> None:
    """The kernel's channels are those of the map as it is, shuffled, not of the map that it once was."""
    shuffled = MAP.split(1, (groups, 12 // groups)).permute((0, 2, 1, 3, 4)).merge(1, 3)
    rng = np.random.default_rng(2)
    image, matrix = rng.standard_normal(MAP.shape), rng.standard_normal((5, 288))
    mixed = image.reshape(2, groups, 12 // groups, 4, 6).swapaxes(1, 2).reshape(MAP.shape)
    inner = [0, *(i for i in order if i)]
    flat = shuffled.permute(inner).merge(1, 4)
    how = flatten_order(flat.axes[1], shuffled.axes[1])
    kernel = matrix.reshape(5, *how.sizes).transpose(0, *(p + 1 for p in how.permutation)).reshape(5, 12, 4, 6)
    expected = mixed.transpose(inner).reshape(2, -1) @ matrix.T
    np.testing.assert_allclose(expected, np.einsum("nchw,kchw->nk", mixed, kernel), rtol=1e-9, atol=1e-9)


def test_a_map_of_one_cell_keeps_its_spatial_atoms() -> None:
    one = Axes.parse("n c h w", {"n": 1, "c": 8, "h": 1, "w": 1})
    flat = one.reshape((1, 8))
    assert [a.root for a in flat.axes[1]] == ["c", "h", "w"]
    assert flat.reshape((1, 8, 1, 1)) == one
    assert one.squeeze(3).squeeze(2).atoms == one.atoms


def test_parse_and_print() -> None:
    axes = Axes.parse("n (c h w)", {"n": 1, "c": 3, "h": 2, "w": 2})
    assert str(axes) == "n (c h w)"
    assert axes.shape == (1, 12)
    assert str(axes.unsqueeze(1)) == "n () (c h w)"


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: MAP.reshape((5, 5)), "cannot reshape"),
        (lambda: MAP.reshape((2, 9, 8, 4)), "no divisors"),
        (lambda: MAP.permute((0, 0, 1, 2)), "no permutation"),
        (lambda: MAP.merge(3, 5), "cannot merge"),
        (lambda: MAP.index(4), "axis 4"),
        (lambda: MAP.squeeze(1), "size 12"),
        (lambda: Axes.parse("n (c", {"n": 1, "c": 1}), "unbalanced"),
        (lambda: Axes.parse("n q", {"n": 1}), "no size"),
        (lambda: MAP.merge(1, 4).map_size, "no map"),
        (lambda: flatten_order((whole("x", 3),), MAP.axes[1]), "neither a channel nor space"),
    ],
)
def test_what_cannot_be_followed_is_said(act, told: str) -> None:
    with pytest.raises(AxesError, match=told):
        act()
