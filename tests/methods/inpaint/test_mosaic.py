"""What is hidden at one place of many frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift
from skimage import data
from torch import Tensor

import napari_synth
from napari_synth.methods.inpaint.biharmonic import fill_smoothly
from napari_synth.methods.inpaint.mosaic import seen_together

EDGE, FRAMES, NOISE = 96, 8, 0.02


def scene(step: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> Tensor:
    """Return noisy frames (1, T, Y, X) of a scene that moves by a step a frame."""
    camera = data.camera()[60 : 60 + 2 * EDGE, 190 : 190 + 2 * EDGE] / 255.0
    frames = [
        shift(camera, [-t * along for along in step], order=3, mode="nearest")[20 : 20 + EDGE, 20 : 20 + EDGE]
        for t in range(FRAMES)
    ]
    noise = np.random.default_rng(seed).normal(0, NOISE, (FRAMES, EDGE, EDGE))
    return torch.from_numpy(np.stack(frames) + noise).float()[None]


def speck(radius: float = 6.0) -> Tensor:
    """Return a disc that hides the same pixels of all frames, (T, Y, X)."""
    y, x = np.ogrid[:EDGE, :EDGE]
    disc = torch.from_numpy((y - 50) ** 2 + (x - 44) ** 2 < radius**2)
    return disc.expand(FRAMES, EDGE, EDGE).clone()


class Asked:
    """Fills with a smooth surface, and counts the planes that it was asked for."""

    def __init__(self) -> None:
        self.planes = 0

    def __call__(self, pixels: Tensor, holes: Tensor, unknown: Tensor) -> Tensor:
        self.planes += int(holes.any((1, 2)).sum())
        return fill_smoothly(pixels, holes, (0.0, 1.0, 1.0))


def filled(frames: Tensor, holes: Tensor, asked: Asked) -> Tensor | None:
    """Fill the holes of frames whose pixels there say nothing."""
    broken = fill_smoothly(torch.where(holes, 1.0, frames), holes, (0.0, 1.0, 1.0))
    return seen_together(broken, holes, holes, asked)


def rms(found: Tensor, truth: Tensor, holes: Tensor) -> float:
    """Return the error inside the holes."""
    return float((found - truth)[:, holes].square().mean().sqrt())


@pytest.mark.parametrize("step", [(1.4, 0.7), (-2.0, 1.0), (0.0, -1.8)])
def test_what_other_frames_show_is_taken_from_them(step: tuple[float, float]) -> None:
    frames, holes, asked = scene(step), speck(5.0), Asked()
    found = filled(frames, holes, asked)
    assert found is not None
    assert asked.planes <= 1
    assert rms(found, frames, holes) < 2.0 * NOISE
    plane_by_plane = fill_smoothly(frames, holes, (0.0, 1.0, 1.0))
    assert rms(plane_by_plane, frames, holes) > 1.9 * rms(found, frames, holes)
    assert torch.equal(
        found[:, ~holes], fill_smoothly(torch.where(holes, 1.0, frames), holes, (0.0, 1.0, 1.0))[:, ~holes]
    )


def test_a_still_scene_is_filled_once_and_does_not_flicker() -> None:
    frames, holes, asked = scene(), speck(), Asked()
    found = filled(frames, holes, asked)
    assert found is not None
    assert asked.planes == 1
    flicker = float(found.std(1)[:, holes[0]].mean())
    alone = float(fill_smoothly(frames, holes, (0.0, 1.0, 1.0)).std(1)[:, holes[0]].mean())
    assert flicker < 0.5 * alone


def test_a_dark_scene_of_noise_alone_is_filled_once() -> None:
    frames = torch.from_numpy(np.random.default_rng(2).normal(0.1, NOISE, (1, FRAMES, EDGE, EDGE))).float()
    asked = Asked()
    assert filled(frames, speck(), asked) is not None
    assert asked.planes == 1


def test_frames_that_have_nothing_in_common_say_nothing_of_each_other() -> None:
    random = np.random.default_rng(1)
    frames = np.stack([gaussian_filter(random.normal(0, 1, (EDGE, EDGE)), 2.0) for _ in range(FRAMES)])
    assert filled(torch.from_numpy(frames).float()[None], speck(), Asked()) is None


def test_a_frame_unlike_the_others_is_filled_by_itself() -> None:
    frames, holes, asked = scene(), speck(), Asked()
    frames[:, 3] = scene()[:, 3].flip(1, 2)
    found = filled(frames, holes, asked)
    assert found is not None
    assert asked.planes == 2
    by_itself = fill_smoothly(frames, holes, (0.0, 1.0, 1.0))
    assert torch.allclose(found[:, 3], by_itself[:, 3], atol=1e-5)


@pytest.mark.parametrize("method", ["network", "auto"])
def test_dust_on_a_moving_scene(method: str) -> None:
    frames, holes = scene((1.4, 0.7))[0].numpy(), speck(5.0).numpy()
    found = napari_synth.inpaint(
        np.where(holes, 1.0, frames).astype(np.float32), holes, f"inpaint/{method}", axes="TYX"
    )
    assert float(np.sqrt(((found - frames)[holes] ** 2).mean())) < 2.5 * NOISE
