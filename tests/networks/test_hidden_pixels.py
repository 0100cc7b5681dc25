from __future__ import annotations

import pytest
import torch

from napari_synth.networks.blind_spot_unet import BlindSpotMask

MASKS = [*map(BlindSpotMask, ((0, 0), (0, 3), (2, 2), (0, 0, 2))), BlindSpotMask((0, 0), gap=4)]
every_mask = pytest.mark.parametrize("mask", MASKS, ids=str)


def pixels(mask: BlindSpotMask, count: int = 3) -> torch.Tensor:
    shape = (4,) * (len(mask.reach) - 2) + (23, 26)
    return torch.rand((count, 1, *shape), generator=torch.Generator().manual_seed(0))


@every_mask
def test_the_phases_are_all_pixels_once(mask: BlindSpotMask) -> None:
    image = pixels(mask)
    times = sum(mask.centres(phase, image).int() for phase in mask.phases())
    assert (times == 1).all()


@every_mask
def test_nothing_that_is_seen_depends_on_a_centre_or_its_correlated_neighbours(mask: BlindSpotMask) -> None:
    image = pixels(mask, 1)
    for phase in list(mask.phases())[::7]:
        centres = mask.centres(phase, image)
        centre = centres[0, 0].nonzero()[-1]
        around = tuple(slice(max(0, int(c) - r), int(c) + r + 1) for c, r in zip(centre, mask.reach, strict=True))
        changed = image.clone()
        changed[(0, 0, *around)] += 10.0
        assert torch.allclose(mask.hide(image, centres), mask.hide(changed, centres), atol=1e-6)


@every_mask
def test_most_pixels_stay_as_they_are(mask: BlindSpotMask) -> None:
    image = pixels(mask)
    shown = mask.hide(image, mask.draw(image, torch.Generator().manual_seed(0))) == image
    assert shown.float().mean() > 0.4


def test_a_replaced_pixel_is_the_mean_of_its_eight_neighbours() -> None:
    image = pixels(MASKS[0], 1)
    centres = torch.zeros_like(image, dtype=torch.bool)
    centres[0, 0, 9, 9] = True
    hidden = MASKS[0].hide(image, centres)
    expected = (image[0, 0, 8:11, 8:11].sum() - image[0, 0, 9, 9]) / 8
    assert hidden[0, 0, 9, 9] == pytest.approx(float(expected), abs=1e-6)


def test_patches_of_a_batch_have_grids_of_their_own() -> None:
    mask, image = MASKS[0], pixels(MASKS[0], 40)
    drawn = mask.draw(image, torch.Generator().manual_seed(0))
    assert len({tuple(grid.flatten().tolist()) for grid in drawn}) == 9


@pytest.mark.parametrize(
    ("correlation", "reach"), [((0.0, 0.0), (0, 0)), ((0.0, 0.3), (0, 1)), ((0.6, 0.6), (2, 2)), ((0.0, 1.0), (0, 4))]
)
def test_the_mask_follows_the_correlation(correlation: tuple[float, float], reach: tuple[int, int]) -> None:
    assert BlindSpotMask.for_correlation(correlation, 2).reach == reach
    assert BlindSpotMask.for_correlation(correlation, 3).reach == (0, *reach)
