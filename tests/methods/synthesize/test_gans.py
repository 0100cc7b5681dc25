"""GANs, from images to new images: small networks, few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open
from skimage import data
from torch import Tensor, nn

import napari_synth
from napari_synth import registry
from napari_synth.contract.trainable import TrainContext
from napari_synth.core.device import Device
from napari_synth.core.errors import InvalidParameterError, ModelFileError, TrainingDataError
from napari_synth.core.progress import Progress
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.crops import (
    AUC,
    JUDGED,
    LIMIT,
    TOLD,
    VARIETY,
    Crops,
    Judge,
    SynthesisTrainParams,
    learnt_crops,
)
from napari_synth.models import library
from napari_synth.studio.train import Trained, train_model
from napari_synth.training.dataset import gather
from napari_synth.training.events import Previewed
from napari_synth.training.optim import Budget, FitSettings
from napari_synth.training.trainer import Trainer
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation
from napari_synth.verbs import prepare

CPU = Device("cpu", "CPU", "for the test")
BRIEF: dict[str, Any] = {"width": 8, "patch": 16, "batch": 4, "latent_size": 6, "steps": 3}
BOTH = ("dcgan", "fastgan")


@pytest.fixture(scope="module", autouse=True)
def own_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.VARIABLE, str(tmp_path_factory.mktemp("models")))
        registry.refresh()
        yield
    registry.refresh()


def gravel(rows: int = 64) -> Image:
    return Image(data.gravel()[:rows, :72], "YX", {"Y": 0.5, "X": 0.5}, {"Y": "um", "X": "um"}, name="gravel")


def train(name: str, out: Path, image: Any = None, **params: Any) -> Trained:
    settings = BRIEF | params
    source = gravel() if image is None else image
    return train_model(f"synthesize/{name}", source, None, settings, out=out, name=out.name, device="cpu")


def crops_of(image: Any, **params: Any) -> Crops:
    return learnt_crops(gather(image, kind="one"), SynthesisTrainParams(**params), TrainContext(CPU))


def weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("image", "axes", "shape"),
    [
        (gravel(), "TYX", (2, 16, 16)),
        (Image(data.astronaut()[:64, :64], "YXS"), "TYXS", (2, 16, 16, 3)),
        (Image(np.stack((data.gravel()[:64, :64] * 200.0, data.grass()[:64, :64] / 9)), "CYX"), "TCYX", (2, 2, 16, 16)),
    ],
)
def test_images_are_of_the_kind_that_was_learnt_from(
    name: str, image: Image, axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    trained = train(name, tmp_path / f"{name}-{axes.lower()}", image)
    prepared = prepare(trained.generator.info.id, None, {"count": 2}, device="cpu")
    found = prepared.image(prepared.compute())
    assert (found.axes, found.shape, found.dtype) == (axes, shape, image.dtype)
    assert found.spacing == image.spacing
    assert np.isfinite(found.data).all()
    # A tenth of the range lies beyond the percentiles on each side.
    assert found.data.max() <= image.data.max() + 0.2 * np.ptp(image.data)
    assert trained.generator.info.invents


@pytest.mark.parametrize("name", BOTH)
def test_the_same_steps_give_the_same_model_and_the_same_seed_the_same_images(name: str, tmp_path: Path) -> None:
    one, other = (train(name, tmp_path / f"{name}-{run}") for run in ("one", "other"))
    for key, value in weights(one.path).items():
        np.testing.assert_array_equal(value, weights(other.path)[key], err_msg=key)
    many = napari_synth.synthesize(one.generator, 5, seed=4, device="cpu")
    np.testing.assert_array_equal(many[:2], napari_synth.synthesize(other.path, 2, seed=4, device="cpu"))
    assert len({image.tobytes() for image in many}) == 5
    with pytest.raises(InvalidParameterError, match="of 16 x 16 pixels"):
        napari_synth.synthesize(one.generator, size=32, device="cpu")


@pytest.mark.parametrize("name", BOTH)
def test_a_training_goes_on_exactly(name: str, tmp_path: Path) -> None:
    def kill(state: Progress) -> None:
        if state.stage.startswith("Training") and state.done == 10:
            raise KeyboardInterrupt("as good as a kill")

    identifier, settings = f"synthesize/{name}", BRIEF | {"steps": 12}
    how: dict[str, Any] = {"device": "cpu", "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train_model(identifier, gravel(), None, settings, out=tmp_path / "a", name=f"{name}-a", progress=kill, **how)
    resumed = train_model(
        identifier, gravel(), None, settings, out=tmp_path / "a", name=f"{name}-a", resume=True, **how
    )
    whole = train_model(identifier, gravel(), None, settings, out=tmp_path / "b", name=f"{name}-b", **how)
    assert resumed.result.steps == 12
    for key, value in weights(whole.path).items():
        np.testing.assert_array_equal(value, weights(resumed.path)[key], err_msg=key)


def test_what_is_watched(tmp_path: Path) -> None:
    seen: list[Previewed] = []

    def watch(state: Progress) -> None:
        if isinstance(state.event, Previewed):
            seen.append(state.event)

    trained = train_model(
        "synthesize/dcgan", gravel(), None, BRIEF, out=tmp_path, name="watched", device="cpu", progress=watch
    )
    # Four by four images with gaps of two pixels.
    assert seen[-1].preview.pixels.shape == (70, 70)
    assert seen[-1].preview.axes == "YX"
    assert set(trained.result.validations[-1].metrics) == {TOLD, AUC, VARIETY}
    metrics = trained.card.metrics
    told = [metrics[f"held-out pixels, {what}"][TOLD] for what in ("real crops", "real crops, blurred", "noise")]
    assert told[0] < min(told[1:])
    assert set(trained.result.curve[-1].losses) == {"generator", "discriminator"}


def test_a_directory_of_directions_and_sliders(tmp_path: Path) -> None:
    trained = train("dcgan", tmp_path / "sliders")
    sampler = prepare(trained.generator.info.id, device="cpu").sampler
    assert sampler.latent_size == 6
    found = sampler.directions(4)
    torch.testing.assert_close(found @ found.T, torch.eye(4), atol=1e-5, rtol=0)
    with pytest.raises(InvalidParameterError, match="has an encoder"):
        napari_synth.interpolate(trained.generator, gravel(), 1, 2, device="cpu")


def test_a_damaged_card_is_told_of(tmp_path: Path) -> None:
    trained = train("dcgan", tmp_path / "damaged")
    from napari_synth.models import load_model, save_model

    network, card = load_model(trained.path)
    save_model(tmp_path / "broken.safetensors", network, card.model_copy(update={"extras": {}}))
    with pytest.raises(ModelFileError, match="card of the model 'damaged' is damaged"):
        napari_synth.synthesize(tmp_path / "broken.safetensors", device="cpu")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.uint8)], "different channels"),
        (Image(np.zeros((2, 64, 64, 3), np.uint8), "CYXS"), "choose the one or the others"),
        (np.full((64, 64), 7, np.uint8), "all of one value"),
        (data.gravel()[:20, :64], "too little to learn from"),
    ],
)
def test_images_that_cannot_be_learnt_from(image: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=message):
        train("dcgan", tmp_path / "no", image)


def test_crops_are_of_one_range_and_the_band_that_is_held_out_is_not_learnt_from() -> None:
    ramp = np.repeat(np.arange(96, dtype=np.float32)[:, None], 80, axis=1) * 10 + 300
    crops = crops_of([ramp, 1000.0 - ramp[:, ::-1]], patch=32)
    learnt = crops.sample(64, torch.Generator().manual_seed(0))
    assert crops.spec.size == (32, 32)
    assert learnt.shape == (64, 1, 32, 32)
    assert float(learnt.abs().max()) <= LIMIT
    # The second image falls from 700 to -250: what is learnt from ends where the lowest third begins.
    assert crops.as_counts(learnt).min() > 40
    assert crops.as_counts(crops.held_out).min() < -200


def test_too_small_images_are_learnt_from_in_smaller_crops() -> None:
    crops = crops_of(gravel(48), patch=64)
    assert crops.spec.size == (32, 32)
    assert "images of 32 pixels are made" in crops.notes[-1]


def test_turned_crops_only_where_that_is_wanted() -> None:
    rising = np.repeat(np.arange(96, dtype=np.float32)[:, None], 80, axis=1)
    learnt = crops_of(rising, patch=16, flips_and_rotations=False).sample(32, torch.Generator().manual_seed(0))
    assert bool((learnt[:, :, -1] > learnt[:, :, 0]).all())
    assert bool((learnt[..., -1] == learnt[..., 0]).all())


def test_being_alike_is_a_collapse_only_after_something_varied_was_learnt() -> None:
    crops = crops_of(data.gravel()[:128, :128], patch=16)
    judge = Judge(crops)
    noise = torch.rand(JUDGED, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    alike = crops.held_out[:1].expand(JUDGED, -1, -1, -1)
    assert judge.judge(noise).collapsed == ""
    assert judge.judge(alike).collapsed == ""
    good = judge.judge(judge.learnt)
    assert good.collapsed == ""
    assert good.metrics[VARIETY] == pytest.approx(100.0)
    later = Judge(crops)
    later.restore(judge.state())
    for each in (judge, later):
        assert "all alike" in each.judge(alike).collapsed
    assert good.score < judge.judge(noise).score


class Forgetful(TrainingModule):
    """Makes real crops, scaled by its one weight: a step in the middle sets that to zero."""

    settles = False

    def __init__(self, crops: Crops) -> None:
        self.networks: Networks = {"generator": nn.Conv2d(1, 1, 1, bias=False)}
        self.judge, self.crops, self.collapses = Judge(crops), crops, 1
        nn.init.zeros_(self.networks["generator"].weight)

    def optimizers(self) -> Mapping[str, list[torch.optim.Optimizer]]:
        return {"generator": [torch.optim.SGD(self.networks["generator"].parameters(), lr=0.0)]}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        weight = self.networks["generator"].weight
        loss = work.networks["generator"](self.judge.learnt[:1]).mean()
        work.update("generator", loss)
        with torch.no_grad():
            weight.fill_(1.0)
            if work.step == 8 and self.collapses:
                self.collapses = 0
                weight.fill_(0.0)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        return self.judge.judge(networks["generator"](self.judge.learnt))


def test_a_collapse_goes_back_to_earlier_weights() -> None:
    crops = crops_of(data.gravel()[:128, :128], patch=16)
    module = Forgetful(crops)
    session = Trainer(
        module,
        Budget(steps=12),
        CPU,
        torch.Generator().manual_seed(0),
        settings=FitSettings(batch_size=2, validations=12, averaging=0.0),
    )
    result = session.run()
    assert result.roll_backs == 1
    assert float(module.networks["generator"].weight) == 1.0


@pytest.mark.parametrize("name", BOTH)
def test_penalties_are_computed_in_bfloat16_too(tmp_path: Path, name: str) -> None:
    trained = train_model(
        f"synthesize/{name}",
        gravel(),
        None,
        BRIEF,
        out=tmp_path,
        name=f"half-{name}",
        device="cpu",
        precision="bfloat16",
    )
    assert all(np.isfinite(weight).all() for weight in weights(trained.path).values())
