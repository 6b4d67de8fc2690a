"""Part of the packaged page as a slide with a pixel size, and its map by the packaged network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import fullconv
from fullconv.demonstration import demo_files
from fullconv.maps.classmap import ClassMap
from tests.stream import runs


@dataclass(frozen=True)
class Mapped:
    """An image, its pixels (rows, cols), and its map."""

    image: Path
    pixels: np.ndarray
    result: Path

    @property
    def found(self) -> ClassMap:
        return ClassMap.load(self.result)


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder = tmp_path_factory.mktemp("reports")
    with demo_files() as data, Image.open(data / "page.png") as page:
        pixels = np.asarray(page.convert("L"))[:300, :420]
    image = folder / "slide.tif"
    tifffile.imwrite(image, pixels, resolution=(20_000, 20_000), resolutionunit=3)
    fullconv.map_raster(runs.digits(), image, folder / "slide.zarr", preprocess="unit")
    return Mapped(image, pixels, folder / "slide.zarr")
