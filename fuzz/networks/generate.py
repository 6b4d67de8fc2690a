"""A random network: a trunk of maps, a head, a tail of vectors; mostly what files hold, some of it odd."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import onnx

from fuzz.networks import heads, on_layouts, on_maps
from fuzz.networks.draft import Draft

OPSETS = [7, 8, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 19, 20, 21, 21, 22, 23]
COMMON = (
    [on_maps.conv] * 6 + [on_maps.pool] * 4 + [on_maps.unary] * 5 + [on_maps.normalise] * 2 + [on_layouts.branch] * 3
)
COMMON += [on_maps.with_constant] * 2 + [on_layouts.gate, on_layouts.written_out, on_maps.clip]
ODD = [
    on_maps.transposed, on_maps.quiet, on_maps.with_constant, on_maps.choose, on_maps.normalise, on_maps.reduce_channels, on_maps.pick_channels,
    on_maps.pick_channels, on_maps.cut_space, on_maps.cut_space, on_maps.pad_space, on_maps.pad_space, on_maps.resize, on_maps.blocks, on_layouts.last, on_layouts.last,
    on_layouts.tokens, on_layouts.tokens, on_layouts.shuffle, on_layouts.turned, on_layouts.gate, on_layouts.statistic, on_layouts.cross,
    on_layouts.sized, on_layouts.sized, on_layouts.einsum, on_layouts.spread,
]  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A network with what a user would say of it.

    Attributes:
        model: the file.
        shape: (C, H, W) that it was trained on.
        last: whether it takes (n, h, w, c).
    """

    model: onnx.ModelProto
    shape: tuple[int, int, int]
    last: bool


def network(random: Random) -> Drawn | None:
    """One random network, or None where nothing came of it."""
    opset = random.choice(OPSETS)
    channels = random.choice([1, 2, 3, 3, 4])
    height = random.choice([6, 7, 8, 9, 10, 11, 12, 12, 13, 16])
    width = height if random.random() < 0.5 else random.choice([6, 7, 8, 9, 10, 11, 12, 14])
    last = (
        random.random() < 0.12 and channels != 2
    )  # two channels are no image's: which axis is theirs could not be told
    shape = (channels, height, width)
    image = np.random.default_rng(random.getrandbits(32)).standard_normal(
        (1, height, width, channels) if last else (1, *shape)
    )
    d = Draft(random, opset, image.astype(np.float32), random.choice(["x", "input", "data"]))
    value: str | None = d.input
    if last:
        value = d.add("Transpose", [d.input], perm=[0, 3, 1, 2])
    maps = trunk(d, value)
    if not maps:
        return None
    outputs = answers(d, maps)
    if not outputs:
        return None
    batch = d.pick([1, 1, "N", "N", 2])
    # Batches of two: nothing in what is drawn says one, save numbers in Reshapes, and those are then wrong.
    batch = 1 if batch == 2 else batch
    sides: list[int | str] = [height, width] if d.chance(0.7) else ["H", "W"]
    dims = [batch, *sides, channels] if last else [batch, channels, *sides]
    model = d.model(outputs, dims)
    return Drawn(model, shape, last) if model.graph.node else None


def trunk(d: Draft, value: str | None) -> list[str]:
    """Maps one from another, the last one last."""
    maps = []
    oddity = d.pick([0.0, 0.1, 0.25, 0.5])
    for _ in range(d.pick([1, 2, 3, 4, 5, 6, 8])):
        if value is None:
            break
        step = d.pick(ODD if d.chance(oddity) else COMMON)
        made = step(d, value)
        if made is not None and len(d.shape(made)) == 4 and d.values[made].dtype == np.float32:
            value = made
            maps.append(made)
    return maps


def answers(d: Draft, maps: list[str]) -> list[str]:
    """The outputs: one mostly, two at times, seldom a map as it is."""
    if d.chance(0.08):
        return [maps[-1]]
    outputs = []
    for source in [maps[-1]] + ([d.pick(maps)] if d.chance(0.12) else []):
        vector = heads.to_vector(d, source)
        if vector is None:
            continue
        if np.prod(d.shape(vector)[1:]) > 4 * d.shape(source)[1] and d.chance(0.95):
            vector = heads.dense(d, vector) or vector  # a map laid out as it is, is no class's score
        for _ in range(d.pick([0, 1, 1, 2, 3, 4])):
            step = heads.dense if d.chance(0.45) else heads.on_vector
            vector = step(d, vector) or vector
        outputs.append(vector)
    return list(dict.fromkeys(outputs))
