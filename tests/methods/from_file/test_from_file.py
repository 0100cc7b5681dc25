"""Networks from model files, run as generators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_models import (
    ARCHITECTURES,
    CHANNELS,
    SCALES,
    filling_script,
    lama_file,
    script_file,
    weights,
    weights_file,
)
from skimage import data

import napari_synth
from napari_synth import registry, verbs
from napari_synth.contract.generator import Generator
from napari_synth.core.errors import AxesError, InvalidParameterError, ModelFileError
from napari_synth.imaging.image import Image
from napari_synth.models import bundled
from napari_synth.models._torchvision import import_spandrel

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.fixture(autouse=True)
def nothing_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_of_session", {})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {architecture: weights_file(folder, architecture) for architecture in ARCHITECTURES}


def counts(height: int = 96, width: int = 104) -> np.ndarray:
    """Return a 16-bit image whose brightest pixels are far above the rest."""
    image = data.camera()[100 : 100 + height, 120 : 120 + width] * 40.0 + 300
    y, x = np.mgrid[:height, :width]
    # A spot, since a single pixel would be taken for a hot one.
    spot = 30_000 * np.exp(-((y - height // 2) ** 2 + (x - width // 2) ** 2) / (2 * 1.2**2))
    return np.rint(image + spot).astype("u2")


@every_architecture
def test_a_grey_16_bit_image_is_what_the_network_makes_of_it(files: dict[str, Path], architecture: str) -> None:
    image = counts()
    generator = napari_synth.load_model(files[architecture])
    result = napari_synth.run(generator, image)
    scale = SCALES[architecture]
    assert result.shape == (96 * scale, 104 * scale)
    assert result.dtype == np.uint16

    network = import_spandrel().ModelLoader().load_from_state_dict(weights(architecture)).eval()
    low, high = np.percentile(image.astype(float), [0.1, 99.9])
    normalised = torch.from_numpy(((image - low) / (high - low)).astype("f4"))[None, None]
    inside = normalised.clamp(0, 1)
    beyond = torch.nn.functional.interpolate(
        normalised - inside, scale_factor=scale, mode="bilinear", align_corners=False
    )
    answer = network(inside.expand(-1, CHANNELS[architecture], -1, -1)).mean(1, keepdim=True)
    expected = (answer + beyond)[0, 0].double().numpy() * (high - low) + low
    np.testing.assert_allclose(result, np.clip(np.rint(expected), 0, 65535), atol=1.0)


@every_architecture
def test_tile_equals_whole(files: dict[str, Path], architecture: str) -> None:
    generator = napari_synth.load_model(files[architecture])
    image = Image.from_array(counts(160, 150).astype("f4"))
    whole = verbs.prepare(generator.info.id, image)
    tiles = verbs.prepare(generator.info.id, image, tile=48)
    spread = np.percentile(image.data, 99.9) - np.percentile(image.data, 0.1)
    assert np.abs(whole.compute() - tiles.compute()).max() < 1e-4 * spread


@every_architecture
@pytest.mark.parametrize("shape", [(1, 1), (5, 33)])
def test_sizes_below_what_the_network_takes(files: dict[str, Path], architecture: str, shape: tuple[int, int]) -> None:
    result = napari_synth.run(napari_synth.load_model(files[architecture]), np.ones(shape, "f4"))
    assert result.shape == tuple(size * SCALES[architecture] for size in shape)


def test_the_verb_takes_the_generator_or_its_id_and_any_factor(files: dict[str, Path]) -> None:
    generator = napari_synth.load_model(files["span"])
    assert generator.info.id == "super-resolution/my-span-v1"
    image = counts(40, 30)
    assert napari_synth.upscale(image, 3, generator).shape == (120, 90)
    assert napari_synth.upscale(image, 1.5, "my-span-v1").shape == (60, 45)
    assert napari_synth.run("super-resolution/my-span-v1", image).shape == (80, 60)
    with pytest.raises(InvalidParameterError, match="factor"):
        napari_synth.upscale(image, 0.5, generator)


def test_a_recipe_repeats_the_run(files: dict[str, Path]) -> None:
    generator = napari_synth.load_model(files["compact"])
    image = counts(40, 40)
    prepared = verbs.prepare(generator.info.id, Image.from_array(image), {"ensemble": True})
    np.testing.assert_array_equal(napari_synth.run(prepared.recipe.to_yaml(), image), prepared.compute())
    assert list(prepared.recipe.weights) == ["my-compact-v1"]


def test_what_is_said_of_a_run(files: dict[str, Path]) -> None:
    generator = napari_synth.load_model(files["esrgan"])
    grey = verbs.prepare(generator.info.id, Image.from_array(counts(40, 40).astype("f4"))).notes
    assert any("expects colours" in note for note in grey)
    assert all(note.endswith(".") for note in grey)
    colours = verbs.prepare(generator.info.id, Image(np.zeros((40, 40, 3), "u1"), "YXS")).notes
    assert not any("expects colours" in note for note in colours)


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8"])
def test_every_count_survives_a_network_that_changes_nothing(tmp_path: Path, dtype: str) -> None:
    script = script_file(tmp_path / "same.pt", lambda image: image * 1.0, channels=3)
    image = np.random.default_rng(0).permutation(65536).reshape(256, 256).astype(dtype)
    result = napari_synth.run(napari_synth.load_model(script, task="denoise", trusted=True), image)
    np.testing.assert_allclose(result, image, atol=0 if dtype[0] != "f" else 0.01)


def test_colours_go_together_into_a_network_for_colours_and_apart_into_a_grey_one(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8)

    def swapping(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(pixels, torch.eye(3).flip(0).reshape(3, 3, 1, 1))

    swap = script_file(tmp_path / "swap.pt", swapping, channels=3)
    swapped = napari_synth.run(napari_synth.load_model(swap, task="denoise", trusted=True), image)
    np.testing.assert_array_equal(swapped, image[..., ::-1])

    def negative(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(pixels, -torch.ones(1, 1, 1, 1))

    grey = script_file(tmp_path / "grey.pt", negative)
    generator = napari_synth.load_model(grey, task="denoise", trusted=True)
    low = np.percentile(image, 0.1)
    expected = np.clip(2 * low - image.astype(float), 0, 255)
    np.testing.assert_allclose(napari_synth.run(generator, image), expected, atol=1)


def test_a_network_that_needs_the_whole_plane_gets_it(tmp_path: Path) -> None:
    script = script_file(tmp_path / "mean.pt", lambda image: image * 0.5 + image.mean((2, 3), keepdim=True) * 0.5)
    generator = napari_synth.load_model(script, task="denoise", trusted=True)
    prepared = verbs.prepare(generator.info.id, Image.from_array(counts(160, 160)), tile=32)
    assert prepared.channels[0].prepared.spec.whole
    assert any("whole plane" in note for note in prepared.notes)


def test_strided_networks_see_the_same_grid_in_tiles(tmp_path: Path) -> None:
    def blocky(image: torch.Tensor) -> torch.Tensor:
        coarse = torch.nn.functional.avg_pool2d(image, 4)
        return torch.nn.functional.interpolate(coarse, scale_factor=4.0)

    generator = napari_synth.load_model(script_file(tmp_path / "blocky.pt", blocky, 3), task="denoise", trusted=True)
    image = Image.from_array(counts(101, 90).astype("f4"))
    whole, tiles = (verbs.prepare(generator.info.id, image, tile=tile) for tile in (None, 37))
    np.testing.assert_allclose(tiles.compute(), whole.compute(), rtol=1e-5)


def test_our_own_file_is_the_same_as_the_bundled_model() -> None:
    image = np.random.default_rng(0).poisson(50, (48, 56)).astype("u2")
    generator = napari_synth.load_model(bundled("denoise-blind"), name="again")
    np.testing.assert_array_equal(napari_synth.denoise(image, generator), napari_synth.denoise(image))


def test_our_own_file_enlarges_like_the_bundled_model() -> None:
    image = np.random.default_rng(0).poisson(50, (32, 36)).astype("u2")
    generator = napari_synth.load_model(bundled("super-resolution"), name="again")
    np.testing.assert_array_equal(napari_synth.upscale(image, 3, generator), napari_synth.upscale(image, 3))


def test_a_file_that_changes_under_the_generator_is_refused(tmp_path: Path) -> None:
    path = weights_file(tmp_path, "compact")
    generator = napari_synth.load_model(path)
    torch.save(weights("span"), path)
    with pytest.raises(ModelFileError, match="has changed"):
        napari_synth.run(generator, counts(32, 32))


def test_an_id_that_is_taken_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(ModelFileError, match="another name"):
        napari_synth.load_model(files["span"], name="lanczos")


def test_the_settings_of_a_generator_from_a_file_have_words(files: dict[str, Path]) -> None:
    generators: list[Generator[Any]] = [napari_synth.load_model(files[name]) for name in ("span", "restoring")]
    assert [generator.info.task for generator in generators] == ["super-resolution", "denoise"]
    for generator in generators:
        assert generator.info.summary.endswith(".")
        for name, field in generator.params_type.model_fields.items():
            assert field.title, name
            assert field.description, name
    assert generators[0].params_type().model_dump()["factor"] == 2.0


def test_a_line_is_no_image(files: dict[str, Path]) -> None:
    with pytest.raises(AxesError):
        napari_synth.run(napari_synth.load_model(files["span"]), np.zeros((5, 6), "f4"), axes="TX")


class TestFillers:
    @pytest.mark.parametrize("colours", [False, True])
    def test_lama_fills_holes_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: bool
    ) -> None:
        generator = napari_synth.load_model(lama_file(tmp_path, monkeypatch))
        image, axes = (counts(60, 70), "YX")
        if colours:
            image, axes = np.stack([image, image // 2, image + 5], -1), "YXS"
        mask = np.zeros((60, 70), bool)
        mask[20:40, 10:30] = mask[50:, 50:] = True
        found = napari_synth.inpaint(image, mask, generator, axes=axes)
        assert found.dtype == image.dtype
        np.testing.assert_array_equal(found[~mask], image[~mask])
        assert (found[mask] != image[mask]).mean() > 0.5

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("colours", [False, True])
    def test_what_a_script_says_is_what_lies_in_the_hole(self, tmp_path: Path, channels: int, colours: bool) -> None:
        generator = napari_synth.load_model(filling_script(tmp_path / "mean.pt", channels), trusted=True)
        plane = np.random.default_rng(0).integers(100, 4000, (48, 48)).astype("u2")
        image, axes = (np.stack([plane, plane[::-1], plane[:, ::-1]], -1), "YXS") if colours else (plane, "YX")
        mask = np.zeros((48, 48), bool)
        mask[20:30, 20:30] = True
        found = napari_synth.inpaint(image, mask, generator, axes=axes)
        assert np.ptp(found[mask], axis=0).max() == 0
        np.testing.assert_allclose(found[25, 25], image[~mask].mean(0), rtol=0.01)

    def test_holes_of_the_size_of_nearly_everything(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = napari_synth.load_model(lama_file(tmp_path, monkeypatch))
        mask = np.ones((9, 11), bool)
        mask[0, 0] = False
        found = napari_synth.inpaint(np.full((9, 11), 7.0, "f4"), mask, generator)
        np.testing.assert_array_equal(found, 7.0)
