"""A whole slide in DICOM (PS3.3 A.32.8), as a scanner writes it: frames of one size in rows, in JPEG or as they are."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
_SYNTAX = {"raw": "1.2.840.10008.1.2.1", "jpeg": "1.2.840.10008.1.2.4.50"}
_LONG = ("OB", "OW", "SQ", "UN", "UT")


def element(tag: int, kind: str, value: bytes | str | int | list, size: int | None = None) -> bytes:
    """One element, explicit VR, little endian."""
    if isinstance(value, int):
        value = struct.pack({"US": "<H", "UL": "<I"}[kind], value)
    elif isinstance(value, list):  # a sequence of one item
        body = b"".join(value)
        value = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
    elif isinstance(value, str):
        value = value.encode()
    if len(value) % 2:
        value += b"\0" if kind in ("UI", "OB") else b" "
    length = len(value) if size is None else size
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode()
    return head + (struct.pack("<HI", 0, length) if kind in _LONG else struct.pack("<H", length)) + value


def frames(pixels: np.ndarray, side: int, packing: str) -> list[bytes]:
    height, width = pixels.shape[:2]
    found = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            frame = np.full((side, side, 3), 255, np.uint8)
            part = pixels[top : top + side, left : left + side]
            frame[: part.shape[0], : part.shape[1]] = part
            if packing == "raw":
                found.append(frame.tobytes())
                continue
            held = io.BytesIO()
            Image.fromarray(frame).save(held, "JPEG", quality=95, subsampling=0)
            found.append(held.getvalue() + b"\0" * (len(held.getvalue()) % 2))
    return found


def decoded(pixels: np.ndarray, packing: str, side: int = 32) -> np.ndarray:
    """What a slide of these pixels shows."""
    height, width = pixels.shape[:2]
    if packing == "raw":
        return pixels
    out = np.empty((-(-height // side) * side, -(-width // side) * side, 3), np.uint8)
    places = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    for (top, left), frame in zip(places, frames(pixels, side, packing), strict=True):
        out[top : top + side, left : left + side] = np.asarray(Image.open(io.BytesIO(frame)))
    return out[:height, :width]


def write(
    path: Path,
    pixels: np.ndarray,
    packing: str = "jpeg",
    side: int = 32,
    mpp: tuple[float, float] = (0.5, 0.5),
    level: int = 0,
    levels: int = 1,
) -> Path:
    """One level of a slide, (y, x) micrometres a pixel; levels of one series lie side by side in a folder."""
    height, width = pixels.shape[:2]
    parts = frames(pixels, side, packing)
    uid = f"1.2.3.4.{level + 1}"
    spacing = element(0x00280030, "DS", f"{mpp[0] / 1000:.6g}\\{mpp[1] / 1000:.6g}")
    measures = element(0x00289110, "SQ", [element(0x00180050, "DS", "0.001"), spacing])
    kind = "ORIGINAL\\PRIMARY\\VOLUME\\NONE" if level == 0 else "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"
    body = [
        element(0x00080008, "CS", kind), element(0x00080016, "UI", _WSI), element(0x00080018, "UI", uid), element(0x00080060, "CS", "SM"),
        element(0x0020000D, "UI", "1.2.3.1"), element(0x0020000E, "UI", "1.2.3.2"), element(0x00200011, "IS", "1"),
        element(0x00200052, "UI", "1.2.3.3"), element(0x00209311, "CS", "TILED_FULL"), element(0x00280002, "US", 3),
        element(0x00280004, "CS", "RGB" if packing == "raw" else "YBR_FULL_422"), element(0x00280006, "US", 0),
        element(0x00280008, "IS", str(len(parts))), element(0x00280010, "US", side), element(0x00280011, "US", side),
        element(0x00280100, "US", 8), element(0x00280101, "US", 8), element(0x00280102, "US", 7), element(0x00280103, "US", 0),
        element(0x00480006, "UL", width), element(0x00480007, "UL", height), element(0x00480302, "UL", 1), element(0x00480303, "UL", 1),
        element(0x52009229, "SQ", [measures]),
    ]  # fmt: skip
    if packing == "raw":
        body.append(element(0x7FE00010, "OW", b"".join(parts)))
    else:
        offsets, at = [], 0
        for part in parts:
            offsets.append(at)
            at += 8 + len(part)
        items = [struct.pack(f"<{len(offsets)}I", *offsets), *parts]
        packed = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(each)) + each for each in items)
        body.append(element(0x7FE00010, "OB", packed + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), 0xFFFFFFFF))
    meta = b"".join(
        (
            element(0x00020001, "OB", b"\0\1"), element(0x00020002, "UI", _WSI), element(0x00020003, "UI", uid),
            element(0x00020010, "UI", _SYNTAX[packing]), element(0x00020012, "UI", "1.2.3.9"),
        )
    )  # fmt: skip
    path.write_bytes(
        bytes(128)
        + b"DICM"
        + element(0x00020000, "UL", len(meta))
        + meta
        + b"".join(sorted(body, key=lambda e: (e[1], e[0], e[3], e[2])))
    )
    return path
