"""What ``inpaint/auto`` takes for thin and for thick, and on how much it tries what suits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

import napari_synth
from benchmark.inpainting import judged
from napari_synth.methods.inpaint import filling
from napari_synth.methods.inpaint.filling import Crop, Holes, part_to_try_on


def spot_and_row(size: int = 96) -> np.ndarray:
    """A spot of radius 6, and a dead row of two pixels that runs through it."""
    y, x = np.mgrid[:size, :size]
    hole = (y - 48) ** 2 + (x - 40) ** 2 <= 36
    hole[48:50] = True
    return np.asarray(hole)


def test_a_row_that_runs_into_a_spot_is_thin_where_it_is() -> None:
    hole = spot_and_row()
    found = Holes.of(hole[None], thin=3.0, apart=7)
    assert (found.thin, found.thick) == (0, 1)
    assert found.is_thick[0, 42:55, 38:43].sum() == hole[42:55, 38:43].sum()
    assert not found.is_thick[0, :, 60:].any()
    (box,) = found.boxes
    assert box[2].stop - box[2].start < 40
    # A square is thick to its corners.
    square = np.zeros((1, 40, 40), bool)
    square[0, 10:30, 10:30] = True
    assert np.array_equal(Holes.of(square, thin=3.0, apart=7).is_thick, square)


def test_a_thin_hole_is_filled_as_by_the_biharmonic_equation_whatever_it_runs_into() -> None:
    image = _texture()
    hole = spot_and_row()
    broken = np.where(hole, 0, image).astype("f4")
    auto = napari_synth.inpaint(broken, hole, device="cpu")
    smooth = napari_synth.inpaint(broken, hole, "biharmonic", device="cpu")
    np.testing.assert_array_equal(auto[48:50, 65:], smooth[48:50, 65:])


def _texture() -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    return (100 + 40 * np.sin(x / 5) * np.cos(y / 7) + np.random.default_rng(0).normal(0, 3, (96, 96))).astype("f4")


def test_fine_detail_on_what_the_network_fills_brings_texture_for_little_error() -> None:
    truth = data.gravel()[100:228, 100:228]
    y, x = np.ogrid[:128, :128]
    hole = (y - 64) ** 2 + (x - 64) ** 2 <= 14**2
    scores = []
    for texture in (0.0, 1.0):
        found = napari_synth.inpaint(np.where(hole, 0, truth), hole, "network", texture=texture, device="cpu")
        assert np.array_equal(found[~hole], truth[~hole])
        scores.append(judged(truth[..., None], found[..., None], hole))
    (plain, _, plain_energy), (detailed, _, energy) = scores
    assert detailed > plain - 1.0
    assert energy > 0.5
    assert energy > 1.5 * plain_energy


def test_what_is_tried_does_not_grow_with_the_hole() -> None:
    def crop(*shape: int) -> Crop:
        holes = torch.zeros(shape, dtype=torch.bool)
        holes[:, 60:70, 10:-10] = True
        return Crop(torch.rand(1, *shape), holes, holes.clone())

    small = crop(1, 128, 64)
    assert part_to_try_on(small) is small
    part = part_to_try_on(crop(40, 128, 900))
    assert part.pixels.shape[1:] == part.holes.shape == part.unknown.shape
    assert part.holes.shape[0] == 3
    assert part.holes.shape[2] <= 193
    assert part.holes.any()
    assert part.holes.sum() <= 3 * 10 * 65
    assert bool((part.unknown | ~part.holes).all())


def test_patches_are_not_tried_where_the_network_or_a_surface_explains_a_narrow_hole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []
    patches = filling.from_patches
    monkeypatch.setattr(filling, "from_patches", lambda *given: tried.append(1) or patches(*given))
    hole = np.zeros((128, 128), bool)
    hole[60:68, 10:118] = True
    camera = data.camera()[100:228, 100:228]
    auto = napari_synth.inpaint(np.where(hole, 0, camera), hole, device="cpu")
    # Patches take ten times as long as what is taken in the end.
    assert not tried
    error = np.square(auto[hole].astype(float) - camera[hole]).mean()
    smooth = napari_synth.inpaint(np.where(hole, 0, camera), hole, "biharmonic", device="cpu")
    assert error <= 1.05 * np.square(smooth[hole].astype(float) - camera[hole]).mean()
    # Of a fine pattern a surface explains nothing.
    y, x = np.mgrid[:128, :128]
    pattern = (128 + 60 * np.sin(x * 1.3) * np.sin(y * 1.1)).astype(np.uint8)
    napari_synth.inpaint(np.where(hole, 0, pattern), hole, device="cpu")
    assert tried
