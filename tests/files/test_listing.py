"""What a pattern means: images, each once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_synth.core.errors import ImageFileError
from napari_synth.files import find_images, write_image
from napari_synth.imaging.image import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = Image(np.zeros((8, 8), np.uint8), "YX")
    for name in ("a 1.tif", "day 1/b.png", "day 1/deep/c.ome.zarr", "d.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name, image)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "day 1" / "b.png.recipe.yaml").write_text("no image")
    return tmp_path


def found(pattern: Path | str, folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in find_images(str(pattern))[0])


def test_a_pattern_of_all_folders_takes_each_image_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = ["a 1.tif", "d.npy", "day 1/b.png", "day 1/deep/c.ome.zarr"]
    assert found(folder / "**" / "*", folder) == every
    monkeypatch.chdir(folder)
    assert sorted(path.as_posix() for path in find_images("**/*")[0]) == every


def test_a_pattern_that_names_a_suffix_or_a_store_means_it(folder: Path) -> None:
    # A reader of another package may know what none of ours does.
    assert found(folder / "*.txt", folder) == ["notes.txt"]
    inner = folder / "day 1" / "deep" / "c.ome.zarr"
    assert found(inner / "*", folder) == ["day 1/deep/c.ome.zarr/0"]
    with pytest.raises(ImageFileError, match="There is no image"):
        find_images(str(folder / "n*"))
