from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(height: int, width: int, base: int = 0, channels: int = 1) -> PatchRegion:
    """Each pixel says where it is: 100 times its row, plus its column; each channel is 1,000,000 further."""
    y, x = np.mgrid[:height, :width]
    plane = (base + 100 * y + x).astype(np.float32)
    return PatchRegion(np.stack([plane + 1_000_000 * c for c in range(channels)]))


def orientations(piece: np.ndarray) -> list[np.ndarray]:
    return [turned for p in (piece, piece.T) for turned in (p, p[::-1], p[:, ::-1], p[::-1, ::-1])]


def test_patches_are_pieces_of_fields_of_different_sizes_in_all_orientations() -> None:
    fields = [numbered(20, 30), numbered(15, 40, 100_000), numbered(8, 8, 200_000)]
    patches, drawn = PatchSampler(fields, (8, 8), "cpu").draw(400, seeded())
    seen = set()
    for patch, number in zip(patches[:, 0].numpy(), drawn.tolist(), strict=True):
        y, x = divmod(int(patch.min()) - 100_000 * number, 100)
        piece = fields[number].pixels[0, y : y + 8, x : x + 8]
        matches = [i for i, turned in enumerate(orientations(piece)) if np.array_equal(turned, patch)]
        assert len(matches) == 1
        seen.add((number, matches[0]))
    assert {number for number, _ in seen} == {0, 1, 2}
    assert len({turned for _, turned in seen}) == 8


def test_pairs_are_drawn_at_the_same_places_with_the_same_flips() -> None:
    pool = PatchSampler([numbered(20, 30, channels=3)], (8, 8), "cpu")
    patches = pool.sample(50, seeded())
    assert patches.shape == (50, 3, 8, 8)
    assert torch.equal(patches[:, 1] - patches[:, 0], torch.full((50, 8, 8), 1_000_000.0))
    assert torch.equal(patches[:, 2] - patches[:, 1], torch.full((50, 8, 8), 1_000_000.0))


def test_every_pixel_of_every_field_can_be_drawn() -> None:
    pool = PatchSampler([numbered(12, 14), numbered(9, 20, 100_000)], (8, 8), "cpu")
    assert len(pool.sample(3000, seeded()).unique()) == 12 * 14 + 9 * 20


def test_places_are_drawn_as_often_as_there_are() -> None:
    drawn = PatchSampler([numbered(8, 8), numbered(8, 107)], (8, 8), "cpu").draw(20_000, seeded())[1]
    assert float((drawn == 0).float().mean()) == pytest.approx(0.01, abs=0.004)


def test_volumes_are_turned_in_the_plane_only() -> None:
    z, y, x = np.mgrid[:6, :20, :24]
    pool = PatchSampler([PatchRegion((10_000 * z + 100 * y + x).astype("f4")[None])], (3, 8, 8), "cpu")
    patches = pool.sample(60, seeded())[:, 0]
    assert patches.shape == (60, 3, 8, 8)
    assert (patches.diff(dim=1).abs() == 10_000).all()
    steps = {int(step) for step in patches.diff(dim=3).unique()}
    assert steps == {1, -1, 100, -100}


def test_what_must_not_be_turned_or_flipped_is_not() -> None:
    pool = PatchSampler([numbered(20, 30)], (8, 8), "cpu")
    assert (pool.sample(40, seeded(), turn=False).diff(dim=-1).abs() == 1).all()
    assert (pool.sample(40, seeded(), turn=False, flip=False).diff(dim=-1) == 1).all()


def test_a_region_limits_where_patches_lie() -> None:
    field = numbered(40, 40)
    inside = np.zeros((40, 40), bool)
    inside[4:16, 20:36] = True
    pool = PatchSampler(
        [PatchRegion(field.pixels, inside), PatchRegion(field.pixels, np.zeros((40, 40), bool))], (8, 8), "cpu"
    )
    patches, drawn = pool.draw(300, seeded())
    assert (drawn == 0).all()
    rows, columns = patches.numpy().astype(int) // 100, patches.numpy().astype(int) % 100
    covered = inside[rows, columns].mean(axis=(1, 2, 3))
    assert covered.min() >= 0.5
    assert set(np.unique(rows[covered == 1])) == set(range(4, 16))


def test_a_region_thinner_than_a_patch_is_learnt_from() -> None:
    inside = np.zeros((40, 40), bool)
    inside[20, 5:30] = True
    patches = PatchSampler([PatchRegion(numbered(40, 40).pixels, inside)], (8, 8), "cpu").sample(100, seeded())
    assert all((patch // 100 == 20).any() for patch in patches)


def test_fields_smaller_than_the_patch_are_mirrored() -> None:
    pool = PatchSampler([numbered(5, 6)], (8, 8), "cpu")
    assert pool.sample(3, seeded()).unique().numel() == 30


def test_the_patch_fits_into_half_of_the_fields() -> None:
    fields = [numbered(20, 90), numbered(50, 90), numbered(60, 90)]
    assert fitting_patch(fields, (64, 64), (8, 8)) == (48, 64)
    assert fitting_patch(fields[:1], (64, 64), (8, 8)) == (16, 64)


def test_rows_of_a_field_know_where_they_are() -> None:
    field = PatchRegion(numbered(20, 30).pixels, np.ones((20, 30), bool), place=(100, 7))
    part = field.rows(5, 9)
    assert part.place == (105, 7)
    assert part.spatial == (4, 30)
    assert part.inside is not None
    assert part.inside.shape == (4, 30)
