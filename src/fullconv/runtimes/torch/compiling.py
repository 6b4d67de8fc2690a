"""PyTorch's compiler, whose work is kept on the user's disk: another process with the same network and shape starts with it."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from typing import Any

import torch

from fullconv.system.remembered import cache_folder

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"


def compiled(module: torch.nn.Module, **how: Any) -> Any:
    """The module compiled, for each shape that it meets; as it runs first. Options are those of torch.compile."""
    _keep()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of PyTorch's own code, as it is imported
        return torch.compile(module, **{"dynamic": False} | how)


def _keep() -> None:
    """Keep what is compiled in fullconv's cache, unless the user says where: by itself it goes to a folder for all users, which a restart empties."""
    if _FOLDER in os.environ:
        return
    with suppress(OSError, RuntimeError):  # no home, a disk that is full: PyTorch's own place does
        folder = cache_folder() / "torch"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies there is run
        os.environ[_FOLDER] = str(folder)
