"""Make the pictures of the guides by running what they show.

    python -m tools.guide_pictures

Maps the packaged network over a slide and a scene made of the packaged page, the tutorial's over a stained section, and writes docs/images.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from tests.rasters.pictures import examples
from tools.tutorial import slides

import fullconv
from fullconv.demonstration import demo_files

OUT = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    with demo_files() as data, TemporaryDirectory() as folder:
        model = fullconv.load(data / "digits.prototxt", data / "digits.caffemodel")
        page = np.asarray(Image.open(data / "page.png").convert("L"))
        slide, scene = examples(page, Path(folder))
        how = {"preprocess": "unit", "labels": data / "labels.txt", "memory": 400 << 20}
        found = fullconv.map_raster(model, slide, Path(folder) / "slide.zarr", where="auto", **how)
        found.overlay().save(OUT / "slide-winners.png")
        found = fullconv.map_raster(model, scene, Path(folder) / "scene.zarr", **how)
        found.overlay("3").save(OUT / "scene-three.png")
    with TemporaryDirectory() as folder:
        slides(Path(folder))
        model, labels = fullconv.load(Path(folder) / "glands.onnx"), Path(folder) / "glands.txt"
        found = fullconv.map(model, OUT / "glands.jpg", preprocess="unit", labels=labels)
        found.overlay("gland").convert("RGB").save(OUT / "glands-map.jpg", quality=88)


if __name__ == "__main__":
    main()
