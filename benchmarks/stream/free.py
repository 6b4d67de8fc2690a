"""One run of the stream with an engine that costs nothing: what is left is reading, decoding, writing and marking. Prints a line of JSON.

    python -m benchmarks.stream.free IMAGE OUT [--memory 2] [--stored float16] [--where auto]

The network steps by 32 pixels and has 10 classes. It is not run: its scores are made once, and every tile is given them.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import fullconv
from fullconv.stream import work

_CROP, _STEP, _CLASSES = 64, 32, 10


def network(folder: Path) -> fullconv.Model:
    """A classifier of crops of 64 pixels that steps by 32."""
    weights = np.random.default_rng(0).normal(0, 0.01, (_CLASSES, 3, _CROP, _CROP)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["cells"], kernel_shape=[_CROP, _CROP], strides=[_STEP, _STEP]),
        helper.make_node("Flatten", ["cells"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["prob"], axis=1),
    ]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, _CROP, _CROP])
    gives = helper.make_tensor_value_info("prob", TensorProto.FLOAT, [1, _CLASSES])
    graph = helper.make_graph(nodes, "free", [given], [gives], [numpy_helper.from_array(weights, "weights")])
    path = folder / "free.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return fullconv.load(path)


@dataclass
class Free:
    """A door that answers at once."""

    scores: np.ndarray
    depth: int = 2

    def start(self, loaded: Any) -> Any:
        loaded.pixels = None  # as a door does that has taken them in
        return loaded

    def finish(self, loaded: Any) -> Any:
        return done(loaded, self.scores)

    def close(self) -> None:
        """Nothing is held."""


def done(loaded: Any, scores: np.ndarray) -> Any:
    rows, cols = loaded.answers.shape
    given = scores[:, :rows, :cols].copy()
    given[:, ~loaded.answers] = np.nan
    return Done(loaded.tile, given, None, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--memory", type=float, default=2.0, help="GB")
    parser.add_argument("--stored", default="float32")
    parser.add_argument("--where")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    scores = np.random.default_rng(0).dirichlet(np.ones(_CLASSES), (2048, 2048)).astype(np.float32).transpose(2, 0, 1)
    scores = np.ascontiguousarray(scores)
    if hasattr(work.Worker, "door"):
        work.Worker.door = lambda self, shape: Free(scores)
    else:  # of fullconv as it was before: preprocessing was a part of reading
        work.Worker.run = lambda self, loaded: done(loaded, scores)
    seen: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        model = network(Path(folder))
        how = {
            "preprocess": "imagenet",
            "memory": int(options.memory * 1e9),
            "stored": options.stored,
            "where": options.where,
        }

        def report(event: str, what: Any) -> None:
            if event == "plan":
                seen["start"] = perf_counter(), process_time()
            seen[event] = what

        fullconv.map_raster(model, options.image, options.out, restart=True, report=report, **how)
        wall, cpu = perf_counter() - seen["start"][0], process_time() - seen["start"][1]
    height, width = seen["plan"]["size"]
    told = {
        "megapixels": height * width / 1e6, "seconds": wall, "processor_seconds": cpu, "tiles": seen["plan"]["tiles"],
        "stages": seen["done"].get("stages", {}), "limit": seen["done"].get("text", ""),
    }  # fmt: skip
    print(json.dumps(told))


try:
    from fullconv.stream.door import Done
except ImportError:  # as it was before
    from fullconv.stream.work import Done

if __name__ == "__main__":
    main()
