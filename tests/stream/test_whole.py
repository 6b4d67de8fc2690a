"""An image that does not fit into memory whole is mapped by tiles, into the same map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from fullconv.maps.mapping import map_image
from fullconv.stream import whole
from fullconv.stream.whole import map_whole
from tests.stream import runs
from tests.stream.test_stream import same

PIXELS = np.random.default_rng(0).integers(0, 256, (1100, 900), np.uint8)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the image's map does not fit whole: the run of it takes some 40 MB."""
    monkeypatch.setattr(whole, "available_bytes", lambda: 40 << 20)
    monkeypatch.setattr(whole, "resident_bytes", lambda: 180 << 20)  # whatever ran before, and is loaded meanwhile
    monkeypatch.setattr("fullconv.stream.whole._SHARE", 1.0)


@pytest.mark.parametrize("options", [{}, {"by": "crops", "stride": 16}, {"missing": 0.3}])
def test_what_does_not_fit_goes_by_tiles(tight: None, options: dict) -> None:
    model = runs.digits()
    image = PIXELS.astype(np.float32)
    image[:300, :400] = np.nan
    told: list[str] = []
    done: list[tuple[int, int]] = []
    tiled = map_whole(
        model, image, preprocess="unit", notes=told.append, progress=lambda i, n: done.append((i, n)), **options
    )
    whole_map = map_image(model, image, preprocess="unit", **options)
    same(tiled, whole_map)
    assert np.isnan(whole_map.scores).any()
    if options.get("by") != "crops":
        assert any("to be mapped whole it takes" in note and "tile by tile" in note for note in told)
        assert done[-1][0] == done[-1][1] >= 1
    assert tiled.overlay().size == whole_map.overlay().size


def test_what_fits_goes_whole() -> None:
    told: list[str] = []
    found = fullconv.map(runs.digits(), PIXELS, preprocess="unit", notes=told.append)
    assert found.record is None
    assert not any("tile by tile" in note for note in told)


def test_what_fits_neither_way_is_told(tight: None) -> None:
    with pytest.raises(BadInput, match="map it at one scale, or resize it"):
        map_whole(runs.digits(), PIXELS, scales=[1, 2])
    with pytest.raises(BadInput, match="memory budget of"):
        map_whole(runs.digits(), PIXELS, memory=10 << 20)


@pytest.mark.long
def test_a_small_file_that_unfolds_to_a_large_image_is_mapped_within_memory(
    tmp_path: Path, tight: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page of white compresses to nothing."""
    Image.new("L", (2500, 2500), 255).save(tmp_path / "page.png")
    with runs.demo_files() as data:
        net = [str(data / "digits.prototxt"), "-w", str(data / "digits.caffemodel")]
        cli(
            ["map", *net, str(tmp_path / "page.png"), "-o", str(tmp_path / "maps"), "-p", "unit"], standalone_mode=False
        )
    assert "tile by tile" in capsys.readouterr().err
    found = fullconv.ClassMap.load(tmp_path / "maps" / "page.npz")
    assert found.scores.shape[1:] == (found.grid.rows, found.grid.cols)
    assert np.isfinite(found.scores).all()
