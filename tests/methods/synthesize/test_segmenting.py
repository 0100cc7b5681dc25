"""What a segmenter learns of made pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from napari_synth.core.device import resolve_device
from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.segmenting import Usefulness, report_usefulness

Plane = npt.NDArray[np.float64]


def blobs(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], Plane]:
    """Bright regions on a dark ground under noise."""
    rng = np.random.default_rng(seed)
    fields = gaussian_filter(rng.normal(size=(count, 64, 64)), (0, 4, 4))
    labels = (fields > 0.6 * fields.std()).astype(np.uint8)
    return labels, 200 + 800 * gaussian_filter(labels.astype(float), (0, 1, 1)) + rng.normal(0, 150, labels.shape)


def use(made: tuple[npt.NDArray[np.uint8], Plane]) -> Usefulness:
    labels, image = blobs(8, 0)
    given = [Image(one, "TYX") for one in (made[1], made[0], image.astype("f4"), labels)]
    return report_usefulness(*given, resolve_device("cpu"), steps=50)


def test_pairs_of_the_same_kind_are_as_good_as_real_ones_and_wrong_ones_are_not() -> None:
    good = use(blobs(8, 1))
    assert good.real > 85
    assert good.made > good.real - 5
    assert "as good as real ones" in good.note
    labels, image = blobs(8, 1)
    # Labels that belong to other images teach nothing.
    wrong = use((labels[::-1].copy(), image))
    assert wrong.real == good.real
    assert wrong.made < 60
    assert "Train longer" in wrong.note
    assert "most of it" in Usefulness(80.0, 90.0).note


def test_what_has_nothing_to_find_or_other_channels_is_refused() -> None:
    labels, image = blobs(8, 1)
    with pytest.raises(InvalidImageError, match="no object"):
        use((np.zeros_like(labels), image))
    real = Image(np.stack([image, image], 1), "TCYX")
    made, drawn = Image(image, "TYX"), Image(labels, "TYX")
    with pytest.raises(InvalidImageError, match="1 channels, the real ones 2"):
        report_usefulness(made, drawn, real, drawn, resolve_device("cpu"))
