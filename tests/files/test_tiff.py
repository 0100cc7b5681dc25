"""TIFF files of other programs, and files that are larger than memory should hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_synth.files import read_image, tiff, tiff_writing, write_image
from napari_synth.files.raw import RawArray
from napari_synth.imaging.image import Image

PIXELS = np.arange(2 * 3 * 4 * 20 * 30, dtype=np.uint16).reshape(2, 3, 4, 20, 30)


def test_imagej_axes_spacing_and_units(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS,
        imagej=True,
        resolution=(1 / 0.2, 1 / 0.1),
        metadata={"axes": "TZCYX", "spacing": 0.7, "unit": "um", "finterval": 3.5},
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TZCYX"
    assert dict(image.spacing) == pytest.approx({"T": 3.5, "Z": 0.7, "Y": 0.1, "X": 0.2})
    assert image.units == {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
    np.testing.assert_array_equal(image.read(), PIXELS)


def test_ome_units_of_another_program(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        PIXELS[0, 0],
        metadata={"axes": "ZYX", "PhysicalSizeX": 130.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.13},
    )
    image = read_image(tmp_path / "a.ome.tif")
    assert dict(image.spacing) == pytest.approx({"X": 130.0, "Y": 0.13})
    assert image.units == {"X": "nanometer", "Y": "micrometer"}


def test_a_plain_tiff_has_the_spacing_of_a_metric_resolution(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", PIXELS[0, 0, 0], resolution=(5000, 10000), resolutionunit="CENTIMETER", metadata=None
    )
    assert dict(read_image(tmp_path / "a.tif").spacing) == pytest.approx({"X": 2.0, "Y": 1.0})


def test_dots_an_inch_are_no_spacing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS[0, 0, 0], resolution=(72, 72), resolutionunit="INCH", metadata=None)
    assert read_image(tmp_path / "a.tif").spacing == {}


def test_pages_without_a_name_are_guessed(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in range(7):
            writer.write(np.full((20, 30), plane, np.uint8), metadata=None, contiguous=False)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "ZYX"
    assert image.shape == (7, 20, 30)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_large_plain_file_is_read_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, byteorder: str
) -> None:
    monkeypatch.setattr(tiff, "EAGER_BYTES", 1000)
    tifffile.imwrite(
        tmp_path / "a.tif", PIXELS[0], byteorder=byteorder, photometric="minisblack", metadata={"axes": "CZYX"}
    )
    image = read_image(tmp_path / "a.tif")
    assert isinstance(image.data, RawArray)
    assert image.axes == "CZYX"
    np.testing.assert_array_equal(image.read(C=1, Y=slice(3, 5)), PIXELS[0, 1, :, 3:5])


def test_a_large_compressed_file_is_read_by_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "EAGER_BYTES", 1000)
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS[0],
        compression="zlib",
        tile=(16, 16),
        photometric="minisblack",
        metadata={"axes": "CZYX"},
    )
    image = read_image(tmp_path / "a.tif")
    assert isinstance(image.data, zarr.Array)
    np.testing.assert_array_equal(image.read(C=2, Z=1), PIXELS[0, 2, 1])


def test_the_finest_level_of_a_pyramid_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "EAGER_BYTES", 1000)
    plane = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(plane, subifds=1, tile=(16, 16), compression="zlib")
        writer.write(plane[::2, ::2], subfiletype=1, tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").read(), plane)


def test_a_large_result_is_a_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_writing, "_LARGEST_CLASSIC_TIFF", 1000)
    write_image(tmp_path / "a.ome.tif", Image(PIXELS[0, 0], "ZYX"))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_bigtiff


def test_colour_is_stored_as_colour(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", Image(np.zeros((20, 30, 3), np.uint8), "YXS"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.RGB
