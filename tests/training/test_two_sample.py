"""The classifier two-sample test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_synth.training.losses import blurred
from napari_synth.training.two_sample import area_under_curve, told_apart


def grainy_discs(count: int, seed: int) -> Tensor:
    """Return bright discs with grain on a dark, noisy ground, (count, 1, 32, 32)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    images = []
    for _ in range(count):
        cells = np.zeros((32, 32))
        for cy, cx, radius in random.uniform((0, 0, 3), (32, 32, 7), (4, 3)):
            inside = np.clip(radius - np.hypot(y - cy, x - cx), 0, 1)
            cells = np.maximum(cells, inside * (1 + 0.3 * gaussian_filter(random.standard_normal((32, 32)), 1)))
        images.append(cells - 0.8 + 0.05 * random.standard_normal((32, 32)))
    return torch.from_numpy(np.stack(images)[:, None].astype(np.float32))


REAL, UNSEEN, MORE = (grainy_discs(count, seed) for count, seed in ((128, 0), (48, 1), (48, 2)))


def in_streaks(images: Tensor) -> Tensor:
    return torch.stack([torch.roll(images, (k, k), (-2, -1)) for k in range(-6, 7)]).mean(0)


def in_pieces(images: Tensor) -> Tensor:
    tiles = images.unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    return tiles[:, :, order].unflatten(2, (4, 4)).transpose(3, 4).reshape(images.shape)


def test_other_real_crops_are_not_told_apart() -> None:
    found = told_apart(REAL, MORE, UNSEEN)
    assert found.accuracy < 0.65
    assert 0.35 < found.auc < 0.65


@pytest.mark.parametrize(
    "change", [lambda x: blurred(x, 1.0), in_streaks, in_pieces], ids=["blur", "streaks", "pieces"]
)
def test_what_the_eye_sees_is_told_apart(change: object) -> None:
    assert callable(change)
    found = told_apart(REAL, change(MORE), UNSEEN, runs=1)
    assert found.accuracy > 0.75
    assert found.auc > 0.85


def test_the_course_goes_on_where_everything_is_certain() -> None:
    noise = torch.randn(MORE.shape, generator=torch.Generator().manual_seed(3))
    far, near = (told_apart(REAL, made, UNSEEN, runs=1) for made in (noise, blurred(MORE, 1.0)))
    assert far.auc > 0.99
    assert near.course < far.course


def test_how_intensities_were_rounded_is_no_difference() -> None:
    assert told_apart(REAL, (MORE * 100).round() / 100, UNSEEN, runs=1).accuracy < 0.65


def test_the_same_draw_gives_the_same_figures_and_leaves_the_random_state() -> None:
    state = torch.get_rng_state()
    some, others = REAL[:32], MORE[:16]
    with torch.inference_mode():
        first = told_apart(some, others, UNSEEN[:16], runs=1)
    assert first == told_apart(some, others, UNSEEN[:16], runs=1)
    assert torch.equal(state, torch.get_rng_state())


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        told_apart(REAL, MORE[:7], UNSEEN)


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert area_under_curve(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 2.0])) == 0.75
    assert area_under_curve(torch.zeros(3), torch.zeros(2)) == 0.5
