"""Learned arrays matched to a net by layer name, as Caffe does it, with every mismatch named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.caffe.layers.base import Learned
from fullconv.formats.caffe.placement import Placed, Placement
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer

Array = npt.NDArray[Any]
Weights = Mapping[str, tuple[Array, ...]]


def owners(layers: Sequence[Placed]) -> dict[tuple[str, int], tuple[str, int]]:
    """For each blob (layer, index) the blob whose array it uses: its own, or the first of the same param name."""
    first: dict[str, tuple[str, int]] = {}
    found = {}
    for placed in layers:
        specs = placed.layer.message.param
        for i in range(len(placed.learned)):
            name = specs[i].name if i < len(specs) else ""
            found[placed.name, i] = first.setdefault(name, (placed.name, i)) if name else (placed.name, i)
    return found


def match(
    placement: Placement, saved: Sequence[SavedLayer], source: str, net: str, ignore_unused: bool = False
) -> tuple[Weights, list[str]]:
    """Arrays for every layer that learns, in its own shape, and notes on what was left over.

    Layers that only the file has may be auxiliary heads, which branch off inside the net and are told; any
    other is a sign of another net.

    Raises:
        BadInput: layers are missing or left over, counts or shapes differ, or values are not finite.
    """
    layers = placement.layers
    by_name = {layer.name: layer for layer in saved if layer.blobs}
    wanted = {p.name: p.learned for p in layers if p.learned}
    shared = owners(layers)
    own = {name for name, blobs in wanted.items() if any(shared[name, i] == (name, i) for i in range(len(blobs)))}
    missing = [name for name in wanted if name not in by_name and name in own]
    over = [name for name in by_name if name not in wanted]
    if missing:
        left = f"; it has {_names(over)}, which the net does not" if over else ""
        raise BadInput(
            f"{source}: no weights for {_names(missing)} of {net}{left}. These are weights of another net, or layers were renamed"
        )
    stray = [name for name in over if not _is_auxiliary(name, saved, placement)]
    if stray and not ignore_unused:
        raise BadInput(
            f"{source}: it has weights for {_names(stray)}, which {net} does not. These are weights of another net, or "
            "the network file is cut short; --ignore-unused-weights (ignore_unused_weights=True) goes on without them"
        )
    arrays: dict[str, tuple[Array, ...]] = {}
    for placed in layers:
        specs = wanted.get(placed.name)
        if specs is None:
            continue
        blobs = by_name[placed.name].blobs if placed.name in by_name else ()
        where = f"{source}: layer {placed.name!r} ({placed.kind})"
        if blobs and len(blobs) != len(specs):
            raise BadInput(f"{where}: holds {len(blobs)} blobs, {net} needs {len(specs)} {[s.shape for s in specs]}")
        arrays[placed.name] = tuple(
            _fit(blob, spec, placed, i, where, net) for i, (blob, spec) in enumerate(zip(blobs, specs, strict=False))
        )
    notes = [f"weights of {_names(over)} are not used: the net has no such layer that learns"] if over else []
    _check_shared(layers, shared, net)
    order = {layer.name: i for i, layer in enumerate(saved)}
    return _share(arrays, wanted, shared, order, f"{source}: layer"), notes


def _is_auxiliary(name: str, saved: Sequence[SavedLayer], placement: Placement) -> bool:
    """Whether a left-over layer branches off inside the net, by the bottoms that the file tells, back to the net's blobs."""
    writers = {top: layer for layer in saved for top in layer.tops if top not in placement.versions}
    ends = {placement.blobs[value] for value in placement.outputs}
    todo = [bottom for layer in saved if layer.name == name for bottom in layer.bottoms]
    reached: set[str] = set()
    seen: set[str] = set()
    while todo:
        blob = todo.pop()
        if blob in placement.versions:
            reached.add(blob)
        elif blob in writers and blob not in seen:
            seen.add(blob)
            todo.extend(writers[blob].bottoms)
    return bool(reached) and not reached & ends


def _check_shared(layers: Sequence[Placed], shared: Mapping[tuple[str, int], tuple[str, int]], source: str) -> None:
    """Blobs of one parameter's name have one shape, or with share_mode PERMISSIVE one size."""
    specs = {(placed.name, i): spec for placed in layers for i, spec in enumerate(placed.learned)}
    for placed in layers:
        for i, spec in enumerate(placed.learned):
            owner = shared[placed.name, i]
            given = placed.layer.message.param
            loose = i < len(given) and given[i].share_mode == pb.ParamSpec.PERMISSIVE
            mine, theirs = spec.shape, specs[owner].shape
            if mine != theirs and not (loose and prod(mine) == prod(theirs)):
                raise BadInput(
                    f"{source}: layer {placed.name!r} ({placed.kind}): its blob {i} of {mine} shares parameter {given[i].name!r} "
                    f"with layer {owner[0]!r}, whose blob is {theirs}"
                )


def _share(
    arrays: Mapping[str, tuple[Array, ...]],
    wanted: Mapping[str, tuple[Learned, ...]],
    shared: Mapping[tuple[str, int], tuple[str, int]],
    order: Mapping[str, int],
    where: str,
) -> Weights:
    """One array for all blobs of a parameter's name; of several in the file the last, which Caffe copies over the others."""
    chosen: dict[tuple[str, int], Array] = {}
    for name in sorted(arrays, key=lambda name: order.get(name, -1)):
        chosen.update({shared[name, i]: array for i, array in enumerate(arrays[name])})
    out = {}
    for name, specs in wanted.items():
        row = []
        for i, spec in enumerate(specs):
            if shared[name, i] not in chosen:
                raise BadInput(
                    f"{where} {name!r} shares its blob {i} with layer {shared[name, i][0]!r}, for which there is none"
                )
            row.append(chosen[shared[name, i]].reshape(spec.shape))
        out[name] = tuple(row)
    return out


def has_shape(blob: SavedBlob, want: tuple[int, ...]) -> bool:
    """Whether a saved blob is one of this shape.

    Old files have four axes, with leading ones for those that a blob does not have. For a scalar Caffe writes no shape at all.
    """
    if blob.values.size == 1 and prod(want) == 1:
        return True
    more = len(blob.shape) - len(want) if blob.legacy else 0
    return more >= 0 and blob.shape[more:] == want and set(blob.shape[:more]) <= {1}


def _fit(blob: SavedBlob, spec: Learned, placed: Placed, i: int, where: str, net: str) -> Array:
    have, want = blob.shape, spec.shape
    permissive = (
        i < len(placed.layer.message.param) and placed.layer.message.param[i].share_mode == pb.ParamSpec.PERMISSIVE
    )
    if not has_shape(blob, want) and not (permissive and blob.values.size == prod(want)):
        raise BadInput(
            f"{where}: blob {i} has the shape {have}, but {net} makes it {want}. These are weights of another net"
        )
    if not _finite(blob.values):
        raise BadInput(f"{where}: blob {i} holds NaN or infinite values; the training diverged or the file is damaged")
    return blob.values.reshape(want)


def _finite(values: Array) -> bool:
    """Checked in pieces, so that a large blob needs no mask of its size."""
    step = 1 << 20
    return all(bool(np.isfinite(values[i : i + step]).all()) for i in range(0, values.size, step))


def _names(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
