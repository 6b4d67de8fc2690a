"""Archives whose directory states what no reader can do: told, whichever format they are of."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from fullconv.errors import BadInput
from fullconv.loading import load

# Where in a member's entry of the directory, and what is put there.
DAMAGES = {"a version to come": (6, 127), "encrypted": (8, 1), "a packing of no name": (10, 99), "elsewhere": (42, 0x7FFFFFF0), "a longer name": (28, 60_000)}  # fmt: skip
MEMBERS = {
    ".pt": ("net/data.pkl", "net/constants.pkl", "net/code/__torch__.py", "net/version"),
    ".pt2": ("net/archive_format", "net/models/model.json", "net/version", "net/extra/card"),
    ".keras": ("config.json", "metadata.json", "model.weights.h5"),
}


def archive(members: tuple[str, ...]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name in members:
            file.writestr(name, "{}")
    return made.getvalue()


def damaged(data: bytes, at: int, number: int) -> bytes:
    """The same with a number in every entry of its directory."""
    spoiled, entry = bytearray(data), data.find(b"PK\1\2")
    while entry >= 0:
        size = 4 if at == 42 else 2
        spoiled[entry + at : entry + at + size] = struct.pack("<I" if size == 4 else "<H", number)
        entry = data.find(b"PK\1\2", entry + 1)
    return bytes(spoiled)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [*MEMBERS, ".pth"])
def test_damaged_archives_are_told(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save({"conv.weight": torch.zeros(4, 3, 3, 3)}, path)
    whole = path.read_bytes() if suffix == ".pth" else archive(MEMBERS[suffix])
    path.write_bytes(damaged(whole, *DAMAGES[damage]))
    with pytest.raises(BadInput, match="net"):
        load(path)
