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
from napari_synth.core.errors import InvalidImageError, InvalidParameterError, TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.labelled import LabelChannels, signed_distance
from napari_synth.methods.synthesize.labels_to_image import BY_LABEL, DISTANCE, EDGES, VARIETY, VELOCITY, Painting
from napari_synth.models import library
from napari_synth.networks.velocity_unet import VelocityUNet
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
        yield train_model(METHOD, source, Image(painted(labels), "YX", name="cells"), SMALL | {"steps": 240})


@pytest.fixture(scope="module")
def of_objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.VARIABLE, str(tmp_path_factory.mktemp("models")))
        source = Image(discs(), "YX", {"Y": 0.5, "X": 0.5}, {"Y": "um", "X": "um"}, name="discs")
        shown = Image(blurred(discs()), "YX", {"Y": 0.5, "X": 0.5}, {"Y": "um", "X": "um"}, name="cells")
        yield train_model(METHOD, source, shown, SMALL | {"steps": 240})


def discs(size: int = 128, seed: int = 0) -> npt.NDArray[np.uint16]:
    """Objects of about 80 pixels that do not touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    found, number = np.zeros((size, size), np.uint16), 0
    for _ in range(600):
        middle, radius = rng.uniform(0, size, 2), rng.uniform(4, 6)
        away = np.hypot(y - middle[0], x - middle[1])
        if not found[away < radius + 2].any():
            number += 1
            found[away < radius] = number
    return found


def blurred(labels: npt.NDArray[Any], seed: int = 1) -> npt.NDArray[np.uint16]:
    """What is bright inside of objects and falls off softly beyond them."""
    rng = np.random.default_rng(seed)
    bright = rng.uniform(2000, 4000, int(labels.max()) + 1) * (np.arange(labels.max() + 1) > 0)
    image = gaussian_filter(bright[labels], 1.5) + 300 + rng.normal(0, 30, labels.shape)
    return image.clip(0, 65535).astype(np.uint16)


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
    assert own[VARIETY] > 10
    assert own[DISTANCE] < mean[DISTANCE]
    assert 0 < own[VELOCITY] < 1
    assert trained.card.extras["labels"] == {"encoding": "classes", "ids": [0, 1, 2]}
    assert "objects" not in trained.card.extras


def test_borders_are_as_steep_as_real_ones(of_objects: Trained) -> None:
    labels = discs(96, seed=5)
    made = napari_synth.synthesize(of_objects.path, 4, source=labels).astype(float)
    real = blurred(labels, 6).astype(float)
    near = np.abs(signed_distance(labels.astype(np.int64))) < 1.5
    own, other = (np.hypot(*np.gradient(one, axis=(-2, -1)))[..., near].mean() for one in (made, real))
    # Steps of the mean of each label are more than twice as steep.
    assert 0.6 * other < own < 1.4 * other
    assert 50 < of_objects.card.metrics["held-out pixels, this model"][EDGES] < 150


def test_images_come_with_labels_that_were_drawn_for_them(of_objects: Trained) -> None:
    images, labels = napari_synth.synthesize(of_objects.path, 3, with_labels=True, size=(72, 80), seed=4)
    assert images.shape == labels.shape == (3, 72, 80)
    assert labels.dtype == np.uint16
    for image, plane in zip(images.astype(float), labels, strict=True):
        assert plane.max() >= 3
        assert set(np.unique(plane)) == set(range(int(plane.max()) + 1))
        assert image[plane > 0].mean() > 2 * image[signed_distance(plane.astype(np.int64)) < -5].mean()
    assert not np.array_equal(labels[0], labels[1])
    again = napari_synth.synthesize(of_objects.path, 2, with_labels=True, size=(72, 80), seed=4)
    np.testing.assert_array_equal(again[0], images[:2])
    np.testing.assert_array_equal(again[1], labels[:2])
    np.testing.assert_array_equal(napari_synth.synthesize(of_objects.path, 1, size=(72, 80), seed=4), images[:1])
    other = napari_synth.synthesize(of_objects.path, 1, with_labels=True, size=(72, 80), seed=5)[1]
    assert not np.array_equal(other[0], labels[0])


def test_pairs_have_the_grid_of_what_was_learnt_from(of_objects: Trained) -> None:
    run = prepare(napari_synth.load_model(of_objects.path).info.id, None, {"count": 2}, device="cpu")
    images, labels = run.result, run.labels_image(np.zeros((2, *run.size), run.labels_dtype))
    assert images.axes == labels.axes == "TYX"
    assert images.shape == labels.shape == (2, 32, 32)
    assert images.spacing == labels.spacing == {"Y": 0.5, "X": 0.5}
    assert images.units == labels.units == {"Y": "um", "X": "um"}


def test_what_draws_no_labels_says_so(trained: Trained, of_objects: Trained) -> None:
    with pytest.raises(InvalidImageError, match="give labels"):
        napari_synth.synthesize(trained.path, 1, with_labels=True)
    with pytest.raises(InvalidParameterError, match="leave labels out"):
        napari_synth.synthesize(of_objects.path, 1, source=discs(48), with_labels=True)
    with pytest.raises(InvalidParameterError, match="nothing between two"):
        napari_synth.interpolate(of_objects.path, 1, 2)


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


def test_objects_that_touch_are_told_apart_and_borders_are_smooth() -> None:
    plane = np.zeros((24, 40), np.int64)
    plane[4:20, 4:20], plane[4:20, 20:36] = 7, 3
    inside, rim, depth = channels = LabelChannels("instances").encode(plane)
    np.testing.assert_array_equal(inside > 0, plane != 0)
    assert inside[10, 19] == inside[10, 20] < 0.5 < inside[10, 12]
    assert rim[10, 19] == rim[10, 20] == rim[10, 4] > 0.5
    assert max(rim[10, 10], rim[0, 0]) == pytest.approx(-1, abs=0.01)
    assert depth[12, 12] > depth[12, 6] > 0 > depth[0, 0]
    # From pixel to pixel no channel steps as labels themselves do, from -1 to 1.
    assert max(np.abs(np.diff(channels, axis=axis)).max() for axis in (1, 2)) < 1.2
    kinds = LabelChannels("classes", (0, 3, 7)).encode(plane)
    np.testing.assert_array_equal(kinds.argmax(0), np.searchsorted([0, 3, 7], plane))


def test_the_distance_is_to_the_nearest_border() -> None:
    plane = np.zeros((9, 12), np.int64)
    plane[:, 4:8], plane[:, 8:] = 1, 2
    np.testing.assert_array_equal(
        signed_distance(plane)[4], [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 1.5, 0.5, 0.5, 1.5, 2.5, 3.5]
    )
    assert (signed_distance(np.ones((4, 4), np.int64)) > 0).all()
    assert (signed_distance(np.zeros((4, 4), np.int64)) < 0).all()


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
    assert set(figures.metrics) == {DISTANCE, EDGES, VARIETY, VELOCITY}


def test_patches_of_labels_can_be_looked_at() -> None:
    labels = regions()
    images = gather(labels, painted(labels), kind="paired")
    patches = augmented_examples(METHOD, images, SMALL | {"augmentation": "geometry"}, 2)
    assert patches.shape == (2, 32, 32)
    assert patches.min() >= -1 - 1e-5
    assert patches.max() <= 1 + 1e-5


def test_what_are_no_labels_is_refused() -> None:
    labels = regions()
    with pytest.raises(TrainingDataError, match="whole numbers"):
        prepared(labels.astype("f4"), painted(labels))
    with pytest.raises(TrainingDataError, match="no channels"):
        prepared(Image(np.stack([labels, labels]), "CYX"), Image(painted(labels), "YX"))


def test_a_network_that_is_told_of_labels_is_rebuilt() -> None:
    network = VelocityUNet(2, 8, 2, (0.0, 0.1), (0.5, 0.4), torch.Generator().manual_seed(0), given=3)
    x, time, given = torch.randn(2, 2, 16, 24), torch.rand(2), torch.rand(2, 3, 16, 24)
    made = network(x, time, given)
    assert made.shape == x.shape
    assert (made - network(x, time, -given)).abs().mean() > 0
    again = VelocityUNet(**network.config)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(x, time, given), made)
