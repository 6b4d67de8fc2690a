"""Optional libraries, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fullconv.errors import MissingExtra


def library(module: str, name: str, install: str | None = None) -> Any:
    """A module of a library that may not be there, or be there and not work, as torchvision beside a PyTorch of another build.

    Args:
        install: what pip is to install; the library itself by default.

    Raises:
        MissingExtra: it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{name} cannot be imported ({_first(error)}); install it with: pip install {install or name}"
        ) from None
    except (RuntimeError, AttributeError) as error:  # what is registered with a PyTorch that is not its own
        raise MissingExtra(
            f"{name} does not work with what is installed beside it ({_first(error)}); install a PyTorch and a torchvision that belong together"
        ) from None


def _first(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
