"""What a stored map says it was made of, and how. Stores come from anyone: every part may be of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv import fingerprint
from fullconv.errors import BadInput
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.rasters.preprocess import Preprocess


def is_same_image(
    request: Mapping[str, Any], image: str, size: tuple[int, int], bands: int, subdataset: str | None
) -> bool:
    """Whether an image is the one that a map was made of."""
    return part_of(request, "image").get("fingerprint") == fingerprint.of_image(image, size, bands, subdataset)


def part_of(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a request says of its model or image."""
    part = request.get(name)
    return part if isinstance(part, Mapping) else {}


def require_network(model: Model, request: Mapping[str, Any], result: str) -> None:
    """BadInput where a network is another one than made the result of this name."""
    said = part_of(request, "model")
    if fingerprint.of_model(model) != said.get("fingerprint"):
        raise BadInput(f"{model.path}: is not the network that made {result}, which was {said.get('name')}")


def options_of(request: Mapping[str, Any], access: Access) -> dict[str, Any]:
    """How a map was made, as ``job_of`` takes it, from what its store says.

    Raises:
        BadInput: it says something that is none: stores come from anyone.
    """
    try:
        select, how = request["select"], request["preprocess"]
        numbers = {key: tuple(float(value) for value in how[key]) for key in ("mean", "std")}
        preprocess = Preprocess(how["channels"], float(how["scale"]), **numbers)
        return {
            "preprocess": preprocess,
            "level": select["level"], "mpp": select["mpp"], "bands": select["bands"], "nodata": select["nodata"], "subdataset": select.get("subdataset"),
            "by": request["by"], "stride": request["stride"], "finer": request["finer"], "output": request["output"],
            "activation": request.get("activation", "none"), "missing": float(request["missing"]),
            "trust": access.trust, "allow_remote": access.remote,
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"the result does not say how it was made ({error!r})") from None
