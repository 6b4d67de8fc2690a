"""``fullconv.adapt``: a padded network's map is brought near its crops, by a head fitted on crops of the images at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Unpack

from fullconv.adaptation.fitting import FEWEST, Fitting
from fullconv.adaptation.ladder import Rung
from fullconv.adaptation.report import Adapted
from fullconv.adaptation.sampler import Sampler
from fullconv.errors import BadInput, NothingToAdapt
from fullconv.loading import load
from fullconv.maps.crops import Progress
from fullconv.model import Model
from fullconv.stream.options import MapOptions, takes
from fullconv.stream.run import job_of

CROPS = 1000
_OWN_STRIDE = (
    "by",
    "stride",
    "finer",
    "precision",
    "runtime",
    "batch",
    "keep",
    "stored",
)  # that the fit does not follow


@takes(job_of)
def adapt(
    model: Model | str | Path,
    images: Any,
    *,
    crops: int = CROPS,
    seed: int = 0,
    memory: int | None = None,
    notes: Callable[[str], None] = lambda note: None,
    progress: Progress = lambda done, total: None,
    **options: Unpack[MapOptions],
) -> Adapted:
    """Fit a head that moves each cell's logits of a padded network towards its crop's: a closed form, no labels, no training.

    Args:
        model: a classifier whose map is not exact.
        images: an image as for ``fullconv.map_raster``, or a list of them: what the network is to be used on.
        crops: how many crops to fit on.
        seed: of their choice.
        memory: bytes that the process may take; half of what is free by default.
        notes: told what was decided on the way.
        progress: told crops done, of how many.
        options: as for ``fullconv.verify``. The head is fitted at the network's own stride.

    Returns:
        The adapted network, which maps, saves and refines like any, and what was measured on cells that were not fitted on.

    Raises:
        NothingToAdapt: the map is exact, or no head brings it nearer to its crops.
        BadInput: the network has no logits, is adapted already, or the images hold too few cells.
        CannotCast: it cannot be cast.
    """
    start = perf_counter()
    model = load(model)
    if isinstance(images, list | tuple) and not images:
        raise BadInput("no images to fit on")
    every: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
    if crops < FEWEST:
        raise BadInput(f"crops {crops}: a head is fitted on {FEWEST} at least")
    if options.get("by", "cast") != "cast":
        raise BadInput("by crops: their answers are the classifier's own, so that there is nothing to adapt")
    own_options: dict[str, Any] = {name: value for name, value in options.items() if name not in _OWN_STRIDE}
    job = job_of(model, every[0], "the fit", **own_options)
    fitting = Fitting.of(model, job, notes)
    sample = Sampler(model, fitting.way, fitting.featured, fitting.own, job, seed, memory, notes).over(
        every, crops, progress
    )
    rungs, rung, by, weights = fitting.climbed(sample)
    measured = fitting.measured(sample, rungs, rung, by, start)
    if weights is None:
        raise NothingToAdapt(
            f"{fitting.name}: no head brings the map nearer to its crops, by {measured.divergence} and by agreement, on cells that it was not "
            f"fitted on; the network is left as it is\n{table(rungs)}"
        )
    about = fitting.about(every, job, crops, seed, measured)
    fitted = fitting.head(rung, *weights, about)
    return Adapted(model.adapted(fitted), fitting.measured(sample, rungs, rung, by, start, fitted))


def table(rungs: Sequence[Rung]) -> str:
    """The ladder, a line a step."""
    return "\n".join(f"  {rung.name}: {rung.agreement:.1%} agree, divergence {rung.divergence:.3g}" for rung in rungs)
