"""What a result says it was made of. Results come from anyone: every part may be of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv import fingerprint


def is_same_image(
    request: Mapping[str, Any], image: str, size: tuple[int, int], bands: int, subdataset: str | None
) -> bool:
    """Whether an image is the one that a map was made of."""
    return part_of(request, "image").get("fingerprint") == fingerprint.of_image(image, size, bands, subdataset)


def part_of(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a request says of its model or image."""
    part = request.get(name)
    return part if isinstance(part, Mapping) else {}
