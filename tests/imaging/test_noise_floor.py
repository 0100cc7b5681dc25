from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from napari_synth.engine.resampling import resized
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.noise_floor import quietest_level


def coarse(name: str, scale: int) -> np.ndarray:
    image = getattr(data, name)()
    gray = image.astype("f4") if image.ndim == 2 else image[..., :3].mean(-1).astype("f4")
    return resized(torch.from_numpy(gray), [size // scale for size in gray.shape]).numpy()


def share(image: np.ndarray) -> float | None:
    return quietest_level([image], estimate_noise([image]).model)


@pytest.mark.parametrize("name", ["camera", "moon", "cell", "coins"])
@pytest.mark.parametrize("sigma", [5, 25])
def test_noise_that_is_there_is_found_everywhere(name: str, sigma: float) -> None:
    image = coarse(name, 2)
    found = share(image + np.random.default_rng(0).normal(0, sigma, image.shape))
    assert found is not None
    assert found > 0.9


def test_photon_noise_is_found_everywhere() -> None:
    image = np.random.default_rng(0).poisson(coarse("camera", 2).clip(0) / 8)
    found = share(image.astype("f4"))
    assert found is not None
    assert found > 0.9


def test_texture_that_was_taken_for_noise_is_found() -> None:
    image = coarse("grass", 4)
    report = estimate_noise([image])
    found = share(image)
    assert report.sigma_typical > 5.0
    assert found is not None
    assert found < 0.6


@pytest.mark.parametrize(
    "image", [np.zeros((40, 40)), np.full((40, 40), np.nan), np.random.default_rng(0).random((6, 6))]
)
def test_where_nothing_can_be_told_there_is_no_level(image: np.ndarray) -> None:
    assert share(image.astype("f4")) is None
