"""Damage to files: of bytes anywhere, and of the fields that a format's own reader would look at."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import h5py
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

Mutator = Callable[[bytes, Random, Sequence[bytes]], bytes]
NUMBERS = [0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65535, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"), 0.5]
TEXTS = [
    "",
    "x",
    "data",
    "../x",
    "/dev/null",
    "\0",
    "a" * 300,
    "\x1b[31m",
    "é",
    "conv1",
    "NaN",
    "true",
    "1e999",
    "{}",
    "%s%n",
    "\ud800",
]
_MOST_BYTES = 1 << 20


def damaged(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Bits flipped, bytes written over, pieces cut, doubled or taken from another file."""
    array = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4, 16])):
        if not array:
            return bytes(array)
        at, roll = random.randrange(len(array)), random.random()
        length = min(random.choice([1, 2, 4, 8, 64, 512]), len(array) - at)
        if roll < 0.3:
            array[at] ^= 1 << random.randrange(8)
        elif roll < 0.5:
            array[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
        elif roll < 0.6:
            number = random.choice(NUMBERS) & (256**length - 1)
            array[at : at + length] = number.to_bytes(length, random.choice(["little", "big"]))
        elif roll < 0.7:
            del array[at : at + length]
        elif roll < 0.8:
            array[at:at] = array[at : at + length] * random.choice([1, 2, 20])
        elif roll < 0.9:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            array[at:at] = other[start : start + length]
        else:
            del array[at:]
    return bytes(array[:_MOST_BYTES])


def either(*mutators: Mutator) -> Mutator:
    """One of several kinds of damage, at random."""
    return lambda data, random, others: random.choice(mutators)(data, random, others)


def text(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Words and lines of a text swapped, doubled, dropped, or with other numbers."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    for _ in range(random.choice([1, 1, 2, 3])):
        if not lines:
            break
        i, roll = random.randrange(len(lines)), random.random()
        words = lines[i].split(" ")
        j = random.randrange(len(words))
        if roll < 0.4:
            words[j] = (
                str(random.choice([*NUMBERS, *FLOATS])) if any(c.isdigit() for c in words[j]) else random.choice(TEXTS)
            )
            lines[i] = " ".join(words)
        elif roll < 0.6:
            other = random.choice(others).decode("utf-8", "surrogateescape").split("\n")
            lines[i] = random.choice(other)
        elif roll < 0.75:
            lines.insert(i, lines[i])
        elif roll < 0.9:
            del lines[i]
        else:
            words.insert(j, random.choice(words))
            lines[i] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "replace")


def fields(kind: type[Message]) -> Mutator:
    """A protobuf message whose fields get other values, are dropped or repeated."""

    def mutate(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        message = kind()
        try:
            message.ParseFromString(data)
        except DecodeError:
            return damaged(data, random, others)
        for _ in range(random.choice([1, 1, 2, 3])):
            _change(_some_part(message, random), random)
        return message.SerializePartialToString()  # what a field lacks is damage too

    return mutate


def _some_part(message: Message, random: Random) -> Message:
    """The message itself or one within it."""
    while True:
        parts: list[Message] = []
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                parts += list(value) if _repeated(field) else [value]
        if not parts or random.random() < 0.25:
            return message
        message = random.choice(parts)


def _repeated(field: FieldDescriptor) -> bool:
    return bool(
        getattr(field, "is_repeated", None) if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    )


def _change(message: Message, random: Random) -> None:
    choices = [field for field, _ in message.ListFields()] or list(message.DESCRIPTOR.fields)
    if random.random() < 0.15:
        choices = list(message.DESCRIPTOR.fields)
    field = random.choice(choices)
    if random.random() < 0.15:
        message.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        if _repeated(field):
            values = getattr(message, field.name)
            if len(values) and random.random() < 0.5:
                values.add().CopyFrom(random.choice(list(values)))
            elif len(values):
                del values[random.randrange(len(values))]
            else:
                values.add()
        else:
            getattr(message, field.name).SetInParent()
    else:
        value = _scalar(field, random)
        try:
            if _repeated(field):
                values = getattr(message, field.name)
                if len(values) and random.random() < 0.6:
                    values[random.randrange(len(values))] = value
                else:
                    values.append(value)
            else:
                setattr(message, field.name, value)
        except (ValueError, TypeError, UnicodeError):  # out of the field's range
            message.ClearField(field.name)


def _scalar(field: FieldDescriptor, random: Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        value = random.choice(TEXTS)
        return value.encode("utf-8", "replace") if field.type == FieldDescriptor.TYPE_BYTES else value
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return random.choice(FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM and field.enum_type is not None:
        return random.choice(list(field.enum_type.values_by_number))
    return random.choice(NUMBERS) if random.random() < 0.5 else random.randrange(12)


def document(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A JSON document with other values, keys dropped or doubled, or values of another type."""
    try:
        found = json.loads(data)
    except ValueError:
        return damaged(data, random, others)
    for _ in range(random.choice([1, 1, 2, 3])):
        found = _value(found, random)
    return json.dumps(found).encode()


def _value(value: Any, random: Random) -> Any:
    """The value with one thing in it changed."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        roll = random.random()
        if roll < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if roll < 0.15:
            return {**value, random.choice(TEXTS): value[key]}
        return {**value, key: _value(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        i = random.randrange(len(value))
        roll = random.random()
        if roll < 0.1:
            return value[:i] + value[i + 1 :]
        if roll < 0.2:
            return [*value, value[i]]
        return [*value[:i], _value(value[i], random), *value[i + 1 :]]
    return random.choice(
        [None, True, [], {}, [[]], random.choice(NUMBERS), random.choice(FLOATS), random.choice(TEXTS)]
    )


def archive(inner: Mutator) -> Mutator:
    """A zip file with one of its members damaged, dropped, doubled or renamed."""

    def mutate(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as source:
                members = [(info, source.read(info)) for info in source.infolist()]
        except Exception:  # a damaged archive is damaged further
            return damaged(data, random, others)
        if not members:
            return data
        i = random.randrange(len(members))
        made = io.BytesIO()
        roll = random.random()
        with zipfile.ZipFile(made, "w") as out:
            for j, (info, content) in enumerate(members):
                name = info.filename
                if j == i and roll < 0.1:
                    continue
                if j == i and roll < 0.2:
                    name = random.choice(
                        ["../x", "/x", f"{name}/", name.upper(), random.choice(TEXTS).replace("\0", "") or "y"]
                    )
                if j == i and roll >= 0.2:
                    content = (document if name.endswith(".json") else inner)(content, random, [c for _, c in members])
                method = zipfile.ZIP_DEFLATED if random.random() < 0.1 else info.compress_type
                out.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content, method)
        return made.getvalue()

    return mutate


def hdf5(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """An HDF5 file with attributes changed, and groups or arrays dropped, moved or linked elsewhere."""
    held = io.BytesIO(data)
    try:
        with h5py.File(held, "r+") as file:
            parts: list[str] = []
            file.visit(parts.append)
            for _ in range(random.choice([1, 1, 2])):
                _change_hdf5(file, parts, random)
    except Exception:  # what h5py cannot do to a file, bytes can
        return damaged(data, random, others)
    return held.getvalue()


def _change_hdf5(file: h5py.File, parts: Sequence[str], random: Random) -> None:
    name = random.choice([*parts, "/"])
    item = file[name]
    roll = random.random()
    if item.attrs and roll < 0.5:
        key = random.choice(list(item.attrs))
        value = item.attrs[key]
        words = value.encode() if isinstance(value, str) else value
        if isinstance(words, bytes) and random.random() < 0.8:
            item.attrs[key] = document(words, random, [words])
        else:
            item.attrs[key] = random.choice([*NUMBERS[:-2], *FLOATS, "x", b"x"])
    elif name == "/":
        file[f"new{random.random()}"] = random.choice([1, [1.0, 2.0], "text"])
    elif roll < 0.65:
        del file[name]
    elif roll < 0.75:
        del file[name]
        file[name] = random.choice(
            [h5py.SoftLink("/nowhere"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/etc/passwd", "/")]
        )
    elif roll < 0.85:
        file.move(name, f"{name}x")
    else:
        del file[name]
        file[name] = random.choice([0, 1.5, [1, 2, 3], [[]], "text", float("nan"), [[1.0] * 3] * 2])
