from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.inpainting import CORNERS
from napari_synth.networks.gated_inpainter import GatedInpainter
from pretraining import holes as drawn
from pretraining.__main__ import COURSES
from pretraining.adversarial import AdversarialTrainer, CriticSettings
from pretraining.crops import CropStore, write_shard
from pretraining.evaluation import HOLES, evaluate_inpainter
from pretraining.holes import draw_holes
from pretraining.inpainting import Inpainting
from pretraining.photographs import NOT_IN_BENCHES, photograph_crops
from pretraining.scenes import membranes, nuclei
from pretraining.training import Settings, Trainer

LESSON = Inpainting(batch=2, patch=48, config={"widths": (4, 6, 8), "dilations": (1, 2)})
QUICK = Settings(steps=8, warm_up_steps=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CropStore:
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    write_shard(folder, "generated-0", [nuclei(rng), membranes(rng)])
    return CropStore.open(folder)


def trainer(
    folder: Path,
    store: CropStore,
    start: float,
    settings: Settings = QUICK,
    kind: type[AdversarialTrainer] = AdversarialTrainer,
) -> AdversarialTrainer:
    return kind(folder, store, LESSON, settings, torch.device("cpu"), CriticSettings(start=start))


@pytest.mark.parametrize("kind", ["scratches", "strokes", "discs", "boxes", "lines"])
def test_every_kind_of_hole_is_drawn(kind: str) -> None:
    rng = np.random.default_rng(0)
    found = [getattr(drawn, kind)(96, rng) for _ in range(20)]
    assert all(holes.shape == (96, 96) and holes.dtype == bool for holes in found)
    assert np.mean([holes.any() for holes in found]) > 0.8
    assert max(holes.mean() for holes in found) < 0.9


def test_holes_leave_enough_and_the_seed_decides() -> None:
    first, again = (
        [draw_holes(64, rng) for _ in range(30)] for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert all(0 < holes.sum() <= holes.size // 2 for holes in first)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("start", [2.0, 0.0], ids=["small errors", "critic"])
def test_a_few_steps_lower_the_error(tmp_path: Path, store: CropStore, start: float) -> None:
    run = trainer(tmp_path, store, start, dataclasses.replace(QUICK, steps=1000))
    batch = run.draw()

    def error() -> float:
        with torch.no_grad():
            errors, weights = LESSON.errors(run.network, batch)
        return float((errors.abs().mean((1, 2, 3)) * weights).mean())

    before = error()
    for _ in range(25):
        run.train_step(batch)
    assert error() < 0.9 * before


def test_the_critic_is_asked_only_from_its_start_on(tmp_path: Path, store: CropStore) -> None:
    run = trainer(tmp_path, store, 0.5)
    start = [weight.clone() for weight in run.critic.parameters()]
    changed = []
    for _ in range(6):
        run.train_step(run.draw())
        changed.append(any(not torch.equal(a, b) for a, b in zip(start, run.critic.parameters(), strict=True)))
    assert changed == [False] * 4 + [True] * 2


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path: Path, store: CropStore) -> None:
    whole = trainer(tmp_path / "whole", store, 0.25)
    whole.run(lambda _: None)
    half = trainer(tmp_path / "half", store, 0.25)
    half.run(lambda _: None, stopped=lambda: half.step >= 5)
    rest = trainer(tmp_path / "half", store, 0.25)
    rest.resume()
    rest.run(lambda _: None)
    for a, b in zip(rest.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_plain_trainer_teaches_it_too(tmp_path: Path, store: CropStore) -> None:
    run = Trainer(tmp_path, store, LESSON, QUICK, torch.device("cpu"))
    assert np.isfinite(run.train_step(run.draw()))


def test_what_is_measured() -> None:
    torch.manual_seed(0)
    figures = evaluate_inpainter(GatedInpainter((4, 6, 8), dilations=(1,)))
    assert set(figures) == {*HOLES, *(f"{kind}, fine" for kind in HOLES)}
    # A fresh network gives about the smooth surface.
    assert 20 < figures["box"]["mean"] < 26
    assert figures["box, fine"]["mean"] > 0


def test_what_the_bench_shows_is_not_trained_on() -> None:
    assert COURSES["inpaint"].without_benches
    assert not {*NOT_IN_BENCHES} & {*CORNERS}
    named = " ".join(source.name for source in COURSES["inpaint"].text.training_data)
    assert not any(name in named for name in CORNERS)
    assert len(list(photograph_crops(None, shipped=NOT_IN_BENCHES))) < len(list(photograph_crops(None)))
