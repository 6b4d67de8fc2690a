"""What OpenVINO takes of a process's memory is what is told of it, by the system's own count in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import helpers as h

pytest.importorskip("openvino", reason="OpenVINO is an extra")

MEGA = 2**20
# Half of what is taken while it runs is weights, half values.
NET = (
    h.data(1, 3, 64, 64)
    + h.conv("a", "data", 64, 3, "stride: 2")
    + h.conv("b", "a", 512, 3, "stride: 2")
    + h.conv("c", "b", 512, 3, "stride: 2")
    + h.conv("d", "c", 512, 3)
    + h.conv("e", "d", 512, 3)
    + h.fc("fc", "e", 4)
)
# As a run is: a crop first, so that the library is there; then one shape of tiles.
PROCESS = """
import json, numpy as np
from fullconv.loading import load
from fullconv.maps.cost import engine_bytes
from fullconv.maps.ways import way_over
from fullconv.runtimes.lowered import Lowered
from fullconv.system.memory import give_back, resident_bytes

def peak(reset=False):
    if reset:
        open("/proc/self/clear_refs", "w").write("5")
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

way = way_over(load(*FILES))
model, image, (height, width) = way.model, way.model.graph.image, SIZE
run = lambda size: model.run(np.zeros((1, 3, *size), np.float32), outputs=[way.output], runtime="openvino")
run((64, 64))
give_back()
told, held = engine_bytes(way, "openvino")((1, 3, height, width)), resident_bytes()
peak(reset=True)
run((height, width))
run((height, width))
weights = sum(array.nbytes for array in model.lowered({image: (1, 3, height, width)}).weights.values())
print(json.dumps({"told": told, "taken": peak() - held, "weights": weights}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="a peak is counted anew on Linux alone")
@pytest.mark.parametrize("size", [(600, 600), (900, 1100)])
def test_what_is_told_is_what_the_system_counts(size: tuple[int, int], tmp_path: Path) -> None:
    files = h.model(NET).save(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    code = PROCESS.replace("FILES", str([str(path) for path in files])).replace("SIZE", str(size))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["weights"] > 25 * MEGA
    assert found["taken"] <= found["told"], found
    assert found["told"] <= 1.4 * found["taken"], (
        found
    )  # the process before it, which is counted as it is, comes to both
