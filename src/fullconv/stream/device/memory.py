"""What a run takes of its device's memory, told before it is run, as of the process's: ``tiling.memory``'s simulation, with what goes up and down beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import prod

from fullconv.errors import BadInput, CannotRun
from fullconv.geometry.lengths import map_sizes
from fullconv.graph.nodes import Graph
from fullconv.maps.cost import by_torch, engine_bytes
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.runtime import sees_cuda
from fullconv.stream.confirm import crops_bytes
from fullconv.stream.job import Job
from fullconv.tiling.tiles import Room

_WORKSPACE = 256 << 20  # bytes that libraries of kernels take for themselves
_WEIGHTS = 2  # copies of a network's: as they were read, and folded
_MOST_BATCH = 1024  # crops a run
_OF_CROPS = 4  # the part of a device's memory that a batch of crops may take
_FREE = 0.9  # of what is free, that is taken where nobody says
_COUNTED = (1 << 31) - 1  # numbers of one value: kernels that count in 64 bits are a third as fast on an H100
_DEPTH = {"cuda": 3}  # tiles under way, as ``lanes`` has them
_FEWEST = 2
Bytes = Callable[[int, int, int, int], int]  # of a tile's height and width in pixels, rows and columns in cells


def kind_of(job: Job) -> str:
    """``cpu``, ``cuda``, ...: where a job that PyTorch runs computes."""
    return Engine.of(job.runtime).kind or ("cuda" if sees_cuda() else "cpu")


@dataclass(frozen=True)
class Share:
    """What a job's tiles take of a device, and of the process beside it.

    Attributes:
        room: of the device; None where it is the process's memory and no part of that was set aside.
        run, stage: of the process, as of a ``tiling.tiles.Cost``.
        batch: crops a run.
    """

    room: Room | None
    run: Callable[[int, int], int]
    stage: Bytes
    batch: int


def share_of(way: Way, view: View, job: Job, crops: Way | None = None) -> Share:
    """What a job takes that goes by a device's road.

    Args:
        crops: the way of the same cells by crops, where some of them are confirmed by theirs.

    Raises:
        BadInput: the device has not the memory that it is to take.
    """
    channels, kind = way.model.image_shape[0], kind_of(job)
    engine, depth = engine_bytes(way, "torch:cuda"), _DEPTH.get(kind, _FEWEST)
    crop = int(way.sampling.crop[0]), int(way.sampling.crop[1])
    count, name, budget = budget_of(job, kind)
    narrow = 2 if job.precision in ("bf16", "fp16") and kind != "cpu" else 1
    batch = (
        job.batch
        if kind == "cpu" or budget is None
        else batch_of(engine, channels, crop, budget // _OF_CROPS * narrow, job.batch)
    )
    if kind == "cuda" and way.by == "crops":
        batch = max(1, min(batch, _COUNTED // _of_a_crop(way.model.graph)))
    classes, kept = len(job.labels), 1 if job.keep == "top1" else len(job.kept)

    confirming = 0 if crops is None else crops_bytes(crops, job)

    def slots(height: int, width: int, rows: int, cols: int) -> int:
        """What goes up and down of the tiles under way."""
        return depth * (view.pixel_bytes(height, width) + height * width + (4 * kept + 3) * rows * cols)

    def network(height: int, width: int) -> int:
        """Its values, and what the pixels become in front of it, as they lie and in the network's order."""
        entered = (
            4 * (channels + max(channels, view.channels) + (2 if view.channels > channels else 0)) * height * width
        )
        if way.by == "crops":
            return entered + engine((batch, channels, *crop)) // narrow + batch * 4 * channels * prod(crop)
        return entered + engine((1, channels, height, width)) // narrow

    def on_device(height: int, width: int, rows: int, cols: int) -> int:
        fixed = _WORKSPACE + _WEIGHTS * sum(map(_weights, (way,) if crops is None else (way, crops)))
        fixed = confirming + (fixed if kind != "cpu" else 0)
        return fixed + slots(height, width, rows, cols) + network(height, width) + 2 * 4 * classes * rows * cols

    def stage(height: int, width: int, rows: int, cols: int) -> int:
        more = 1 if count > 1 else 0  # tiles that wait for a device
        beside = confirming if kind == "cpu" else job.batch * 4 * channels * prod(crop)  # of crops
        seen = 0 if crops is None else 4 * channels * height * width + beside
        return seen + count * (slots(height, width, rows, cols) + (depth + more) * view.pixel_bytes(height, width))

    def run(height: int, width: int) -> int:
        return count * by_torch(network(height, width)) if kind == "cpu" else 0

    @cache
    def beyond(height: int, width: int) -> str | None:
        if kind != "cuda" or way.by != "cast":
            return None
        numbers, value = largest_of(way.model.graph, (height, width))
        if numbers <= _COUNTED:
            return None
        return (
            f"{_told(way.model.graph, value)} has {numbers:,} numbers, and kernels there count to {_COUNTED:,}; "
            "give --device cpu, or another engine (--runtime onnxruntime)"
        )

    room = None if budget is None else Room(name, "--device-memory", budget, on_device, beyond)
    return Share(room, run, stage, batch)


def budget_of(job: Job, kind: str) -> tuple[int, str, int | None]:
    """How many devices, their names, and the bytes that a job may take of each; None where that is the process's."""
    if kind != "cuda":
        return len((Engine.of(job.runtime).device or kind).split(",")), kind, job.device_memory
    from fullconv.runtimes.torch.device import devices_of, free_bytes

    devices = devices_of(Engine.of(job.runtime).device)
    free = min(free_bytes(device) for device in devices)
    name = ", ".join(map(str, devices))
    if job.device_memory is None:
        return len(devices), name, 1 << max(0, int(_FREE * free).bit_length() - 1)
    if job.device_memory > free:
        raise BadInput(
            f"--device-memory {job.device_memory / 1e9:.1f}GB: {name} has {free / 1e9:.1f} GB free; give so much, or less"
        )
    return len(devices), name, job.device_memory


def batch_of(
    engine: Callable[[tuple[int, int, int, int]], int], channels: int, crop: tuple[int, int], most: int, least: int
) -> int:
    """Crops a run: as many as take so much memory, a power of two, and no fewer than were asked for."""
    each = engine((1, channels, *crop)) + 4 * channels * prod(crop)
    fits = max(1, min(_MOST_BATCH, most // max(1, each)))
    return max(least, 1 << (fits.bit_length() - 1))


def evenly(crops: int, most: int) -> int:
    """Crops a run, so that a tile's runs are as few as with the most, and the last one is not filled up with more than there are runs."""
    return -(-crops // -(-crops // most)) if crops else most


def largest_of(graph: Graph, size: tuple[int, int]) -> tuple[int, str]:
    """The numbers of a network's largest map for an image of (height, width), and the value's name."""
    found = (
        (prod(sides) * prod(graph.values[value].shape[1:]) // prod(graph.values[value].map_size), value)
        for value, sides in map_sizes(graph, size).items()
    )
    return max(found, key=lambda each: each[0])


def _of_a_crop(graph: Graph) -> int:
    """The numbers of the untouched network's largest value, for one crop."""
    return max(prod(axes.shape[1:]) for axes in graph.values.values())


def _told(graph: Graph, value: str) -> str:
    """A value by the layer that makes it."""
    made = graph.producer(value)
    return "the network's input" if made is None else f"what layer {made.name!r} ({made.op}) gives"


def _weights(way: Way) -> int:
    model, image = way.model, way.model.graph.image
    assert image is not None, "a network with cells has an image"
    try:
        return sum(array.nbytes for array in model.lowered({image: model.graph.values[image].shape}).weights.values())
    except CannotRun:
        return 0
