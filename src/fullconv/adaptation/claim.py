"""Whether an adapted network agrees with its crops as well as it says that it does: on images of other statistics it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv.trust.intervals import Share


def falls_short(about: Mapping[str, Any], agree: int, compared: int) -> str | None:
    """That a map agrees less than its head's own account says, where chance hardly explains it; None where there is nothing to say.

    Args:
        about: of the head, as a file holds it: from anyone.
        agree, compared: cells of the map whose winner is their crop's, of how many.
    """
    told, of = about.get("agreement"), about.get("crops")
    claimed = told.get("after") if isinstance(told, Mapping) else None
    if about.get("kind") != "softmax" or not isinstance(claimed, int | float) or not 0 <= claimed <= 1:
        return None
    if not isinstance(of, int) or of < 1:
        return None
    seen = Share(agree, compared)
    if seen.less(Share(round(claimed * of), of))[1] >= 0:
        return None
    return (
        f"the map agrees with {agree} of {compared} crops, and its head was seen to agree with {claimed:.1%}: the image is of another kind than "
        "those that it was fitted on; fit it on images like this one (fullconv adapt)"
    )
