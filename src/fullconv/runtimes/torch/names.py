"""Names of a file's layers as names within an nn.Module."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import fx, nn

_NEVER = re.compile(r"""["'\\\x00-\x1f]""")  # names become Python code
_TAKEN = frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph())))  # what a module has already


def valid(names: Mapping[str, str]) -> dict[str, str]:
    """For each key its name, changed where a module cannot have it.

    Quotes and control characters become ``_``, as do empty parts; what a module has already, or what is a tensor and holds one, gets ``_``
    behind it, and so does the second of two alike.
    """
    made: dict[str, str] = {}
    used: set[str] = set()
    holders: set[str] = set()
    for key, name in names.items():
        *path, leaf = (_part(part) for part in name.split("."))
        while True:
            whole = ".".join([*path, leaf])
            above = {".".join([*path, leaf][:i]) for i in range(1, len(path) + 1)}
            blocking = next((i for i in range(1, len(path) + 1) if ".".join(path[:i]) in used), None)
            if blocking is not None:
                path[blocking - 1] += "_"
            elif whole in used or whole in holders:
                leaf += "_"
            else:
                break
        made[key] = whole
        used.add(whole)
        holders |= above
    return made


def _part(part: str) -> str:
    part = _NEVER.sub("_", part) or "_"
    return f"{part}_" if part in _TAKEN else part
