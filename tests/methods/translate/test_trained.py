"""Translators from model files: networks of known weights, so that it is known what they make of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_synth
from napari_synth import registry, verbs
from napari_synth.core.errors import AxesError, ModelFileError
from napari_synth.imaging.image import Image
from napari_synth.models import ModelCard, library, save_model
from napari_synth.networks.translation_unet import TranslationUNet

Make = Callable[..., str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Write a translator that mixes channels in normalised units, with a network that adds ``more`` to it, and return its id."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()

    def make(
        mix: list[list[float]],
        source: tuple[str, list[tuple[float, float]]],
        target: tuple[str, list[tuple[float, float]]],
        *,
        dims: int = 2,
        dtype: str = "float32",
        more: float = 0.0,
        normalisation: str = "none",
        card: dict[str, Any] | None = None,
    ) -> str:
        weights = torch.tensor(mix)
        generator = torch.Generator().manual_seed(0)
        network = TranslationUNet(dims, weights.shape[1], weights.shape[0], 4, normalisation, generator)
        with torch.no_grad():
            network.tail.weight.mul_(more)
        network.start_from(weights, torch.zeros(len(weights)))
        described: dict[str, Any] = {
            "normalisation": {
                what: [{"offset": offset, "scale": scale} for offset, scale in ranges]
                for what, (_, ranges) in (("source", source), ("target", target))
            },
            "extras": {
                "source": {"axis": source[0], "dtype": "uint16"},
                "target": {"axis": target[0], "dtype": dtype},
            },
        }
        title = "The translator"
        described = {
            "name": "mine",
            "title": title,
            "task": "translate",
            "architecture": "translation-unet",
        } | described
        path = tmp_path / "mine.safetensors"
        save_model(path, network, ModelCard(**(described | {"config": network.config} | (card or {}))))
        registry.add_model(path)
        registry.refresh()
        return "translate/mine"

    yield make
    monkeypatch.undo()
    registry.refresh()


def scene(*shape: int, seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).integers(100, 1100, shape).astype("u2")
    image[..., :2, :2], image[..., -2:, -2:] = 100, 1100
    return image


def test_results_are_in_the_counts_of_the_target(model: Make) -> None:
    name = model([[1, 0], [0.5, 0.5], [0, 2]], ("C", [(100, 1000), (0, 500)]), ("C", [(0, 10), (50, 1), (5, 100)]))
    image = scene(2, 40, 44)
    result = napari_synth.translate(image, generator="mine", axes="CYX")
    a, b = (image[0] - 100.0) / 1000, image[1] / 500
    assert result.dtype == np.float32
    for plane, expected in zip(result, (10 * a, 50 + (a + b) / 2, 5 + 200 * b), strict=True):
        np.testing.assert_allclose(plane, expected, rtol=1e-4, atol=1e-4)
    info = registry.generator(name).info
    assert info.invents
    assert (info.channels, info.colour) == ("joint", "joint")


def test_colours_come_out_as_such(model: Make) -> None:
    model([[1], [2], [-1]], ("", [(100, 1000)]), ("S", [(0, 255)] * 3), dtype="uint8")
    image = Image(scene(40, 44), "YX", {"Y": 0.3, "X": 0.2}, {"Y": "micrometer"})
    result = napari_synth.translate(image, generator="mine")
    assert (result.axes, result.dtype, result.spacing["Y"]) == ("YXS", np.uint8, 0.3)
    expected = (image.data[..., None] - 100.0) / 1000 * [255, 510, -255]
    assert np.abs(result.data - np.clip(expected, 0, 255)).max() <= 0.51
    movie = napari_synth.translate(scene(2, 1, 3, 20, 24), generator="mine", axes="TCZYX")
    assert movie.shape == (2, 3, 20, 24, 3)


def test_colours_go_in_without_their_alpha(model: Make) -> None:
    model([[0.2, 0.3, 0.5]], ("S", [(0, 255)] * 3), ("", [(0, 1000)]), dtype="uint16")
    image = scene(40, 44, 4).astype("u1")
    result = napari_synth.translate(image, generator="mine")
    assert result.shape == (40, 44)
    np.testing.assert_allclose(result, image[..., :3] @ [0.2, 0.3, 0.5] / 255 * 1000, atol=1.0)


@pytest.mark.parametrize("normalisation", ["none", "pixel", "instance"])
def test_tiles_equal_the_whole(model: Make, normalisation: str) -> None:
    name = model([[1, 0], [0, 1]], ("C", [(100, 1000)] * 2), ("C", [(0, 1)] * 2), more=30, normalisation=normalisation)
    image = Image(scene(2, 330, 175), "CYX")
    whole = verbs.prepare(name, image)
    pieces = verbs.prepare(name, image, tile=64)
    result = whole.compute()
    assert np.abs(result - (image.data - 100.0) / 1000).max() > 0.2
    np.testing.assert_allclose(pieces.compute(), result, atol=1e-3 * np.ptp(result))
    np.testing.assert_allclose(pieces.lazy().compute(), result, atol=1e-3 * np.ptp(result))


def test_volumes(model: Make) -> None:
    name = model([[1, 1]], ("C", [(0, 1000)] * 2), ("C", [(0, 1000)]), dims=3, more=1)
    result = verbs.prepare(name, Image(scene(2, 5, 40, 48), "CZYX"), tile=32)
    assert (result.axes, result.shape) == ("CZYX", (1, 5, 40, 48))
    assert np.isfinite(result.compute()).all()
    with pytest.raises(AxesError, match="needs a Z axis"):
        verbs.prepare(name, Image(scene(2, 40, 48), "CYX"))


def test_the_ensemble_averages_and_its_spread_is_a_layer_of_the_result(model: Make) -> None:
    name = model([[1]] * 3, ("", [(100, 1000)]), ("S", [(0, 255)] * 3), dtype="uint8", more=30)
    image = Image(scene(48, 40), "YX")
    single, mean = (verbs.prepare(name, image, {"ensemble": on}) for on in (False, True))
    assert np.abs(single.compute().astype(int) - mean.compute()).max() > 0
    spread = mean.spread()
    assert (spread.axes, spread.dtype, spread.shape) == ("YXS", np.float32, (48, 40, 3))
    assert spread.compute().max() > 1.0


def test_an_image_of_other_intensities_is_told_and_can_be_brought_to_its_own(model: Make) -> None:
    name = model([[1]], ("", [(100, 1000)]), ("", [(0, 1)]))
    image = scene(40, 44)
    usual = verbs.prepare(name, Image(image, "YX"))
    assert not any("intensities" in note for note in usual.notes)
    brighter = Image(image.astype("u4") * 7 + 500, "YX")
    told = verbs.prepare(name, brighter)
    assert any("training images had 100 to 1100" in note for note in told.notes)
    own = verbs.prepare(name, brighter, {"intensities": "image"})
    np.testing.assert_allclose(own.compute(), usual.compute(), atol=0.02)
    assert not own.notes
    assert told.compute().max() > 5


@pytest.mark.parametrize(
    ("axis", "count", "axes", "shape", "words"),
    [
        ("C", 2, "CYX", (3, 20, 20), "needs 2 channels, in the order of its training images, .* has 3 channels"),
        ("C", 3, "YXS", (20, 20, 3), "needs 3 channels, in the order .* has 3 colours"),
        ("C", 2, "ZYX", (3, 20, 20), "needs 2 channels, .* has 1 channel: give such an image, or set the axes"),
        ("S", 3, "YX", (20, 20), "needs colours"),
        ("", 1, "YXS", (20, 20, 3), "needs an image of one channel, .* has 3 colours"),
        ("", 1, "CYX", (2, 20, 20), "needs an image of one channel"),
    ],
)
def test_other_channels_are_refused(
    model: Make, axis: str, count: int, axes: str, shape: tuple[int, ...], words: str
) -> None:
    name = model([[1.0] * count], (axis, [(0, 1)] * count), ("", [(0, 1)]))
    with pytest.raises(AxesError, match=f"The translator {words}"):
        verbs.prepare(name, Image(scene(*shape), axes))


def test_a_card_that_lacks_what_is_needed_is_told(model: Make) -> None:
    name = model([[1]], ("", [(0, 1)]), ("", [(0, 1)]), card={"extras": {}})
    with pytest.raises(ModelFileError, match="train the model again"):
        verbs.prepare(name, Image(scene(20, 20), "YX"))


def test_the_recipe_repeats_the_run(model: Make) -> None:
    name = model([[1, -1]], ("C", [(0, 1000)] * 2), ("C", [(0, 1000)]), more=10)
    image = Image(scene(2, 40, 44), "CYX")
    prepared = verbs.prepare(name, image, {"intensities": "image"})
    again = napari_synth.run(prepared.recipe.to_yaml(), image)
    np.testing.assert_array_equal(again.data, prepared.compute())
    assert again.axes == "CYX"
