"""Texts that an archive of PyTorch's (.pt2, TorchScript) has beside its network: torch.export's and torch.jit's extra files. Read as texts, never unpickled."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.formats.stated import CARD, LONGEST
from fullconv.system.zips import DAMAGED

_MOST = 16  # files that are looked at
_ULTRALYTICS = "config.txt"  # JSON of all that it says


def extras_of(path: Path) -> Mapping[str, str]:
    """Texts by their files' names; those of Ultralytics, which has one file of them all, by its own.

    Raises:
        BadInput: the card in it is larger than any.
    """
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [each for each in archive.infolist() if each.filename.split("/")[1:2] == ["extra"]]
            for each in inner[:_MOST]:
                name = each.filename.split("/", 2)[2]
                if each.file_size <= LONGEST:
                    found[name] = archive.read(each).decode("utf-8", "replace")
                elif name == CARD:
                    raise BadInput(f"{path}: the card in it is larger than any ({LONGEST >> 20} MB)")
    except DAMAGED as error:
        raise BadInput(f"{path}: truncated or damaged ({error})") from None
    more = _within(found.pop(_ULTRALYTICS, ""))
    return {**found, **more}


def _within(text: str) -> dict[str, str]:
    try:
        data = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
