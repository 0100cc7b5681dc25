"""Translation learnt from images of two kinds that show different fields: small networks, few steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open

import napari_synth
from napari_synth import registry
from napari_synth.core.errors import AxesError, Cancelled, TrainingDataError
from napari_synth.core.progress import Progress
from napari_synth.imaging.image import Image
from napari_synth.methods.translate.cyclegan import CycleGANModule
from napari_synth.methods.translate.figures import PatchTarget, content_correlation, is_flat
from napari_synth.methods.translate.unpaired import CONTENT, DISTANCE, UnpairedModule
from napari_synth.models import library
from napari_synth.studio.train import train_model
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import Previewed
from napari_synth.verbs import prepare

TINY: dict[str, Any] = {"width": 4, "blocks": 1, "patch": 16, "batch": 1, "steps": 2}
CYCLE, CUT = "translate/cyclegan", "translate/cut"


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give every test a library of its own."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()
    yield tmp_path / "models"
    registry.refresh()


def spots(seed: int, shape: tuple[int, ...] = (40, 40)) -> npt.NDArray[np.float64]:
    """Squares of all intensities, 0 to 1."""
    random = np.random.default_rng(seed)
    coarse = random.random(tuple(-(-size // 4) if size > 8 else size for size in shape))
    for axis, size in enumerate(shape):
        if size > 8:
            coarse = coarse.repeat(4, axis)
    return coarse[tuple(slice(size) for size in shape)]


def gray(seed: int) -> npt.NDArray[np.uint8]:
    return (20 + 200 * spots(seed)).astype("u1")


def bright(seed: int) -> npt.NDArray[np.uint16]:
    """The same kind of squares, by another curve."""
    return (1000 + 4000 * np.sqrt(spots(seed))).astype("u2")


@pytest.mark.parametrize("method", [CYCLE, CUT])
def test_results_are_in_the_counts_of_the_target(method: str) -> None:
    seen: list[Progress] = []
    trained = train_model(method, [gray(0), gray(1)], [bright(2), bright(3)], TINY, progress=seen.append)
    result = napari_synth.translate(gray(4), generator=trained.generator)
    assert result.dtype == np.uint16
    assert result.shape == (40, 40)
    # Untrained, it is the curve that brings intensities there.
    assert np.corrcoef(result.ravel(), bright(4).ravel())[0, 1] > 0.8
    assert abs(float(result.mean()) - float(bright(4).mean())) < 400
    figures = trained.card.metrics
    ours, unchanged = (figures[f"held-out pixels, {what}"] for what in ("this model", "the source as it is"))
    assert ours[DISTANCE] < unchanged[DISTANCE]
    assert unchanged[CONTENT] == pytest.approx(1.0)
    assert "held-out pixels, matched quantiles" in figures
    assert any(
        "no measurement" in note for note in prepare(f"translate/{trained.card.name}", Image(gray(4), "YX")).notes
    )
    preview = [one.event for one in seen if isinstance(one.event, Previewed)][-1].preview
    assert preview.axes == "YX"
    assert preview.pixels.mean() > 1000


@pytest.mark.parametrize("method", [CYCLE, CUT])
@pytest.mark.parametrize(("there", "back"), [("YX", "YXS"), ("YXS", "YX"), ("CYX", "YX")])
def test_channels_may_be_others(method: str, there: str, back: str) -> None:
    sizes = {"C": 2, "S": 3, "Y": 40, "X": 40}

    def image(axes: str, seed: int) -> Image:
        shape = tuple(sizes[axis] for axis in axes)
        return Image((255 * spots(seed, shape)).astype("u1"), axes)

    trained = train_model(method, image(there, 0), image(back, 1), TINY)
    result = napari_synth.translate(image(there, 2), generator=trained.generator)
    assert result.axes == back
    assert result.read().shape == tuple(sizes[axis] for axis in back)
    with pytest.raises(AxesError, match="needs"):
        napari_synth.translate(np.zeros((5, 40, 40), "u1"), generator=trained.generator, axes="CYX")


@pytest.mark.parametrize("method", [CYCLE, CUT])
def test_volumes_are_learnt_as_such(method: str) -> None:
    volume = (255 * spots(0, (4, 40, 40))).astype("u1")
    trained = train_model(method, volume, volume[::-1].copy(), {**TINY, "dimensions": "3D"}, axes="ZYX")
    assert trained.card.config["dims"] == 3
    assert napari_synth.translate(volume, generator=trained.generator, axes="ZYX").shape == volume.shape


@pytest.mark.parametrize("method", [CYCLE, CUT])
def test_a_run_that_was_thrown_away_goes_on_exactly(method: str, tmp_path: Path) -> None:
    options = {**TINY, "steps": 6, "batch": 2} | ({"pool": 3} if method == CYCLE else {"variant": "FastCUT"})
    images = (gray(0), bright(1))
    whole = train_model(method, *images, options, name="whole")
    control = TrainingControl()

    def cancel(progress: Progress) -> None:
        if progress.stage.startswith("Training") and progress.done == 4:
            control.cancel()

    where: dict[str, Any] = {"out": tmp_path / "run", "checkpoint_seconds": 0.0}
    with pytest.raises(Cancelled):
        train_model(method, *images, options, name="part", progress=cancel, cancel=control, **where)
    torch.manual_seed(5)
    part = train_model(method, *images, options, resume=True, **where)
    assert part.result.losses == whole.result.losses
    assert np.isfinite(part.result.losses).all()
    one, other = (weights(trained.path) for trained in (whole, part))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


def test_the_error_of_the_way_there_and_back_is_a_layer_of_its_own() -> None:
    image = np.stack([gray(0), 4 * gray(1).astype("u2")]).astype("u2")
    trained = train_model(CYCLE, Image(image, "CYX"), Image(bright(2), "YX"), TINY)
    error = napari_synth.translate(image, generator=trained.generator, axes="CYX", show="cycle error")
    assert (error.dtype, error.shape) == (np.float32, image.shape)
    assert error.min() >= 0
    # Two channels cannot be found again from their mean.
    assert 5 < error.mean() < 400
    run = prepare(f"translate/{trained.card.name}", Image(image, "CYX"), {"show": "cycle error"}, tile=16)
    np.testing.assert_allclose(run.compute(), error, atol=0.01)


def test_tiles_equal_the_whole_and_the_spread_is_in_the_targets_counts() -> None:
    trained = train_model(CUT, [gray(0), gray(1)], [bright(2), bright(3)], {**TINY, "normalisation": "pixel"})
    name = f"translate/{trained.card.name}"
    whole = prepare(name, Image(gray(4), "YX")).compute()
    tiles = prepare(name, Image(gray(4), "YX"), tile=16).compute()
    assert np.abs(whole.astype(float) - tiles).max() <= 1
    spread = prepare(name, Image(gray(4), "YX")).spread().compute()
    assert spread.shape == whole.shape
    assert 0 <= spread.min() <= spread.max() < 2000


def test_features_normalised_by_instance_need_whole_planes() -> None:
    trained = train_model(CUT, gray(0), bright(1), {**TINY, "normalisation": "instance"})
    assert prepare(f"translate/{trained.card.name}", Image(gray(4), "YX")).channels[0].prepared.spec.whole


def test_bad_images_are_clear_errors() -> None:
    with pytest.raises(TrainingDataError, match="different channels"):
        train_model(CYCLE, [gray(0), np.zeros((40, 40, 3), "u1")], gray(1), TINY)
    with pytest.raises(TrainingDataError, match="target"):
        train_model(CUT, gray(0), None, TINY)
    with pytest.raises(TrainingDataError, match="too little"):
        train_model(CUT, gray(0)[:20], gray(1), TINY)


def test_pixels_of_other_sizes_are_told() -> None:
    units = {"Y": "micrometer", "X": "micrometer"}
    fine, coarse = (Image(gray(0), "YX", {"Y": size, "X": size}, units) for size in (0.1, 0.3))
    trained = train_model(CUT, fine, coarse, TINY)
    assert any("A pixel of the source is 0.33 times" in note for note in trained.notes)


def test_a_dead_network_is_told_from_a_living_one() -> None:
    planes = [torch.rand(1, 1, 16, 16) for _ in range(3)]
    flat = [torch.full((1, 1, 16, 16), 0.4)] * 3
    assert is_flat(planes, flat, planes)
    assert not is_flat(planes, planes, planes)
    assert not is_flat(flat, flat, planes)


def test_content_has_a_sign() -> None:
    planes = [torch.from_numpy(spots(seed))[None, None].float() for seed in range(3)]
    assert content_correlation(planes, [2 * plane**2 + 1 for plane in planes]) > 0.8
    assert content_correlation(planes, [1 - plane for plane in planes]) == pytest.approx(-1.0)
    assert abs(content_correlation(planes, planes[1:] + planes[:1])) < 0.4
    assert content_correlation(planes, [torch.ones_like(plane) for plane in planes]) == 0.0
    colours = [torch.cat((torch.zeros_like(plane), 1 - plane), 1) for plane in planes]
    assert content_correlation(planes, colours) == pytest.approx(-1.0)


def test_the_distance_of_patches_sees_brightness_and_texture() -> None:
    target = [torch.from_numpy(spots(seed))[None, None].float() for seed in range(4)]
    judge = PatchTarget(target[:2])
    same = judge.distance(target[2:])
    assert judge.distance(target[:2]) == pytest.approx(0.0, abs=1e-6)
    assert judge.distance([plane + 0.3 for plane in target[2:]]) > same + 3
    assert judge.distance([torch.rand_like(plane) for plane in target[2:]]) > 2 * same


@pytest.mark.parametrize(
    ("content", "said"), [(0.9, ""), (0.1, "little of what"), (-0.8, "bright where"), (-0.1, "little")]
)
def test_inverted_and_lost_content_is_told(content: float, said: str) -> None:
    found = UnpairedModule.limits(object.__new__(CycleGANModule), {CONTENT: content})
    assert said in " ".join(found)
    assert bool(found) == bool(said)
