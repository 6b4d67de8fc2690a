"""What a fit is of, as one short word: the same word, the same head. By it a run that goes on knows the network that it began with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fullconv import fingerprint, version
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.stream.job import Job
from fullconv.stream.where import fingerprint as where_print
from fullconv.stream.where import where_of


def images_drawn(count: int, crops: int, seed: int) -> list[int]:
    """Which of so many images are fitted on: all, or as many as there are crops, at random."""
    if count <= crops:
        return list(range(count))
    return sorted(int(i) for i in np.random.default_rng(seed).choice(count, crops, replace=False))


def asked(model: Model, images: Sequence[Any], job: Job, crops: int, seed: int) -> str:
    """Of a fit of a network on images, which are opened and read for it."""
    chosen = [_request(images[i], job) for i in images_drawn(len(images), crops, seed)]
    whole = [version.NUMERICS, fingerprint.of_model(model), chosen, crops, seed]
    return sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _request(image: Any, job: Job) -> dict[str, Any]:
    """What a map of an image would be, the network left out."""
    with closing(View(image, job.select)) as view:
        about, rule = view.about, where_of(job.where, view)
        print_ = fingerprint.of_image(image, about.size, about.bands, job.select.access.subdataset)
        kept = job.request("", "", print_, where_print(job.where, rule, view))
    name = Path(image).name if isinstance(image, str | Path) else ""
    return {**kept, "image": [name, print_], "labels": len(job.labels)}
