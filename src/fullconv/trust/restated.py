"""A network whose input is stated at another size, held against the one that it is: the same sizes and answers as that has there."""

from __future__ import annotations

from fullconv.errors import BrokenPromise, CannotRun, NoWeights
from fullconv.geometry.lengths import map_sizes
from fullconv.trust.compare import LAST_BIT, MARGIN, gaps, scale_of
from fullconv.trust.trial import Checkable, Size, Trial

_GROWN = 6  # times the pixels that it was stated at: larger images are not run


def same_at(meant: Checkable, stated: Checkable, size: Size, name: str) -> None:
    """Hold every map's size against the geometry and, where the image is not large, every answer against the other network's.

    Args:
        meant: the network that takes any size.
        stated: the same one, its input stated at ``size``.
        size: (height, width).
        name: of the network, for messages.

    Raises:
        BrokenPromise: the two differ.
    """
    at = f"{name} at {size[0]}×{size[1]}"
    told = map_sizes(meant.graph, size)
    for value, axes in stated.graph.values.items():
        if axes.is_map and value in told and axes.map_size != told[value]:
            raise BrokenPromise(f"{at}: {value} is {axes.map_size} where the cast has {told[value]}")
    trial = Trial(meant, stated, {output: output for output in meant.graph.outputs})
    height, width = trial.trained
    if size[0] * size[1] > _GROWN * height * width:
        return
    try:
        image = trial.image(size)
        mine, theirs = trial.run(meant, image, trial.names), trial.run(stated, image, trial.names)
    except (CannotRun, NoWeights):
        return  # there is nothing to compare; what has no weights has no answers
    for output in trial.names:
        same = mine[output].shape == theirs[output].shape
        if not same or float(gaps(mine[output], theirs[output]).max(initial=0.0)) > MARGIN * LAST_BIT * scale_of(
            mine[output]
        ):
            raise BrokenPromise(
                f"{at}: {output} is not what the cast answers; this is a bug in fullconv, please report it"
            )
