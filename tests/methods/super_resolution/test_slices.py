from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from napari_synth.methods.super_resolution.isotropic import Profile, SliceModel
from napari_synth.networks.sigma_map import gaussian_blur

every_model = pytest.mark.parametrize(
    "model",
    [
        SliceModel(4, Fraction(4)),
        SliceModel(3, Fraction(5, 2)),
        SliceModel(4, Fraction(21, 5)),
        SliceModel(3, Fraction(3), "thin"),
        SliceModel(4, Fraction(4), "thin"),
        SliceModel(2, Fraction(7, 4), "thin"),
        SliceModel(4, Fraction(4), "thick", 0.2),
        SliceModel(3, Fraction(3), "thin", 0.2),
    ],
    ids=lambda m: f"{m.profile} {m.scale} {float(m.ratio)} {m.blur}",
)


def texture(*shape: int) -> torch.Tensor:
    return torch.rand((2, 1, *shape), generator=torch.Generator().manual_seed(0))


@every_model
def test_slices_and_planes_of_lateral_pixels_lie_where_those_of_a_volume_do(model: SliceModel) -> None:
    length = model.length(8)
    ramp = torch.arange(length, dtype=torch.float32).view(1, 1, -1, 1).expand(1, 1, length, 3)
    slices, planes = model.pair(ramp)
    assert slices.shape == (1, 1, 8, 3)
    assert planes.shape == (1, 1, 8 * model.scale, 3)
    step = float(model.ratio / model.scale)
    inner = slice(4 * model.scale, -4 * model.scale)
    assert torch.allclose(planes[..., inner, 1].diff(), torch.tensor(step), atol=0.03)
    middles = planes.reshape(1, 1, 8, model.scale, 3).mean(3)
    assert torch.allclose(slices[..., 2:-2, 1], middles[..., 2:-2, 1], atol=0.03)


@every_model
def test_length_and_slices_agree(model: SliceModel) -> None:
    for count in (2, 5, 16):
        assert model.slices(model.length(count)) == count


def test_thick_slices_are_means_of_lateral_pixels() -> None:
    lateral = texture(24, 5)
    slices, planes = SliceModel(4, Fraction(4)).pair(lateral)
    assert torch.equal(planes, lateral)
    assert torch.allclose(slices[..., 2, :], lateral[..., 8:12, :].mean(-2))


@pytest.mark.parametrize("scale", [3, 4])
def test_thin_slices_are_lateral_pixels_as_they_were_measured(scale: int) -> None:
    model = SliceModel(scale, Fraction(scale), "thin")
    lateral = texture(model.length(6), 5)
    slices, _ = model.pair(lateral)
    distance = (lateral[:, :, :, None] - slices[:, :, None]).abs().amax(dim=(0, 1, 4))
    at = [int(row) for row in distance.argmin(0)]
    assert float(distance.min(0).values.max()) == 0.0
    assert [b - a for a, b in pairwise(at)] == [scale] * 5


@every_model
def test_measuring_planes_gives_what_they_were_made_with(model: SliceModel) -> None:
    smooth = gaussian_blur(texture(model.length(12), 6), 2.0)
    slices, planes = model.pair(smooth)
    inner = slice(3, -3)
    assert torch.allclose(model.measured(planes)[..., inner, :], slices[..., inner, :], atol=0.01)


@pytest.mark.parametrize(("scale", "profile"), [(2, "thick"), (4, "thick"), (5, "thick"), (3, "thin"), (5, "thin")])
def test_consistent_planes_measure_exactly_as_the_slices(scale: int, profile: Profile) -> None:
    model = SliceModel(scale, Fraction(scale), profile)
    slices = texture(7, 6)
    planes = model.consistent(torch.zeros(2, 1, 7 * scale, 6), slices)
    assert torch.allclose(model.measured(planes), slices, atol=1e-6)


@every_model
def test_consistency_brings_planes_near_to_what_was_measured(model: SliceModel) -> None:
    slices = texture(9, 6)
    planes = texture(9 * model.scale, 6)
    before = (model.measured(planes) - slices).abs().mean()
    after = (model.measured(model.consistent(planes, slices)) - slices).abs().mean()
    assert after < 0.06 * before


def test_what_differs_less_than_the_tolerance_is_left_alone() -> None:
    model = SliceModel(4, Fraction(4))
    planes, slices = torch.zeros(1, 1, 24, 3), torch.zeros(1, 1, 6, 3)
    slices[..., 2, 0], slices[..., 3, 1] = 0.5, 2.0
    corrected = model.consistent(planes, slices, torch.ones_like(slices))
    assert torch.equal(corrected[..., 0], planes[..., 0])
    assert model.measured(corrected)[0, 0, 3, 1] == pytest.approx(1.0, abs=1e-6)


def test_slices_farther_than_the_reach_do_not_matter() -> None:
    for model in (
        SliceModel(4, Fraction(4)),
        SliceModel(4, Fraction(4), "thin"),
        SliceModel(3, Fraction(3), "thin", 0.3),
    ):
        planes, slices = texture(60 * model.scale, 2), texture(60, 2)
        other = slices.clone()
        other[..., 30, :] += 1.0
        moved = (model.consistent(planes, slices) - model.consistent(planes, other)).abs().amax(dim=(0, 1, 3))
        touched = moved.nonzero().flatten() // model.scale
        assert 30 - model.reach <= int(touched.min())
        assert int(touched.max()) <= 30 + model.reach


def test_averaging_takes_noise_away_and_correlation_keeps_some() -> None:
    thick = SliceModel(4, Fraction(4))
    noise = torch.randn(4, 1, 400, 200, generator=torch.Generator().manual_seed(0))
    assert thick.noise_share(0.0) == pytest.approx(float(thick.pair(noise)[0].var()), rel=0.03)
    assert thick.noise_share(0.0) < thick.noise_share(0.4) <= 1.0
    thin = SliceModel(4, Fraction(4), "thin")
    assert thin.noise_share(0.0) == pytest.approx(float(thin.pair(noise)[0].var()), rel=0.03)
