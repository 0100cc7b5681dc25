from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import training_lines
from torch import Tensor
from training_lines import STEPS, Curves, run, trainer, weights

from napari_synth.core.errors import Cancelled, CheckpointError, TrainingDivergedError
from napari_synth.core.progress import Progress
from napari_synth.training import checkpoint
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import CurvePoint, Validated
from napari_synth.training.optim import Budget
from napari_synth.training.training_module import Networks, StepContext, Validation


def equal(ones: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Curves:
    module = Curves()
    run(module, tmp_path_factory.mktemp("uninterrupted"))
    return module


def test_all_networks_learn_with_their_own_optimisers() -> None:
    module = Curves()
    result = run(module, budget=Budget(steps=300))
    assert result.held_out[-1][1] < 0.3 * result.held_out[0][1]
    assert module.networks["line"].weight.item() == pytest.approx(3.0, abs=0.2)
    assert result.curve[-1].losses["line"] < 0.05 * result.curve[0].losses["line"]


def test_what_can_be_drawn_is_told() -> None:
    seen: list[Progress] = []
    run(Curves(), callback=seen.append)
    points = [p.event for p in seen if isinstance(p.event, CurvePoint)]
    validated = [p.event for p in seen if isinstance(p.event, Validated)]
    assert [point.step for point in points] == list(range(1, STEPS + 1))
    assert set(points[0].losses) == {"sine", "line"}
    assert [found.step for found in validated] == [0, 8, 16, 24, 32, 40]
    assert validated[-1].baselines == {"nothing": {"MSE": 0.5}}
    assert min(found.score for found in validated) == next(f.score for f in reversed(validated) if f.is_best)


def test_a_long_curve_has_few_points() -> None:
    result = run(Curves(), budget=Budget(steps=1200))
    assert 100 < len(result.curve) < 256
    assert result.curve[-1].step > 1190


@pytest.mark.parametrize("at", [1, 17, 39])
def test_a_run_that_was_thrown_away_goes_on_exactly(at: int, tmp_path: Path, uninterrupted: Curves) -> None:
    control = TrainingControl()

    def cancel(progress: Progress) -> None:
        if progress.done == at:
            control.cancel()

    with pytest.raises(Cancelled):
        run(Curves(), tmp_path, callback=cancel, token=control, checkpoint_seconds=0.0)
    module = Curves()
    again = trainer(module, tmp_path)
    assert again.resume()
    torch.manual_seed(99)
    checkpoint.set_random_states(checkpoint.load(tmp_path)["random"])  # type: ignore[index]
    result = again.run()
    assert result.steps == len(result.losses) == STEPS
    assert module.drawn == STEPS
    assert equal(weights(module), weights(uninterrupted))


def test_a_run_that_was_killed_goes_on_exactly(tmp_path: Path, uninterrupted: Curves) -> None:
    killed = subprocess.run(
        [sys.executable, training_lines.__file__, str(tmp_path), "23"], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    module = Curves()
    again = trainer(module, tmp_path)
    assert again.resume()
    assert 20 < again.result.steps < 24
    again.run()
    assert equal(weights(module), weights(uninterrupted))


def test_a_finished_run_gets_its_budget_once_more(tmp_path: Path) -> None:
    run(Curves(), tmp_path)
    again = trainer(Curves(), tmp_path)
    assert again.resume()
    result = again.run()
    assert result.steps == 2 * STEPS
    assert result.held_out[-1][1] < result.held_out[5][1]


def test_nothing_to_resume_is_no_error(tmp_path: Path) -> None:
    assert not trainer(Curves(), tmp_path).resume()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run(Curves(), tmp_path)
    other = trainer(Curves(), tmp_path)
    other.identity = {"kind": "others"}
    with pytest.raises(CheckpointError, match="another kind"):
        other.resume()


@pytest.mark.parametrize("left", [0, 100, 2000])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, left: int) -> None:
    run(Curves(), tmp_path)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError, match="damaged"):
        trainer(Curves(), tmp_path).resume()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    def no_step(progress: Progress) -> None:
        assert progress.done == 0

    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        run(Curves(), tmp_path / "file" / "run", callback=no_step)


def test_a_stop_keeps_the_best_and_can_be_resumed(tmp_path: Path) -> None:
    class Overfitting(Curves):
        """Is best at the second validation."""

        def validate(self, networks: Networks) -> Validation:
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen == 2:
                self.at_best = [weight.detach().clone() for weight in networks["sine"].parameters()]
            return Validation(abs(self.seen - 2.0))

    control, module = TrainingControl(), Overfitting()

    def stop(progress: Progress) -> None:
        if progress.done == 30:
            control.stop()

    result = run(module, tmp_path, callback=stop, token=control)
    assert result.was_stopped
    assert result.steps == 31
    assert result.held_out[-1][0] == 31
    assert result.best is not None
    assert result.best.step == 8
    assert equal([*module.networks["sine"].parameters()], module.at_best)
    again = trainer(Curves(), tmp_path)
    assert again.resume()
    assert again.run().steps == STEPS


def test_training_lasts_until_it_is_stopped() -> None:
    control = TrainingControl()

    def stop(progress: Progress) -> None:
        assert progress.total == 0
        if progress.done == 60:
            control.stop()

    module = Curves()
    result = run(module, budget=Budget(until_stopped=True), callback=stop, token=control)
    assert result.steps == 61
    assert result.planned == 0
    assert result.held_out[-1][0] == 61


def test_a_pause_waits_and_leaves_a_checkpoint(tmp_path: Path, uninterrupted: Curves) -> None:
    control, module, messages = TrainingControl(), Curves(), []

    def pause(progress: Progress) -> None:
        if progress.message:
            messages.append(progress.message)
            threading.Timer(0.3, control.proceed).start()
        elif progress.done == 10 and not messages:
            control.pause()

    start = time.perf_counter()
    result = run(module, tmp_path, callback=pause, token=control)
    assert messages == ["Training waits: nothing is lost."]
    assert result.seconds <= time.perf_counter() - start - 0.3
    assert equal(weights(module), weights(uninterrupted))


def test_a_pause_can_be_cancelled(tmp_path: Path) -> None:
    control = TrainingControl()

    def pause(progress: Progress) -> None:
        if progress.message:
            control.cancel()
        control.pause()

    with pytest.raises(Cancelled):
        run(Curves(), tmp_path, callback=pause, token=control)
    assert checkpoint.load(tmp_path) is not None


class Duel(Curves):
    """Networks that play against each other: their losses say nothing, their validation does."""

    settles = False

    def __init__(self, collapses: int) -> None:
        super().__init__()
        self.collapses, self.validated = collapses, 0

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        losses = super().step(work)
        return {"up": losses["sine"] * 10.0**work.step} if work.step < 30 else losses

    def validate(self, networks: Networks) -> Validation:
        self.validated += 1
        gone = 1 < self.validated <= 1 + self.collapses
        found = super().validate(networks)
        return Validation(found.score, found.metrics, "All samples have become alike" if gone else "")


def test_a_collapse_goes_back_and_says_so() -> None:
    messages: list[str] = []
    result = run(Duel(collapses=2), callback=lambda p: messages.append(p.message) if p.message else None)
    assert result.roll_backs == 2
    assert messages == ["All samples have become alike: going back to earlier weights with half the learning rate."] * 2


def test_a_duel_that_collapses_at_once_is_a_clear_error() -> None:
    class Hopeless(Duel):
        def validate(self, networks: Networks) -> Validation:
            return Validation(1.0, {}, "All samples have become alike")

    with pytest.raises(TrainingDivergedError, match="did not settle"):
        run(Hopeless(9), validations=10)


def test_a_collapsed_validation_is_never_the_best() -> None:
    class Fooled(Duel):
        def validate(self, networks: Networks) -> Validation:
            found = super().validate(networks)
            return Validation(0.0, {}, found.collapsed) if found.collapsed else found

    result = run(Fooled(collapses=1))
    assert result.best is not None
    assert result.best.score > 0.0
