from __future__ import annotations

import numpy as np
import pytest
import torch
from training_images import gain_db, noisy, prepare, restore, rings

from napari_synth import registry
from napari_synth.core.errors import Cancelled
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.imaging.noise import NoiseModel
from napari_synth.methods.denoise import adapted as _adapted
from napari_synth.methods.denoise.adapted import LearntLaw, Verdict
from napari_synth.methods.denoise.conditioned import MODEL
from napari_synth.methods.noise_conditioning import Condition, bundled_network


@pytest.fixture(params=["network", "noise law"])
def learn(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what was learnt, whether it helps or not."""
    monkeypatch.setattr(Verdict, "convincing", True)


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verdict, "convincing", False)


def test_what_does_not_help_is_not_used(never: None, learn: str) -> None:
    image = noisy(rings())
    blind, context = prepare(registry.generator("denoise/blind"), image)
    adapted, _ = prepare(registry.generator("denoise/adapted"), image, learn=learn, steps=2, batch=1)
    np.testing.assert_array_equal(restore(adapted, context, image), restore(blind, context, image))
    assert any("is used" in note and "bundled" in note for note in adapted.notes)


def test_what_helps_is_used_and_removes_noise(always: None, learn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # On so small an image the bundled network is near the best there is: larger steps only lead away from it.
    monkeypatch.setitem(_adapted._RATE, "network", 1e-5)
    clean = rings()
    image = noisy(clean)
    blind, context = prepare(registry.generator("denoise/blind"), image)
    adapted, _ = prepare(registry.generator("denoise/adapted"), image, learn=learn, steps=20, batch=2)
    unadapted, result = restore(blind, context, image), restore(adapted, context, image)
    assert np.abs(result - unadapted).max() > 1e-5
    assert gain_db(result, image, clean) > gain_db(unadapted, image, clean) - 0.5
    assert adapted.weights == blind.weights


def test_the_bundled_network_itself_is_never_changed(always: None) -> None:
    image = noisy(rings())
    blind, context = prepare(registry.generator("denoise/blind"), image)
    before = restore(blind, context, image)
    prepare(registry.generator("denoise/adapted"), image, steps=5, batch=2)
    again, _ = prepare(registry.generator("denoise/blind"), image)
    np.testing.assert_array_equal(restore(again, context, image), before)


def test_held_out_pixels_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_adapted._RATE, "network", 10.0)
    prepared, _ = prepare(registry.generator("denoise/adapted"), noisy(rings()), steps=5, batch=1)
    assert any("the bundled one is used" in note for note in prepared.notes)


@pytest.mark.parametrize(("after", "error", "convincing"), [(0.9, 0.01, True), (0.9, 0.2, False), (1.1, 0.01, False)])
def test_a_verdict_needs_more_than_chance(after: float, error: float, convincing: bool) -> None:
    verdict = Verdict(1.0, after, error)
    assert verdict.convincing is convincing
    assert ("better (loss -10.00%), so it is used" in verdict.sentence("network")) is convincing


def test_the_learnt_law_begins_as_the_measured_one(cpu_network: torch.nn.Module) -> None:
    model = NoiseModel(0.02, 0.0, 0.05)
    condition = Condition(model, (0.0, 0.0), report=None)  # type: ignore[arg-type]
    law = LearntLaw.starting_from(cpu_network, condition, torch.linspace(0.0, 1.0, 100))  # type: ignore[arg-type]
    for level in (0.1, 0.5, 0.9):
        sigma = float(model.sigma(level))
        rise = law.stabilise(torch.tensor(level + 0.01)) - law.stabilise(torch.tensor(level - 0.01))
        assert rise.item() / 0.02 == pytest.approx(1 / sigma, rel=0.05)
    image = torch.rand((1, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    there_and_back = law.correct(law.stabilise.inverse(law.stabilise(image)))
    assert torch.allclose(there_and_back, image, atol=1e-5)


@pytest.fixture
def cpu_network() -> torch.nn.Module:
    from napari_synth.core.device import Device

    return bundled_network(MODEL, Device("cpu", "CPU", ""))[0]


def test_the_same_seed_gives_the_same_result(always: None, learn: str) -> None:
    image = noisy(rings())
    results = []
    for _ in range(2):
        prepared, context = prepare(registry.generator("denoise/adapted"), image, learn=learn, steps=3, batch=1, seed=4)
        results.append(restore(prepared, context, image))
    np.testing.assert_array_equal(*results)


def test_an_image_without_noise_is_left_alone() -> None:
    flat = np.full((64, 64), 5.0, np.float32)
    prepared, context = prepare(registry.generator("denoise/adapted"), flat)
    np.testing.assert_allclose(restore(prepared, context, flat), flat)
    assert any("nothing to adapt to" in note for note in prepared.notes)


def test_a_cancel_takes_effect_within_one_step(learn: str) -> None:
    token, steps = CancelToken(), []

    def stop(progress: Progress) -> None:
        if progress.stage in {"Adapting the network", "Learning the noise law"}:
            steps.append(progress.done)
            if progress.done == 2:
                token.cancel()

    with pytest.raises(Cancelled):
        prepare(
            registry.generator("denoise/adapted"), noisy(rings()), learn=learn, batch=1, report=Reporter(stop, token)
        )
    assert steps[-1] == 2
