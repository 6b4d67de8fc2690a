"""Where a result lies, by the name that it is given."""

from __future__ import annotations

from typing import Any

from fullconv.results.local import Local
from fullconv.results.remote import Remote
from fullconv.results.storage import Storage


def storage_of(target: Any) -> Storage:
    """A folder of this machine (or a shared disk), or a URL of an object store (``s3://bucket/slide.zarr``)."""
    text = str(target)
    if "://" in text and not text.startswith("file://"):
        return Remote(text)
    return Local(text.removeprefix("file://"))
