"""From pairs of two kinds of images to a translator that is used: small networks, few steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_synth
from napari_synth import registry
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.device import Device
from napari_synth.core.errors import AxesError, TrainingDataError
from napari_synth.core.progress import Progress
from napari_synth.imaging.image import Image
from napari_synth.methods.translate.paired import (
    BY_PIXEL,
    CONTENT,
    PEARSON,
    PSNR,
    SSIM,
    PairedModule,
    PixelRegression,
    linear_mix,
)
from napari_synth.models import library
from napari_synth.registry import trainable
from napari_synth.studio.train import Trained, train_model
from napari_synth.training.dataset import gather
from napari_synth.training.events import Previewed
from napari_synth.training.training_module import Validation

SMALL: dict[str, Any] = {"width": 8, "patch": 32, "batch": 4}
HELD_OUT = "held-out pixels, "


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()
    yield
    registry.refresh()


def blobs(size: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth structures from 0 to 1."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 3)
    return (field - field.min()) / np.ptp(field)


def channels(size: int = 96) -> Image:
    """Two channels of unlike counts."""
    return Image(np.stack([100 + 1000 * blobs(size), 20 * blobs(size, 1)]).astype("f4"), "CYX", name="cells")


def edges(source: Image) -> np.ndarray:
    """What no single pixel tells: by how much the first channel is brighter than its surroundings."""
    return source.data[0].astype(float) - gaussian_filter(source.data[0].astype(float), 2)


def prepared(name: str, source: Any, target: Any, **params: Any) -> tuple[TrainingSetup, PairedModule]:
    chosen = trainable(f"translate/{name}")
    images = gather(source, target, kind="paired")
    context = TrainContext(Device("cpu", "CPU", "for the test"))
    setup = chosen.prepare(images, chosen.params_type(**(SMALL | params)), context)
    assert isinstance(setup.module, PairedModule)
    return setup, setup.module


def train(name: str, source: Any, target: Any, **params: Any) -> Trained:
    return train_model(f"translate/{name}", source, target, SMALL | params)


def validated(module: PairedModule) -> Validation:
    with torch.no_grad():
        return module.validate(module.networks)


def test_what_only_the_neighbours_tell_is_learnt(tmp_path: Path) -> None:
    source = channels()
    truth = 500 + 5 * edges(source)
    seen: list[Progress] = []
    trained = train_model(
        "translate/regression",
        source,
        Image(truth.astype("f4"), "YX", name="edges"),
        SMALL | {"steps": 100},
        progress=seen.append,
    )
    metrics = trained.card.metrics
    ours, by_pixel = metrics[f"{HELD_OUT}this model"], metrics[HELD_OUT + BY_PIXEL]
    assert ours[PSNR] > by_pixel[PSNR] + 3
    assert ours[PEARSON] > 0.8 > by_pixel[PEARSON]
    assert ours[SSIM] > by_pixel[SSIM]
    assert set(metrics) > {f"{HELD_OUT}the mean of the target", f"{HELD_OUT}the target itself"}
    result = napari_synth.translate(source, generator=trained.generator)
    assert (result.axes, result.dtype) == ("YX", np.float32)
    error = np.abs(result.data - truth).mean()
    assert error < 0.4 * np.abs(truth - truth.mean()).mean()
    preview = [p.event for p in seen if isinstance(p.event, Previewed)][-1].preview
    place = tuple(
        slice(preview.place[a], preview.place[a] + n) for a, n in zip("YX", preview.pixels.shape, strict=True)
    )
    assert np.abs(preview.pixels - truth[place]).mean() < 2 * error
    assert trained.generator.info.invents
    assert any("stopped at any time" in note for note in trained.notes)


@pytest.mark.parametrize("game", ["lsgan", "hinge", "vanilla"])
def test_pix2pix_plays_and_comes_near_to_the_truth(game: str) -> None:
    source = channels(64)
    pixels = source.data[0] / 1100
    colours = (255 * np.stack([pixels, 1 - pixels, pixels**2], -1)).clip(0, 255).astype("u1")
    steps = {"gan_loss": game, "steps": 6, "r1_weight": 1.0, "spectral": True, "ssim_weight": 0.5}
    trained = train("pix2pix", source, Image(colours, "YXS", name="stain"), **steps)
    result = napari_synth.translate(source, generator=trained.generator)
    assert (result.axes, result.dtype, result.shape) == ("YXS", np.uint8, (64, 64, 3))
    assert np.abs(result.data.astype(float) - colours).mean() < 25
    losses = trained.result.curve[-1].losses
    assert {"translator", "error", "adversarial", "dissimilarity", "discriminator", "penalty"} == set(losses)
    assert all(np.isfinite(value) for value in losses.values())
    assert "patch distance to the target (% of range)" in trained.card.metrics[f"{HELD_OUT}this model"]


def test_training_starts_from_the_nearest_mix_of_channels() -> None:
    source = channels(64)
    mixed = 7 + 0.5 * source.data[0] - 3 * source.data[1]
    _, module = prepared("regression", source, Image(mixed.astype("f4"), "YX"))
    found = validated(module)
    assert found.metrics[PSNR] > 25
    assert found.metrics[PEARSON] > 0.98


@pytest.mark.parametrize("error", ["absolute", "squared"])
def test_the_best_weights_have_the_least_of_what_is_minimised(error: str) -> None:
    source = channels(64)
    _, module = prepared("regression", source, Image(edges(source).astype("f4"), "YX"), error=error)
    found = validated(module)
    square = 10 ** (-found.metrics[PSNR] / 10)
    assert (found.score == pytest.approx(square, rel=1e-3)) == (error == "squared")


def test_channels_come_out_in_their_own_counts() -> None:
    source = channels(64)
    target = np.stack([source.data[1] * 100 + 5000, source.data[0], -source.data[1]]).astype("f4")
    trained = train("regression", source, Image(target, "CYX"), steps=3)
    scales = [one["scale"] for one in trained.card.normalisation["target"]]
    assert scales[0] == pytest.approx(100 * scales[2], rel=0.01)
    result = napari_synth.translate(source, generator=trained.generator)
    assert result.axes == "CYX"
    for made, truth in zip(result.data, target, strict=True):
        assert made.mean() == pytest.approx(truth.mean(), rel=0.05)
    with pytest.raises(AxesError, match="needs 2 channels"):
        napari_synth.translate(source.data[0], generator=trained.generator)


def test_volumes_are_learnt_as_such() -> None:
    random = np.random.default_rng(0)
    source = np.kron(random.random((5, 8, 8)), np.ones((2, 6, 6))).astype("f4")
    target = np.roll(source, 1, axis=0)
    trained = train("regression", Image(source, "ZYX"), Image(target, "ZYX"), steps=4, batch=1, dimensions="3D")
    assert trained.card.config["dims"] == 3
    assert napari_synth.translate(Image(source, "ZYX"), generator=trained.generator).shape == source.shape


def test_brightness_differs_between_images_and_is_learnt() -> None:
    dim, bright = (Image((gain * 100 * blobs(64, seed)).astype("f4"), "YX") for gain, seed in ((1, 0), (5, 1)))
    targets = [image.with_data(image.data * 2 + 10) for image in (dim, bright)]
    trained = train("regression", [dim, bright], targets, steps=2)
    for image, target in zip((dim, bright), targets, strict=True):
        result = napari_synth.translate(image, generator=trained.generator, axes="YX")
        assert result.data.mean() == pytest.approx(target.data.mean(), rel=0.1)


def test_constant_results_are_how_sparse_targets_begin_and_nan_is_a_collapse() -> None:
    source = channels(64)
    _, module = prepared("pix2pix", source, Image(edges(source).astype("f4"), "YX"))
    network = module.networks["network"]
    for weight in network.parameters():
        torch.nn.init.zeros_(weight)
    assert not validated(module).collapsed
    torch.nn.init.constant_(network.tail.bias, torch.nan)
    assert "not finite" in validated(module).collapsed


def test_inverted_results_are_told() -> None:
    source = Image((1000 * blobs(64)).astype("f4"), "YX")
    _, module = prepared("regression", source, source.with_data(source.data * 2))
    assert not any("inverted" in said for said in module.limits(validated(module).metrics))
    network = module.networks["network"]
    network.start_from(-torch.ones(1, 1), torch.ones(1))
    metrics = validated(module).metrics
    assert metrics[CONTENT] < -0.5
    assert any("inverted" in said for said in module.limits(metrics))
    assert any("per-pixel regression" in said for said in module.limits(metrics))


def test_pairs_that_do_not_go_together_are_told() -> None:
    source = Image(np.random.default_rng(0).normal(size=(256, 256)).astype("f4"), "YX")
    other = Image(np.random.default_rng(1).normal(size=(256, 256)).astype("f4"), "YX")
    setup, _ = prepared("regression", source, other)
    assert any("hardly go together" in note for note in setup.notes)
    inverse, _ = prepared("regression", source, source.with_data(-source.data))
    assert not any("hardly" in note for note in inverse.notes)


def test_images_that_do_not_fit_are_refused() -> None:
    source = channels(64)
    with pytest.raises(TrainingDataError, match="same field and size"):
        prepared("regression", source, Image(np.zeros((64, 60), "f4"), "YX"))
    one, two = (Image(np.random.default_rng(0).random((n, 64, 64)).astype("f4"), "CYX") for n in (1, 2))
    with pytest.raises(TrainingDataError, match="target have different channels \\(1 and 2\\)"):
        prepared("regression", [source, source], [one, two])
    both = Image(np.random.default_rng(0).random((2, 64, 64, 3)).astype("f4"), "CYXS")
    with pytest.raises(TrainingDataError, match="channels and colours"):
        prepared("regression", both, source)


def test_augmented_pairs_stay_pairs() -> None:
    source = channels(64)
    _, module = prepared("regression", source, replace(source, data=source.data[::-1] * 3), augmentation="geometry")
    pixels = module.pool.sample(4, torch.Generator().manual_seed(0))
    made, truth = module.source_of(pixels), module.target_of(pixels)
    torch.testing.assert_close(made.flip(1), truth, atol=0.02, rtol=0.02)


def test_the_pixel_regression_finds_curves_and_mixes() -> None:
    random = np.random.default_rng(0)
    one = random.random((5000, 1))
    curve = PixelRegression(one, np.concatenate([np.sin(3 * one), one**2], 1))
    block = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    guess = curve(block)
    assert guess.shape == (1, 2, 8, 8)
    torch.testing.assert_close(guess[:, :1], torch.sin(3 * block), atol=0.02, rtol=0)
    two = random.random((5000, 2))
    mixed = PixelRegression(two, (two[:, :1] * two[:, 1:]) ** 1 + 2)
    blocks = torch.rand(2, 2, 3, 4, 5)
    torch.testing.assert_close(mixed(blocks), blocks[:, :1] * blocks[:, 1:] + 2, atol=0.01, rtol=0)
    weights, offsets = linear_mix(two, two @ [[1.0], [-2.0]] + 3)
    np.testing.assert_allclose(weights, [[1, -2]], atol=1e-3)
    np.testing.assert_allclose(offsets, [3], atol=1e-3)


def test_equal_pixels_are_one_point_of_the_curve() -> None:
    counts = np.repeat([0.0, 1.0], 500)[:, None]
    curve = PixelRegression(counts, 1 - counts)
    torch.testing.assert_close(curve(torch.tensor([[[[0.0, 1.0]]]])), torch.tensor([[[[1.0, 0.0]]]]))
