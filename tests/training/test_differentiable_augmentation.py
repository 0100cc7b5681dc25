from __future__ import annotations

import torch

from napari_synth.training.adversarial import DRAWN, changed

STILL = torch.tensor([[0.5, 0.5, 0.5, 1.0, 1.0]])


def test_nothing_happens_in_the_middle_of_the_draws_but_a_corner_that_is_cut() -> None:
    images = torch.rand(1, 2, 16, 16) * 2 - 1
    found = changed(images, STILL, 1.25)
    torch.testing.assert_close(found[..., :12, :], images[..., :12, :])
    assert not found[..., 12:, 12:].any()


def test_images_are_shifted_by_an_eighth_at_most_and_nothing_comes_in() -> None:
    images = torch.ones(1, 1, 16, 16)
    drawn = STILL.clone()
    drawn[0, 1] = 0.999
    found = changed(images, drawn, 1.25)
    assert not found[..., :2, :].any()
    assert bool((found[..., 2:12, :12] != 0).all())


def test_the_ends_of_the_range_stay_and_between_them_brightness_is_bent() -> None:
    levels = torch.linspace(-1.25, 1.25, 8).expand(1, 1, 8, 8).contiguous()
    for bend in (0.0, 1.0):
        drawn = STILL.clone()
        drawn[0, 0] = bend
        row = changed(levels, drawn, 1.25)[0, 0, 0]
        torch.testing.assert_close(row[[0, -1]], levels[0, 0, 0, [0, -1]])
        assert bool((row.diff() > 0).all())
        assert bool(((row - levels[0, 0, 0])[1:-1] * (bend - 0.5) > 0).all())


def test_gradients_go_through() -> None:
    images = torch.rand(4, 1, 16, 16, requires_grad=True)
    drawn = torch.rand(4, DRAWN, generator=torch.Generator().manual_seed(0))
    changed(images, drawn, 1.25).square().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert bool(images.grad.flatten(1).any(1).all())
