"""Style by a VGG network that the user has the weights of; here random ones, which tell textures apart as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from skimage.exposure import rescale_intensity

import napari_synth
from napari_synth import registry
from napari_synth.core.errors import ModelFileError, ReferenceImageError
from napari_synth.models.vgg import read_vgg, variant_of

# Of one range, so that styles are compared and not contrasts.
BRICK, CONTENT = (
    rescale_intensity(one[:48, :48], out_range=(0, 255)) for one in (data.brick(), data.camera()[100:, 200:])
)


def published(last: str, stages: tuple[int, ...]) -> dict[str, Any]:
    """Random weights under the names of torchvision's files; those behind what is used are a pixel large."""
    generator, number, before = torch.Generator().manual_seed(0), 0, 3
    weights = {}
    for stage, (width, count) in enumerate(zip((64, 128, 256, 512, 512), stages, strict=True)):
        for index in range(count):
            shape = (1, 1, 1, 1) if stage == 4 and index > 0 else (width, before, 3, 3)
            spread = (2.0 / (before * 9)) ** 0.5
            weights[f"features.{number}.weight"] = spread * torch.randn(shape, generator=generator)
            weights[f"features.{number}.bias"] = torch.zeros(shape[0])
            number, before = number + 2, width
        number += 1
    assert last in weights
    return weights


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(published("features.28.weight", (2, 2, 3, 3, 3)), path)
    return path


@pytest.fixture
def generator(file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_of_session", {})
    return napari_synth.load_model(file)


def test_a_network_is_known_by_its_weights(generator: Any) -> None:
    assert generator.info.id == "translate/vgg16"
    assert generator.info.title == "Neural style (VGG-16)"
    assert generator.info.invents
    assert generator.info.reference_image == "needed"
    assert variant_of(published("features.34.weight", (2, 2, 4, 4, 4))) == "VGG-19"
    assert variant_of({"features.0.weight": torch.zeros(64, 1, 3, 3)}) is None


def test_the_correlations_of_features_come_nearer_to_the_style(generator: Any, file: Path) -> None:
    # A float image is not clipped to the range of its source.
    content = CONTENT.astype(np.float32)
    result = napari_synth.translate(content, BRICK, generator, steps=20, strength=1.0)
    assert result.shape == content.shape
    assert result.dtype == np.float32
    network = read_vgg(file)

    def correlations(pixels: np.ndarray) -> torch.Tensor:
        gray = torch.from_numpy(pixels / 255.0).float().expand(1, 3, -1, -1)
        with torch.no_grad():
            answer = network(gray)[1][0][0].flatten(1)
        return answer @ answer.T / answer.shape[1]

    style, before, after = (correlations(pixels) for pixels in (BRICK, content, result))
    assert float((after - style).norm()) < 0.6 * float((before - style).norm())


def test_without_strength_the_image_stays(generator: Any) -> None:
    result = napari_synth.translate(CONTENT, BRICK, generator, steps=3, strength=0.0)
    assert np.abs(result.astype(int) - CONTENT).max() <= 1


def test_colours_stacks_and_repetition(generator: Any) -> None:
    colours = data.immunohistochemistry()[:40, :33]
    once, again = (napari_synth.translate(colours, data.coffee()[:50, :60], generator, steps=2) for _ in range(2))
    assert once.shape == colours.shape
    np.testing.assert_array_equal(once, again)
    stack = np.stack([CONTENT[:20, :24]] * 2)
    assert napari_synth.translate(stack, BRICK, generator, steps=1, axes="ZYX").shape == stack.shape


def test_a_style_is_needed(generator: Any) -> None:
    with pytest.raises(ReferenceImageError, match="reference image"):
        napari_synth.translate(CONTENT, None, generator)


def test_it_is_for_nothing_else(file: Path) -> None:
    with pytest.raises(ModelFileError, match="its task is translate"):
        napari_synth.load_model(file, task="denoise")


def test_weights_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    weights = published("features.28.weight", (2, 2, 3, 3, 3))
    del weights["features.12.bias"]
    torch.save(weights, tmp_path / "vgg16.pth")
    generator = napari_synth.load_model(tmp_path / "vgg16.pth", name="cut-off")
    with pytest.raises(ModelFileError, match="fit no VGG network completely"):
        napari_synth.translate(CONTENT, BRICK, generator)
