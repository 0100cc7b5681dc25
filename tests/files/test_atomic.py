"""A file appears whole or not at all, whatever the disk does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from napari_synth.core.errors import ImageFileError
from napari_synth.files import replacing


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
