"""The packaged example: a small network that reads handwritten digits, mapped over a page of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap, Peak
from fullconv.maps.crops import run_crops
from fullconv.maps.mapping import map_image, prepare, run_cast
from fullconv.maps.peaks import best_apart
from fullconv.rasters.view import read_image
from fullconv.system.guard import require_writable
from fullconv.trust.bench import interleaved

THRESHOLD = 0.9
NOTHING = "nothing here"
_NEAR = 8.0  # px from a digit's middle at which a find still means that digit


@dataclass(frozen=True)
class DemoResult:
    """What the demo found. Shares are of the digits on the page (found) and of all finds (false)."""

    digits: int
    found: int
    read_right: int
    false_finds: int
    finds: int
    threshold: float
    cells: int
    map_seconds: float
    crops_seconds: float
    largest_difference: float
    written: tuple[str, ...]

    @property
    def ratio(self) -> float:
        return self.crops_seconds / self.map_seconds

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}

    def __str__(self) -> str:
        lines = [
            f"{self.digits} digits on the page, {self.cells} cells, threshold {self.threshold:g}",
            f"found and read correctly {self.read_right} ({self.read_right / self.digits:.1%}); "
            f"found {self.found}; false finds {self.false_finds} of {self.finds} ({self.false_finds / max(1, self.finds):.1%})",
            f"map {self.map_seconds * 1e3:.1f} ms, the same cells as crops {self.crops_seconds * 1e3:.0f} ms: "
            f"{self.ratio:.0f} times as fast",
            f"largest difference between map and crops {self.largest_difference:.1e} (exact up to floating-point noise)",
        ]
        return "\n".join([*lines, *(f"wrote {path}" for path in self.written)])


@contextmanager
def demo_files() -> Iterator[Path]:
    """The folder of the packaged network and page."""
    with as_file(files("fullconv") / "data") as folder:
        yield folder


def demo(out: str | Path = "demo") -> DemoResult:
    """Cast the packaged network, map the packaged page, write the pictures to ``out`` and count."""
    targets = [Path(out) / name for name in ("page.npz", "page-7.png", "page.png")]
    for path in targets:
        require_writable(path)  # before the work
    if Path(out).exists() and not Path(out).is_dir():
        raise BadInput(f"{out}: is no folder; name one for the pictures")
    with demo_files() as data:
        model = load(data / "digits.prototxt", data / "digits.caffemodel")
        result = map_image(model, data / "page.png", preprocess="unit", labels=data / "labels.txt")
        truth = json.loads((data / "page.json").read_text(encoding="utf-8"))["digits"]
        values, _ = prepare(read_image(data / "page.png"), "unit", 1)
    finds = find_digits(result)
    written = _write(result, targets)
    full, output = model.cast(), result.output
    crops = []  # a run's answers; the warm-up's are as good as any
    jobs = {
        "map": lambda: run_cast(full, values, output),
        "crops": lambda: crops.append(run_crops(model, values, output, result.grid, batch=64)),
    }
    times = interleaved(jobs, 2)
    found, right, false = count(finds, truth)
    return DemoResult(
        digits=len(truth),
        found=found,
        read_right=right,
        false_finds=false,
        finds=len(finds),
        threshold=THRESHOLD,
        cells=result.grid.rows * result.grid.cols,
        map_seconds=times["map"],
        crops_seconds=times["crops"],
        largest_difference=float(abs(crops[0] - result.scores).max()),
        written=tuple(map(str, written)),
    )


def find_digits(result: ClassMap, threshold: float = THRESHOLD) -> list[Peak]:
    """Peaks of every digit; of two nearer than half a crop the better one."""
    every = [peak for label in result.labels if label != NOTHING for peak in result.peaks(label, threshold)]
    half = float(result.grid.crop[0]) / 4
    centres = [result.centre(peak.row, peak.col) for peak in every]
    boxes = [(x - half, y - half, x + half, y + half) for x, y in centres]
    return [every[i] for i in best_apart(boxes, [peak.score for peak in every], 0.0)]


def count(finds: list[Peak], truth: list[dict[str, Any]]) -> tuple[int, int, int]:
    """(digits found, digits found and read right, finds where no digit is or of the wrong one)."""
    found: set[int] = set()
    right: set[int] = set()
    false = 0
    for peak in finds:
        x, y = (peak.box[0] + peak.box[2]) / 2, (peak.box[1] + peak.box[3]) / 2
        near = [i for i, t in enumerate(truth) if max(abs(t["x"] - x), abs(t["y"] - y)) <= _NEAR]
        found.update(near)
        if near and truth[near[0]]["label"] == peak.label:
            right.add(near[0])
        else:
            false += 1
    return len(found), len(right), false


def _write(result: ClassMap, targets: list[Path]) -> list[Path]:
    scores, seven, winners = targets
    result.save(scores)
    result.save_picture(seven, "7")
    result.save_picture(winners)
    return targets
