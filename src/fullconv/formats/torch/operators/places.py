"""Operators that take positions of axes again or elsewhere: copies, rolls, windows along an axis."""

from __future__ import annotations

from torch import fx

from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, Unspelt, spells
from fullconv.formats.torch.operators.layout import END, between


@spells("repeat", "tile", reads="self repeats dims", kinds="any")
def repeat(call: Call) -> Spelling:
    """Copies of it side by side along its axes, and along new ones before them."""
    x, out = call["self"], call.out[0]
    times = list(call["repeats"] if "repeats" in call else call["dims"])
    times = [1] * (len(out) - len(times)) + times
    before = len(out) - call.rank(x)
    stated = [0 if isinstance(v, fx.Node) else int(v) for v in times]

    def emit(b: Emitter, v: str) -> str:
        return b.op("Tile", b.op("Unsqueeze", v, b.ints(*range(before))) if before else v, b.sizes(times))

    return Spelling("Tile", (x,), {"repeats": stated}, emit)


@spells("repeat_interleave.self_int", reads="self repeats dim", harmless="output_size", kinds="any")
def repeat_interleave(call: Call) -> Spelling:
    """Every position of an axis so many times in a row."""
    if call["dim"] is None:
        raise Unspelt("it lays the batch and all else in a row")
    x, times = call["self"], call.fixed(call["repeats"], "number of repeats")
    axis = int(call["dim"]) % call.rank(x)

    def emit(b: Emitter, v: str) -> str:
        apart = b.op(
            "Tile",
            b.op("Unsqueeze", v, b.ints(axis + 1)),
            b.ints(*_once(axis + 1), times, *_once(call.rank(x) - axis - 1)),
        )
        return between(b, apart, axis, b.ints(-1), call.rank(x) - axis - 1)

    return Spelling(
        "Tile", (x,), {"repeats": [*_once(axis), times, *_once(call.rank(x) - axis - 1)], "in_a_row": True}, emit
    )


@spells("roll", reads="self shifts dims", kinds="any")
def roll(call: Call) -> Spelling:
    """Positions moved along axes, those that leave at one end coming in at the other."""
    x, dims = call["self"], list(call["dims"])
    if not dims:
        raise Unspelt("it rolls all axes in a row")
    moves = [(int(d) % call.rank(x), call.fixed(s, "shift")) for d, s in zip(dims, call["shifts"], strict=True)]
    moves = [(axis, shift % call.shape(x)[axis]) for axis, shift in moves]  # by the training size's length

    def emit(b: Emitter, v: str) -> str:
        for axis, shift in moves:
            if shift:
                ends = b.op("Slice", v, b.ints(-shift), b.ints(END), b.ints(axis))
                v = b.op("Concat", ends, b.op("Slice", v, b.ints(0), b.ints(-shift), b.ints(axis)), axis=axis)
        return v

    return Spelling("Roll", (x,), emit=emit)


@spells("flip", reads="self dims", kinds="any")
def flip(call: Call) -> Spelling:
    """Axes backwards."""
    axes = [int(i) % call.rank(call["self"]) for i in call["dims"]]
    starts, ends, steps = ([value] * len(axes) for value in (END, -END, -1))

    def emit(b: Emitter, v: str) -> str:
        return b.op("Slice", v, b.ints(*starts), b.ints(*ends), b.ints(*axes), b.ints(*steps))

    return Spelling("Slice", (call["self"],), {"starts": starts, "ends": ends, "axes": axes, "steps": steps}, emit)


@spells("unfold", reads="self dimension size step", kinds="any")
def unfold(call: Call) -> Spelling:
    """Windows along an axis, each laid along a new last axis."""
    x, size, step = call["self"], call.fixed(call["size"], "window"), call.fixed(call["step"], "step")
    axis, rank = int(call["dimension"]) % call.rank(x), call.rank(x)
    starts = range(0, call.shape(x)[axis] - size + 1, step)
    places = [first + i for first in starts for i in range(size)]
    order = [i for i in range(rank + 1) if i != axis + 1]

    def emit(b: Emitter, v: str) -> str:
        windows = between(
            b, b.op("Gather", v, b.ints(*places), axis=axis), axis, b.ints(len(starts), size), rank - axis - 1
        )
        return b.op("Transpose", windows, perm=[*order, axis + 1])

    return Spelling("Windows", (x,), emit=emit)


@spells(
    "zeros",
    "ones",
    "full",
    reads="size fill_value",
    harmless="dtype layout device pin_memory",
    kinds="any",
    casts=False,
)
def filled(call: Call) -> Spelling:
    """One number everywhere, of a size that follows from the image's; of others it is a constant."""
    number = call["fill_value"] if "fill_value" in call else int("ones" in str(call.node.target))
    size = list(call["size"])

    def emit(b: Emitter) -> str:
        return b.op("Expand", b.value(number, call.out_kind), b.sizes(size))

    return Spelling("ConstantOfShape", (), emit=emit)


def _once(axes: int) -> list[int]:
    return [1] * axes
