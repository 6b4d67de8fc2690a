"""The device's road on a real GPU: the numbers of the usual road there, near the processor's, with streams, compiled and in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fullconv.system.parse import compiling

torch = pytest.importorskip("torch")

from fullconv.stream.device.lanes import Streams  # noqa: E402
from tests.stream.device.test_lanes import door_over, right  # noqa: E402
from tests.stream.device.test_road import colours, noise  # noqa: E402
from tests.stream.device.tiles import scene, through  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here, and these are of one"),
]
BUDGET = 400 << 20  # what is computed on a GPU takes nothing of it, but pixels that go up are kept of three tiles
NEAR = {"fp32": 1e-5, "tf32": 2e-3, "bf16": 5e-2, "fp16": 5e-3}


def scores(done: Any) -> np.ndarray:
    assert done.scores is not None
    return done.scores


@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("by", ["cast", "crops"])
@pytest.mark.parametrize("compiled", [False, True])
def test_numbers_are_those_of_the_processor(precision: Any, by: str, compiled: bool) -> None:
    image = noise() if by == "cast" else noise(100, 90)
    more = {} if by == "cast" else {"by": "crops", "stride": 8}
    with (
        compiling(compiled),
        scene(colours(), image, BUDGET, **more) as here,
        scene(colours(), image, BUDGET, runtime="torch:cuda", precision=precision, **more) as seen,
    ):
        tiles = here.loaded(missing=0.2)
        for tile, done in zip(tiles, through(seen.device, tiles), strict=True):
            np.testing.assert_allclose(
                scores(done),
                scores(here.usual.finish(here.usual.start(tile))),
                rtol=0,
                atol=NEAR[precision],
                equal_nan=True,
            )


def test_streams_keep_what_is_still_to_be_read() -> None:
    from tests.stream.device.simulated import tiles

    given = tiles(40)
    assert right(given, through(door_over(Streams(torch.device("cuda"))), given))


def test_memory_that_a_neighbour_takes_makes_parts(caplog: pytest.LogCaptureFixture) -> None:
    with scene(colours(), noise(3000, 3000), runtime="torch:cuda", budget=2 << 30) as seen, compiling(False):
        door, tiles = seen.device, seen.loaded()
        whole = through(door, tiles[:1])
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info()[0]
        neighbour = torch.empty(max(0, free - (150 << 20)), dtype=torch.uint8, device="cuda")
        parts = through(door, tiles[:1])
        del neighbour
        np.testing.assert_allclose(scores(parts[0]), scores(whole[0]), rtol=0, atol=2e-6, equal_nan=True)
    assert any("short of memory" in record.getMessage() for record in caplog.records)
