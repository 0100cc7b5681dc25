"""Intensities change in the image's own range, and nothing is clipped that was not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_synth.augmentation import TRANSFORMS, Bleaching, Blur, Brightness, CameraNoise, ColourJitter, Contrast, Erase, Gamma,
HistogramJitter, Illumination, MotionBlur, Pipeline, Rings, Sample, Sharpen, StainJitter, Stripes, Transform, Vignetting

STRONG: list[Transform] = [
    Brightness(strength=0.5),
    Contrast(smallest=1.5, largest=2.0),
    Gamma(smallest=0.5, largest=0.6),
    HistogramJitter(strength=0.9),
    ColourJitter(hue=0.2, saturation=0.5, balance=0.5),
    Illumination(strength=1.0),
    Vignetting(strength=0.9),
    Blur(least=1.0, most=2.0),
    Sharpen(amount=2.0),
    MotionBlur(shortest=7, longest=9),
    Stripes(strength=0.5),
    Rings(strength=0.5),
    CameraNoise(fewest=20.0, most=30.0),
    Erase(),
]
IDS = [transform.kind for transform in STRONG]


def scene(sizes: tuple[int, ...] = (48, 52)) -> np.ndarray[Any, np.dtype[np.float64]]:
    grid = np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij")
    return 0.5 + 0.5 * np.sin(sum(axis / (5.0 + i) for i, axis in enumerate(grid)))


def shaded(transform: Transform, image: Any, axes: str = "YX", seed: int = 0) -> Any:
    pipeline = Pipeline(transforms=(transform,))
    sample = Sample(image, axes)
    return pipeline.apply(sample, pipeline.draw(seed, sample)).image


@pytest.mark.parametrize("transform", STRONG, ids=IDS)
def test_the_result_scales_with_the_image(transform: Transform) -> None:
    base = scene()
    reference = shaded(transform, base.astype(np.float64))
    assert np.abs(reference - base).max() > 0.01
    counts = shaded(transform, base * 3000.0 - 500.0)
    np.testing.assert_allclose((counts + 500.0) / 3000.0, reference, atol=1e-5)


@pytest.mark.parametrize("transform", STRONG, ids=IDS)
def test_integers_stay_within_their_dtype_and_are_rounded(transform: Transform) -> None:
    base = scene()
    image = np.rint(base * 60000).astype(np.uint16)
    exact = shaded(transform, image.astype(np.float64))
    result = shaded(transform, image)
    assert result.dtype == np.uint16
    np.testing.assert_allclose(result, np.clip(np.rint(exact), 0, 65535), atol=2)


@pytest.mark.parametrize("transform", STRONG[:4] + STRONG[5:7], ids=IDS[:4] + IDS[5:7])
def test_order_is_kept_beyond_the_percentiles(transform: Transform) -> None:
    # Outliers far above and below the range: clipped, they would be equal.
    image = scene((100, 100))
    image[50, 48:52] = [-3.0, -2.0, 4.0, 5.0]
    result = shaded(transform, image)[50, 48:52]
    assert (np.diff(result) > 0.3).all()


@pytest.mark.parametrize("transform", STRONG, ids=IDS)
def test_pixels_that_are_not_finite_stay_and_do_not_spread(transform: Transform) -> None:
    image = scene().astype(np.float32)
    image[20, 20], image[30, 10] = np.nan, np.inf
    result = shaded(transform, image)
    assert np.isnan(result[20, 20])
    assert np.isposinf(result[30, 10])
    assert np.isfinite(result).sum() == image.size - 2


@pytest.mark.parametrize("transform", [t for t in STRONG if t.kind != "erase"], ids=[i for i in IDS if i != "erase"])
@pytest.mark.parametrize(("sizes", "axes"), [((24, 26), "YX"), ((5, 24, 26), "ZYX"), ((24, 26, 3), "YXS")])
def test_gradients_reach_pixels(transform: Transform, sizes: tuple[int, ...], axes: str) -> None:
    image = torch.from_numpy(scene(sizes)).requires_grad_()
    shaded(transform, image, axes).square().sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()
    assert (image.grad != 0).float().mean() > 0.9


def test_gradients_reach_strengths() -> None:
    from napari_synth.augmentation.batch import shaded as shade_counts
    from napari_synth.augmentation.plan import Plan

    image = torch.from_numpy(scene())[None, None, None, None]
    low, high = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    names = {
        "gamma": "gamma",
        "contrast": "factor",
        "vignetting": "strength",
        "illumination": "strength",
        "blur": "sigmas",
    }
    pipeline = Pipeline(transforms=tuple(t for t in STRONG if t.kind in names))
    plan = Plan.of([pipeline.draw(0, Sample(image[0, 0, 0, 0], "YX"))])
    leaves = {step.kind: step.values[names[step.kind]].requires_grad_() for step in plan.steps}
    shade_counts(image, plan, low, high, rgb=False).square().sum().backward()
    for kind, leaf in leaves.items():
        assert leaf.grad is not None, kind
        assert leaf.grad.abs().sum() > 0, kind


def test_camera_noise_has_the_variance_of_its_photons_and_its_read_noise() -> None:
    levels = np.repeat([0.0, 100.0, 500.0, 1000.0], 40000).reshape(4, 200, 200)
    gain, offset = 2.0, 100.0
    noisy = shaded(CameraNoise(gain=gain, offset=offset, read_noise=0.0), levels + offset, "ZYX") - offset
    for plane, level in zip(noisy, (0.0, 100.0, 500.0, 1000.0), strict=True):
        assert plane.mean() == pytest.approx(level, abs=1.0)
        assert plane.var() == pytest.approx(gain * level, rel=0.05, abs=1e-6)
    assert np.allclose(noisy / gain, np.rint(noisy / gain), atol=1e-3)
    read = shaded(CameraNoise(gain=gain, offset=offset, read_noise=5.0), levels + offset, "ZYX", seed=1) - offset
    extra = [plane.var() - gain * level for plane, level in zip(read, (0.0, 100.0, 500.0, 1000.0), strict=True)]
    np.testing.assert_allclose(extra, extra[0], atol=0.06 * gain * 1000)
    assert 0 < extra[0] < (5.0 * gain) ** 2


def test_bleaching_fades_the_signal_above_the_background() -> None:
    movie = np.stack([100.0 + 1000.0 * scene()] * 6)
    faded = shaded(Bleaching(least=0.5, most=0.5), movie, "TYX")
    np.testing.assert_allclose(faded[0], movie[0], atol=1e-3)
    low = np.percentile(movie, 0.1)
    np.testing.assert_allclose(faded[-1] - low, 0.5 * (movie[-1] - low), atol=0.5)
    ratios = (faded.max((1, 2)) - low) / (movie.max() - low)
    np.testing.assert_allclose(ratios, 0.5 ** np.linspace(0, 1, 6), rtol=1e-2)
    still = movie[0]
    np.testing.assert_array_equal(shaded(Bleaching(), still), still)


def test_stain_jitter_leaves_glass_and_changes_tissue() -> None:
    pixels = np.full((30, 30, 3), 255, np.uint8)
    pixels[10:20, 10:20] = (120, 60, 140)
    result = shaded(StainJitter(strength=0.5, shift=0.2), pixels, "YXS")
    assert (result[:8] == 255).all()
    assert np.abs(result[10:20, 10:20].astype(int) - pixels[10:20, 10:20]).max() > 10


def test_colour_jitter_without_strength_leaves_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    result = shaded(ColourJitter(hue=0.0, saturation=0.0, balance=0.0), pixels, "YXS")
    np.testing.assert_allclose(result, pixels, atol=1)


def test_stripes_are_lines_and_rings_are_round() -> None:
    image = scene((60, 60)) + np.eye(60)
    rows = shaded(Stripes(strength=1.0, direction="rows"), image) - image
    np.testing.assert_allclose(rows, np.broadcast_to(rows[:, :1], rows.shape), atol=1e-6)
    columns = shaded(Stripes(strength=1.0, share=0.3, direction="columns"), image) - image
    assert 0.05 < (np.abs(columns[0]) > 1e-6).mean() < 0.6
    rings = shaded(Rings(strength=1.0, share=1.0, shift=0.0), image) - image
    np.testing.assert_allclose(rings, np.rot90(rings), atol=1e-5)


def test_motion_blur_runs_along_a_line() -> None:
    image = np.zeros((41, 41), np.float64)
    image[20, 20] = 1.0
    result = shaded(MotionBlur(shortest=15, longest=15), image)
    assert result.sum() == pytest.approx(1.0, abs=1e-3)
    y, x = np.mgrid[:41, :41]
    cy, cx = (result * y).sum(), (result * x).sum()
    moments = [(result * (y - cy) ** 2).sum(), (result * (x - cx) ** 2).sum(), (result * (y - cy) * (x - cx)).sum()]
    small, large = np.linalg.eigvalsh([[moments[0], moments[2]], [moments[2], moments[1]]])
    assert large > 20 * max(small, 0.2)


@pytest.mark.parametrize("kind", [kind for kind, entry in TRANSFORMS.items() if entry.group == "intensity"])
def test_intensities_move_nothing(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    sample = Sample(pixels, "YXS", labels=pixels[..., 0], points=[[3.0, 4.0]])
    pipeline = Pipeline(transforms=(TRANSFORMS[kind](),))
    result = pipeline.apply(sample, pipeline.draw(0, sample))
    np.testing.assert_array_equal(result.labels, sample.labels)
    np.testing.assert_array_equal(result.points, sample.points)
