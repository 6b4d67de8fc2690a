"""More files that images come in: HFA, NITF, NetCDF, HDF5, and one image of several."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import zarr

from fullconv.errors import BadInput
from fullconv.rasters.access import Access
from fullconv.rasters.source import Unreadable
from fullconv.rasters.view import Selection, View
from tests.rasters import dicom, pictures
from tests.system.test_heaps import endless

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SCENE = pictures.scene(60, 70)
DEEP = SCENE.astype(np.float32) * 3 - 200


def seen(path: Path, name: str | None = None) -> tuple[np.ndarray, View]:
    with closing(View(path, Selection(access=Access(subdataset=name)))) as view:
        np.testing.assert_array_equal(
            view.read((7, 33), (11, 60))[0], view.read((0, view.size[0]), (0, view.size[1]))[0][7:33, 11:60]
        )
        return view.read((0, view.size[0]), (0, view.size[1]))[0], view


@pytest.mark.parametrize(("driver", "name"), [("HFA", "x.img"), ("NITF", "x.ntf")])
def test_what_gdal_writes(driver: str, name: str, tmp_path: Path) -> None:
    how = {"crs": "EPSG:32631", "transform": pictures.PLACE} if driver == "HFA" else {}
    with rasterio.open(tmp_path / name, "w", driver=driver, height=60, width=70, count=3, dtype="uint8", **how) as file:
        file.write(SCENE.transpose(2, 0, 1))
    pixels, view = seen(tmp_path / name)
    np.testing.assert_array_equal(pixels, SCENE)
    if how:
        assert view.about.transform == tuple(pictures.PLACE)[:6]
        assert rasterio.crs.CRS.from_wkt(view.about.crs).to_epsg() == 32631


def _netcdf(path: Path, version: int, **arrays: np.ndarray) -> Path:
    if version == 3:
        from scipy.io import netcdf_file

        with netcdf_file(path, "w") as file:
            for name, array in arrays.items():
                dims = [f"{name}{i}" for i in range(array.ndim)]
                for dim, size in zip(dims, array.shape, strict=True):
                    file.createDimension(dim, size)
                file.createVariable(name, array.dtype.newbyteorder(">"), dims)[:] = array
        return path
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
            for i, size in enumerate(array.shape):
                scale = f"{name}_{'yx'[i]}"
                file[scale] = np.arange(size, dtype=np.float64)
                file[scale].make_scale(scale)
                file[name].dims[i].attach_scale(file[scale])
    return path


@pytest.mark.parametrize("version", [3, 4])
def test_netcdf(version: int, tmp_path: Path) -> None:
    grey = DEEP[:, :, 0]
    one = _netcdf(tmp_path / "one.nc", version, height=grey)
    assert np.sort(seen(one)[0].ravel()).tolist() == np.sort(grey.ravel()).tolist()
    with rasterio.open(f"NETCDF:{one}:height") as judge:
        np.testing.assert_array_equal(seen(one)[0][:, :, 0], judge.read(1))
    two = _netcdf(tmp_path / "two.nc", version, height=grey, slope=grey + 1)
    with pytest.raises(
        BadInput, match=r"two\.nc: choose an image with --subdataset \(subdataset=\); it holds height, slope"
    ):
        View(two)
    np.testing.assert_array_equal(seen(two, "slope")[0], seen(two, "height")[0] + 1)
    with pytest.raises(BadInput, match="holds no image 'none'; choose"):
        seen(two, "none")


@pytest.mark.parametrize(
    "how", [{}, {"chunks": (20, 30, 3), "compression": "gzip"}, {"chunks": (20, 30, 3), "compression": "lzf"}]
)
def test_hdf5(how: dict, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", data=SCENE, **how)
        file["words"] = [b"a", b"b"]
    np.testing.assert_array_equal(seen(tmp_path / "x.h5")[0], SCENE)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["g/planes"] = SCENE.transpose(2, 0, 1).copy()
        file["g/deep"] = DEEP[:, :, 1].astype(">f4")
    with pytest.raises(
        BadInput, match=r"choose an image with --subdataset \(subdataset=\); it holds a \(60, 70, 3\), g/"
    ):
        View(tmp_path / "x.h5")
    np.testing.assert_array_equal(seen(tmp_path / "x.h5", "g/planes")[0], SCENE)
    np.testing.assert_array_equal(seen(tmp_path / "x.h5", "/g/deep")[0][:, :, 0], DEEP[:, :, 1])


@pytest.mark.parametrize("damage", ["gone", "another", "no scale", "text", "names", "too few", "of one axis"])
def test_dimensions_that_are_none_are_refused_before_they_end_the_process(damage: str, tmp_path: Path) -> None:
    """netCDF's library reads address 0 for a dimension that no name leads to."""
    path = _netcdf(tmp_path / "x.nc", 4, height=DEEP[:, :, 0])
    assert seen(path)[0].size
    with h5py.File(path, "r+") as file:
        if damage == "no scale":
            del file["height_y"].attrs["CLASS"]
        elif damage == "text":
            file["height"].attrs["DIMENSION_LIST"] = "height_y"  # a name that leads to a dimension, and no reference
        elif damage == "names":  # as many as there are axes, and each leads to a dimension
            file.move("height_y", "y")
            file["height"].attrs["DIMENSION_LIST"] = "yy"
        elif damage == "too few":
            listed = file["height"].attrs["DIMENSION_LIST"][:1]
            file["height"].attrs.create("DIMENSION_LIST", listed, dtype=h5py.vlen_dtype(h5py.ref_dtype))
        elif damage == "of one axis":
            file["line"] = [1.0, 2.0]
            file["line"].attrs["DIMENSION_LIST"] = "height_y"
        else:
            file.move("height_y", "hidden")
            kept = file["hidden"]
            del file["hidden"]
            if damage == "another":
                file["height_y"] = 1.0
            assert kept
    with pytest.raises(BadInput, match="lies along dimensions that are none"):
        View(path)


@pytest.mark.parametrize("name", ["x.h5", "x.nc"])
@pytest.mark.parametrize("kind", ["external", "link", "virtual"])
def test_a_file_of_arrays_leads_to_no_other(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "canary.bin").write_bytes(bytes([77]) * 4200)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = SCENE[:, :, 0]
    with h5py.File(tmp_path / name, "w") as file:
        if kind == "external":
            file.create_dataset("a", (60, 70), "u1", external=[(str(tmp_path / "canary.bin"), 0, 4200)])
        elif kind == "link":
            file["a"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/a")
        else:
            layout = h5py.VirtualLayout((60, 70), "u1")
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "a", (60, 70))
            file.create_virtual_dataset("a", layout)
    with pytest.raises(BadInput, match=r"'a' (is a link to another file|lie in other files)"):
        View(tmp_path / name)


def test_chunks_of_hdf5_become_what_they_should(tmp_path: Path) -> None:
    import zlib

    with h5py.File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset("a", (60, 70), "u1", chunks=(30, 35), compression="gzip")
        array[:] = SCENE[:, :, 0]
        array.id.write_direct_chunk((0, 0), zlib.compress(bytes(64 << 20), 1))
    with closing(View(tmp_path / "x.h5")) as view:
        np.testing.assert_array_equal(view.read((30, 60), (0, 70))[0], SCENE[30:, :, :1])
        with pytest.raises(Unreadable, match="decodes to more than"):
            view.read((0, 60), (0, 70))


@pytest.mark.parametrize("name", ["x.h5", "x.nc"])
def test_chunks_that_no_memory_holds_are_told_before_they_are_read(name: str, tmp_path: Path) -> None:
    import zlib

    path = tmp_path / name
    with h5py.File(path, "w") as file:  # of which nothing is stored
        file.create_dataset("a", (60_000, 60_000), "u1", chunks=(60_000, 60_000), maxshape=(None, None))
    with pytest.raises(BadInput, match=r"stored in chunks \(60000, 60000\) of 3,600 MB"):
        View(path)
    with h5py.File(path, "w") as file:
        array = file.create_dataset("a", (60, 70), "u1", chunks=(30, 35), compression="gzip")
        array.id.write_direct_chunk((30, 35), zlib.compress(bytes(64 << 20), 1))
    with pytest.raises(BadInput, match="decodes to more than"), closing(View(path)) as view:
        view.read((0, 60), (0, 70))
    if name == "x.nc":
        return  # the library of NetCDF has no LZF
    with h5py.File(path, "w") as file:
        array = file.create_dataset("a", (60, 70), "u1", chunks=(30, 35), compression="lzf")
        array[:] = SCENE[:, :, 0]
    with closing(View(path)) as view:
        assert view.read((0, 60), (0, 70))[0].shape == (60, 70, 1)
    with h5py.File(path, "r+") as file:
        file["a"].id.write_direct_chunk((0, 0), bytes(4000))
    with pytest.raises(BadInput, match="is packed, and should be of 1,050"), closing(View(path)) as view:
        view.read((0, 60), (0, 70))


@pytest.mark.parametrize("name", ["x.h5", "x.nc"])
def test_a_heap_without_end_is_told(name: str, tmp_path: Path) -> None:
    endless(tmp_path / "a.h5").rename(tmp_path / name)
    with pytest.raises(BadInput, match="text of no end"):
        View(tmp_path / name)


def test_one_array_of_a_zarr_group(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    group.create_array("a", data=SCENE)
    group.create_array("g/b", data=255 - SCENE)
    np.testing.assert_array_equal(seen(tmp_path / "x.zarr", "g/b")[0], 255 - SCENE)
    with pytest.raises(BadInput, match="holds no array or group 'c'"):
        seen(tmp_path / "x.zarr", "c")
    pictures.png(tmp_path / "x.png", SCENE)
    with pytest.raises(BadInput, match="chooses an image of HDF5, NetCDF, NITF and Zarr; this is none of them"):
        seen(tmp_path / "x.png", "c")


@pytest.mark.parametrize("packing", ["raw", "jpeg"])
def test_slides_in_dicom(packing: str, tmp_path: Path) -> None:
    """Frames decoded one by one by Pillow are the judge."""
    path = dicom.write(tmp_path / "a.dcm", SCENE, packing, mpp=(0.5, 0.25))
    half = np.ascontiguousarray(SCENE[::2, ::2])
    dicom.write(tmp_path / "b.dcm", half, packing, mpp=(1.0, 0.5), level=1)
    with closing(View(path)) as view:
        assert view.about.pixel_size == (0.5, 0.25)
        assert view.about.unit == "micrometer"
        assert [(level.height, level.width) for level in view.about.levels] == [(60, 70), (30, 35)]
    for level, scene in enumerate((SCENE, half)):
        judge = dicom.decoded(scene, packing)
        with closing(View(path, Selection(level=level))) as view:
            pixels, missing = view.read((0, view.size[0]), (0, view.size[1]))
            assert missing is None
            assert np.abs(pixels - judge.astype(int)).max() <= (
                0 if packing == "raw" else 2
            )  # two builds of one decoder
    if packing == "jpeg":
        data = path.read_bytes()
        at = data.index(b"\xe0\x7f\x10\0OB") + 12  # the table of frames
        count = int.from_bytes(data[at + 4 : at + 8], "little") // 4
        assert count == 6
        (tmp_path / "b.dcm").write_bytes(data[: at + 10] + b"\xff" + data[at + 11 :])
        with pytest.raises(
            BadInput, match=r"b\.dcm: .*its frames do not lie where its table says"
        ):  # libdicom reads what is not its own
            View(path)
        (tmp_path / "b.dcm").unlink()
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(BadInput, match=r"a\.dcm: cannot be opened as a slide"):
        View(path)
