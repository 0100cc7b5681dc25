from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from training_images import gain_db, noisy, prepare, restore, rings

import napari_synth
from napari_synth import registry
from napari_synth.core.errors import Cancelled
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.methods.denoise.blind_spot import halves


def test_the_halves_share_no_pixel_and_keep_the_mean() -> None:
    image = torch.rand((2, 1, 8, 10), generator=torch.Generator().manual_seed(0))
    first, second = halves(image)
    assert first.shape == (2, 1, 4, 5)
    assert torch.allclose((first + second).mean() / 2, image.mean())
    for y, x in np.ndindex(2, 2):
        changed = image.clone()
        changed[..., y::2, x::2] += 1.0
        moved = [
            float((after - before).abs().max()) for before, after in zip((first, second), halves(changed), strict=True)
        ]
        assert sorted(moved) == pytest.approx([0.0, 0.5], abs=1e-6)


def test_it_learns_to_remove_noise_from_the_noisy_image_alone() -> None:
    clean = rings()
    image = noisy(clean)
    prepared, context = prepare(registry.generator("denoise/zero-shot-noise2noise"), image, steps=80, patch=32, batch=2)
    assert gain_db(restore(prepared, context, image), image, clean) > 2.0


def test_the_same_seed_gives_the_same_result_and_another_one_another() -> None:
    image = noisy(rings())
    results = []
    for seed in (1, 1, 2):
        prepared, context = prepare(registry.generator("denoise/zero-shot-noise2noise"), image, steps=4, seed=seed)
        results.append(restore(prepared, context, image))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 0


def test_one_training_serves_all_planes_of_a_stack() -> None:
    clean = np.stack([rings(48), rings(48)[::-1], rings(48).T])
    image = noisy(clean)
    seen: list[Progress] = []
    result = napari_synth.denoise(
        image, "zero-shot-noise2noise", axes="ZYX", steps=40, patch=32, batch=2, progress=seen.append
    )
    assert gain_db(result, image, clean) > 1.0
    assert sum(progress.stage == "Training" and progress.done == 1 for progress in seen) == 1


def test_correlated_noise_is_told() -> None:
    smooth = gaussian_filter(np.random.default_rng(0).normal(0.0, 40.0, (128, 128)), 1.0)
    ground = np.linspace(0.0, 50.0, 128)
    prepared, _ = prepare(
        registry.generator("denoise/zero-shot-noise2noise"), (ground + smooth).astype(np.float32), steps=1
    )
    assert any("take Noise2Void" in note for note in prepared.notes)


@pytest.mark.parametrize("shape", [(9, 9), (8, 40), (17, 3)])
def test_images_smaller_than_a_patch(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(100.0, 10.0, shape).astype(np.float32)
    result = napari_synth.denoise(image, "zero-shot-noise2noise", steps=2, axes="YX")
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_an_image_without_noise_is_returned_as_it_is() -> None:
    flat = np.full((64, 64), 5.0, np.float32)
    prepared, context = prepare(registry.generator("denoise/zero-shot-noise2noise"), flat, steps=1)
    np.testing.assert_array_equal(restore(prepared, context, flat), flat)


def test_a_cancel_takes_effect_within_one_step() -> None:
    token, steps = CancelToken(), []

    def stop(progress: Progress) -> None:
        if progress.stage == "Training":
            steps.append(progress.done)
            if progress.done == 3:
                token.cancel()

    with pytest.raises(Cancelled):
        prepare(registry.generator("denoise/zero-shot-noise2noise"), noisy(rings()), report=Reporter(stop, token))
    assert steps[-1] == 3
