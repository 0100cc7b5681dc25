from __future__ import annotations

import math
import time

import pytest
import torch
from torch import Tensor, nn

from napari_synth.core.device import Device
from napari_synth.core.errors import Cancelled, OutOfMemoryError, TrainingDivergedError
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.training.loop import Budget, FitResult, FitSettings, fit


class Line:
    """Fit ``y = 3 x``."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        self.batches.append(batch_size)
        x = torch.rand(batch_size, 1, generator=generator)
        error: Tensor = network(x) - 3.0 * x
        return error.square().mean()

    def held_out(self, network: nn.Module) -> float | None:
        x = torch.ones(1, 1)
        return float((network(x) - 3.0).square())


def network() -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def train(
    line: Line, layer: nn.Module, cpu: Device, budget: Budget, report: Reporter | None = None, **settings: float
) -> FitResult:
    options = FitSettings(**{"learning_rate": 0.05, "averaging": 0.9, **settings})  # type: ignore[arg-type]
    return fit(layer, line, budget, cpu, torch.Generator().manual_seed(0), settings=options, report=report)


def test_it_fits(cpu: Device) -> None:
    layer = network()
    result = train(Line(), layer, cpu, Budget(steps=200))
    assert layer.weight.item() == pytest.approx(3.0, abs=0.05)
    assert result.steps == len(result.losses) == 200
    assert result.held_out[0] == (0, pytest.approx(9.0))
    assert result.held_out[-1][1] < 0.01
    assert not layer.training
    assert not layer.weight.requires_grad


def test_the_same_seed_gives_the_same_weights(cpu: Device) -> None:
    weights = []
    for _ in range(2):
        layer = network()
        train(Line(), layer, cpu, Budget(steps=30))
        weights.append(layer.weight.item())
    assert weights[0] == weights[1]


def test_a_time_budget_ends_when_its_steps_are_done(cpu: Device) -> None:
    result = train(Line(), network(), cpu, Budget(minutes=0.3 / 60))
    assert result.seconds >= 0.03
    assert result.steps == result.planned >= 1


def test_a_time_budget_tells_the_likely_total(cpu: Device) -> None:
    seen: list[Progress] = []
    train(Line(), network(), cpu, Budget(minutes=0.3 / 60), Reporter(seen.append))
    assert seen[-1].done == seen[-1].total
    assert all(progress.total >= progress.done for progress in seen)


@pytest.mark.parametrize("seconds", [1e-9, 0.3])
def test_the_steps_that_a_time_held_give_the_same_weights(cpu: Device, seconds: float) -> None:
    by_time, by_steps = network(), network()
    first = train(Line(), by_time, cpu, Budget(minutes=seconds / 60))
    second = train(Line(), by_steps, cpu, Budget(steps=first.planned))
    assert first.steps == first.planned == second.planned
    assert first.losses == second.losses
    assert first.held_out == second.held_out
    assert by_time.weight.item() == by_steps.weight.item()


def test_steps_that_become_slower_change_nothing_but_the_time(cpu: Device) -> None:
    class Tiring(Line):
        def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
            time.sleep(0.002 if len(self.batches) < 20 else 0.006)
            return super().loss(network, batch_size, generator)

    result = train(Tiring(), network(), cpu, Budget(minutes=0.2 / 60))
    again = train(Line(), network(), cpu, Budget(steps=result.planned))
    assert result.losses == again.losses


@pytest.mark.parametrize("both", [{}, {"steps": 3, "minutes": 1.0}])
def test_a_budget_is_of_steps_or_of_minutes(both: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="either steps or minutes"):
        Budget(**both)


def test_every_step_is_reported(cpu: Device) -> None:
    seen: list[Progress] = []
    train(Line(), network(), cpu, Budget(steps=12), Reporter(seen.append))
    assert [progress.done for progress in seen] == list(range(13))
    assert {progress.total for progress in seen} == {12}


def test_a_cancel_takes_effect_within_one_step(cpu: Device) -> None:
    token, line = CancelToken(), Line()

    def stop(progress: Progress) -> None:
        if progress.done == 5:
            token.cancel()

    with pytest.raises(Cancelled):
        train(line, network(), cpu, Budget(steps=100), Reporter(stop, token))
    assert len(line.batches) <= 6


def test_the_best_held_out_weights_are_kept(cpu: Device) -> None:
    class Overfitting(Line):
        def held_out(self, network: nn.Module) -> float | None:
            return float((network(torch.ones(1, 1)) - 1.0).square())

    layer = network()
    result = train(Overfitting(), layer, cpu, Budget(steps=200), validations=50, warm_up=100)
    assert layer.weight.item() == pytest.approx(1.0, abs=0.35)
    assert result.held_out[-1][1] > min(loss for _, loss in result.held_out)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_rolled_back(cpu: Device, bad: float) -> None:
    class Stumbling(Line):
        def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
            loss = super().loss(network, batch_size, generator)
            return loss * bad if len(self.batches) == 50 else loss

    layer, seen = network(), []
    result = train(Stumbling(), layer, cpu, Budget(steps=300), Reporter(seen.append))
    assert result.roll_backs == 1
    assert layer.weight.item() == pytest.approx(3.0, abs=0.3)
    assert any("half the learning rate" in progress.message for progress in seen)


def test_a_loss_that_grows_without_bound_is_rolled_back(cpu: Device) -> None:
    class Growing(Line):
        def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
            loss = super().loss(network, batch_size, generator)
            return loss + 1e6 if 250 < len(self.batches) < 262 else loss

    result = train(Growing(), network(), cpu, Budget(steps=400), learning_rate=1e-3)
    assert result.roll_backs >= 1


def test_what_never_settles_is_a_clear_error(cpu: Device) -> None:
    class Hopeless(Line):
        def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
            return super().loss(network, batch_size, generator) * math.nan

        def held_out(self, network: nn.Module) -> float | None:
            return None

    with pytest.raises(TrainingDivergedError, match="did not settle"):
        train(Hopeless(), network(), cpu, Budget(steps=100))


def test_short_memory_halves_the_batch_and_tells(cpu: Device) -> None:
    class Large(Line):
        def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
            if batch_size > 2:
                raise torch.OutOfMemoryError
            return super().loss(network, batch_size, generator)

    seen: list[Progress] = []
    result = train(Large(), network(), cpu, Budget(steps=10), Reporter(seen.append), batch_size=8)
    assert result.batch_size == 2
    assert result.steps == 10
    assert [p.message for p in seen if p.message][-1].endswith("with 2 patches a step.")


def test_no_memory_at_all_is_a_clear_error(cpu: Device) -> None:
    class Huge(Line):
        def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
            raise torch.OutOfMemoryError

    with pytest.raises(OutOfMemoryError, match="smaller patches"):
        train(Huge(), network(), cpu, Budget(steps=10))


def test_it_trains_where_gradients_are_switched_off(cpu: Device) -> None:
    layer = network()
    with torch.no_grad():
        train(Line(), layer, cpu, Budget(steps=100))
    assert layer.weight.item() > 2.0


def test_frozen_weights_stay(cpu: Device) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.free = nn.Linear(1, 1), network()
            self.frozen.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            change: Tensor = self.free(x)
            return change + 0.0 * self.frozen(x)

    both = Two()
    before = both.frozen.weight.item()
    train(Line(), both, cpu, Budget(steps=50))
    assert both.frozen.weight.item() == before
    assert both.free.weight.item() > 1.0


def test_muon_fits_what_lies_between_head_and_tail(cpu: Device) -> None:
    def deep() -> nn.Sequential:
        torch.manual_seed(0)
        layers = nn.Sequential()
        for name, size in (("head", (1, 8)), ("body", (8, 8)), ("tail", (8, 1))):
            layers.add_module(name, nn.Linear(*size, bias=False))
        return layers

    trained, start = deep(), deep()
    options = FitSettings(learning_rate=0.02, averaging=0.9, optimizer="muon")
    result = fit(trained, Line(), Budget(steps=100), cpu, torch.Generator().manual_seed(0), settings=options)
    assert result.held_out[-1][1] < 0.01 * result.held_out[0][1]
    for after, before in zip(trained.parameters(), start.parameters(), strict=True):
        assert not torch.equal(after, before)
