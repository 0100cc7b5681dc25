from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from training_images import gain_db, noisy, prepare, restore, rings

import napari_synth
from napari_synth import registry, verbs
from napari_synth.contract.generator import Prepared
from napari_synth.core.errors import Cancelled
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseModel, NoiseReport
from napari_synth.methods.denoise.blind_spot import BlindSpotRestorer
from napari_synth.networks.blind_spot_unet import BlindSpotMask, BlindSpotUNet

REPORT = NoiseReport(NoiseModel(0.0, 0.0, 0.1), (0.0, 0.0), False, (0.0, 1.0), 0.1, 10.0, 20.0, 100)


def restorer(mask: BlindSpotMask, model: NoiseModel | None, axes: str = "YX") -> BlindSpotRestorer:
    network = BlindSpotUNet(len(axes), width=4, out_channels=2, generator=torch.Generator().manual_seed(0))
    return BlindSpotRestorer(network.eval().requires_grad_(False), mask, model, axes, REPORT, ())


def test_it_learns_to_remove_noise_from_the_noisy_image_alone() -> None:
    clean = rings()
    image = noisy(clean)
    prepared, context = prepare(registry.generator("denoise/noise2void"), image, steps=80)
    assert gain_db(restore(prepared, context, image), image, clean) > 3.0


def test_more_steps_are_better() -> None:
    clean = rings()
    image = noisy(clean)
    gains = []
    for steps in (5, 60):
        prepared, context = prepare(registry.generator("denoise/noise2void"), image, steps=steps)
        gains.append(gain_db(restore(prepared, context, image), image, clean))
    assert gains[1] > gains[0] + 1.0


def test_the_same_seed_gives_the_same_result_and_another_one_another() -> None:
    image = noisy(rings())
    results = []
    for seed in (1, 1, 2):
        prepared, context = prepare(registry.generator("denoise/noise2void"), image, steps=4, seed=seed)
        results.append(restore(prepared, context, image))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 0


@pytest.mark.parametrize("mask", [BlindSpotMask((0, 0)), BlindSpotMask((0, 2))])
def test_without_weighing_the_measurement_no_pixel_sees_itself(mask: BlindSpotMask) -> None:
    prepared = restorer(mask, None)
    block = torch.rand((1, 1, 24, 28), generator=torch.Generator().manual_seed(0))
    for x in (10, 11, 13):
        changed = block.clone()
        changed[..., 12, x] += 5.0
        before, after = prepared.apply(block), prepared.apply(changed)
        assert abs(float(before[..., 12, x] - after[..., 12, x])) < 1e-5
        assert (before - after).abs().max() > 1e-4


def test_the_measurement_is_weighed_by_its_noise() -> None:
    block = torch.rand((1, 1, 24, 24), generator=torch.Generator().manual_seed(0))
    alone = restorer(BlindSpotMask((0, 0)), None).apply(block)
    trusted, doubted = (
        restorer(BlindSpotMask((0, 0)), NoiseModel(0.0, 0.0, sigma)).apply(block) for sigma in (1e-6, 1e3)
    )
    assert torch.allclose(trusted, block, atol=1e-4)
    assert torch.allclose(doubted, alone, atol=1e-4)


def test_correlated_noise_is_hidden_with_its_pixel() -> None:
    clean = 4.0 * gaussian_filter(rings(96), 8.0)
    noise = np.random.default_rng(0).normal(0.0, 30.0, clean.shape)
    image = (clean + gaussian_filter1d(noise, 0.8, axis=1)).astype(np.float32)
    prepared, context = prepare(registry.generator("denoise/noise2void"), image, steps=100, patch=32)
    assert any("hidden together" in note for note in prepared.notes)
    structured = gain_db(restore(prepared, context, image), image, clean)
    prepared, context = prepare(registry.generator("denoise/noise2void"), image, steps=100, patch=32, mask="pixel")
    assert structured > gain_db(restore(prepared, context, image), image, clean) + 0.5
    assert any("hidden alone" in note for note in prepared.notes)


def test_a_directed_mask_turns_with_the_image() -> None:
    prepared: Prepared = restorer(BlindSpotMask((0, 2)), NoiseModel(0.0, 0.0, 0.1))
    block = torch.rand((1, 1, 24, 28), generator=torch.Generator().manual_seed(0))
    turned = prepared.transposed().apply(block.transpose(-1, -2)).transpose(-1, -2)
    assert torch.allclose(turned, prepared.apply(block), atol=1e-5)
    assert prepared.transposed().transposed() is prepared


def test_a_volume_is_learnt_as_one() -> None:
    plane = rings(32)
    clean = np.stack([plane * level for level in np.linspace(0.8, 1.0, 10)]).astype(np.float32)
    image = noisy(clean)
    prepared, context = prepare(
        registry.generator("denoise/noise2void"), image, "ZYX", steps=25, dimensions="3D", patch=16, batch=2
    )
    assert prepared.spec.axes == "ZYX"
    assert gain_db(restore(prepared, context, image), image, clean) > 0.5


def test_planes_are_learnt_one_by_one_where_there_is_no_volume() -> None:
    prepared, _ = prepare(registry.generator("denoise/noise2void"), noisy(rings(32)), steps=1, dimensions="3D")
    assert prepared.spec.axes == "YX"
    assert any("no Z axis" in note for note in prepared.notes)


@pytest.mark.parametrize("shape", [(9, 9), (8, 40), (17, 3)])
def test_images_smaller_than_a_patch(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(100.0, 10.0, shape).astype(np.float32)
    result = napari_synth.denoise(image, "noise2void", steps=2, axes="YX")
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_an_image_without_noise_is_returned_as_it_is() -> None:
    flat = np.full((64, 64), 5.0, np.float32)
    prepared, context = prepare(registry.generator("denoise/noise2void"), flat, steps=1)
    np.testing.assert_array_equal(restore(prepared, context, flat), flat)
    assert any("nothing to learn" in note for note in prepared.notes)


def test_nan_stays_where_it_is() -> None:
    image = noisy(rings())
    image[20:24, 30] = np.nan
    result = napari_synth.denoise(image, "noise2void", steps=2)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(image))


def test_a_cancel_takes_effect_within_one_step() -> None:
    token, steps = CancelToken(), []

    def stop(progress: Progress) -> None:
        if progress.stage == "Training":
            steps.append(progress.done)
            if progress.done == 3:
                token.cancel()

    with pytest.raises(Cancelled):
        prepare(registry.generator("denoise/noise2void"), noisy(rings()), minutes=10, report=Reporter(stop, token))
    assert steps[-1] == 3


def test_minutes_end_in_time_and_the_steps_are_noted() -> None:
    prepared, _ = prepare(registry.generator("denoise/noise2void"), noisy(rings(32)), minutes=0.01, batch=1, patch=16)
    assert any(note.startswith("Trained ") and "set steps to" in note for note in prepared.notes)


def test_the_recipe_of_a_run_by_the_clock_repeats_it() -> None:
    image = Image.from_array(noisy(rings(32)))
    run = verbs.prepare("denoise/noise2void", image, {"minutes": 0.02, "batch": 1, "patch": 16}, device="cpu")
    assert run.recipe.params["steps"] > 1
    again = verbs.prepare(run.recipe.generator, image, run.recipe.params, device="cpu", seed=run.recipe.seed)
    np.testing.assert_array_equal(again.compute(), run.compute())
