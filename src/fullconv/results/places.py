"""Where a result lies, by the name that it is given."""

from __future__ import annotations

from typing import Any
from urllib.request import url2pathname

from fullconv.results.local import Local
from fullconv.results.remote import Remote
from fullconv.results.storage import Storage
from fullconv.system.guard import is_url


def storage_of(target: Any) -> Storage:
    """A folder of this machine (or a shared disk), or a URL of an object store (``s3://bucket/slide.zarr``)."""
    text = str(target)
    if text.startswith("file://"):
        return Local(url2pathname(text.removeprefix("file://")))
    return Remote(text) if is_url(text) else Local(text)
