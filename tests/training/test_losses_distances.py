from __future__ import annotations

import pytest
import torch

from napari_synth.training.losses import FeatureScale, RandomFeatures, blurred, kernel_distance, variety


def noise(count: int, seed: int, channels: int = 1) -> torch.Tensor:
    drawn = torch.randn(count, channels, 32, 32, generator=torch.Generator().manual_seed(seed))
    return blurred(drawn, 1.0).mul(2).clamp(-1, 1)


def test_two_draws_of_the_same_are_near_and_others_are_far() -> None:
    features = RandomFeatures(1)
    scale = FeatureScale(features(noise(96, 0)))
    real = scale(features(noise(96, 1)))
    same, softer, flat = (
        kernel_distance(scale(features(images)), real)
        for images in (noise(96, 2), blurred(noise(96, 3), 0.7), torch.zeros(96, 1, 32, 32))
    )
    assert abs(same) < 0.02
    assert 0.1 < softer < flat


def test_images_that_are_alike_are_far_though_each_looks_real() -> None:
    features = RandomFeatures(1)
    scale = FeatureScale(features(noise(96, 0)))
    alike = noise(1, 5).expand(96, -1, -1, -1)
    assert kernel_distance(scale(features(alike)), scale(features(noise(96, 1)))) > 0.2
    assert variety(alike) == pytest.approx(0.0, abs=1e-4)
    assert variety(noise(96, 0)) > 0.1


def test_features_are_the_same_wherever_they_are_drawn_and_in_any_batch() -> None:
    images = noise(600, 0, channels=2)
    features = RandomFeatures(2)
    found = features(images)
    assert found.shape == (600, features.size)
    torch.testing.assert_close(found[:3], RandomFeatures(2)(images[:3]), atol=1e-5, rtol=1e-4)


def test_brightness_alone_is_seen() -> None:
    features = RandomFeatures(1)
    images = noise(64, 0) * 0.5
    scale = FeatureScale(features(images))
    assert kernel_distance(scale(features(images + 0.3)), scale(features(noise(64, 1) * 0.5))) > 0.1


def test_blur_keeps_the_mean_of_what_is_even() -> None:
    torch.testing.assert_close(blurred(torch.full((1, 2, 20, 20), 3.0), 2.0), torch.full((1, 2, 20, 20), 3.0))
