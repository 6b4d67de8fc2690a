"""Text that is not UTF-8: writers that do not go through Python put their system's own letters into names, descriptions and comments."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_OCTAL = re.compile(r"\\\\|(?:\\[0-3][0-7]{2})+")  # as C++ prints bytes; or a backslash by itself
_BINARY = frozenset(map(chr, range(32))) - set("\t\n\v\f\r")


def as_text(message: Message) -> None:
    """Spell such bytes out (``caf\\xe9``), wherever they stand in a message: a name stays one and the same to all who use it, and can be shown and written."""
    todo = [message]
    while todo:
        part = todo.pop()
        for field, value in _texts(part):
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                todo += value if _is_several(value) else [value]
            elif field.type != FieldDescriptor.TYPE_STRING:
                continue
            elif isinstance(value, bytes):
                setattr(part, field.name, _spelt(value))
            elif _is_several(value) and any(isinstance(each, bytes) for each in value):
                value[:] = [_spelt(each) for each in value]


def text_of(raw: bytes) -> str | None:
    """A text file's contents, such bytes spelt out as a message's would be that was parsed of it; None where it is no text."""
    text = raw.decode("utf-8-sig", _ESCAPED)
    return None if _BINARY.intersection(text) else _OCTAL.sub(_of_octal, text)


def _texts(message: Message) -> Sequence[tuple[Any, Any]]:
    """The fields that are set; of a tensor those that are no numbers, which would be copied."""
    if message.DESCRIPTOR.name != "TensorProto":
        return message.ListFields()
    names = message.DESCRIPTOR.fields_by_name
    return [(names[name], getattr(message, name)) for name in ("name", "doc_string", "external_data")]


def _is_several(value: Any) -> bool:
    return not hasattr(value, "DESCRIPTOR") and not isinstance(value, str | bytes)


def _spelt(text: str | bytes) -> str:
    return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text


def _of_octal(found: re.Match[str]) -> str:
    digits = found[0].split("\\")[1:]
    if not digits[0]:
        return found[0]
    raw = bytes(int(each, 8) for each in digits)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", _ESCAPED)
    return found[0]


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), "it is for reading alone"
    return "".join(rf"\\x{byte:02x}" for byte in error.object[error.start : error.end]), error.end


_ESCAPED = "fullconv.escaped"
codecs.register_error(_ESCAPED, _escaped)
