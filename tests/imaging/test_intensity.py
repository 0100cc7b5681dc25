from __future__ import annotations

import numpy as np
import pytest

from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.imaging.sampling import sample_planes


def test_unusual_pixels_are_counted() -> None:
    image = np.linspace(0, 1, 400, dtype="f4").reshape(20, 20).copy()
    image[0, :3], image[1, :2] = np.nan, np.inf
    statistics = measure_statistics(Image(image, "YX"))
    assert (statistics.nan, statistics.infinite) == (3, 2)
    assert len(statistics.warnings()) == 2
    assert np.isfinite(statistics.mean)


def test_saturated_pixels_are_counted() -> None:
    image = np.zeros((20, 20), "u1")
    image[:2] = 255
    assert measure_statistics(Image(image, "YX")).saturated == 40


def test_an_image_without_a_finite_pixel_is_refused() -> None:
    with pytest.raises(InvalidImageError):
        measure_statistics(Image(np.full((4, 4), np.inf), "YX"))


def test_transform_and_its_inverse() -> None:
    counts = np.array([[100.0, 65535.0], [5000.25, 0.0]])
    transform = IntensityTransform(100.0, 4000.0)
    np.testing.assert_allclose(transform.inverse(transform.forward(counts)), counts, rtol=1e-6, atol=1e-3)


def test_small_differences_on_a_large_offset_survive() -> None:
    counts = 1e12 + np.arange(16.0).reshape(4, 4)
    transform = IntensityTransform.from_statistics(measure_statistics(Image(counts, "YX")))
    np.testing.assert_allclose(transform.inverse(transform.forward(counts)) - 1e12, counts - 1e12, atol=1e-2)


def test_samples_of_a_huge_stack_are_bounded_and_come_from_everywhere() -> None:
    stack = np.broadcast_to(np.arange(200, dtype="u2")[:, None, None], (200, 600, 700))
    planes = sample_planes(Image(stack, "ZYX"), most_pixels=2**20, window=128)
    assert sum(plane.size for plane in planes) <= 2**20 * 1.1
    seen = {int(plane[0, 0]) for plane in planes}
    assert min(seen) == 0
    assert max(seen) == 199
    assert len(seen) >= 10


def test_samples_of_transposed_images_are_y_by_x() -> None:
    image = np.arange(12).reshape(3, 4)
    (plane,) = sample_planes(Image(image, "XY"))
    np.testing.assert_array_equal(plane, image.T)
