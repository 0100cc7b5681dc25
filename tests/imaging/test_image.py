from __future__ import annotations

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
