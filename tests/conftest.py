"""Where tests find real models and goldens, and small helpers over them."""

from __future__ import annotations

import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # tests side by side have a processor each; before the libraries look
    for each in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FULLCONV_THREADS"):
        os.environ.setdefault(each, "1")

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from fullconv.loading import load
from fullconv.model import Model

# torchvision beside PyTorch's CPU build imports once the operators that it misses are declared; timm needs it too.
torch.library.define("torchvision::nms", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
torch.library.define("torchvision::qnms", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")

# A busy machine is no bug; what fails prints how to draw it again.
# The same cases on every machine and in every run; others by hand: FULLCONV_RANDOM=1 make test.
settings.register_profile("fullconv", deadline=None, print_blob=True, derandomize="FULLCONV_RANDOM" not in os.environ)
settings.load_profile("fullconv")

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests" / "goldens"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name != "test_docs.py")


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: a run that hands its memory back need not look through them each time."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real trained models and images, which are not part of the repository."""
    path = Path(os.environ.get("FULLCONV_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no test data at {path}; set FULLCONV_TEST_DATA to the folder of real models and images")
    return path


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is remembered is of one run of the tests."""
    os.environ["FULLCONV_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@dataclass(frozen=True)
class Golden:
    """What Caffe computed: a network, its inputs and its blobs."""

    prototxt: Path
    weights: Path
    inputs: dict[str, np.ndarray]
    blobs: dict[str, np.ndarray]


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str], Golden]:
    """Open a golden of this repository by name."""

    def open_golden(name: str) -> Golden:
        prototxt, weights = tmp_path / f"{name}.prototxt", tmp_path / f"{name}.caffemodel"
        with np.load(GOLDENS / f"{name}.npz") as data:
            prototxt.write_bytes(data["prototxt"].tobytes())
            weights.write_bytes(data["caffemodel"].tobytes())
            inputs = {key[3:]: data[key] for key in data.files if key.startswith("in:")}
            blobs = {key[4:]: data[key] for key in data.files if key.startswith("out:")}
        return Golden(prototxt, weights, inputs, blobs)

    return open_golden


@pytest.fixture(scope="session")
def lenet(shared: Path) -> Model:
    """The trained LeNet: 1×28×28, no padding, exact."""
    folder = shared / "caffe" / "lenet_mnist_caffe_v1"
    return load(folder / "lenet.prototxt", folder / "lenet_iter_10000.caffemodel")


@pytest.fixture(scope="session")
def quick(shared: Path) -> Model:
    """The trained CIFAR-10 quick net: 3×32×32, padded, ceil pooling."""
    folder = shared / "caffe" / "cifar10_quick_caffe_v1"
    return load(folder / "cifar10_quick.prototxt", folder / "cifar10_quick_iter_5000.caffemodel")


@pytest.fixture(scope="session")
def cat(shared: Path) -> Path:
    return shared / "images" / "caffe" / "cat.jpg"


def worst(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))
