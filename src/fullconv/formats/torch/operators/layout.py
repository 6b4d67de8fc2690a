"""Operators that move values: reshapes, permutations, parts of axes, joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx

from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, Unspelt, spells

END = 2**31 - 1


@spells("view", "reshape", "_unsafe_view", "view_copy", reads="self size shape", kinds="any")
def view(call: Call) -> Spelling:
    """The same values in another shape."""
    x, stated = call["self"], list(call.get("size", call.get("shape")))
    shape = [0 if isinstance(v, fx.Node) else int(v) for v in stated]
    return Spelling("Reshape", (x,), {"shape": shape}, lambda b, name: b.op("Reshape", name, b.sizes(stated, copied=x)))


@spells(
    "flatten.using_ints",
    "squeeze",
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze",
    "unflatten.int",
    "reshape_as",
    "view_as",
    reads="self dim start_dim end_dim sizes other",
    kinds="any",
)
def reshape(call: Call) -> Spelling:
    """The same values in another shape, by axes: it follows from the input's."""
    x, out = call["self"], call.out[0]
    name, kind, named = str(call.node.target), "Flatten", dict[str, Any]()
    if "flatten.using" in name:
        start, end = (int(call[k]) % call.rank(x) for k in ("start_dim", "end_dim"))

        def emit(b: Emitter, v: str) -> str:
            if start == 1 and end == call.rank(x) - 1:
                return b.op("Flatten", v, axis=1)
            return between(b, v, start, b.ints(-1), call.rank(x) - end - 1)
    elif "unsqueeze" in name:
        axis = int(call["dim"]) % len(out)
        kind, named = "Unsqueeze", {"axes": [axis]}

        def emit(b: Emitter, v: str) -> str:
            return b.op("Unsqueeze", v, b.ints(axis))
    elif "squeeze" in name:
        shape = call.shape(x)
        given = call.get("dim")
        axes = range(len(shape)) if given is None else given if isinstance(given, list | tuple) else [given]
        gone = [i % len(shape) for i in axes if shape[i] == 1]

        def emit(b: Emitter, v: str) -> str:
            return b.op("Squeeze", v, b.ints(*gone)) if gone else v
    elif "unflatten" in name:
        axis = int(call["dim"]) % call.rank(x)

        def emit(b: Emitter, v: str) -> str:
            return between(b, v, axis, b.sizes(call["sizes"]), call.rank(x) - axis - 1)
    else:

        def emit(b: Emitter, v: str) -> str:
            return b.op("Reshape", v, b.op("Shape", b.value(call["other"], call.kind(call["other"]))))

    return Spelling(kind, (x,), named, emit)


def between(b: Emitter, x: str, before: int, sizes: str, behind: int) -> str:
    """So many axes as they are, others of these sizes, and so many as they are."""
    if not behind:
        return b.op("Reshape", x, b.op("Concat", b.ints(*[0] * before), sizes, axis=0) if before else sizes)
    shape = b.op("Shape", x)
    tail = b.op("Slice", shape, b.ints(-behind), b.ints(END))
    return b.op("Reshape", x, b.op("Concat", b.op("Slice", shape, b.ints(0), b.ints(before)), sizes, tail, axis=0))


@spells(
    "permute", "transpose.int", "t", "movedim.int", "numpy_T", "swapaxes", kinds="any",
    reads="self dims dim0 dim1 axis0 axis1 source destination",
)  # fmt: skip
def permute(call: Call) -> Spelling:
    """The axes in another order."""
    rank = call.rank(call["self"])
    name = str(call.node.target)
    order = list(range(rank))
    if "permute" in name:
        order = [int(i) % rank for i in call["dims"]]
    elif "movedim" in name:
        source, target = int(call["source"]) % rank, int(call["destination"]) % rank
        order.insert(target, order.pop(source))
    elif ".t." in name or "numpy_T" in name:
        order = order[::-1]
    else:
        a, b = (int(call[k]) % rank for k in (("dim0", "dim1") if "dim0" in call else ("axis0", "axis1")))
        order[a], order[b] = order[b], order[a]
    return Spelling("Transpose", (call["self"],), {"perm": order})


@spells(
    "chunk", "split.Tensor", "split_with_sizes", "split.sizes", "unsafe_chunk", "unsafe_split.Tensor", kinds="any",
    reads="self dim chunks split_size split_sizes",
)  # fmt: skip
def split(call: Call) -> Spelling:
    """Parts of an axis."""
    axis = int(call["dim"])  # as declared: from the end it means another axis of a map
    for name in ("chunks", "split_size", "split_sizes"):
        given = call.get(name, 0)
        for size in given if isinstance(given, list | tuple) else [given]:
            call.fixed(size, name)
    sizes = [shape[axis] for shape in call.out]

    def emit(b: Emitter, x: str) -> Sequence[str]:
        return b.ops("Split", x, b.ints(*sizes), count=len(sizes), axis=axis)

    return Spelling("Split", (call["self"],), {"axis": axis}, emit)


@spells("unbind.int", reads="self dim", kinds="any")
def unbind(call: Call) -> Spelling:
    """Every position of an axis, without it."""
    axis, count = int(call["dim"]), len(call.out)

    def emit(b: Emitter, x: str) -> Sequence[str]:
        return [b.op("Gather", x, b.value(i, "int"), axis=axis) for i in range(count)]  # read again, each is a pick

    return Spelling("Select", (call["self"],), {"axis": axis}, emit)


@spells("select.int", reads="self dim index", kinds="any")
def select(call: Call) -> Spelling:
    """One position of an axis, without it."""
    axis, index = int(call["dim"]), call.fixed(call["index"], "index")

    def emit(b: Emitter, x: str) -> str:
        return b.op("Gather", x, b.value(index, "int"), axis=axis)

    return Spelling("Select", (call["self"],), {"axis": axis}, emit)


@spells("index_select", reads="self dim index", kinds="any", casts=False)
def index_select(call: Call) -> Spelling:
    """Positions of an axis by an index."""
    axis = int(call["dim"])
    return Spelling("Gather", (call["self"], call["index"]), {"axis": axis})


@spells("index.Tensor", reads="self indices", kinds="any", casts=False)
def index(call: Call) -> Spelling:
    """``x[:, [2, 1, 0]]``: positions of one axis by a list."""
    given = [(axis, places) for axis, places in enumerate(call["indices"]) if places is not None]
    if len(given) != 1 or call.kind(given[0][1]) != "int":
        raise Unspelt("it picks positions of several axes at once, or by truths")
    ((axis, places),) = given
    return Spelling("Gather", (call["self"], places), {"axis": axis})


@spells("cat", "concat", reads="tensors dim", kinds="any")
def cat(call: Call) -> Spelling:
    """Several side by side along an axis."""
    parts = tuple(p for p in call["tensors"] if call.shape(p) != (0,))
    axis = int(call["dim"])
    return Spelling("Concat", parts, {"axis": axis})


@spells("stack", reads="tensors dim", kinds="any")
def stack(call: Call) -> Spelling:
    """Several side by side along an axis of its own."""
    axis = int(call["dim"]) % len(call.out[0])

    def emit(b: Emitter, *parts: str) -> str:
        return b.op("Concat", *(b.op("Unsqueeze", part, b.ints(axis)) for part in parts), axis=axis)

    return Spelling("Stack", tuple(call["tensors"]), {"axis": axis, "name": call.node.name}, emit)


@spells("expand", "expand_as", reads="self size other", harmless="implicit", kinds="any")
def expand(call: Call) -> Spelling:
    """Axes of size 1 repeated."""
    x = call["self"]
    if "other" in call:
        return Spelling("Add", (x, call["other"]), emit=lambda b, v, o: b.op("Expand", v, b.op("Shape", o)))
    sizes = [1 if isinstance(v, int) and v == -1 else v for v in call["size"]]
    stated = [1 if isinstance(v, fx.Node) else int(v) for v in sizes]
    return Spelling("Expand", (x,), {"shape": stated}, lambda b, v: b.op("Expand", v, b.sizes(sizes)))
