"""Options that would change nothing beside the others: refused before the work, and not left aside without a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from fullconv.errors import BadInput

_LOOKS = {"alpha": "--alpha", "cmap": "--cmap", "interpolate": "--interpolate", "dpi": "--dpi"}
_HEATS = ("cmap", "interpolate")


def is_given(name: str) -> bool:
    """Whether an option was typed, by its parameter's name."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def require_of(option: str, name: str, *, used: bool, of: str) -> None:
    """BadInput where an option was typed that nothing uses.

    Args:
        of: what it is of, in words.
    """
    if is_given(name) and not used:
        raise BadInput(f"{option} is of {of}; leave it out, or give that too")


def require_mapped(options: Mapping[str, Any]) -> None:
    """Of a map, whatever it becomes."""
    crops = options["by"] == "crops"
    require_of("--fuse", "fuse", used=options["scales"] is not None, of="maps of several --scales")
    require_of("--batch", "batch", used=crops or options["confirm"] is not None, of="crops (--by crops, --confirm)")


def require_drawn(*, picture: bool, heat: bool) -> None:
    """Of pictures.

    Args:
        picture: one is written.
        heat: one is of the heat of a class.
    """
    for name, option in _LOOKS.items():
        require_of(option, name, used=picture, of="a picture, and none is written")
        if name in _HEATS:
            require_of(option, name, used=heat, of="the heat of one class (--class)")
