from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_synth.core.errors import AxesError, InvalidImageError
from napari_synth.imaging.image import Image, guess_axes


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 6), "YX"),
        ((30, 40, 3), "YXS"),
        ((30, 40, 4), "YXS"),
        ((30, 40, 50), "ZYX"),
        ((2, 40, 50), "CYX"),
        ((1, 40, 50), "ZYX"),
        ((60, 2, 256, 256), "ZCYX"),
        ((2, 60, 256, 256), "CZYX"),
        ((10, 20, 256, 256), "TZYX"),
        ((10, 3, 20, 64, 64), "TCZYX"),
        ((10, 20, 3, 64, 64), "TZCYX"),
        ((7, 64, 64, 3), "ZYXS"),
    ],
)
def test_axes_are_guessed_from_the_shape(shape: tuple[int, ...], axes: str) -> None:
    assert guess_axes(shape) == axes


def test_axes_are_guessed_from_labels_where_all_are_known() -> None:
    assert guess_axes((10, 30, 40), ["Time", "y", "x"]) == "TYX"
    assert guess_axes((10, 30, 40, 3), ["t", "y", "x"], rgb=True) == "TYXS"
    assert guess_axes((10, 30, 40), ["-3", "-2", "-1"]) == "ZYX"
    assert guess_axes((10, 30, 40), ["t", "t", "x"]) == "ZYX"


def test_rgb_flag_beats_the_shape() -> None:
    assert guess_axes((30, 40, 3), rgb=False) == "ZYX"


@pytest.mark.parametrize("axes", ["Y", "YY", "YXQ", "ZYXS", "TZ"])
def test_axes_that_do_not_fit_are_refused(axes: str) -> None:
    with pytest.raises(AxesError):
        Image(np.zeros((4, 5)), axes)


def test_empty_and_non_numeric_arrays_are_refused() -> None:
    with pytest.raises(InvalidImageError):
        Image(np.zeros((0, 5)), "YX")
    with pytest.raises(InvalidImageError):
        Image(np.zeros((2, 5), "U3"), "YX")


def test_reading_by_axis_role() -> None:
    data = np.arange(24).reshape(2, 3, 4)
    image = Image(data, "ZYX")
    np.testing.assert_array_equal(image.read(Z=1, X=slice(1, 3)), data[1, :, 1:3])


def test_select_is_lazy_and_drops_axes() -> None:
    data = np.arange(24).reshape(2, 3, 4)
    part = Image(zarr.array(data), "CYX").select(C=1)
    assert part.axes == "YX"
    assert part.is_lazy
    np.testing.assert_array_equal(part.read(), data[1])


def test_foreign_byte_order_is_read_in_the_machine_s() -> None:
    image = Image(np.arange(6, dtype=">u2").reshape(2, 3), "YX")
    assert image.dtype == np.uint16
    assert image.read().dtype.isnative


@pytest.mark.parametrize(
    ("shape", "units", "axes"),
    [
        ((10, 64, 64), ("s", "µm", "µm"), "TYX"),
        ((3, 64, 64), ("µm", "µm", "µm"), "ZYX"),
        ((3, 64, 64), ("pixel", "micrometer", "micrometer"), "CYX"),
        ((3, 64, 64), ("millisecond", "pixel", "pixel"), "TYX"),
        ((5, 2, 64, 64), ("min", "", "um", "um"), "TCYX"),
        ((2, 30, 64, 64), ("", "nanometer", "nm", "nm"), "CZYX"),
        ((2, 10, 64, 64), ("hours", "microns", "microns", "microns"), "TZYX"),
        ((20, 20, 3), ("mm", "mm", "mm"), "ZYX"),
        ((30, 40, 3), ("mm", "mm"), "YXS"),
        ((4, 3, 5, 64, 64), ("s", "", "µm", "µm", "µm"), "TCZYX"),
    ],
)
def test_units_say_what_an_axis_can_be(shape: tuple[int, ...], units: tuple[str, ...], axes: str) -> None:
    assert guess_axes(shape, units=units) == axes


def test_a_label_of_one_axis_guides_the_others() -> None:
    assert guess_axes((5, 30, 40), ["c", "", ""]) == "CYX"
    assert guess_axes((3, 30, 40), ["t", "-2", "-1"]) == "TYX"
    assert guess_axes((20, 20, 3), ["z", "y", "x"]) == "ZYX"
    assert guess_axes((30, 40, 3), ["y", "x", "rgb"]) == "YXS"


def test_an_xarray_brings_its_dimensions_spacing_and_units() -> None:
    xarray = pytest.importorskip("xarray")
    pixels = np.zeros((4, 3, 20, 30), np.uint16)
    coordinates = {
        "time": np.arange(4) * np.timedelta64(1500, "ms"),
        "channel": ["a", "b", "c"],
        "y": ("y", np.arange(20)[::-1] * 0.5, {"units": "micrometer"}),
        "x": ("x", np.arange(30) ** 2.0, {"units": "micrometer"}),
    }
    array = xarray.DataArray(pixels, dims=("time", "channel", "y", "x"), coords=coordinates, name="cells")
    image = Image.from_array(array)
    assert image.axes == "TCYX"
    assert dict(image.spacing) == {"T": 1.5, "Y": 0.5}
    assert image.units == {"T": "second", "Y": "micrometer", "X": "micrometer"}
    assert image.name == "cells"
    assert isinstance(image.data, np.ndarray)
    assert Image.from_array(array, "TZYX").axes == "TZYX"


def test_what_a_masked_array_hides_is_the_mask_and_no_pixel() -> None:
    pixels = np.full((20, 30), 100, np.uint16)
    pixels[5:8, 5:8] = 60000
    image = Image.from_array(np.ma.masked_greater(pixels, 1000))
    assert image.read().max() == 100
    assert image.mask is not None
    np.testing.assert_array_equal(image.mask.read(), pixels > 1000)
    floating = Image.from_array(np.ma.masked_greater(pixels.astype(np.float32), 1000))
    np.testing.assert_array_equal(np.isnan(floating.read()), pixels > 1000)
    assert Image.from_array(np.ma.array(pixels)).mask is None
    colours = np.ma.array(np.zeros((20, 30, 3), np.uint8), mask=np.zeros((20, 30, 3), bool))
    colours[2, 3, 1] = np.ma.masked
    coloured = Image.from_array(colours)
    assert coloured.mask is not None
    assert coloured.mask.axes == "YX"
    assert coloured.mask.read().sum() == 1


def test_a_map_whose_file_shrinks_is_an_error_and_no_signal(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((40, 200, 200), np.uint16))
    image = Image.from_array(np.load(tmp_path / "a.npy", mmap_mode="r"))
    part = image.select(Z=slice(3, 40))
    assert part.read(Z=36).max() == 1
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(5000)
    for one in (image, part):
        with pytest.raises(InvalidImageError, match="became shorter"):
            one.read(Z=30)
