"""The targets of images: a reader each, over files of the tests' own builders; folders of several files travel as archives."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import Selection, View
from fuzz import mutate
from fuzz.target import Target, Wrong

_SIDE, _LEVELS, _BANDS = 48, 4, 8


def _scene(bands: int = 3) -> np.ndarray:
    from tests.rasters import pictures

    return pictures.scene(70, 90, bands)


def _read(path: Path) -> None:
    """Corners of every level, as tiles are read."""
    refused: BadInput | None = None
    for level in range(_LEVELS):
        with closing(View(path, Selection(level=level) if level else None)) as view:
            if view.channels > _BANDS:
                raise BadInput(f"{path}: {view.channels} bands, which is more than are read here")
            height, width = view.size
            for top, left in {(0, 0), (max(0, height - _SIDE), max(0, width - _SIDE))}:
                rows, cols = (top, min(height, top + _SIDE)), (left, min(width, left + _SIDE))
                if view.stage_bytes(rows[1] - rows[0], cols[1] - cols[0]) > 1 << 30:
                    raise BadInput(f"{path}: its plan says that it takes too much")
                try:
                    pixels, missing = view.read(rows, cols)
                except Unreadable as error:
                    refused = error
                    continue
                if pixels.shape != (rows[1] - rows[0], cols[1] - cols[0], view.channels):
                    raise Wrong(f"a window is {pixels.shape}")
                if missing is not None and missing.shape != pixels.shape[:2]:
                    raise Wrong(f"what is missing is {missing.shape}")
            if level + 1 >= len(view.about.levels):
                break
    if refused is not None:
        raise refused


def _unpacked(name: str) -> Callable[[Path], None]:
    """A reader of what lies in an archive under a name."""

    def read(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with zipfile.ZipFile(path) as archive:
                    if sum(each.file_size for each in archive.infolist()) > 1 << 24:
                        raise BadInput(f"{path}: more than a case holds")
                    archive.extractall(folder)
            except BadInput:
                raise
            except Exception as error:
                raise BadInput(f"{path}: the archive itself is damaged ({error})") from None
            _read(Path(folder) / name)

    return read


def _packed(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                archive.write(each, each.relative_to(folder))
    return path


def _tiff_seeds(folder: Path) -> list[Path]:
    import tifffile
    from tests.rasters import pictures

    scene = _scene()
    ways = [
        {"photometric": "rgb", "tile": (32, 32), "compression": "deflate"}, {"photometric": "rgb", "rowsperstrip": 8, "compression": "lzw"},
        {"photometric": "rgb", "compression": "jpeg", "tile": (32, 32)}, {"photometric": "rgb"}, {"photometric": "rgb", "bigtiff": True},
        {"photometric": "rgb", "compression": "zstd", "planarconfig": "contig"},
    ]  # fmt: skip
    paths = [folder / f"{i}.tif" for i in range(len(ways))]
    for path, way in zip(paths, ways, strict=True):
        tifffile.imwrite(path, scene, **way)
    tifffile.imwrite(folder / "grey.tif", scene[:, :, 0].astype(np.uint16), predictor=True, compression="deflate")
    table = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(folder / "palette.tif", scene[:, :, 0], photometric="palette", colormap=table)
    return [*paths, folder / "grey.tif", folder / "palette.tif", pictures.ome_tiff(folder / "ome.tif", scene)]


def _geotiff_seeds(folder: Path) -> list[Path]:
    import rasterio
    from tests.rasters import pictures

    scene = _scene()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        folder / "mask.tif", "w", driver="GTiff", height=70, width=90, count=3, dtype="uint8", crs="EPSG:32631", transform=pictures.PLACE
    ) as file:  # fmt: skip
        file.write(scene.transpose(2, 0, 1))
        file.write_mask(scene[:, :, 0] > 99)
    return [
        folder / "mask.tif",
        pictures.geotiff(folder / "a.tif", scene, blockxsize=32, blockysize=32, overviews=(2,)),
        pictures.geotiff(folder / "b.tif", scene, tiled=False, compress="lzw", nodata=3),
        pictures.geotiff(folder / "c.tif", np.dstack([scene, scene[:, :, :1]]), alpha=True, compress="zstd"),
    ]


def _slide_seeds(folder: Path) -> list[Path]:
    from tests.rasters import pictures

    return [pictures.svs(folder / "a.svs", _scene(), tile=32)]


def _npy_seeds(folder: Path) -> list[Path]:
    arrays = [_scene(), _scene()[:, :, 0].astype(">u2"), np.asfortranarray(_scene().astype(np.float32)), _scene() > 99]
    for i, array in enumerate(arrays):
        np.save(folder / f"{i}.npy", array)
    return [folder / f"{i}.npy" for i in range(len(arrays))]


def _picture_seeds(folder: Path) -> list[Path]:
    from PIL import Image

    image = Image.fromarray(_scene())
    exif = Image.Exif()
    exif[274] = 6
    for name, how in (
        ("a.png", {}), ("b.jpg", {"exif": exif}), ("c.jpg", {"progressive": True}), ("d.webp", {}), ("e.bmp", {}), ("f.gif", {}),
        ("g.ppm", {}), ("h.tif", {}),
    ):  # fmt: skip
        image.save(folder / name, **how)
    image.quantize(8).save(folder / "i.png", transparency=3)
    return sorted(folder.glob("*.*"))


def _jp2_seeds(folder: Path) -> list[Path]:
    from rasterio.shutil import copy
    from tests.rasters import pictures

    copy(
        pictures.geotiff(folder / "x.tif", _scene()),
        folder / "x.jp2",
        driver="JP2OpenJPEG",
        QUALITY=100,
        REVERSIBLE="YES",
    )
    return [folder / "x.jp2"]


def _zarr_seeds(folder: Path) -> list[Path]:
    import zarr
    from tests.rasters import pictures

    seeds = []
    for i, make in enumerate(
        (
            lambda path: pictures.ome_zarr(path, _scene()),
            lambda path: pictures.ome_zarr(path, _scene(), "0.4"),
            lambda path: zarr.create_array(path, data=_scene(), chunks=(32, 32, 3), shards=(64, 64, 3)),
            lambda path: zarr.create_array(path, data=_scene(), chunks=(64, 64, 3), zarr_format=2, compressors="auto"),
        )
    ):
        make(folder / str(i) / "x.zarr")
        seeds.append(_packed(folder / f"{i}.zip", folder / str(i)))
    return seeds


def _vrt_seeds(folder: Path) -> list[Path]:
    from rasterio.shutil import copy
    from tests.rasters import pictures

    own = folder / "own"
    own.mkdir()
    copy(pictures.geotiff(own / "s.tif", _scene(), overviews=(2,)), own / "x.vrt", driver="VRT")
    return [_packed(folder / "a.zip", own)]


def _sidecar_seeds(folder: Path) -> list[Path]:
    import rasterio
    import tifffile
    from tests.rasters import pictures

    own = folder / "own"
    own.mkdir()
    scene = _scene()
    tifffile.imwrite(own / "x.tif", scene, photometric="rgb", metadata=None)
    tifffile.imwrite(
        own / "x.tif.ovr", np.ascontiguousarray(scene[::2, ::2]), photometric="rgb", subfiletype=1, metadata=None
    )
    tifffile.imwrite(own / "x.tif.msk", scene[:, :, 0], metadata=None)
    (own / "x.tfw").write_text("10\n0\n0\n-10\n500005\n4599995\n")
    (own / "x.prj").write_text(rasterio.crs.CRS.from_epsg(32631).to_wkt())
    with rasterio.open(
        folder / "y.png", "w", driver="PNG", height=70, width=90, count=3, dtype="uint8", crs="EPSG:32631", transform=pictures.PLACE
    ) as file:  # fmt: skip
        file.write(scene.transpose(2, 0, 1))
    (own / "x.tif.aux.xml").write_bytes((folder / "y.png.aux.xml").read_bytes())
    return [_packed(folder / "a.zip", own)]


def _dicom_seeds(folder: Path) -> list[Path]:
    from tests.rasters import dicom

    return [dicom.write(folder / f"{packing}.dcm", _scene(), packing) for packing in ("raw", "jpeg")]


def _hdf5_seeds(folder: Path) -> list[Path]:
    import h5py

    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("g/a", data=_scene(), chunks=(32, 32, 3), compression="gzip", shuffle=True)
    with h5py.File(folder / "y.h5", "w") as file:
        file["a"] = _scene()
    return [folder / "x.h5", folder / "y.h5"]


def _written_seeds(driver: str, suffix: str) -> Callable[[Path], list[Path]]:
    def seeds(folder: Path) -> list[Path]:
        import rasterio

        path = folder / f"x{suffix}"
        with rasterio.open(path, "w", driver=driver, height=70, width=90, count=3, dtype="uint8") as file:
            file.write(_scene().transpose(2, 0, 1))
        return [path]

    return seeds


def _netcdf_seeds(folder: Path) -> list[Path]:
    import h5py
    from scipy.io import netcdf_file

    with netcdf_file(folder / "x.nc", "w") as file:
        file.createDimension("y", 70)
        file.createDimension("x", 90)
        file.createVariable("a", ">f4", ["y", "x"])[:] = _scene()[:, :, 0]
    with h5py.File(folder / "y.nc", "w") as file:
        file["a"] = _scene()[:, :, 0]
        for i, (name, size) in enumerate((("y", 70), ("x", 90))):
            file[name] = np.arange(size, dtype=np.float64)
            file[name].make_scale(name)
            file["a"].dims[i].attach_scale(file[name])
    return [folder / "x.nc", folder / "y.nc"]


def _tags(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A TIFF of which entries of a directory have another tag, type, count or value."""
    array = bytearray(data)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return mutate.damaged(data, random, others)
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count_of, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    at = struct.unpack_from(order + word, data, 8 if big else 4)[0]
    directories = []
    while 0 < at < len(data) - 8 and len(directories) < 8 and at not in directories:
        directories.append(at)
        count = struct.unpack_from(order + count_of, data, at)[0]
        end = at + struct.calcsize(count_of) + count * size
        if end + 8 > len(data):
            break
        at = struct.unpack_from(order + word, data, end)[0]
    if not directories:
        return mutate.damaged(data, random, others)
    for _ in range(random.choice([1, 1, 2, 3])):
        start = random.choice(directories)
        count = struct.unpack_from(order + count_of, array, start)[0]
        entry = start + struct.calcsize(count_of) + random.randrange(max(1, count)) * size
        field, where = random.choice(
            [("H", 0), ("H", 2), (word, 4), (word, 4 + struct.calcsize(word)), (word, 4 + struct.calcsize(word))]
        )
        value = random.choice([*mutate.NUMBERS, random.randrange(600), random.randrange(len(data))])
        if entry + size <= len(array):
            struct.pack_into(
                "<" + field if order == "<" else ">" + field,
                array,
                entry + where,
                value & (256 ** struct.calcsize(field) - 1),
            )
    return bytes(array)


def _shaped(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A ``.npy`` file whose header says another shape, type or order."""
    head = io.BytesIO()
    shape = tuple(random.choice([*mutate.NUMBERS, 3, 70, 90]) for _ in range(random.choice([0, 1, 2, 3, 3, 4])))
    kind = random.choice(["|u1", "<f4", ">u2", "|O", "<U9", "<c8", "|V3", "<f2", "<i8", [("a", "<f4")], "nonsense"])
    text = repr({"descr": kind, "fortran_order": random.random() < 0.5, "shape": shape}).encode()
    head.write(b"\x93NUMPY\x01\0" + struct.pack("<H", len(text) + 1) + text + b"\n" + data[128:])
    return head.getvalue()


_XML = mutate.archive(mutate.either(mutate.text, mutate.text, mutate.damaged))
_ANY = mutate.archive(mutate.either(mutate.damaged, _tags, mutate.text))

TARGETS = (
    Target("tiff", ".tif", _tiff_seeds, mutate.either(mutate.damaged, _tags, _tags), _read),
    Target("geotiff", ".tif", _geotiff_seeds, mutate.either(mutate.damaged, _tags, _tags), _read),
    Target("slide", ".svs", _slide_seeds, mutate.either(mutate.damaged, _tags, _tags), _read),
    Target("npy", ".npy", _npy_seeds, mutate.either(mutate.damaged, _shaped), _read),
    Target("picture", ".png", _picture_seeds, mutate.damaged, _read),
    Target("jp2", ".jp2", _jp2_seeds, mutate.damaged, _read),
    Target("dicom", ".dcm", _dicom_seeds, mutate.damaged, _read),
    Target("hdf5", ".h5", _hdf5_seeds, mutate.either(mutate.damaged, mutate.hdf5), _read),
    Target("netcdf", ".nc", _netcdf_seeds, mutate.either(mutate.damaged, mutate.hdf5), _read),
    Target("hfa", ".img", _written_seeds("HFA", ".img"), mutate.damaged, _read),
    Target("nitf", ".ntf", _written_seeds("NITF", ".ntf"), mutate.damaged, _read),
    Target("zarr", ".zip", _zarr_seeds, mutate.archive(mutate.either(mutate.damaged, mutate.document)), _unpacked("x.zarr")),
    Target("vrt", ".zip", _vrt_seeds, mutate.either(_XML, _ANY), _unpacked("x.vrt")),
    Target("sidecars", ".zip", _sidecar_seeds, mutate.either(_XML, _ANY), _unpacked("x.tif")),
)  # fmt: skip
