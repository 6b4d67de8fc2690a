"""What is read is never written over or into, and what fullconv did not write is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import fullconv
from fullconv.errors import BadInput, BrokenPromise
from fullconv.system.files import written_whole
from fullconv.system.guard import (
    MARK,
    guarded,
    is_own,
    reads,
    reads_images_of,
    require_file,
    require_folder,
    require_writable,
)


def write(path: Path, text: str = MARK) -> None:
    with written_whole(path) as (part,):
        part.write_text(text)


def test_what_fullconv_wrote_may_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write(path, f"{MARK}: 1")
    write(path, f"{MARK}: 2")
    assert path.read_text().endswith("2")
    assert list(path.parent.iterdir()) == [path]


def test_what_it_did_not_write_is_kept_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("mine")
    with pytest.raises(BadInput, match=r"did not write it, so it is kept.*--overwrite"):
        write(path)
    assert path.read_text() == "mine"
    with guarded(overwrite=True):
        write(path)
    assert is_own(path)


def test_a_writer_without_the_mark_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(BrokenPromise, match="mark"):
        write(tmp_path / "a.json", "no mark")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["same", "symlink", "hard link", "dots", "through a folder's link"])
def test_what_is_read_is_never_written_over_by_whatever_name(tmp_path: Path, name: str) -> None:
    read = tmp_path / "folder" / "net.onnx"
    write(read)
    other = tmp_path / "other.onnx"
    if name == "symlink":
        other.symlink_to(read)
    elif name == "hard link":
        os.link(read, other)
    elif name == "through a folder's link":
        (tmp_path / "link").symlink_to(read.parent)
        other = tmp_path / "link" / "net.onnx"
    elif name == "dots":
        other = tmp_path / "folder" / ".." / "folder" / "net.onnx"
    else:
        other = read
    with guarded(read, overwrite=True), pytest.raises(BadInput, match="never written over"):
        write(other, f"{MARK} again")
    assert read.read_text() == MARK


def test_nothing_is_written_into_a_store_that_is_read(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    (store / "0").mkdir(parents=True)
    with guarded(store, overwrite=True):
        for inside in (store / "zarr.json", store / "0" / "deep" / "a.tif"):
            with pytest.raises(BadInput, match=r"s\.zarr, which is read and never written into"):
                write(inside)
        for folder in (store, store / "0", tmp_path):
            with pytest.raises(BadInput):
                require_folder(folder)
        require_folder(tmp_path / "t.zarr")
        write(tmp_path / "beside.tif")


def test_images_of_a_folder_get_no_pictures_among_them(tmp_path: Path) -> None:
    with guarded():
        reads_images_of(tmp_path)
        with pytest.raises(BadInput, match="taken for one of them the next time"):
            write(tmp_path / "a.png")
        write(tmp_path / "maps" / "a.png")
    write(tmp_path / "a.png")


def test_what_is_said_to_be_read_holds_in_inner_scopes_and_ends_with_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path)
    with guarded():
        reads(path, None, "s3://bucket/x", "nul\0", 3)
        with guarded(), pytest.raises(BadInput):
            write(path)
    write(path)


def test_devices_pipes_and_folders_are_no_targets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, told in (
        (tmp_path / "pipe", "a device or a pipe"),
        (Path("/dev/null"), "a device"),
        (tmp_path / "folder", "a folder"),
    ):
        with guarded(overwrite=True), pytest.raises(BadInput, match=told):
            write(path)
    assert Path("/dev/null").is_char_device()


def test_names_of_every_length(tmp_path: Path) -> None:
    write(tmp_path / ("n" * 250 + ".json"))
    for name, told in (("n" * 256, "too long"), ("nul\0", "no name of a file")):
        with pytest.raises(BadInput, match=told):
            write(tmp_path / name)
        with pytest.raises(BadInput, match=r"too long|no name of a file"):
            require_file(tmp_path / name)
    with pytest.raises(BadInput, match="too long"):
        require_writable(tmp_path / ("n" * 256))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two files"), written_whole(tmp_path / "a", tmp_path / "b" / ".." / "a"):
        pass


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, told in (
        (tmp_path / "pipe", "a pipe"),
        (tmp_path, "a folder"),
        (tmp_path / "x", r"no such file \(labels\)"),
        (tmp_path / "pipe" / "x", "no such file"),
    ):
        with pytest.raises(BadInput, match=told):
            require_file(path, "labels")


def test_a_pointer_that_git_left_is_told(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "0" + "\nsize 46969679\n")
    with pytest.raises(BadInput, match=r"a pointer of Git LFS.*git lfs pull"):
        require_file(path)
    with pytest.raises(BadInput, match="a pointer of Git LFS"):
        fullconv.load(path)


def test_drives_urls_and_letters_of_another_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fullconv.results.local import Local
    from fullconv.results.places import storage_of
    from fullconv.system import guard
    from fullconv.system.files import written_whole

    for name in (r"C:\slides\a b.zarr", "C:/slides/x.zarr", "d://x.zarr", "x.zarr"):
        assert isinstance(storage_of(name), Local), name
        assert not guard.is_url(name)
    assert storage_of("file:///a%20b/x.zarr").path == Path("/a b/x.zarr")
    assert guard.is_url("s3://bucket/x.zarr")
    assert not guard._ignores_case(tmp_path)
    with written_whole(tmp_path / "a.npz", tmp_path / "A.npz") as parts:
        for part in parts:
            part.write_bytes(guard.MARK.encode())
    monkeypatch.setattr(guard, "_ignores_case", lambda folder: True)
    with (
        pytest.raises(BadInput, match="two files would be written by this name"),
        written_whole(tmp_path / "a.npz", tmp_path / "A.npz"),
    ):
        pass


def test_names_as_long_as_they_may_be(tmp_path: Path) -> None:
    """What is made beside a result has a name of its own, which a file system must take too."""
    from fullconv.results.local import Local

    storage = Local(tmp_path / f"{'x' * 250}.zarr")
    with storage.lock():
        storage.create("0" * 16, {"zarr.json": b"{}"})
    assert storage.exists()
    assert [p.name for p in tmp_path.iterdir()] == [storage.path.name]
