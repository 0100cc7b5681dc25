"""TIFF that other programs open: ImageJ, and viewers of slides that want tiles and smaller levels."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_synth.files import read_image, tiff_writing, write_image
from napari_synth.imaging.image import ChannelInfo, Image

SLIDE = np.random.default_rng(0).integers(0, 255, (300, 211, 3), dtype=np.uint8)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a plane of more than 64 pixels be a large one."""
    monkeypatch.setattr(tiff_writing, "LARGEST_PLANE", 64)
    monkeypatch.setattr(tiff_writing, "TILE", 32)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("waits_in_files", [False, True])
def test_a_slide_is_tiled_and_has_smaller_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits_in_files: bool
) -> None:
    if waits_in_files:
        monkeypatch.setattr(tiff_writing, "_LEVELS_IN_MEMORY", 100)
    image = Image(
        da.from_array(SLIDE, chunks=(50, 50, 3)), "YXS", {"Y": 0.5, "X": 0.25}, {"Y": "micrometer", "X": "micrometer"}
    )
    write_image(tmp_path / "a.ome.tif", image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.tif"]
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_ome
        assert file.is_bigtiff
        assert len(file.series) == 1
        levels = file.series[0].levels
        assert [level.shape for level in levels] == [(300, 211, 3), (150, 106, 3), (75, 53, 3), (38, 27, 3)]
        assert len(file.pages.first.subifds) == 3
        assert all(level.keyframe.is_tiled for level in levels)
        np.testing.assert_array_equal(levels[0].asarray(), SLIDE)
        expected = SLIDE[:, :210].reshape(150, 2, 105, 2, 3).mean((1, 3))
        np.testing.assert_allclose(levels[1].asarray()[:, :105], expected, atol=0.51)
    back = read_image(tmp_path / "a.ome.tif")
    assert back.axes == "YXS"
    assert dict(back.spacing) == {"Y": 0.5, "X": 0.25}
    np.testing.assert_array_equal(back.read(), SLIDE)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("axes", ["TCYX", "ZYX", "YX", "CZYX"])
def test_planes_of_a_large_stack_have_levels_each(tmp_path: Path, axes: str) -> None:
    shape = tuple({"T": 2, "C": 3, "Z": 4, "Y": 90, "X": 70}[axis] for axis in axes)
    pixels = np.random.default_rng(1).integers(0, 60000, shape, dtype=np.uint16)
    channels = (ChannelInfo("a", (255, 0, 0)), ChannelInfo("b", (0, 255, 0)), ChannelInfo("c", (1, 2, 3)))
    write_image(
        tmp_path / "a.ome.tif", Image(pixels, axes, channels=channels if "C" in axes else ()), compression="zlib"
    )
    back = read_image(tmp_path / "a.ome.tif")
    assert back.axes == axes
    assert back.channels == (channels if "C" in axes else ())
    np.testing.assert_array_equal(back.read(), pixels)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.series[0].levels[1].shape == (*shape[:-2], 45, 35)


@pytest.mark.usefixtures("small_tiles")
def test_a_plain_tiff_stays_plain(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", Image(SLIDE, "YXS"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert not file.pages.first.is_tiled
        assert not file.pages.first.subifds


@pytest.mark.parametrize(
    ("dtype", "axes", "is_imagej"),
    [
        ("uint8", "TZCYX", True),
        ("uint16", "CYX", True),
        ("float32", "ZYX", True),
        ("uint8", "YXS", True),
        ("uint16", "YXS", False),
        ("float64", "YX", False),
        ("int32", "YX", False),
    ],
)
def test_imagej_gets_what_it_can_hold(tmp_path: Path, dtype: str, axes: str, is_imagej: bool) -> None:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 20, "X": 30, "S": 3}
    pixels = np.random.default_rng(0).integers(0, 200, [sizes[axis] for axis in axes]).astype(dtype)
    write_image(tmp_path / "a.tif", Image(pixels, axes))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert bool(file.is_imagej) is is_imagej
        assert not file.is_ome
    back = read_image(tmp_path / "a.tif")
    assert back.axes == axes
    np.testing.assert_array_equal(back.read(), pixels)


def test_a_file_too_large_for_imagej_is_a_plain_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_writing, "_LARGEST_CLASSIC_TIFF", 1000)
    image = Image(SLIDE[..., 0], "YX", {"X": 0.5}, {"X": "micrometer"})
    write_image(tmp_path / "a.tif", image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        assert not file.is_imagej
    assert dict(read_image(tmp_path / "a.tif").spacing) == {"X": 0.5}
