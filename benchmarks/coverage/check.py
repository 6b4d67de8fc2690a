"""One model: read, cast, run at its training size and at a larger one, compared with PyTorch itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

import fullconv
from benchmarks.coverage.models import sane
from fullconv.errors import FullconvError
from fullconv.formats.torch.source import build
from fullconv.mapping import run_crops

TOLERANCE = 1e-5  # of the largest logit, at training size and for exact cells


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
    crop_error: float = 0.0
    gap: float = 0.0
    engine: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(name: str) -> Row:
    """Everything of one model; whatever goes wrong is in the row."""
    row, start = Row(name), perf_counter()
    try:
        _check(name, row)
    except FullconvError as error:
        row.verdict, row.reason = "FAILED", f"{type(error).__name__}: {str(error)[:300]}"
    except Exception as error:  # a crash is what this looks for
        row.verdict, row.reason = "CRASHED", f"{type(error).__name__}: {str(error)[:300]}"
    row.seconds = perf_counter() - start
    return row


def _check(name: str, row: Row) -> None:
    source = build(name, None)
    assert source.input_shape is not None
    row.size = "×".join(map(str, source.input_shape))
    row.parameters = sum(p.numel() for p in source.module.parameters())
    module = sane(source.module, source.input_shape)
    model = fullconv.load(module, input_shape=source.input_shape)
    _, height, width = source.input_shape
    rng = np.random.default_rng(0)
    crop = rng.standard_normal((1, *source.input_shape), np.float32)
    with torch.inference_mode():
        answer = module(torch.from_numpy(crop))
    answers = (
        list(answer.values()) if isinstance(answer, dict) else list(answer) if isinstance(answer, tuple) else [answer]
    )
    want = answers[-1].numpy().reshape(-1)
    scale = float(np.abs(want).max())
    if model.plan.refusals:
        row.verdict = "refused"
        row.reason = "; ".join(map(str, model.plan.refusals[:1]))
        found = model.run(crop)[model.graph.outputs[-1]].reshape(-1)
        row.crop_error = float(np.abs(found - want).max()) / scale
        if row.crop_error > TOLERANCE:
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
    found = full.run(crop)[output]
    row.crop_error = float(np.abs(found.reshape(-1) - want).max()) / scale
    row.engine = type(next(iter(full._sessions.values()))).__name__.removesuffix("Session")
    if row.crop_error > TOLERANCE:
        row.verdict = "WRONG AT TRAINING SIZE"
        return
    down, right = (int(step) for step in sampling.stride)
    image = rng.standard_normal((1, source.input_shape[0], height + 2 * down, width + right), np.float32)
    mapped = full.run(image)[output]
    grid = sampling.over(image.shape[2:])
    row.verdict = "cast"
    if mapped.shape[2:] != (grid.rows, grid.cols):
        row.verdict, row.reason = "WRONG GRID", f"{mapped.shape} for {grid.rows}×{grid.cols}"
        return
    crops = run_crops(model, image, model.graph.outputs[-1], grid, batch=4)
    row.gap = float(np.abs(mapped[0] - crops).max()) / float(np.abs(crops).max())
    if not model.plan.inexact and row.gap > TOLERANCE:
        row.verdict = "WRONG: exact by the graph, not by numbers"
