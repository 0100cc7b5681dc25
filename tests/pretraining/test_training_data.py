from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pretraining import photographs
from pretraining.crops import CROP, CropStore, cut, pack, write_shard
from pretraining.empty import empty_patches
from pretraining.evaluation import VALIDATION
from pretraining.patches import draw_patches
from pretraining.photographs import photograph_crops, track_texture_crops, track_texture_files, wallpaper_files
from pretraining.scenes import SCENES, scene
from pretraining.textures import bricks, grating, lattice, power_law, random_texture, weave
from pretraining.track_textures import TRACK_TEXTURES


@pytest.mark.parametrize("maker", [maker for maker, _ in SCENES], ids=lambda maker: maker.__name__)
def test_every_scene_is_in_range_and_shows_something(maker):
    image = maker(np.random.default_rng(5))
    assert image.shape == (CROP, CROP)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.01


def test_the_seed_decides_the_scene():
    np.testing.assert_array_equal(scene(3), scene(3))
    assert not np.array_equal(scene(3), scene(4))


@pytest.mark.parametrize("maker", [power_law, grating, weave, bricks, lattice, random_texture])
def test_textures_are_normalised(maker):
    texture = maker(128, np.random.default_rng(2))
    assert texture.shape == (128, 128)
    assert abs(texture.mean()) < 1e-3
    assert texture.std() == pytest.approx(1, abs=1e-3)


def test_flat_regions_are_not_cut():
    plane = np.zeros((CROP, 2 * CROP), np.float32)
    plane[:, CROP:] = np.random.default_rng(0).random((CROP, CROP))
    crops = list(cut(plane, stride=CROP))
    assert len(crops) == 1
    np.testing.assert_array_equal(crops[0], plane[:, CROP:])


def test_a_store_finds_every_crop_of_its_shards(tmp_path):
    for name, levels in {"photographs": (1, 2), "generated-0": (3,), "generated-1": (4, 5)}.items():
        write_shard(tmp_path, name, (np.full((CROP, CROP), level / 8, np.float32) for level in levels))
    store = CropStore.open(tmp_path)
    assert len(store) == 5
    assert store.photographs == 2
    position = torch.linspace(0, 1, 12)
    for generated, levels in ((False, {1, 2}), (True, {3, 4, 5})):
        places = store.places(torch.full((12,), generated), position)
        assert set((8 * store.crops[places, 0, 0]).tolist()) == levels


def test_a_store_without_generated_crops_gives_photographs(tmp_path):
    write_shard(tmp_path, "photographs", [np.full((CROP, CROP), 0.5, np.float32)] * 3)
    places = CropStore.open(tmp_path).places(torch.tensor([True, False, True]), torch.tensor([0.0, 0.5, 1.0]))
    assert places.tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [24, 72])
def test_empty_patches_are_flat_but_for_few_dim_things(size):
    patches = empty_patches(200, size, torch.Generator().manual_seed(0))
    assert patches.shape == (200, 1, size, size)
    assert patches.min() >= 0
    assert patches.max() <= 1
    flat = patches.flatten(1).std(1) < 1e-6
    assert 0.1 < float(flat.float().mean()) < 0.5
    # Most are dark, and where something is shown it covers little.
    assert 0.15 < float(patches.mean()) < 0.45
    raised = (patches - patches.flatten(1).median(1).values[:, None, None, None]).abs() > 0.1
    assert float(raised.float().mean()) < 0.1


def test_as_many_patches_are_empty_as_asked(tmp_path):
    write_shard(tmp_path, "photographs", [np.random.default_rng(0).random((CROP, CROP), np.float32)])
    store, generator = CropStore.open(tmp_path), torch.Generator().manual_seed(0)
    patches = draw_patches(store, 400, 16, generator, empty_share=0.25)
    quiet = (patches[..., 1:] - patches[..., :-1]).abs().mean(dim=(1, 2, 3)) < 0.02
    assert 0.2 < float(quiet.float().mean()) < 0.3


def test_every_texture_of_tracks_is_listed_with_its_licence():
    listed = (Path(photographs.__file__).parent / "PHOTOGRAPHS.md").read_text(encoding="utf-8")
    assert len(set(TRACK_TEXTURES)) == len(TRACK_TEXTURES)
    assert [name for name in TRACK_TEXTURES if f"| {name} |" not in listed] == []


def test_textures_of_tracks_are_cut_at_half_of_their_size(tmp_path):
    path = tmp_path / "usr/share/games/supertuxkart/data" / TRACK_TEXTURES[0]
    path.parent.mkdir(parents=True)
    iio.imwrite(path, np.random.default_rng(0).integers(0, 255, (2 * CROP, 2 * CROP, 3), np.uint8))
    (path.parent / "other.png").write_bytes(path.read_bytes())
    assert track_texture_files(tmp_path) == [path]
    crops = list(track_texture_crops(tmp_path))
    assert crops
    assert all(crop.shape == (CROP, CROP) for crop in crops)


def test_packed_photographs_are_those_that_were_packed(tmp_path):
    rng = np.random.default_rng(0)
    gray = [gaussian_filter(rng.random((CROP, CROP), np.float32), 2) for _ in range(3)]
    colours = [gaussian_filter(rng.random((CROP, CROP), np.float32), 2) - 0.5]
    write_shard(tmp_path / "crops", "photographs", gray + colours)
    size = pack(tmp_path / "crops", tmp_path / "packed")
    files = sorted((tmp_path / "packed").iterdir())
    assert [path.name for path in files] == ["photographs-packed-0.png", "photographs-packed-signed-0.png"]
    assert size == sum(path.stat().st_size for path in files) < 4 * CROP * CROP
    store = CropStore.open(tmp_path / "packed")
    assert store.photographs == 4
    np.testing.assert_allclose(store.crops[:3].float(), np.stack(gray), atol=0.6 / 255)
    np.testing.assert_allclose(store.crops[3:].float(), np.stack(colours), atol=1.2 / 255)


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="pretraining data"):
        CropStore.open(tmp_path)


def test_only_listed_wallpapers_are_used(tmp_path):
    folder = tmp_path / "wallpapers" / "Autumn" / "contents" / "images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (530, 600, 3), np.uint8)
    iio.imwrite(folder / "600x530.png", pixels)
    iio.imwrite(folder / "60x53.png", pixels[:53, :60])
    iio.imwrite(tmp_path / "holiday.png", pixels)
    assert [path.name for path in wallpaper_files(tmp_path)] == ["600x530.png"]


def test_crops_of_photographs_are_in_range_and_repeatable(monkeypatch):
    monkeypatch.setattr(photographs, "SKIMAGE", ("brick", "coffee"))
    first, again = list(photograph_crops(None)), list(photograph_crops(None))
    assert len(first) >= 2
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(crop.shape == (CROP, CROP) and np.abs(crop).max() <= 1.7 for crop in first)


def test_no_validation_image_is_trained_on():
    held_out = {*VALIDATION, "chelsea", "retina", "page"}
    assert not held_out & set(photographs.SKIMAGE)
