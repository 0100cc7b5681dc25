from __future__ import annotations

import dask.array as da
import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.training.patches import PatchPool, collect_crops

IDENTITY = IntensityTransform(0.0, 1.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def orientations(patch: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    return [turned for p in (patch, patch.T) for turned in (p, p[::-1], p[:, ::-1], p[::-1, ::-1])]


def test_patches_are_pieces_of_the_crops_in_all_eight_orientations(ramp: npt.NDArray[np.float32]) -> None:
    pool = PatchPool(torch.from_numpy(np.stack([ramp, ramp + 10_000])))
    patches = pool.sample(200, (8, 8), seeded())[:, 0].numpy()
    seen = set()
    for patch in patches:
        number, place = divmod(int(patch.min()), 10_000)
        y, x = divmod(place, 100)
        piece = ramp[y : y + 8, x : x + 8] + 10_000 * number
        matches = [i for i, turned in enumerate(orientations(piece)) if np.array_equal(turned, patch)]
        assert len(matches) == 1
        seen.add((number, matches[0]))
    assert len(seen) == 16


def test_every_pixel_can_be_drawn(ramp: npt.NDArray[np.float32]) -> None:
    pool = PatchPool(torch.from_numpy(ramp)[None])
    drawn = pool.sample(3000, (8, 8), seeded()).unique()
    assert len(drawn) == ramp.size


def test_patches_are_not_turned_where_directions_differ(ramp: npt.NDArray[np.float32]) -> None:
    pool = PatchPool(torch.from_numpy(ramp)[None])
    patches = pool.sample(50, (8, 8), seeded(), turn=False)
    assert (patches.diff(dim=-1).abs() == 1).all()


def test_patches_of_a_view_come_from_the_view(ramp: npt.NDArray[np.float32]) -> None:
    view = PatchPool(torch.from_numpy(ramp)[None, 10:30, 5:])
    patches = view.sample(8000, (6, 8), seeded())
    assert patches.min() == ramp[10:30, 5:].min()
    assert patches.max() == ramp[10:30, 5:].max()


def test_volumes_are_turned_in_the_plane_only() -> None:
    z, y, x = np.mgrid[:6, :20, :20]
    pool = PatchPool(torch.from_numpy((10_000 * z + 100 * y + x).astype("f4"))[None])
    patches = pool.sample(50, (3, 8, 8), seeded())
    assert patches.shape == (50, 1, 3, 8, 8)
    assert (patches.diff(dim=2).abs() == 10_000).all()


def test_the_same_seed_draws_the_same_patches(ramp: npt.NDArray[np.float32]) -> None:
    pool = PatchPool(torch.from_numpy(ramp)[None])
    first, again, other = (pool.sample(4, (8, 8), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_band_is_held_out_of_few_crops(ramp: npt.NDArray[np.float32]) -> None:
    training, held_out = PatchPool(torch.from_numpy(ramp)[None]).split(1 / 8, least=4)
    assert training.spatial == (35, 50)
    assert held_out.spatial == (5, 50)
    assert set(training.crops.unique().tolist()).isdisjoint(held_out.crops.unique().tolist())


def test_whole_crops_are_held_out_of_many() -> None:
    crops = torch.arange(20.0).view(20, 1, 1).expand(20, 8, 8)
    training, held_out = PatchPool(crops).split(1 / 10, least=4)
    assert len(training.crops) == 18
    assert held_out.crops[:, 0, 0].tolist() == [5.0, 15.0]


def test_a_small_pool_is_not_split() -> None:
    pool = PatchPool(torch.zeros(1, 16, 16))
    training, held_out = pool.split(1 / 8, least=16)
    assert training is pool
    assert held_out is pool


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_crops_are_mirrored_up(size: int) -> None:
    crop = np.arange(size * 9, dtype="f4").reshape(size, 9)
    padded = PatchPool(torch.from_numpy(crop)[None]).padded((8, 8)).crops[0].numpy()
    assert np.array_equal(padded, np.pad(crop, [(0, 8 - size), (0, 0)], mode="reflect"))


def test_a_patch_is_never_larger_than_the_crops() -> None:
    pool = PatchPool(torch.zeros(1, 21, 100))
    assert pool.fitting((64, 64), (4, 4)) == (20, 64)


def test_pixels_that_are_not_finite_become_the_mean() -> None:
    data = np.full((20, 20), 3.0, "f4")
    data[5, 5], data[6, 6] = np.nan, np.inf
    pool = collect_crops(Image(data, "YX"), "YX", IntensityTransform(1.0, 2.0), "cpu")
    assert (pool.crops == 1.0).all()


def test_a_huge_lazy_image_is_read_in_part() -> None:
    read = []

    def block(block_info: dict[int | None, dict[str, object]]) -> npt.NDArray[np.uint16]:
        read.append(block_info[None]["chunk-location"])
        return np.ones((1, 512, 512), "u2")

    stack = da.map_blocks(block, chunks=((1,) * 40, (512,) * 8, (512,) * 8), dtype="u2", meta=np.empty((0, 0, 0), "u2"))
    pool = collect_crops(Image(stack, "TYX"), "YX", IDENTITY, "cpu", most_pixels=2**20)
    assert pool.crops.shape == (4, 512, 512)
    assert len(read) <= 16


def test_axes_come_in_the_order_of_the_pool() -> None:
    data = np.random.default_rng(0).random((6, 20, 3, 16)).astype("f4")
    pool = collect_crops(Image(data, "XYTZ"), "ZYX", IDENTITY, "cpu")
    assert pool.crops.shape == (3, 16, 20, 6)
    assert np.array_equal(pool.crops[1].numpy(), data[:, :, 1].transpose(2, 1, 0))
