"""One model: read, cast, run at its training size and at a larger one, compared with PyTorch itself."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

import fullconv
from benchmarks.coverage.models import pictures, sane
from fullconv.errors import FullconvError
from fullconv.formats.torch.source import build
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import run_cast

EQUAL = 1e-10  # of the largest logit: cast and original, both in double precision
# Of the largest logit: the engine's answer, which rounds to float32. Some random networks are so ill-conditioned that the untouched
# network's own float32 answer is further than this from its answer in double precision: there, no more than twice as far.
TOLERANCE = 1e-5


@dataclass
class Row:
    """What the table tells of a model."""

    model: str
    parameters: int = 0
    size: str = ""
    verdict: str = ""  # cast, refused, or what failed
    exactness: str = ""
    reason: str = ""
    stride: str = ""
    field: str = ""
    noise: float = 0.0  # the untouched network in float32, in PyTorch or in the engine, against double precision
    cast_error: float = 0.0  # the cast module's against the original's, both in double precision
    crop_error: float = 0.0  # the engine's answer against double precision
    gap: float = 0.0
    engine: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(name: str, larger: bool = True, side: int | None = None) -> Row:
    """Everything of one model; whatever goes wrong is in the row.

    Args:
        larger: map a larger image too, and compare every cell with its crop.
        side: height and width of the crops that it is taken to be trained on; its own by default.
    """
    row, start = Row(name), perf_counter()
    try:
        _check(name, row, larger, side)
    except FullconvError as error:
        row.verdict, row.reason = "FAILED", f"{type(error).__name__}: {str(error)[:300]}"
    except Exception as error:  # a crash is what this looks for
        row.verdict, row.reason = "CRASHED", f"{type(error).__name__}: {str(error)[:300]}"
    row.seconds = perf_counter() - start
    return row


def _check(name: str, row: Row, larger: bool, side: int | None) -> None:
    source = build(name, None)
    assert source.input_shape is not None
    shape = source.input_shape if side is None else (source.input_shape[0], side, side)
    row.size = "×".join(map(str, shape))
    row.parameters = sum(p.numel() for p in source.module.parameters())
    module = sane(source.module, shape)
    model = fullconv.load(module, input_shape=shape)
    _, height, width = shape
    crop = pictures(1, *shape, seed=1).numpy()
    with torch.inference_mode():  # in double precision: what engines round
        want = _last(copy.deepcopy(module).double()(torch.from_numpy(crop).double()))
        rounded = _last(module(torch.from_numpy(crop)))
    scale = float(np.abs(want).max())
    row.noise = float(np.abs(rounded - want).max()) / scale
    if model.plan.refusals:
        row.verdict = "refused"
        row.reason = "; ".join(map(str, model.plan.refusals[:1]))
        found = model.run(crop)[model.graph.outputs[-1]].reshape(-1)
        row.crop_error = float(np.abs(found - want).max()) / scale
        if row.crop_error > max(TOLERANCE, 2 * row.noise):
            row.verdict = "WRONG BY CROPS"
        return
    full = model.cast()
    output = full.graph.outputs[-1]
    sampling = full.sampling(output)
    row.stride, row.field = (
        f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"
        for pair in (sampling.stride, sampling.field.size)
    )
    row.exactness = "exact" if not model.plan.inexact else ", ".join(dict.fromkeys(c.kind for c in model.plan.inexact))
    with torch.inference_mode():
        same = _last(full.module.double()(torch.from_numpy(crop).double()))
    row.cast_error = float(np.abs(same - want).max()) / scale
    untouched = model.run(crop)[model.graph.outputs[-1]].reshape(-1)
    row.noise = max(row.noise, float(np.abs(untouched - want).max()) / scale)
    found = full.run(crop)[output]
    row.crop_error = float(np.abs(found.reshape(-1) - want).max()) / scale
    row.engine = type(next(iter(full._runner._sessions.values()))).__name__.removesuffix("Session")
    if row.cast_error > EQUAL or row.crop_error > max(TOLERANCE, 2 * row.noise):
        row.verdict = "WRONG AT TRAINING SIZE" if row.cast_error > EQUAL else "ROUNDS MORE"
        return
    row.verdict = "cast"
    if not larger:
        return
    down, right = (int(step) for step in sampling.stride)
    image = pictures(1, shape[0], height + 2 * down, width + right, seed=2).numpy()
    mapped = run_cast(full, image, output)[None]
    grid = sampling.over(image.shape[2:])
    row.verdict = "cast"
    if mapped.shape[2] < grid.rows or mapped.shape[3] < grid.cols:
        row.verdict, row.reason = "WRONG GRID", f"{mapped.shape} for {grid.rows}×{grid.cols}"
        return
    mapped = mapped[:, :, : grid.rows, : grid.cols]
    crops = run_crops(model, image, model.graph.outputs[-1], grid, batch=4)
    row.gap = float(np.abs(mapped[0] - crops).max()) / float(np.abs(crops).max())
    if not model.plan.inexact and row.gap > TOLERANCE:
        row.verdict = "WRONG: exact by the graph, not by numbers"


def _last(answer: Any) -> np.ndarray:
    """The last of a module's answers, as one row."""
    parts = (
        list(answer.values())
        if isinstance(answer, dict)
        else list(answer)
        if isinstance(answer, tuple | list)
        else [answer]
    )
    return parts[-1].numpy().reshape(-1)
