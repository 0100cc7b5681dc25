"""A file that changes under a run is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_synth.core.errors import ImageFileError
from napari_synth.files import origin, read_image, write_image
from napari_synth.files.origin import FileOrigin
from napari_synth.imaging.image import Image

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)


def rewritten(path: Path) -> None:
    """Write other pixels of the same size, and pretend that it took no time."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replaced(path: Path) -> None:
    before, content = path.stat(), path.read_bytes()
    (path.parent / "new").write_bytes(content)
    (path.parent / "new").rename(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".ome.tif"])
@pytest.mark.parametrize("harm", [rewritten, replaced, grown, Path.unlink])
def test_the_result_of_a_file_that_changed_is_withdrawn(
    tmp_path: Path, suffix: str, harm: Callable[[Path], None]
) -> None:
    source = tmp_path / f"a{suffix}"
    write_image(source, Image(PIXELS, "YX"))
    image = read_image(source)
    assert image.origin is not None
    image.origin.check()
    harm(source)
    with pytest.raises(ImageFileError, match="while it was worked on: its result is withdrawn"):
        write_image(tmp_path / "b.tif", image.with_data(PIXELS + 1))
    assert not (tmp_path / "b.tif").exists()
    assert not list(tmp_path.glob(".*"))


def test_reading_again_and_looking_at_it_changes_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", Image(PIXELS, "YX"))
    image = read_image(tmp_path / "a.tif")
    (tmp_path / "a.tif").read_bytes()
    write_image(tmp_path / "b.tif", image)
    assert (tmp_path / "b.tif").exists()


def test_of_many_files_those_that_describe_a_zarr_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin, "MOST_FILES", 3)
    for number in range(9):
        (tmp_path / f"{number}").touch()
    (tmp_path / "zarr.json").write_text("{}")
    remembered = FileOrigin.of(tmp_path)
    assert len(remembered.states) == 4
    (tmp_path / "zarr.json").write_text("{ }")
    with pytest.raises(ImageFileError, match=r"its part 'zarr\.json'"):
        remembered.check()
