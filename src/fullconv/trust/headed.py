"""A head checks itself: the adapted network is run at two sizes against the bare network's own values and plain arithmetic on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BrokenPromise, CannotRun, NoWeights, Refused
from fullconv.formats.head import FittedHead
from fullconv.surgery.head import Level
from fullconv.trust.check import Checked
from fullconv.trust.compare import LAST_BIT, MARGIN
from fullconv.trust.trial import Checkable, Size, Trial

Array = npt.NDArray[Any]
_HALF = float(np.finfo(np.float16).eps)


def check_head(bare: Checkable, adapted: Checkable, fitted: FittedHead, logits: str, name: str) -> Checked:
    """Hold an adapted network against what its head says.

    Args:
        bare: the cast network.
        adapted: the same with the head.
        fitted: the head, in the names of ``bare``.
        logits: what the head's logits are called in ``adapted``.
        name: of the network, for messages.

    Raises:
        BrokenPromise: it answers otherwise.
    """
    head = fitted.head
    trial = Trial(bare, adapted, {head.output: head.output})
    worst, cells, sizes = 0.0, 0, list[Size]()
    try:
        for size in _sizes(trial, head.output):
            image = trial.given(bare, trial.image(size))
            names = list(dict.fromkeys([head.logits, *(level.value for level in head.levels)]))
            values = bare.values(image, names)
            plain = _rows(_as_map(bare, head.logits, values[head.logits]))
            count = _as_map(bare, head.logits, values[head.logits]).shape[2:]
            means = [means_of(level, _as_map(bare, level.value, values[level.value]), count) for level in head.levels]
            want, most = fitted.moved(plain, means), _largest(fitted, plain, means)
            have = _rows(_as_map(adapted, logits, adapted.values(image, [logits])[logits]))
            bit = _HALF if any(v.dtype == np.float16 for v in values.values()) else LAST_BIT
            apart = float(np.abs(have - want).max()) if have.shape == want.shape else None
            if apart is None or not apart <= MARGIN * bit * most:
                much = f"off by {apart:.0e} of {most:.0e}" if apart is not None else f"{have.shape}, not {want.shape}"
                raise BrokenPromise(
                    f"{name}: at {size[0]}×{size[1]} {head.output} is not what its head says ({much}); this is a bug "
                    "in fullconv, please report it"
                )
            worst, cells = max(worst, apart / most), cells + len(want)
            sizes.append(size)
    except (CannotRun, NoWeights) as error:
        return Checked(skipped=str(error).splitlines()[0])
    return Checked(tuple(sizes), worst=worst, moved=cells)


def _sizes(trial: Trial, output: str) -> list[Size]:
    """The training size, and one that is larger by a few cells and less than one, where such images go through."""
    found = [trial.trained]
    try:
        (sy, sx), (height, width) = trial.step, trial.trained
        larger = trial.after.fitting((height + 2 * sy + 1, width + 3 * sx + max(1, sx - 1)), output)
    except (Refused, KeyError):
        return found
    return [*found, larger] if trial.is_alone and trial.sampling is not None else found


def means_of(level: Level, values: Array, cells: tuple[int, ...]) -> Array:
    """The mean of each region, (rows · cols of cells, C, region rows, region cols), of a value (1, C, h, w)."""
    sums = np.pad(np.asarray(values[0], np.float64).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    ends = []
    for count, block, step, regions in zip(cells, level.block, level.step, (level.rows, level.cols), strict=True):
        edges = np.concatenate([[0], np.cumsum(regions)]) * block
        ends.append(np.arange(count)[:, None] * step * block + edges)  # (cells, regions + 1)
    corners = sums[:, ends[0][:, :, None, None], ends[1][None, None]]  # (C, rows, r + 1, cols, s + 1)
    totals = np.diff(np.diff(corners, axis=2), axis=4)
    areas = np.outer(level.rows, level.cols) * (level.block[0] * level.block[1])
    every = totals.transpose(1, 3, 0, 2, 4).reshape(-1, level.channels, len(level.rows), len(level.cols))
    return np.asarray(every / areas, np.float64)


def _largest(fitted: FittedHead, logits: Array, means: list[Array]) -> float:
    """The largest sum of magnitudes that goes into one number of the answer."""
    move = np.zeros((len(logits), fitted.head.width))
    if fitted.mixing is not None:
        move = move + np.abs(logits) @ np.abs(fitted.mixing.T)
    for kernel, mean in zip(fitted.kernels, means, strict=True):
        move = move + np.einsum("kcrs,ncrs->nk", np.abs(kernel), np.abs(mean))
    if fitted.spread is not None:
        move = move @ np.abs(fitted.spread.T)
    return float((np.abs(logits) + np.abs(fitted.bias) + move).max())


def _as_map(network: Checkable, name: str, values: Array) -> Array:
    """(1, C, rows, cols) of any layout."""
    axes = network.graph.values[name]
    order = (0, axes.channel_axis, *(axes.space_axis(root) or 0 for root in ("h", "w")))
    return values.transpose(order)[:1]


def _rows(values: Array) -> Array:
    """A map (1, K, rows, cols) as (cells, K)."""
    return np.asarray(values[0].reshape(values.shape[1], -1).T, np.float64)
