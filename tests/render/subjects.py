"""One picture of each kind over what people map: a slide, a scene, a photograph and a page, small and large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.pictures import to_picture
from fullconv.rasters.view import Selection
from fullconv.render.field import field_picture
from fullconv.trust.pictures import difference_picture
from fullconv.trust.verified import Report

Array = npt.NDArray[Any]
SIZES = {"small": (60, 90), "large": (900, 1300)}  # height, width
_TISSUES = ("tumour", "stroma", "lymphocytes", "mucosa", "fat", "mucus", "debris", "muscle", "background")
_COVERS = ("water", "forest", "crops", "meadow", "town", "road", "rock")


def _smooth(shape: tuple[int, int], seed: int, parts: int) -> Array:
    """Noise of so many parts a side, on 0..1."""
    noise = np.random.default_rng(seed).random((parts, parts)).astype(np.float32)
    return np.clip(np.asarray(Image.fromarray(noise).resize(shape[::-1], Image.Resampling.BICUBIC)), 0, 1)


def slide(size: tuple[int, int]) -> Array:
    """Pink and violet tissue on white glass, uint8."""
    tissue, cells = _smooth(size, 1, 5) > 0.4, _smooth(size, 2, 24)
    stained = np.stack([225 - 90 * cells, 160 - 100 * cells, 205 - 60 * cells], axis=2)
    return np.where(tissue[..., None], stained, 243).astype(np.uint8)


def scene(size: tuple[int, int]) -> Array:
    """Four bands of reflectance of 16 bits, scaled as a reader gives them: nearly black, but for a cloud."""
    ground = np.stack([_smooth(size, seed, 9) for seed in (3, 4, 5, 6)], axis=2)
    bands = 400 + 2200 * ground
    bands[_smooth(size, 7, 6) > 0.93] = 14000
    return (bands / 257).astype(np.float32)


def photograph(size: tuple[int, int]) -> Array:
    """A dark room with something orange in it, uint8."""
    height, width = size
    page = Image.fromarray((np.linspace(12, 60, height)[:, None, None] + np.zeros((height, width, 3))).astype(np.uint8))
    draw = ImageDraw.Draw(page)
    draw.ellipse((0.35 * width, 0.3 * height, 0.7 * width, 0.9 * height), fill=(205, 120, 40))
    draw.rectangle((0.05 * width, 0.1 * height, 0.2 * width, 0.6 * height), fill=(60, 90, 160))
    return np.asarray(page)


def paper(size: tuple[int, int]) -> Array:
    """Strokes on white, one channel, uint8."""
    height, width = size
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    for row in range(1, 6):
        for col in range(1, 9):
            x, y, r = col * width / 9, row * height / 6, height / 24
            draw.ellipse((x - r, y - r, x + r, y + r), outline=20, width=max(1, height // 60))
    return np.asarray(page)[:, :, None]


def _map(pixels: Array, labels: tuple[str, ...], place: Place, kind: str) -> ClassMap:
    height, width = pixels.shape[:2]
    step = max(2, height // 40)
    crop, half = Fraction(2 * step), Fraction(2 * step - 1, 2)
    rows, cols = ((side - 2 * step) // step + 1 for side in (height, width))
    grid = Grid(rows, cols, (Fraction(step),) * 2, (crop, crop), (half, half), (crop, crop), (height, width))
    logits = 12 * np.stack([_smooth((rows, cols), 20 + i, 6) for i in range(len(labels))])
    powers = np.exp(logits - logits.max(axis=0))
    scores = powers / powers.sum(axis=0) if kind == "probabilities" else logits
    scores[:, : rows // 5, : cols // 5] = np.nan  # without an answer
    exactness = "every cell equals its crop to floating-point rounding"
    return ClassMap(
        scores.astype(np.float32), grid, labels, "prob", "cast", exactness, pixels, place=place, score_kind=kind
    )


def _report(result: ClassMap) -> Image.Image:
    differences = np.abs(result.scores[0] - result.scores[1])
    at = np.argwhere(~np.isnan(differences))
    gaps = differences[at[:, 0], at[:, 1]]
    numbers = dict.fromkeys(("drawn", "agree", "free", "apart", "neither"), 1)
    measures = dict.fromkeys(("mean", "rank", "noise", "threshold"), 0.0)
    worst = at[gaps.argmax()]
    report = Report(
        image="i.png", exactness="", exact=True, parts_at=None, worst=(int(worst[0]), int(worst[1])), by_class={}, grid=result.grid,
        labels=result.labels, output=result.output, score_kind=result.score_kind, at=at, gaps=gaps, winners=np.zeros(len(at), int),
        source=result.pixels, select=Selection(), place=result.place, cells=differences.size, compared=len(at), largest=float(gaps.max()),
        **numbers, **measures,
    )  # fmt: skip
    return difference_picture(report)


def _field(result: ClassMap, pixels: Array) -> Image.Image:
    wide = replace(result.grid, field=(result.grid.crop[0] * 2, result.grid.crop[1] * 2))
    start = -float(result.grid.crop[0]) / 2
    return field_picture(wide, (start, start), to_picture(pixels), "prob", result.place).flat()


def every() -> dict[str, Callable[[], Image.Image]]:
    """What draws each picture, by its name."""
    subjects = {
        "slide": (slide, _TISSUES, Place((0.5, 0.5), "micrometer"), "probabilities"),
        "scene": (scene, _COVERS, Place((10.0, 10.0), "meter"), "logits"),
        "photograph": (photograph, tuple(f"class {i}" for i in range(40)), Place(), "probabilities"),
        "page": (paper, ("ring", "nothing"), Place(), "probabilities"),
    }
    found: dict[str, Callable[[], Image.Image]] = {}
    for subject, (draw, labels, place, kind) in subjects.items():
        for size, shape in SIZES.items():
            pixels = draw(shape)
            result = _map(pixels, labels, place, kind)
            stored = replace(result, pixels=None, image=pixels)
            found |= {
                f"{subject}-{size}-heat": lambda result=result: result.overlay(0),
                f"{subject}-{size}-winners": lambda result=result: result.overlay(),
                f"{subject}-{size}-field": lambda result=result, pixels=pixels: _field(result, pixels),
                f"{subject}-{size}-reduced": lambda stored=stored: stored.overlay(0, interpolate=True, cmap="inferno"),
                f"{subject}-{size}-report": lambda result=result: _report(result),
            }  # type: ignore[dict-item]
    return found
