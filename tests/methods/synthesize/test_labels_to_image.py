"""From labels and their image to images for other labels: small networks, few steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.measure import label

import napari_synth
from napari_synth import registry
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.device import Device
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.labels_to_image import BY_LABEL, DISTANCE, PSNR, VARIETY, Painting
from napari_synth.methods.synthesize.samplers import LabelChannels
from napari_synth.models import library
from napari_synth.networks.label_painter import LabelPainter
from napari_synth.registry import trainable
from napari_synth.studio.examples import augmented_examples
from napari_synth.studio.train import Trained, train_model
from napari_synth.training.dataset import gather
from napari_synth.verbs import prepare

SMALL: dict[str, Any] = {"width": 8, "patch": 32, "batch": 4}
METHOD = "synthesize/labels-to-image"


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()
    yield
    registry.refresh()


def regions(size: int = 96, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Three kinds of pixels in many pieces."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 3)
    return np.digitize(field, np.quantile(field, (0.4, 0.8))).astype(np.uint8)


def painted(labels: npt.NDArray[Any], seed: int = 1) -> npt.NDArray[np.uint16]:
    """What has another brightness in each kind, and grain everywhere."""
    grain = gaussian_filter(np.random.default_rng(seed).normal(size=labels.shape), 1)
    return (1000 + 1500.0 * labels + 800 * grain).clip(0, 65535).astype(np.uint16)


def prepared(source: Any, target: Any, **params: Any) -> TrainingSetup:
    chosen = trainable(METHOD)
    context = TrainContext(Device("cpu", "CPU", "for the test"))
    return chosen.prepare(gather(source, target, kind="paired"), chosen.params_type(**(SMALL | params)), context)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.VARIABLE, str(tmp_path_factory.mktemp("models")))
        labels = regions()
        source = Image(labels, "YX", {"Y": 0.5, "X": 0.5}, name="regions")
        yield train_model(METHOD, source, Image(painted(labels), "YX", name="cells"), SMALL | {"steps": 40})


def test_images_are_made_for_labels(trained: Trained) -> None:
    labels = regions(50, seed=7)[:, :43]
    made = napari_synth.synthesize(trained.path, 3, source=labels)
    assert made.shape == (3, 50, 43)
    assert made.dtype == np.uint16
    means = [[float(image[labels == kind].mean()) for kind in range(3)] for image in made]
    for brightness in means:
        np.testing.assert_allclose(brightness, [1000, 2500, 4000], atol=500)
    # Noise makes images of the same labels differ.
    assert np.abs(made[0].astype(float) - made[1]).mean() > 5
    np.testing.assert_array_equal(made[:2], napari_synth.synthesize(trained.path, 2, source=labels))


def test_the_model_says_how_good_it_is(trained: Trained) -> None:
    own = trained.card.metrics["held-out pixels, this model"]
    mean = trained.card.metrics[f"held-out pixels, {BY_LABEL}"]
    assert own[VARIETY] > 0
    assert own[DISTANCE] < mean[DISTANCE]
    assert own[PSNR] > 10
    assert trained.card.extras["labels"] == {"encoding": "classes", "ids": [0, 1, 2]}


def test_every_plane_of_labels_gets_images_and_unknown_labels_are_told(trained: Trained) -> None:
    labels = np.stack([regions(32, seed=3), np.full((32, 32), 9, np.uint8)])
    generator = napari_synth.load_model(trained.path)
    run = prepare(generator.info.id, Image(labels, "TYX"), {"count": 2}, device="cpu")
    assert run.compute().shape == (2, 2, 32, 32)
    alone = prepare(generator.info.id, Image(labels[1], "YX"), device="cpu")
    assert any("9 are taken for 0" in note for note in alone.notes)


def test_few_labels_are_classes_and_numbered_objects_are_not() -> None:
    classes = regions()
    objects = label(classes == 2).astype(np.int64)
    assert LabelChannels.of([classes.astype(np.int64)]) == LabelChannels("classes", (0, 1, 2))
    assert LabelChannels.of([objects]).encoding == "instances"
    assert LabelChannels.of([np.where(objects < 5, objects, 0)]).encoding == "instances"
    assert LabelChannels.of([objects], "classes").count == objects.max() + 1
    with pytest.raises(TrainingDataError, match="All labels are the same"):
        LabelChannels.of([np.ones((8, 8), np.int64)])
    for channels in (LabelChannels("instances"), LabelChannels("classes", (0, 4))):
        assert LabelChannels.from_record(channels.record()) == channels


def test_objects_that_touch_are_told_apart_by_their_rims() -> None:
    plane = np.zeros((24, 40), np.int64)
    plane[4:20, 4:20], plane[4:20, 20:36] = 7, 3
    inside, rim, depth = LabelChannels("instances").encode(plane)
    np.testing.assert_array_equal(inside, plane != 0)
    assert rim[10, 19] == rim[10, 20] == rim[10, 4] == 1
    assert rim[10, 10] == rim[0, 0] == 0
    assert depth[12, 12] > depth[12, 6] > 0
    assert depth[0, 0] == rim.min() == 0


def test_objects_are_learnt_in_colours() -> None:
    objects = label(regions() == 2)
    colours = np.stack([painted(objects > 0, seed) for seed in range(3)], axis=-1)
    setup = prepared(objects, Image(colours, "YXS"))
    assert setup.extras["labels"]["encoding"] == "instances"
    assert isinstance(setup.module, Painting)
    assert setup.extras["sample"]["axis"] == "S"
    assert any("objects" in note for note in setup.notes)
    with torch.no_grad():
        figures = setup.module.validate(setup.module.networks)
    assert figures is not None
    assert not figures.collapsed
    # It starts from the mean of each kind of pixel.
    assert figures.metrics[PSNR] > setup.module.baselines()[BY_LABEL][PSNR] - 3


def test_patches_of_labels_can_be_looked_at() -> None:
    labels = regions()
    images = gather(labels, painted(labels), kind="paired")
    patches = augmented_examples(METHOD, images, SMALL | {"augmentation": "geometry"}, 2)
    assert patches.shape == (2, 32, 32)
    assert patches.min() >= -1e-5
    assert patches.max() <= 1 + 1e-5


def test_a_painter_has_no_grid_of_its_own() -> None:
    network = LabelPainter(2, 1, 8, torch.Generator().manual_seed(0))
    labels = torch.stack((torch.ones(64, 64), torch.zeros(64, 64))).expand(16, -1, -1, -1)
    noise = torch.randn(16, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made = network(labels, noise)[:, 0]
    power = torch.fft.rfft(made - made.mean()).abs().square().mean((0, 1))
    # A period of two or four pixels, those of its cells, is not stronger than those beside it.
    for cells, beside in ((16, (14, 15, 17, 18)), (32, (29, 30, 31))):
        assert power[cells] < 1.5 * power[list(beside)].mean()


def test_what_are_no_labels_is_refused() -> None:
    labels = regions()
    with pytest.raises(TrainingDataError, match="whole numbers"):
        prepared(labels.astype("f4"), painted(labels))
    with pytest.raises(TrainingDataError, match="no channels"):
        prepared(Image(np.stack([labels, labels]), "CYX"), Image(painted(labels), "YX"))


def test_a_painter_uses_its_noise_and_is_rebuilt() -> None:
    network = LabelPainter(3, 2, 8, torch.Generator().manual_seed(0))
    labels, noise = torch.rand(1, 3, 32, 48), torch.randn(2, 1, 2, 32, 48)
    one, other = (network(labels, each) for each in noise)
    assert one.shape == (1, 2, 32, 48)
    assert (one - other).abs().mean() > 0
    again = LabelPainter(**network.config)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(labels, noise[0]), one)
