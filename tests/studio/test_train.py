"""From images to a model that is used: small networks, few steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open
from training_images import retina_pair as pair

import napari_synth
from napari_synth import registry, samples
from napari_synth.core.errors import (
    AxesError,
    Cancelled,
    CheckpointError,
    InvalidParameterError,
    ModelFileError,
    TrainingDataError,
    UnknownGeneratorError,
)
from napari_synth.core.progress import Progress
from napari_synth.imaging.image import Image
from napari_synth.models import library, read_card
from napari_synth.registry import trainables
from napari_synth.studio.train import train_model
from napari_synth.training import checkpoint
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import Previewed, Validated

SMALL = {"initial_weights": "scratch", "width": 8, "patch": 32, "batch": 4}


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give every test a library of its own."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()
    yield tmp_path / "models"
    registry.refresh()


def psnr(image: npt.ArrayLike, clean: Image) -> float:
    error = np.mean((np.asarray(image, dtype=np.float64) - clean.data) ** 2)
    return float(10 * np.log10(255**2 / error))


def weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


def test_a_network_learns_from_a_pair_and_is_used(tmp_path: Path) -> None:
    noisy, clean = pair()
    seen: list[Progress] = []
    trained = train_model(
        "denoise/supervised", noisy, clean, {**SMALL, "steps": 120}, out=tmp_path / "run", progress=seen.append
    )
    card = trained.card
    figures = card.metrics["held-out pixels, this model"]["PSNR (dB)"]
    assert figures > card.metrics["held-out pixels, the image as it is"]["PSNR (dB)"] + 4
    assert trained.result.curve[-1].losses["loss"] < 0.6 * trained.result.curve[0].losses["loss"]
    restored = napari_synth.denoise(noisy.data, trained.generator)
    assert restored.dtype == noisy.dtype
    assert psnr(restored, clean) > psnr(noisy.data, clean) + 4
    again = napari_synth.denoise(noisy.data, "retina-supervised")
    np.testing.assert_array_equal(again, restored)
    news = [progress.event for progress in seen]
    assert any(isinstance(item, Validated) and item.baselines for item in news)
    preview = [item for item in news if isinstance(item, Previewed)][-1].preview
    assert preview.axes == "YX"
    assert preview.pixels.min() > 0
    place = tuple(
        slice(preview.place[axis], preview.place[axis] + size)
        for axis, size in zip("YX", preview.pixels.shape, strict=True)
    )
    there = Image(clean.data[place], "YX")
    assert psnr(preview.pixels, there) > psnr(noisy.data[place], there) + 4


def test_the_card_tells_everything(tmp_path: Path) -> None:
    noisy, clean = pair()
    brighter = Image(100 + 4 * clean.data.astype(np.float32), "YX", name="clean")
    trained = train_model("denoise/supervised", noisy, brighter, {**SMALL, "steps": 20, "seed": 3}, name="mine")
    card = read_card(trained.path)
    assert (card.name, card.task, card.architecture) == ("mine", "denoise", "residual-unet")
    assert "held-out pixels, the bundled denoiser" in card.metrics
    assert card.config == {"dims": 2, "in_channels": 1, "out_channels": 1, "width": 8}
    source, target = card.normalisation["source"][0], card.normalisation["target"][0]
    assert target["scale"] == pytest.approx(4 * source["scale"], rel=0.05)
    assert [image["name"] for image in card.images] == ["retina", "clean"]
    assert len(card.images[0]["fingerprint"]) == 16
    assert card.curve["step"][-1] == 20
    assert len(card.curve["loss"]) == len(card.curve["seconds"]) == len(card.curve["step"])
    assert card.curve["validated step"][:2] == [0, 2]
    assert {"torch", "napari-synth", "python"} <= set(card.versions)
    assert '"seed":3' in card.training_command
    assert "20 steps" in card.training_command
    assert json.loads(card.model_dump_json())["extras"]["axes"] == "YX"
    assert trained.path == library.folder() / "runs" / "mine" / "mine.safetensors"
    assert trained.generator.info.title == "retina, Bad to good (CARE)"
    restored = napari_synth.denoise(noisy.data, trained.generator)
    assert restored.mean() == pytest.approx(noisy.read().mean(), rel=0.05)


def test_the_bundled_denoiser_goes_on_learning() -> None:
    noisy, clean = pair()
    trained = train_model("denoise/supervised", noisy, clean, {"steps": 4, "patch": 32, "batch": 1})
    assert trained.card.architecture == "noise-conditioned-unet"
    metrics = trained.card.metrics
    bundled = metrics["held-out pixels, the bundled denoiser"]["PSNR (dB)"]
    assert metrics["held-out pixels, this model"]["PSNR (dB)"] >= bundled
    assert bundled > metrics["held-out pixels, the image as it is"]["PSNR (dB)"] + 4
    restored = napari_synth.denoise(noisy.data, trained.generator)
    assert psnr(restored, clean) > psnr(noisy.data, clean) + 4


def test_colours_are_learnt_together() -> None:
    noisy, clean = samples.load("tissue"), samples.load_truth("tissue")
    assert clean is not None
    part = {"Y": slice(0, 64), "X": slice(0, 64)}
    trained = train_model("denoise/supervised", noisy.select(**part), clean.select(**part), {**SMALL, "steps": 3})
    assert trained.card.config["in_channels"] == 3
    assert napari_synth.denoise(noisy.select(**part).data, trained.generator).shape == (64, 64, 3)
    with pytest.raises(AxesError, match="colours"):
        napari_synth.denoise(noisy.data[..., 0], trained.generator)
    both = {"steps": 2, "patch": 32, "batch": 1}
    conditioned = train_model("denoise/supervised", noisy.select(**part), clean.select(**part), both, name="bundled")
    assert conditioned.card.architecture == "noise-conditioned-unet"
    assert napari_synth.denoise(noisy.select(**part).data, conditioned.generator).shape == (64, 64, 3)


def test_volumes_are_learnt_as_such() -> None:
    random = np.random.default_rng(0)
    clean = np.kron(random.random((5, 10, 10)), np.ones((2, 6, 6))).astype(np.float32) * 100
    one, other = (Image(clean + random.normal(0, 20, clean.shape).astype("f4"), "ZYX") for _ in range(2))
    trained = train_model("denoise/noise2noise", one, other, {**SMALL, "steps": 60, "batch": 2, "dimensions": "3D"})
    assert trained.card.config["dims"] == 3
    assert trained.generator.info.spatial_dims == (3,)
    restored = napari_synth.denoise(one, trained.generator).data
    assert np.mean((restored - clean) ** 2) < 0.7 * 20**2
    with pytest.raises(AxesError):
        napari_synth.denoise(clean[0], trained.generator)


def test_noise2void_is_trained_once_and_restores_images_like_those() -> None:
    noisy, clean = pair(112)
    upper, lower = ({"Y": slice(0, 64)}, {"Y": slice(48, 112)})
    images = [noisy.select(**upper).read(), noisy.select(**upper).read()[:, ::-1].copy()]
    trained = train_model("denoise/noise2void", images, None, {"steps": 150, "width": 16, "patch": 32, "batch": 4})
    metrics = trained.card.metrics
    name = "PSNR of hidden pixels (dB)"
    assert metrics["held-out pixels, this model"][name] > metrics["held-out pixels, the mean of the neighbours"][name]
    restored = napari_synth.denoise(noisy.select(**lower).read(), trained.generator)
    assert psnr(restored, clean.select(**lower)) > psnr(noisy.select(**lower).data, clean.select(**lower)) + 3


def test_a_run_that_was_thrown_away_goes_on_exactly(tmp_path: Path) -> None:
    noisy, clean = pair(64)
    options = {**SMALL, "steps": 12, "batch": 2}
    whole = train_model("denoise/supervised", noisy, clean, options, name="whole")
    control = TrainingControl()

    def cancel(progress: Progress) -> None:
        if progress.stage.startswith("Training") and progress.done == 7:
            control.cancel()

    where: dict[str, Any] = {"out": tmp_path / "run", "checkpoint_seconds": 0.0}
    with pytest.raises(Cancelled):
        train_model("denoise/supervised", noisy, clean, options, name="part", progress=cancel, cancel=control, **where)
    assert not (tmp_path / "run" / "part.safetensors").exists()
    torch.manual_seed(5)
    part = train_model("denoise/supervised", noisy, clean, options, resume=True, **where)
    assert part.path.name == "part.safetensors"
    assert part.result.losses == whole.result.losses
    one, other = weights(whole.path), weights(part.path)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_resumed_run_replaces_its_model(tmp_path: Path) -> None:
    noisy, clean = pair(64)
    options = {**SMALL, "steps": 3, "batch": 1}
    train_model("denoise/supervised", noisy, clean, options, name="mine", out=tmp_path / "run")
    again = train_model("denoise/supervised", noisy, clean, options, resume=True, out=tmp_path / "run")
    assert again.result.steps == 6
    assert [entry.description.id for entry in library.entries()[0]] == ["denoise/mine"]
    assert "6 steps" in read_card(library.find("mine").path).training_command


def test_a_stop_leaves_a_model(tmp_path: Path) -> None:
    noisy, clean = pair(64)
    control = TrainingControl()

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("Training") and progress.done == 5:
            control.stop()

    trained = train_model(
        "denoise/supervised", noisy, clean, {**SMALL, "minutes": 0, "batch": 1}, progress=stop, cancel=control
    )
    assert trained.result.steps == 6
    assert any("It was stopped." in note for note in trained.notes)
    assert registry.is_taken("denoise/retina-supervised")


def test_the_state_of_the_programs_random_generator_is_left_alone() -> None:
    noisy, clean = pair(64)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_model("denoise/supervised", noisy, clean, {**SMALL, "steps": 1, "batch": 1})
    assert torch.equal(torch.rand(3), expected)


def test_names_are_free_or_refused() -> None:
    noisy, clean = pair(64)
    options = {**SMALL, "steps": 1, "batch": 1}
    first = train_model("denoise/supervised", noisy, clean, options)
    second = train_model("denoise/supervised", noisy, clean, options)
    assert [first.generator.info.name, second.generator.info.name] == ["retina-supervised", "retina-supervised-2"]
    with pytest.raises(ModelFileError, match="already"):
        train_model("denoise/supervised", noisy, clean, options, name="retina-supervised")
    with pytest.raises(ModelFileError, match="cannot be named"):
        train_model("denoise/supervised", noisy, clean, options, name="My model")


def test_another_training_in_the_folder_is_refused(tmp_path: Path) -> None:
    noisy, clean = pair(64)
    options: dict[str, Any] = {**SMALL, "steps": 1, "batch": 1}
    folder = tmp_path / "run"
    train_model("denoise/supervised", noisy, clean, options, out=folder)
    with pytest.raises(CheckpointError, match="another source or target"):
        train_model("denoise/supervised", clean, noisy, options, out=folder, resume=True)
    with pytest.raises(CheckpointError, match="another set of settings"):
        train_model("denoise/supervised", noisy, clean, options | {"width": 16}, out=folder, resume=True)
    with pytest.raises(CheckpointError, match="another method"):
        train_model("denoise/noise2noise", noisy, clean, options, out=folder, resume=True)
    (folder / checkpoint.FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        train_model("denoise/supervised", noisy, clean, options, out=folder, resume=True)


def test_what_cannot_be_trained_is_a_clear_error() -> None:
    noisy, clean = pair(64)
    with pytest.raises(UnknownGeneratorError, match="denoise/supervised"):
        napari_synth.train("denoise/supervise", noisy, clean)
    with pytest.raises(InvalidParameterError, match="minutes"):
        napari_synth.train("denoise/supervised", noisy, clean, minutes=-1)
    with pytest.raises(TrainingDataError, match="needs a target"):
        napari_synth.train("denoise/supervised", noisy)
    rgb = Image(np.stack([clean.data] * 3, -1), "YXS")
    with pytest.raises(TrainingDataError, match="other channels"):
        napari_synth.train("denoise/supervised", noisy, rgb)
    with pytest.raises(TrainingDataError, match="No noise"):
        napari_synth.train("denoise/noise2void", Image(np.full((64, 64), 9.0), "YX"))
    volume = Image(np.random.default_rng(0).random((8, 64, 64)), "ZYX")
    other = Image(np.asarray(volume.data) / 2, "ZYX")
    with pytest.raises(TrainingDataError, match="in 2D, or start from scratch"):
        napari_synth.train("denoise/supervised", volume, other, dimensions="3D", initial_weights="bundled")


@pytest.mark.parametrize("found", trainables(), ids=lambda t: t.info.id)
def test_every_trainable_says_what_it_is(found: Any) -> None:
    assert found.info.id == f"{found.info.task}/{found.info.name}"
    assert found.info.summary.endswith(".")
    visible = []
    for name, field in found.params_type.model_fields.items():
        assert field.title, name
        assert field.description, name
        visible += [] if (field.json_schema_extra or {}).get("advanced") else [name]
    assert visible[0] == "minutes"
    assert len(visible) <= 3
