"""What a TorchScript archive is, and what its code may call, before PyTorch reads it.

TorchScript is no pickled Python: its interpreter runs the operators that the code names, and no others. Those that open files, start
processes or talk to other machines are refused, and so are operators of libraries beside PyTorch, by name.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.system.zips import DAMAGED

SUFFIXES = (".pt", ".pth", ".ts", ".torchscript", ".jit", ".ptl")  # the last for phones: bytecode beside the code
_LONGEST = 64 << 20  # bytes of code; a network's is some thousands
_MOST = 200_000  # members
_OWN = ("prim", "aten")  # namespaces of PyTorch's interpreter
_CUSTOM = re.compile(r"(?<![\w.])ops\.(\w+)\.(\w+)|__torch__\.torch\.classes\.([\w.]+)", re.ASCII)
_REACHES_OUT = re.compile(
    r"(?<![\w.])(?:torch|ops\.aten|ops\.prim)\.(from_file|save|load|_load\w*|_save\w*|set_data|rpc\w*|fork|awaitable\w*|\w*_rpc\w*)\b|(?<![\w.])(rpc_\w+|fork|open)\(",
    re.ASCII,
)
_DEVICE = re.compile(r'torch\.device\("(?!cpu")[^"\n]*"\)')


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive of TorchScript: it holds a network's code, and not its weights alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED:
        return False
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def checked(path: Path) -> io.BytesIO | Path:
    """The archive, harmless to load on a processor: itself, or a copy in memory whose code computes on the processor where it named a GPU.

    Raises:
        BadInput: damaged, too large for what it holds, or its code calls what a network has no need of.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(each.file_size for each in members)
            if len(members) > _MOST or total > 4 * path.stat().st_size + _LONGEST:
                raise BadInput(
                    f"{path}: is packed to much less than it becomes ({total:,} bytes); refused. Save it anew with torch.jit.save"
                )
            code = {each.filename: _text(archive, each, path) for each in members if _is_code(each.filename)}
            for text in code.values():
                _require_plain(text, path)
            moved = {name: _DEVICE.sub('torch.device("cpu")', text) for name, text in code.items()}
            return path if moved == code else _with(archive, moved)
    except DAMAGED as error:
        raise BadInput(f"{path}: truncated or damaged, not a TorchScript file ({error})") from None


def _is_code(name: str) -> bool:
    return "/code/" in name and name.endswith(".py")


def _text(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> str:
    if member.file_size > _LONGEST:
        raise BadInput(f"{path}: {member.filename} is too long to be a network's code")
    return archive.read(member).decode("utf-8")


def _require_plain(text: str, path: Path) -> None:
    """BadInput where code calls other than PyTorch's own operators, or those that reach beyond the network."""
    for match in _CUSTOM.finditer(text):
        space, name, kind = match.groups()
        if space not in _OWN:
            what = f"the operator {space}::{name}" if kind is None else f"the class {kind}"
            raise BadInput(
                f"{path}: needs {what}, which is not PyTorch's own; export the network to ONNX (torch.onnx.export) where it was made"
            )
    reaches = _REACHES_OUT.search(text)
    if reaches is not None:
        raise BadInput(f"{path}: its code calls {(reaches[1] or reaches[2])!r}, which no network needs; refused")


def _with(archive: zipfile.ZipFile, texts: dict[str, str]) -> io.BytesIO:
    """The archive with other code."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as copy:
        for each in archive.infolist():
            copy.writestr(each.filename, texts.get(each.filename, b"") or archive.read(each))
    made.seek(0)
    return made
