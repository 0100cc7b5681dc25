from __future__ import annotations

import torch

from napari_synth.training.losses import PatchTransport

GENERATOR = torch.Generator().manual_seed(0)
SOURCES = torch.rand(8, 1, 32, 32, generator=GENERATOR)


def transport(targets: torch.Tensor) -> PatchTransport:
    return PatchTransport(list(torch.split(SOURCES, 1)), list(torch.split(targets, 1)))


def test_results_that_look_like_the_target_cost_next_to_nothing() -> None:
    there = transport(2 * SOURCES + 1)
    right = there.loss(SOURCES, 2 * SOURCES + 1, GENERATOR)
    assert right < 0.1 * there.loss(SOURCES, SOURCES, GENERATOR)


def test_a_dark_field_may_stay_dark() -> None:
    whole = torch.cat((SOURCES[:4] * 0.2, SOURCES[4:] * 0.2 + 0.8))
    there = PatchTransport(list(torch.split(whole, 1)), list(torch.split(whole, 1)))
    assert there.loss(whole[:1], whole[:1], GENERATOR) < 0.01


def test_it_pulls_back_what_is_too_bright() -> None:
    there = transport(SOURCES)
    shift = torch.zeros(1, requires_grad=True)
    there.loss(SOURCES[:2], SOURCES[:2] + shift + 0.3, GENERATOR).backward()
    assert shift.grad is not None
    assert float(shift.grad) > 0.1


def test_volumes_are_taken_plane_by_plane() -> None:
    there = transport(SOURCES)
    volume = SOURCES[:6].view(2, 1, 3, 32, 32)
    assert there.loss(volume, volume, GENERATOR) < 0.01
