"""Other programs over the same network and the same image: each a function that answers with the prob map."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Answer = Callable[[], np.ndarray]


def opencv(prototxt: Path, weights: Path, image: np.ndarray) -> Answer:
    """OpenCV 4's dnn, which reads Caffe files."""
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))

    def run() -> np.ndarray:
        net.setInput(image)
        return np.asarray(net.forward())

    return run


def torch_eager(weights: dict[str, tuple[np.ndarray, ...]], image: np.ndarray) -> Answer:
    """Eager PyTorch, the layers as plain calls."""
    import torch
    import torch.nn.functional as f

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    p = {name: [torch.tensor(np.array(a)) for a in blobs] for name, blobs in weights.items()}
    x = torch.from_numpy(image)

    def run() -> np.ndarray:
        with torch.inference_mode():
            y = f.max_pool2d(f.relu(f.conv2d(x, *p["conv1"], stride=4)), 3, 2, ceil_mode=True)
            y = f.local_response_norm(y, 5, 1e-4, 0.75, 1.0)
            y = f.max_pool2d(f.relu(f.conv2d(y, *p["conv2"], padding=2, groups=2)), 3, 2, ceil_mode=True)
            y = f.local_response_norm(y, 5, 1e-4, 0.75, 1.0)
            y = f.relu(f.conv2d(y, *p["conv3"], padding=1))
            y = f.relu(f.conv2d(y, *p["conv4"], padding=1, groups=2))
            y = f.max_pool2d(f.relu(f.conv2d(y, *p["conv5"], padding=1, groups=2)), 3, 2, ceil_mode=True)
            y = f.relu(f.conv2d(y, *p["fc6-conv"]))
            y = f.relu(f.conv2d(y, *p["fc7-conv"]))
            return np.asarray(f.softmax(f.conv2d(y, *p["fc8-conv"]), 1).numpy())

    return run


class Caffe:
    """Real Caffe in a process of its own: CAFFE_PYTHON is a Python that imports caffe."""

    SERVER = """
import os, sys
os.environ['GLOG_minloglevel'] = '2'
import caffe, numpy as np
net = caffe.Net(sys.argv[1], sys.argv[2], caffe.TEST)
image = np.load(sys.argv[3])
net.blobs['data'].reshape(*image.shape)
net.blobs['data'].data[...] = image
net.forward()
np.save(sys.argv[4], net.blobs['prob'].data)
for line in sys.stdin:
    net.forward()
    sys.stdout.write('done\\n')
    sys.stdout.flush()
"""

    def __init__(self, python: str, prototxt: Path, weights: Path, image: np.ndarray, folder: Path) -> None:
        np.save(folder / "image.npy", image)
        self._answer = folder / "answer.npy"
        files = [prototxt, weights, folder / "image.npy", self._answer]
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [python, "-c", self.SERVER, *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self) -> np.ndarray:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError(f"CAFFE_PYTHON={self._process.args!r:.60} did not run; does it import caffe?")
        return np.asarray(np.load(self._answer))

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def available() -> list[str]:
    """Which peers are installed."""
    from importlib.util import find_spec

    return [name for name in ("cv2", "torch", "openvino") if find_spec(name)]


def measured_in_a_fresh_process(code: str, *args: Any) -> dict[str, float]:
    """Run code in a process of its own and read the numbers that it prints as ``name value`` lines."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines() if line)}
