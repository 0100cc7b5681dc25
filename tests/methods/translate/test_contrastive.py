from __future__ import annotations

from math import log

import torch

from napari_synth.methods.translate.cut import draw_places, features_at, patch_contrast
from napari_synth.networks.discriminators import PatchProjector

GENERATOR = torch.Generator().manual_seed(0)


def test_patches_are_found_among_others() -> None:
    keys = [torch.nn.functional.normalize(torch.randn(2, 32, 16, generator=GENERATOR), dim=-1)]
    assert patch_contrast(keys, keys) < 0.1
    assert patch_contrast([keys[0].roll(1, 1)], keys) > log(32)


def test_no_gradient_goes_to_the_keys() -> None:
    asked, keys = ([torch.randn(1, 8, 4, generator=GENERATOR).requires_grad_()] for _ in range(2))
    patch_contrast(asked, keys).backward()
    assert asked[0].grad is not None
    assert keys[0].grad is None


def test_places_are_the_same_in_all_images_of_a_batch() -> None:
    features = [torch.arange(2 * 3 * 16.0).view(2, 3, 4, 4), torch.rand(2, 5, 2, 2, 2)]
    places = draw_places(features, 6, GENERATOR)
    assert [len(place) for place in places] == [6, 6]
    assert len(set(places[0].tolist())) == 6
    found = features_at(features, places)
    assert [tuple(x.shape) for x in found] == [(2, 6, 3), (2, 6, 5)]
    assert torch.equal(found[0][1, :, 2], features[0][1, 2].flatten()[places[0]])


def test_projections_have_length_one() -> None:
    projected = PatchProjector((3, 5), 8)([torch.rand(2, 6, 3), torch.rand(2, 4, 5)])
    assert [tuple(x.shape) for x in projected] == [(2, 6, 8), (2, 4, 8)]
    assert all(torch.allclose(x.norm(dim=-1), torch.ones(x.shape[:2])) for x in projected)
