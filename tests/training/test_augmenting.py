from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_images import noisy, rings
from training_lines import STEPS, run, trainer, weights

from napari_synth.augmentation import (
    PRESETS,
    Brightness,
    CameraNoise,
    Elastic,
    Flip,
    Pipeline,
    QuarterTurn,
    Rotate,
    Scale,
)
from napari_synth.contract.trainable import Augmentation, TrainContext
from napari_synth.core.errors import AxesError, Cancelled, TrainingDataError
from napari_synth.core.progress import Progress
from napari_synth.imaging.image import Image
from napari_synth.registry import trainable
from napari_synth.studio import examples
from napari_synth.studio.examples import augmented_examples
from napari_synth.training.augmenting import PatchAugmentation, patch_augmentation
from napari_synth.training.control import TrainingControl
from napari_synth.training.dataset import gather
from napari_synth.training.patches import PatchRegion, PatchSampler
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

NAMES: tuple[Augmentation, ...] = get_args(Augmentation)
SCRATCH = {"initial_weights": "scratch", "width": 8, "patch": 32}
CHANGING = Pipeline(transforms=(Rotate(probability=0.5), CameraNoise(probability=0.5)))
BENDING = Pipeline(transforms=(Flip(), QuarterTurn(), Rotate(), Scale(), Elastic()))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(size: int = 96) -> np.ndarray:
    """Waves between 0 and 1, much coarser than a pixel."""
    y, x = np.mgrid[:size, :size]
    return (0.5 + 0.25 * np.sin(x / 9) + 0.25 * np.cos(y / 7 + x / 15)).astype(np.float32)


def pool_of(pixels: np.ndarray, pipeline: Pipeline | None, sources: int | None = None, patch: int = 32) -> PatchSampler:
    augmentation = None if pipeline is None else PatchAugmentation(pipeline, (1.0,) * (pixels.ndim - 1))
    edges = (8, patch, patch)[-(pixels.ndim - 1) :]
    return PatchSampler([PatchRegion(pixels)], edges, "cpu", sources=sources, augmentation=augmentation)


def test_every_kind_of_image_can_be_chosen() -> None:
    assert set(NAMES) == {"none", "geometry", *PRESETS}


def test_pairs_stay_pairs() -> None:
    source = smooth()
    patches = pool_of(np.stack([source, 3 * source - 1, source**2]), BENDING, 1).sample(40, seeded())
    torch.testing.assert_close(patches[:, 1], 3 * patches[:, 0] - 1, atol=1e-5, rtol=0)
    torch.testing.assert_close(patches[:, 2], patches[:, 0] ** 2, atol=5e-3, rtol=0)


def test_intensities_change_in_the_source_alone() -> None:
    source = smooth()
    pipeline = Pipeline(transforms=(*BENDING.transforms, Brightness(strength=0.5)))
    patches = pool_of(np.stack([source, source, source**2]), pipeline, 1).sample(40, seeded())
    torch.testing.assert_close(patches[:, 2], patches[:, 1] ** 2, atol=5e-3, rtol=0)
    shifts = (patches[:, 0] - patches[:, 1]).flatten(1)
    assert shifts.mean(1).abs().mean() > 0.1
    assert shifts.std(1).max() < 1e-4


def test_patches_are_turned_and_scaled_without_seams() -> None:
    y, x = np.mgrid[:200, :200].astype(np.float32)
    ramp = pool_of(np.stack([y, x]), Pipeline(transforms=(Rotate(), Scale(smallest=0.8, largest=0.8))))
    middle = [patch for patch in ramp.sample(60, seeded()) if ((patch > 40) & (patch < 160)).all()]
    assert len(middle) > 5
    for patch in middle:
        slopes = patch.diff(dim=-1)
        assert float(slopes.max() - slopes.min()) < 2.6
        assert float(slopes.flatten(1).std(1).max()) < 1e-3
        assert float(slopes.mean((1, 2)).norm()) == pytest.approx(1.25, abs=1e-3)


def test_beyond_the_edge_lies_the_image_mirrored() -> None:
    patches = pool_of(1 + smooth(40)[None], BENDING).sample(40, seeded())
    assert patches.min() >= 1


def test_what_must_not_be_turned_or_flipped_is_not() -> None:
    y, x = np.mgrid[:40, :50].astype(np.float32)
    pool = pool_of((100 * y + x)[None], BENDING.model_copy(update={"transforms": (Flip(), QuarterTurn(), Rotate())}))
    assert (pool.sample(40, seeded(), turn=False).diff(dim=-1).abs() == 1).all()
    assert (pool.sample(40, seeded(), turn=False, flip=False).diff(dim=-1) == 1).all()
    assert not (pool.sample(40, seeded()).diff(dim=-1).abs() == 1).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"none", "histology"}])
@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_the_same_seed_draws_the_same(name: Augmentation, axes: str) -> None:
    pixels = np.random.default_rng(0).random((40,) * len(axes), dtype=np.float32)
    augmentation, notes = patch_augmentation(name, [Image(pixels, axes, spacing={"Z": 3.0})], axes, sources=1)
    assert not notes
    edges = (8, 16, 16)[-len(axes) :]
    pool = PatchSampler([PatchRegion(np.stack([pixels, pixels]))], edges, "cpu", sources=1, augmentation=augmentation)
    first, again, other = (pool.sample(6, seeded(seed)) for seed in (1, 1, 2))
    assert first.shape == (6, 2, *edges)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.isfinite(first).all()


def test_colours_are_needed_where_stains_are_changed() -> None:
    with pytest.raises(AxesError, match="RGB"):
        patch_augmentation("histology", [Image(rings(), "YX")], "YX", sources=1)
    augmentation, _ = patch_augmentation("histology", [Image(np.stack([rings()] * 3, -1), "YXS")], "YX", sources=3)
    pool = PatchSampler([PatchRegion(np.stack([smooth()] * 3))], (16, 16), "cpu", augmentation=augmentation)
    assert pool.sample(4, seeded()).shape == (4, 3, 16, 16)


def test_noise_that_is_learnt_is_left_as_it_is() -> None:
    augmentation, notes = patch_augmentation("geometry", [Image(rings(), "YX")], "YX", sources=1, keeps_noise=True)
    assert augmentation is None
    assert "flipped and turned" in notes[0]


def test_counts_that_are_learnt_are_left_as_they_are() -> None:
    augmentation, notes = patch_augmentation(
        "light-microscopy", [Image(rings(), "YX")], "YX", sources=1, intensities="damage"
    )
    assert augmentation is not None
    kinds = {transform.kind for transform in augmentation.pipeline.transforms}
    assert {"rotate", "elastic", "blur", "camera-noise"} <= kinds
    assert not kinds & {"gamma", "brightness", "contrast"}
    assert "Gamma" in notes[0]


class Doubling(TrainingModule):
    """Learns the second channel from the first."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.networks: Networks = {"network": nn.Conv2d(1, 1, 3, padding=1)}
        self.pool = pool_of(np.stack([smooth(48), 2 * smooth(48)]), CHANGING, 1, 16)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        return {"network": [torch.optim.Adam(self.networks["network"].parameters(), lr=0.02)]}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        pixels = work.share(self.pool.sample(work.batch_size, work.generator))
        loss = (work.networks["network"](pixels[:, :1]) - pixels[:, 1:]).square().mean()
        work.update("network", loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation | None:
        return None


def test_a_resumed_run_is_augmented_as_one_that_was_not_interrupted(tmp_path: Path) -> None:
    whole = Doubling()
    run(whole)
    control = TrainingControl()

    def cancel(progress: Progress) -> None:
        if progress.done == 17:
            control.cancel()

    with pytest.raises(Cancelled):
        run(Doubling(), tmp_path, callback=cancel, token=control, checkpoint_seconds=0.0)
    resumed = Doubling()
    again = trainer(resumed, tmp_path)
    assert again.resume()
    assert again.run().steps == STEPS
    assert all(torch.equal(one, other) for one, other in zip(weights(resumed), weights(whole), strict=True))


def test_examples_are_what_a_training_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = 100 * smooth(96)
    images = gather(clean, 2 * clean, kind="paired")
    plain, moved, again = (
        augmented_examples("denoise/supervised", images, {**SCRATCH, "augmentation": name}, 4, 3)
        for name in ("none", "geometry", "geometry")
    )
    assert plain.shape == moved.shape == (4, 32, 32)
    assert np.array_equal(moved, again)
    assert not np.array_equal(np.sort(plain.ravel()), np.sort(moved.ravel()))
    learnt = trainable("denoise/supervised")
    setup = learnt.prepare(images, learnt.params_type.parse(SCRATCH), TrainContext(examples.resolve_device("cpu")))
    del setup.module.pool  # type: ignore[attr-defined]
    monkeypatch.setattr(type(learnt), "prepare", lambda *_: setup)
    with pytest.raises(TrainingDataError, match="draws no patches"):
        augmented_examples("denoise/supervised", images, {})


def test_examples_of_colours_end_in_them() -> None:
    colours = np.stack([100 * smooth(64)] * 3, -1)
    images = gather(noisy(colours), colours, kind="paired", axes="YXS")
    found = augmented_examples("denoise/supervised", images, {**SCRATCH, "augmentation": "histology"}, 2)
    assert found.shape == (2, 32, 32, 3)


def test_noisy_pairs_say_that_they_are_not_augmented() -> None:
    images = gather(noisy(rings()), noisy(rings(), seed=1), kind="paired")
    learnt = trainable("denoise/noise2noise")
    settings = learnt.params_type.parse({**SCRATCH, "augmentation": "geometry"})
    setup = learnt.prepare(images, settings, TrainContext(examples.resolve_device("cpu")))
    assert any("flipped and turned" in note for note in setup.notes)
