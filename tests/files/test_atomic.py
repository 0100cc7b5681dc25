"""A file appears whole or not at all, whatever the disk does."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_synth.core.errors import ImageFileError
from napari_synth.files import atomic, check_place, clear_leftovers, naming_the_cause, replacing


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written"), (errno.EIO, "cannot be written")],
)
def test_what_the_disk_says_becomes_a_sentence(tmp_path: Path, number: int, said: str) -> None:
    def write() -> None:
        with replacing(tmp_path / "a", overwrite=False) as part:
            part.write_bytes(b"half")
            raise OSError(number, "the system's words")

    with pytest.raises(ImageFileError, match=said):
        write()
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def write() -> None:
        with replacing(tmp_path / "a", overwrite=True) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_file_that_came_in_between_is_kept(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "a", overwrite=False) as part:
            part.write_bytes(b"mine")
            (tmp_path / "a").write_bytes(b"another program's")

    with pytest.raises(ImageFileError, match="exists already"):
        write()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"another program's")]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="does not exist"), replacing(tmp_path / "no" / "a", overwrite=False):
        pass


@pytest.mark.parametrize(
    "error",
    [
        OSError("65536 requested and 65424 written"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        ValueError("I/O error: No space left on device (os error 28)"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_known_by_everybody_s_words(tmp_path: Path, error: Exception) -> None:
    def write() -> None:
        with replacing(tmp_path / "a", overwrite=False) as part:
            part.write_bytes(b"half")
            raise error

    with pytest.raises(ImageFileError, match="disk is full: free some space"):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_what_numpy_says_of_a_full_disk_is_understood(tmp_path: Path) -> None:
    def write() -> None:
        with naming_the_cause(tmp_path / "a"), Path("/dev/full").open("wb") as file:
            np.zeros(10**6).tofile(file)

    with pytest.raises(ImageFileError, match="disk is full"):
        write()


def test_errors_of_other_kinds_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), naming_the_cause(tmp_path / "a"):
        raise ZeroDivisionError


def leave(folder: Path, *, pid: int, start: int, name: str = "a.tif", old: bool = False) -> Path:
    """Leave what a process was writing."""
    left = folder / f".{name}.{atomic._host()}-{pid}-{start}-00112233.part{'.old' if old else ''}"
    left.write_bytes(b"half")
    return left


def test_what_a_killed_process_left_is_cleared_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    gone = leave(tmp_path, pid=2**22 + 7, start=1)
    reborn = leave(tmp_path, pid=os.getpid(), start=1, name="b.tif")
    alive = leave(tmp_path, pid=os.getpid(), start=int(psutil.Process().create_time()), name="c.tif")
    elsewhere = tmp_path / ".d.tif.ffffff-1-1-00112233.part"
    elsewhere.write_bytes(b"half")
    forgotten = tmp_path / ".e.tif.ffffff-1-1-00112233.part"
    forgotten.mkdir()
    (forgotten / "0").write_bytes(b"half")
    os.utime(forgotten, (0, 0))
    other = tmp_path / ".f.part"
    other.write_bytes(b"somebody else's")
    assert clear_leftovers(tmp_path) == 3
    assert not any(path.exists() for path in (gone, reborn, forgotten))
    assert all(path.exists() for path in (alive, elsewhere, other))


def test_what_was_moved_aside_when_the_process_died_comes_back(tmp_path: Path) -> None:
    leave(tmp_path, pid=2**22 + 7, start=1, old=True)
    (tmp_path / "b.tif").write_bytes(b"new")
    leave(tmp_path, pid=2**22 + 7, start=1, name="b.tif", old=True)
    clear_leftovers(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.tif": b"half", "b.tif": b"new"}


def test_a_part_is_named_after_its_process(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.b.tif", overwrite=False) as part:
        part.touch()
        found = atomic._PART.fullmatch(part.name)
        assert found is not None
        assert found["name"] == "a.b.tif"
        assert int(found["pid"]) == os.getpid()
        assert clear_leftovers(tmp_path) == 0


def test_a_folder_that_vanishes_is_an_error_and_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()

    def write() -> None:
        with replacing(folder / "a", overwrite=False) as part:
            shutil.rmtree(folder)
            folder.mkdir()
            part.write_bytes(b"whole")

    with pytest.raises(ImageFileError, match="removed 'a' while it was written"):
        write()
    assert not list(tmp_path.rglob("*"))


def test_a_place_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_place(tmp_path / "a.tif", 1000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ImageFileError, match="MiB left"):
        check_place(tmp_path / "a.tif", 2**60)

    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ImageFileError, match="may not be written"):
        check_place(tmp_path / "a.tif")


def test_something_is_done_right_before_the_file_appears(tmp_path: Path) -> None:
    seen: list[bool] = []
    with replacing(tmp_path / "a", overwrite=False, first=lambda: seen.append((tmp_path / "a").exists())) as part:
        part.touch()
    assert seen == [False]
    assert (tmp_path / "a").exists()
