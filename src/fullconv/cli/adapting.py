"""``fullconv map --adapt``: the network that maps is one that is adapted first, and kept beside a store, which goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fullconv.cli.outputs import Target
from fullconv.cli.terminal import note, progress
from fullconv.errors import BadInput, FullconvError, NothingToAdapt
from fullconv.system.guard import require_writable

if TYPE_CHECKING:
    from fullconv.adaptation.report import Report
    from fullconv.model import Model

_HOW = (
    "preprocess", "labels", "output", "activation", "trust", "allow_remote", "subdataset", "level", "mpp", "bands", "nodata", "missing", "where",
    "on_error",
)  # fmt: skip


def require_adaptable(options: Mapping[str, Any], aims: Mapping[str, Target]) -> None:
    """BadInput, before the work, where what is asked for has nothing to adapt."""
    if options["by"] == "crops":
        raise BadInput("--adapt brings the cast network's map nearer to its crops; leave --by crops out")
    if options["scales"] is not None:
        raise BadInput("--adapt fits at the images' own size; leave --scales out, or adapt first: fullconv adapt")
    if any(target.store is not None and "://" in target.store for target in aims.values()):
        raise BadInput(
            "--adapt keeps the network beside the store, which an address has no room for; make it first: fullconv adapt MODEL IMAGE... -o adapted.onnx"
        )


def adapted_for(
    model: Model,
    aims: Mapping[str, Target],
    crops: int,
    options: Mapping[str, Any],
    memory: int | None,
    notes: Callable[[str], None],
) -> tuple[Model, Report | None]:
    """The adapted network, what was measured, if it was fitted now; where nothing is gained, the network as it is, and that is said.

    Of stores the network is written beside the first one, and read again from there by a run that goes on.
    """
    from fullconv.adaptation.adapt import adapt
    from fullconv.loading import load

    images, beside = list(aims), _beside(aims)
    how = {key: options[key] for key in _HOW}
    if beside is not None:
        require_writable(beside)  # before the work
    if beside is not None and beside.exists() and not options["restart"]:
        before = _earlier(beside, model, images, crops, how)
        if before is not None:
            notes(f"maps with {beside}, which an earlier run adapted")
            return before, None
        begun = next((t.store for t in aims.values() if t.store is not None and Path(t.store).exists()), None)
        if begun is not None:
            raise BadInput(
                f"{begun}: was made with {beside}, which was fitted on other crops than these; give --restart to start anew, or another output"
            )
    try:
        with progress("adapting", "crops") as told:
            found = adapt(model, images, crops=crops, memory=memory, notes=notes, progress=told, **how)
    except NothingToAdapt as error:
        note(f"maps with the network as it is: {error}")
        return model, None
    if beside is None:
        return found.model, found.report
    found.model.save(beside)
    notes(f"wrote {beside}, the adapted network, with which the store goes on")
    return load(beside), found.report


def _beside(aims: Mapping[str, Target]) -> Path | None:
    store = next((target.store for target in aims.values() if target.store is not None), None)
    return None if store is None else Path(store.rstrip("/")).with_suffix(".adapted.onnx")


def _earlier(path: Path, model: Model, images: Sequence[str], crops: int, how: Mapping[str, Any]) -> Model | None:
    """The network that an earlier run of the same made; None where there is none."""
    from fullconv.adaptation.asked import asked
    from fullconv.loading import load
    from fullconv.stream.run import job_of

    try:
        kept = load(path)
    except FullconvError:
        return None
    job = job_of(model, images[0], "the fit", **how)
    word = asked(model, images, job, crops, 0)
    return kept if any(fitted.about.get("asked") == word for fitted in kept.heads) else None
