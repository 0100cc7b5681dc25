from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest

from pretraining import photographs
from pretraining.crops import CROP, CropStore, cut, write_shard
from pretraining.evaluation import VALIDATION
from pretraining.photographs import photograph_crops, wallpaper_files
from pretraining.scenes import SCENES, scene
from pretraining.textures import bricks, grating, lattice, power_law, random_texture, weave


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
    places = np.linspace(0, 1, 12)
    assert {float(store.pick(False, p)[0, 0]) * 8 for p in places} == {1, 2}
    assert {float(store.pick(True, p)[0, 0]) * 8 for p in places} == {3, 4, 5}


def test_a_store_without_generated_crops_gives_photographs(tmp_path):
    write_shard(tmp_path, "photographs", [np.full((CROP, CROP), 0.5, np.float32)])
    assert CropStore.open(tmp_path).pick(True, 0.5)[0, 0] == 0.5


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
