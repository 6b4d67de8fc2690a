"""A map as an ``xarray.DataArray``: labelled axes, cells at their centres, read when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fullconv.errors import MissingExtra
from fullconv.results.lazy import StoredScores

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap


def labelled(found: ClassMap) -> Any:
    """(class, y, x): the labels, and the centres of the cells in pixels of the image (0 is the first pixel's middle)."""
    try:
        import xarray as xr
        from xarray.backends import BackendArray
        from xarray.core import indexing
    except ImportError:
        raise MissingExtra("to_xarray needs xarray; install it with: pip install 'fullconv[xarray]'") from None
    grid = found.grid
    y, x = (
        float(first) + np.arange(count) * float(step)
        for first, step, count in zip(grid.centre0, grid.stride, (grid.rows, grid.cols), strict=True)
    )
    scores: Any = found.scores
    if isinstance(scores, StoredScores):
        stored = scores

        class _Stored(BackendArray):
            """Scores that xarray reads by its own keys."""

            shape, dtype = stored.shape, np.dtype(np.float32)

            def __getitem__(self, key: Any) -> Any:
                def read(inner: tuple[Any, ...]) -> Any:
                    # Numbers are dropped last: NumPy moves the axis of a list that a slice parts from a number to the front.
                    kept = tuple(part if isinstance(part, slice | np.ndarray) else [int(part)] for part in inner)
                    wide = tuple(
                        slice(p[0] % n, p[0] % n + 1) if isinstance(p, list) else p
                        for p, n in zip(kept, self.shape, strict=True)
                    )
                    return stored[wide][tuple(0 if isinstance(part, list) else slice(None) for part in kept)]

                return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, read)

        scores = xr.Variable(("class", "y", "x"), indexing.LazilyIndexedArray(_Stored())).copy(deep=False)
    about = {
        "output": found.output,
        "by": found.by,
        "exactness": found.exactness,
        **({} if found.statement is None else {"confirmed": str(found.statement)}),
        "stride": [float(step) for step in grid.stride],
        "crop": [float(side) for side in grid.crop],
        "image": list(grid.image),
    }
    pixels = {"units": "px", "long_name": "centre of the cell, as a pixel index"}
    return xr.DataArray(
        scores,
        dims=("class", "y", "x"),
        coords={"class": np.array(found.labels, np.str_), "y": ("y", y, pixels), "x": ("x", x, pixels)},
        name=found.output or "scores",
        attrs=about,
    )
