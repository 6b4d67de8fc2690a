"""Which tiles take the device's road: those of jobs whose every number can be computed there. All others take the usual one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod

import numpy as np

from fullconv.errors import BadInput, CannotRun
from fullconv.maps.crops import answers_each
from fullconv.maps.ways import Way
from fullconv.rasters.view import View
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.runtime import chosen, require_engine
from fullconv.stream.device.memory import evenly, kind_of, share_of
from fullconv.stream.door import Door
from fullconv.stream.job import Job
from fullconv.stream.lines import line_of
from fullconv.stream.timings import Timings
from fullconv.system.parse import compiling
from fullconv.tiling.window import Reach


def why_usual(job: Job, way: Way, planes: int) -> str | None:
    """Why a job takes the usual road, in words; None where the device's is open to it. Loads no PyTorch.

    Args:
        planes: channels of the image as it is read.
    """
    model, image = way.model, way.model.graph.image
    assert image is not None, "a network with cells has an image"
    if chosen(Engine.of(job.runtime), job.precision) != "torch":
        return "another engine than PyTorch runs"
    if any(len(numbers) not in (1, model.image_shape[0]) for numbers in (job.preprocess.mean, job.preprocess.std)):
        return "the preprocessing is one of other channels"
    if planes != model.image_shape[0] and {planes, model.image_shape[0]} != {1, 3}:
        return "no rule gives the network its channels"
    if model.graph.values[image].rank != 4 or model.format.batch(model.native) not in (None, 1):
        return "the network takes batches of its own"
    if way.by == "crops" and way.output in model.recorded:
        return "its output has cells behind its crop's"
    if way.by == "cast" and not (model.graph.values[way.output].is_map and model.graph.values[way.output].rank == 4):
        return "the output is no map of classes"
    try:
        model.format.accepts(model.native, {image: np.full((1, 1, 1, 1), 0.5, np.float32)})
    except BadInput:
        return "the network takes whole numbers"
    return None


def reserving(job: Job) -> AbstractContextManager[None]:
    """Have a job's GPUs to itself, or with others that say how much they take, while it lasts.

    Raises:
        BadInput: another run has one, one is not there, or PyTorch is not.
    """
    asked = Engine.of(job.runtime)
    if chosen(asked, job.precision) != "torch" or kind_of(job) == "cpu":
        return nullcontext()
    require_engine(job.runtime, job.precision)
    from fullconv.runtimes.torch.device import devices_of, identity_of
    from fullconv.stream.device.lock import reserved

    return reserved([(str(device), identity_of(device)) for device in devices_of(asked.device)], job.device_memory)


def device_door(
    job: Job, way: Way, view: View, shape: tuple[int, int], usual: Callable[[], Door], timings: Timings
) -> Door | None:
    """The door of a job's device, or of its devices; None where its tiles take the usual road.

    Args:
        shape: (height, width) of the tiles' parts.
        usual: makes the usual door.
    """
    if why_usual(job, way, view.channels) is not None:
        return None
    from fullconv.runtimes.torch.device import devices_of
    from fullconv.stream.device.many import Many

    with compiling(False):  # tried on a crop or two
        if way.by == "crops" and not answers_each(way.model, way.output, job.runtime, job.precision):
            return None
    doors = []
    for device in devices_of(Engine.of(job.runtime).device):
        door = _door(job, way, view, shape, usual, timings, str(device))
        if door is None:
            return None
        doors.append(door)
    return doors[0] if len(doors) == 1 else Many(doors)


def _door(
    job: Job, way: Way, view: View, shape: tuple[int, int], usual: Callable[[], Door], timings: Timings, device: str
) -> Door | None:
    from fullconv.stream.device.cast import Cast, Short
    from fullconv.stream.device.crops import Crops, gives_rows
    from fullconv.stream.device.door import Device
    from fullconv.stream.device.enter import Enter
    from fullconv.stream.device.lanes import lanes_of
    from fullconv.stream.device.leave import Leave
    from fullconv.stream.device.network import Networks
    from fullconv.stream.device.shifted import Shifted

    model, batch = way.model, evenly(prod(way.sampling.cells(shape)), share_of(way, view, job).batch)
    crops = batch, int(way.sampling.crop[0]), int(way.sampling.crop[1])
    try:
        size = crops if way.by == "crops" else (1, *model.fitting(shape, way.output))
        networks = Networks(way, job.precision, device, size)
    except CannotRun:
        return None
    enter = Enter(job.preprocess, view.channels, model.image_shape[0], view.ordered).to(networks.device)
    leave, lanes = Leave(job.keep, job.stored).to(networks.device), lanes_of(networks.device)
    told = timings if networks.device.type == "cuda" else None  # elsewhere a part of running
    if way.by == "cast":
        grid = way.sampling.over(view.size)
        reaches = [line_of(way, view.size, side, grid).reaches for side in (0, 1)]

        short = Short()

        def work(own: Way, needs: Sequence[Reach], cells: tuple[int, int]) -> Cast:
            return Cast(own, enter, networks, leave, needs, cells, short, told)

        cells = grid.rows, grid.cols
        plain = way.shifts == (1, 1)
        made = work(way, [each[0] for each in reaches], cells) if plain else Shifted(way, work, reaches, cells, leave)
        return Device(job, made, lanes, view.size, usual, timings)
    if not gives_rows(networks.of(crops), model.image_shape[0], crops):
        return None
    return Device(job, Crops(way, enter, networks, leave, batch, told), lanes, view.size, usual, timings)
