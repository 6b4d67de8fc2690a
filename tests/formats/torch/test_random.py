"""Random PyTorch networks: what is cast answers as the module does, at training size, and on crops wherever it says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fullconv
from fullconv.errors import BadInput, CannotRun
from tests.conftest import worst
from tests.formats.torch.random_nets import Recipe, random_recipe

_CLOSE = 1e-3  # of the largest answer: activations that jump leave noise no room


def answer(module: torch.nn.Module, image: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(module(image.clone()).numpy(), np.float32)


def runs(model: fullconv.Model, image: torch.Tensor) -> list[np.ndarray]:
    """Its last answer by both engines, as far as both have one."""
    made = []
    for runtime in ("onnxruntime", "torch"):
        try:
            found = model.run(image.numpy(), runtime=runtime)
        except CannotRun:
            continue
        made.append(np.asarray(list(found.values())[-1], np.float32))
    return made


def holds(recipe: Recipe, seed: int) -> None:
    module = recipe.module(seed)
    image = torch.randn(1, *recipe.image)
    expected = answer(module, image)
    if not np.isfinite(expected).all():
        return
    try:
        model = fullconv.load(module, input_shape=recipe.image)
    except BadInput:
        return  # PyTorch itself cannot export it
    full = model if model.plan.refusals else model.cast()
    axes = full.graph.values[full.graph.outputs[-1]]
    for found in runs(full, image):
        laid = (
            found.transpose(0, 2, 3, 1) if found.shape != expected.shape and found.ndim == expected.ndim == 4 else found
        )
        assert worst(laid.reshape(expected.shape), expected) < _CLOSE, "at training size"
    if model.plan.refusals or not axes.is_map or axes.map_size != (1, 1) or expected.ndim != 2:
        return
    output = full.graph.outputs[-1]
    sampling = full.sampling(output)
    size = tuple(side + 2 * int(max(step, 1)) for side, step in zip(recipe.image[1:], sampling.stride, strict=True))
    try:
        size = full.fitting((size[0], size[1]), output)
    except BadInput:
        return
    image, grid = torch.randn(1, recipe.image[0], *size), sampling.over(size)
    exact = model.plan.exactness.startswith("exact")
    rows, cols = ([True] * grid.rows, [True] * grid.cols) if exact else model.plan.free_cells(grid)
    for found in runs(full, image):
        for row, col in ((r, c) for r in range(grid.rows) for c in range(grid.cols) if rows[r] and cols[c]):
            x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
            if y1 <= size[0] and x1 <= size[1]:
                crop = answer(module, image[:, :, y0:y1, x0:x1])
                assert worst(found[0, :, row, col], crop[0]) < _CLOSE, f"cell {row}, {col}"


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6))
@pytest.mark.long
def test_what_is_cast_is_right(seed: int) -> None:
    recipe = random_recipe(seed)
    for attempt in (0, 1):  # a jump that rounding flips is no failure, one that two sets of weights show is
        torch.manual_seed(seed + attempt)
        try:
            holds(recipe, attempt)
        except AssertionError as error:
            if attempt:
                pytest.fail(f"{error}\n{recipe}")
        else:
            return
