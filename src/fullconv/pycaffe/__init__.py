"""pycaffe's names over fullconv: ``import fullconv.pycaffe as caffe`` and scripts written for Caffe run.

Nets are read, edited, run and saved on the CPU in the test phase. Training (solvers, backward) is not here;
its names raise, saying what to use instead.
"""

from typing import Any, NoReturn

from fullconv.formats.caffe.layers.registry import LAYERS
from fullconv.formats.caffe.proto import caffe_pb2 as _pb
from fullconv.pycaffe import io, proto
from fullconv.pycaffe.blob import Blob
from fullconv.pycaffe.classifier import Classifier
from fullconv.pycaffe.detector import Detector
from fullconv.pycaffe.fillers import set_random_seed
from fullconv.pycaffe.net import Net
from fullconv.pycaffe.net_spec import NetSpec, layers, params, to_proto

TRAIN: int = _pb.TRAIN
TEST: int = _pb.TEST
__version__ = "1.0.0"  # the Caffe whose behaviour this is

__all__ = [
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
    "io",
    "layer_type_list",
    "layers",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "to_proto",
]


def set_mode_cpu() -> None:
    """Nets run on the CPU; nothing to set."""


def set_mode_gpu() -> None:
    """Accepted so that scripts run; nets run on the CPU all the same, with the same results."""


def set_device(gpu_id: int) -> None:
    """Accepted so that scripts run; there is no GPU to choose."""


def layer_type_list() -> list[str]:
    """Types of the layers that run."""
    return sorted(LAYERS)


def _no_training(*args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError(
        "fullconv does not train: use a training framework, and bring the weights here to cast and map them"
    )


get_solver = SGDSolver = NesterovSolver = AdaGradSolver = RMSPropSolver = AdaDeltaSolver = AdamSolver = _no_training
