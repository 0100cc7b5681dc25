from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import time

import numpy as np
import pytest
import torch

from napari_synth.models import load_model
from pretraining import evaluation
from pretraining.__main__ import COURSES, app
from pretraining.crops import CROP, CropStore, write_shard
from pretraining.denoising import Denoising
from pretraining.enlarging import Enlarging, reduced
from pretraining.patches import draw_patches
from pretraining.scenes import membranes, nuclei
from pretraining.training import Settings, Trainer

SMALL = {"widths": (4, 6, 8), "encoder_blocks": (1, 1), "decoder_blocks": (1, 1), "bottom_blocks": 1}
QUICK = Settings(steps=12, warm_up_steps=2)
DENOISING = Denoising(batch=2, patch=24, config=SMALL)
ENLARGING = Enlarging(batch=2, patch=16, config={"widths": (4, 6)})


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    write_shard(folder, "generated-0", [nuclei(rng), membranes(rng)])
    return folder


@pytest.fixture(scope="module")
def store(crops):
    return CropStore.open(crops)


def trainer(folder, store, settings=QUICK, lesson=DENOISING):
    return Trainer(folder, store, lesson, settings, torch.device("cpu"))


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_patches_come_in_every_orientation(tmp_path):
    ramp = np.linspace(0, 1, CROP, dtype=np.float32)[None, :].repeat(CROP, 0)
    write_shard(tmp_path, "photographs", [ramp])
    batch = draw_patches(CropStore.open(tmp_path), 40, 16, torch.Generator().manual_seed(0))
    assert batch.shape == (40, 1, 16, 16)
    along_x = batch[:, 0, 0, -1] - batch[:, 0, 0, 0]
    along_y = batch[:, 0, -1, 0] - batch[:, 0, 0, 0]
    assert {(int(x.sign()), int(y.sign())) for x, y in zip(along_x, along_y, strict=True)} == {
        (1, 0),
        (-1, 0),
        (0, 1),
        (0, -1),
    }


@pytest.mark.parametrize("lesson", [DENOISING, ENLARGING])
def test_a_few_steps_lower_the_loss(tmp_path, store, lesson):
    run = trainer(tmp_path, store, dataclasses.replace(QUICK, steps=1000), lesson)
    batch = run.draw()
    losses = [run.train_step(batch) for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("lesson", [DENOISING, ENLARGING])
def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path, store, lesson):
    whole = trainer(tmp_path / "whole", store, lesson=lesson)
    whole.run(lambda _: None)
    assert whole.step == 12

    half = trainer(tmp_path / "half", store, lesson=lesson)
    half.run(lambda _: None, stopped=lambda: half.step >= 5)
    assert half.step == 5
    rest = trainer(tmp_path / "half", store, lesson=lesson)
    rest.resume()
    rest.run(lambda _: None)
    assert rest.step == 12
    assert same_weights(rest.network, whole.network)
    assert same_weights(rest.average, whole.average)


def test_every_scale_is_taught_and_coarse_patches_are_of_one_size(store):
    generator = torch.Generator().manual_seed(0)
    batches = [ENLARGING.draw(store, generator) for _ in range(30)]
    assert {batch.scale for batch in batches} == {2, 3, 4}
    for batch in batches:
        assert batch.coarse.shape == (2, 1, 16, 16)
        assert batch.fine.shape == (2, 1, 16 * batch.scale, 16 * batch.scale)
        clean = batch.sigma.amax(dim=(1, 2, 3)) == 0
        assert (batch.correlation[clean] == 0).all()


@pytest.mark.parametrize("pixels", ["cubic", "area", "lens"])
def test_a_reduced_image_keeps_its_mean(pixels):
    fine = torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    coarse = reduced(fine, 4, pixels)
    assert coarse.shape == (2, 1, 24, 24)
    assert float((coarse.mean() - fine.mean()).abs()) < 0.005


def test_the_learning_rate_warms_up_and_falls(tmp_path, store):
    run = trainer(tmp_path, store, dataclasses.replace(QUICK, steps=1000, warm_up_steps=100))
    rates = []
    for step in (0, 100, 500, 999):
        run.step = step
        rates.append(run.rate())
    assert rates[0] < 0.02 * run.settings.learning_rate
    assert rates[1] > rates[2] > rates[3]
    assert rates[3] < 0.01 * run.settings.learning_rate


def test_the_length_in_minutes_is_kept(tmp_path, store):
    run = trainer(tmp_path, store, dataclasses.replace(QUICK, steps=None, minutes=0.02))
    begin = time.monotonic()
    run.run(lambda _: None)
    assert time.monotonic() - begin > 1.0
    assert run.done == 1.0


def test_a_loss_that_is_not_finite_leads_back_to_good_weights(tmp_path, store, monkeypatch):
    run = trainer(tmp_path, store)
    start = [weight.clone() for weight in run.network.parameters()]
    draw = run.draw

    def broken_at_three():
        batch = draw()
        return dataclasses.replace(batch, noisy=batch.noisy * float("nan")) if run.step == 3 and poison else batch

    poison = True
    monkeypatch.setattr(run, "draw", broken_at_three)
    run.run(lambda _: None, stopped=lambda: run.rate_factor < 1)
    assert run.step == 0
    assert all(torch.equal(a, b) for a, b in zip(start, run.network.parameters(), strict=True))
    poison = False
    run.run(lambda _: None)
    assert run.step == 12
    assert all(torch.isfinite(weight).all() for weight in run.network.parameters())


def test_a_crash_while_saving_keeps_the_old_checkpoint(tmp_path, store, monkeypatch):
    run = trainer(tmp_path, store)
    run.save()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    run.train_step(run.draw())

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        run.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_the_curve_is_a_line_a_report(tmp_path, store):
    run = trainer(tmp_path, store)
    run.run(lambda state: state.note({"psnr": 30.0}))
    (line,) = (tmp_path / "curve.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 12


@pytest.mark.parametrize(
    ("what", "name", "lesson"),
    [("denoise", "denoise-blind", DENOISING), ("super-resolution", "super-resolution", ENLARGING)],
)
def test_the_command_trains_stops_and_goes_on(tmp_path, crops, monkeypatch, what, name, lesson):
    monkeypatch.setitem(COURSES, what, dataclasses.replace(COURSES[what], lesson=lesson))
    monkeypatch.setattr(evaluation, "VALIDATION", ("coins",))
    draw, drawn = type(lesson).draw, itertools.count(1)

    def draw_and_stop(self, *arguments):
        if next(drawn) == 3:
            signal.raise_signal(signal.SIGTERM)
        return draw(self, *arguments)

    monkeypatch.setattr(type(lesson), "draw", draw_and_stop)
    (crops / "photographs.npy").write_bytes((crops / "generated-0.npy").read_bytes())
    command = [what, "--out", str(tmp_path), "--crops", str(crops), "--scenes", "0", "--device", "cpu", "--minutes"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        app([*command, "60"], result_action="return_value")
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3
        (tmp_path / f"{name}.safetensors").unlink()
        app([*command, "60", "--resume", "--piece-minutes", "0.005"], result_action="return_value")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] >= 3
    assert state["elapsed"] < 60 * 60
    network, card = load_model(tmp_path / f"{name}.safetensors")
    assert card.name == name
    assert all(row["coins"] == row["mean"] > 10 for row in card.metrics.values())
    assert card.training_command.startswith(f"python -m pretraining {what} --minutes 60")
    assert next(network.parameters()).dtype == torch.float32
