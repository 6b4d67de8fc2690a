"""A small slide with its map, and the viewer's server over them, asked without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import fullconv
from fullconv.model import Model
from tests import helpers as h
from tests.viewer.browsing import browser, chromium, show  # noqa: F401

HOST = "127.0.0.1:8017"
TOKEN = "a-token-that-nobody-guesses"
SIZE = (400, 1200)


@dataclass(frozen=True)
class Mapped:
    """An image, the network, and its map."""

    image: Path
    net: tuple[Path, Path]
    result: Path


def pixels(size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (size[0] // 25, size[1] // 25), np.uint8)
    return np.asarray(Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder = tmp_path_factory.mktemp("viewer")
    net = h.model(h.LENET).save(folder / "net.prototxt")
    image = folder / "slide.tif"
    with tifffile.TiffWriter(image) as writer:
        whole = pixels()
        writer.write(whole, tile=(256, 256), subifds=1, photometric="minisblack")
        writer.write(whole[::2, ::2], tile=(256, 256), subfiletype=1, photometric="minisblack")
    result = folder / "slide.zarr"
    fullconv.map_raster(
        fullconv.load(*net, check=False), image, result, labels=["plain", "<img src=x onerror=alert(1)>", "\u202egniht"]
    )
    return Mapped(image, net, result)


Serve = Callable[..., Any]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A client that has the token, of a server over results."""
    testclient = pytest.importorskip("starlette.testclient", reason="the viewer's server is of the extra view")
    from fullconv.viewer.server import application
    from fullconv.viewer.shown import Shown

    with ExitStack() as stack:

        def start(
            *results: Any, image: Any = None, model: Model | None = None, page: Path | None = None, token: str = TOKEN
        ) -> Any:
            shown = Shown([str(each) for each in results], None if image is None else str(image), model)
            stack.callback(shown.close)
            app = application(shown, frozenset([HOST, "localhost:8017"]), TOKEN, *([] if page is None else [page]))
            client = testclient.TestClient(
                app, base_url=f"http://{HOST}", follow_redirects=False, cookies={"fullconv_8017": token}
            )
            client.shown = shown
            return client

        yield start
