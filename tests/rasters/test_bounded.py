"""What a chunk becomes is known before it is decoded."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from contextlib import closing
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from fullconv.errors import BadInput
from fullconv.rasters.bounded import require_bounded
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import View
from tests.rasters import pictures

SCENE = pictures.scene(64, 64)
MUCH = 200 << 20  # bytes
V3 = {"gzip": GzipCodec(), "zstd": ZstdCodec(), "blosc": BloscCodec()}
V2 = {
    "gzip": numcodecs.GZip(1), "zlib": numcodecs.Zlib(1), "bz2": numcodecs.BZ2(1), "lzma": numcodecs.LZMA(), "zstd": numcodecs.Zstd(1),
    "lz4": numcodecs.LZ4(), "blosc": numcodecs.Blosc(),
}  # fmt: skip


def written(path: Path, kind: str, version: int, shards: bool = False) -> Path:
    more = {"compressors": [V3[kind]]} if version == 3 else {"compressors": V2[kind]}
    sharded = {"shards": (128, 128, 3)} if shards else {}
    zarr.create_array(path, data=np.tile(SCENE, (2, 2, 1)), chunks=(64, 64, 3), zarr_format=version, **more, **sharded)
    return path


@pytest.fixture(scope="module")
def zeros() -> bytes:
    return bytes(MUCH)


def bomb(kind: str, zeros: bytes) -> bytes:
    if kind in ("gzip", "zlib", "bz2", "lzma"):
        made = {"gzip": lambda z: gzip.compress(z, 1), "zlib": lambda z: zlib.compress(z, 1), "bz2": lambda z: bz2.compress(z, 1),
                "lzma": lambda z: lzma.compress(z, preset=0)}[kind]  # fmt: skip
        return made(zeros)
    return bytes(V2[kind].encode(zeros))


@pytest.mark.parametrize(("kind", "version"), [*((kind, 3) for kind in V3), *((kind, 2) for kind in V2)])
def test_a_chunk_that_would_become_more_is_not_decoded(kind: str, version: int, zeros: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "x.zarr", kind, version)
    (path / ("c/0/0/0" if version == 3 else "0.0.0")).write_bytes(bomb(kind, zeros))
    with closing(View(path)) as view:
        np.testing.assert_array_equal(view.read((64, 128), (0, 64))[0], SCENE)
        tracemalloc.start()
        try:
            with pytest.raises(Unreadable, match=r"decodes to more than 16,777,216, and should to 12,288"):
                view.read((0, 64), (0, 64))
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()


def test_chunks_within_shards_are_measured_too(zeros: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x.zarr", "zstd", 3, shards=True)
    with closing(View(path)) as view:
        np.testing.assert_array_equal(view.read((0, 128), (0, 128))[0], np.tile(SCENE, (2, 2, 1)))
    monkeypatch.setattr("fullconv.rasters.bounded._SURELY", 0)
    monkeypatch.setattr("fullconv.rasters.bounded._SLACK", -(2 << 20))
    with closing(View(path)) as view:
        for rows in ((0, 128), (0, 64)):
            with pytest.raises(Unreadable, match="decodes to more than"):
                view.read(rows, (0, 64))


@pytest.mark.parametrize("kind", V2)
def test_what_a_chunk_should_be_passes(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8).tobytes()
    for data in (noise, bytes(1 << 20), noise[:1]):
        packed = bomb(kind, data)
        require_bounded(kind, packed, len(data))
        require_bounded(kind, packed[: len(packed) // 2], len(data))


def test_frames_that_state_no_size_are_bounded_by_their_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of zstd without its size: window of 1 kB, blocks of one byte repeated."""
    frame = (
        bytes.fromhex("28b52ffd")
        + b"\x00\x00"
        + b"".join((0x20000 << 3 | 2).to_bytes(3, "little") + b"\0" for _ in range(4096))
    )
    with pytest.raises(Unreadable, match="decodes to more"):
        require_bounded("zstd", frame, 1000)
    require_bounded("zstd", frame[: 6 + 4 * 10], 1000)


def test_codecs_that_nobody_can_measure_are_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=SCENE, zarr_format=2, compressors=numcodecs.Zlib(1))
    with pytest.raises(BadInput, match="packed by lzf, of which nobody knows"):
        require_bounded("lzf", b"", 1)


def test_planes_in_other_files_are_not_read(tmp_path: Path) -> None:
    """OME's description may name any file; tifffile opens it, wherever it lies."""
    import tifffile

    plane = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own").mkdir()
    secret, path = tmp_path / "elsewhere" / "b.ome.tif", tmp_path / "own" / "a.ome.tif"

    def described(uuid: str) -> str:
        planes = "".join(
            f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{c}</UUID></TiffData>'
            for c, name in enumerate(("a.ome.tif", "../elsewhere/b.ome.tif"))
        )
        return (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}"><Image ID="Image:0"><Pixels ID="P" '
            'DimensionOrder="XYCZT" Type="uint8" SizeX="48" SizeY="64" SizeC="2" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" '
            f'PhysicalSizeY="0.5">{planes}</Pixels></Image></OME>'
        )

    tifffile.imwrite(path, plane, description=described("0"), metadata=None, photometric="minisblack")
    tifffile.imwrite(secret, 255 - plane, description=described("1"), metadata=None, photometric="minisblack")
    assert tifffile.imread(path).shape == (2, 64, 48), "it would be followed"
    with closing(View(path)) as view:
        assert (view.about.bands, view.about.pixel_size) == (1, (0.5, 0.5))
        assert any("names planes in other files (OME), which are not read" in each for each in view.remarks)
        np.testing.assert_array_equal(view.read((0, 64), (0, 48))[0][:, :, 0], plane)
