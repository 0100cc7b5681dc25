from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from training_lines import CPU, Curves, trainer, weights

from napari_synth.core.device import Device
from napari_synth.training.trainer import Trial, fitting_batch, found_batch, quickest_batch
from napari_synth.training.training_module import StepContext


def machine(busy_from: int, room: int, tried: list[int]) -> Any:
    """Return what tries batches on a device that is busy with so many patches, and has room for so many."""

    def trial(batch: int) -> Trial | None:
        tried.append(batch)
        return Trial(0.01 * max(batch, busy_from) / busy_from, batch / room) if batch <= room else None

    return trial


@pytest.mark.parametrize(
    ("busy_from", "room", "found"),
    [(8, 10_000, 8), (64, 10_000, 64), (10_000, 10_000, 128), (10_000, 50, 32), (64, 5, 4), (64, 0, 1)],
)
def test_the_batch_grows_while_that_is_quicker_and_there_is_room(busy_from: int, room: int, found: int) -> None:
    tried: list[int] = []
    assert quickest_batch(8, machine(busy_from, room, tried), 1e6) == found
    assert len(tried) == len(set(tried)) <= 6


def test_the_search_takes_a_small_part_of_the_run() -> None:
    tried: list[int] = []
    assert quickest_batch(8, machine(10_000, 10_000, tried), 0.001) == 8
    assert tried == [8]


@pytest.mark.parametrize(("free", "found"), [(1e9, 8), (10_000.0, 4), (3_000.0, 1), (0.0, 1)])
def test_the_batch_shrinks_until_it_fits(free: float, found: int) -> None:
    assert fitting_batch(8, 1_000.0, free) == found


def test_a_short_memory_is_seen_before_training_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Curves()
    run = trainer(module)
    before, drawn = weights(module), run.generator.get_state()
    seeded = torch.get_rng_state()
    assert found_batch(run) == run.batch_size == 8
    monkeypatch.setattr(Device, "free_memory", lambda _: 1)
    assert found_batch(run) == 1
    assert all(torch.equal(one, other) for one, other in zip(weights(module), before, strict=True))
    assert torch.equal(run.generator.get_state(), drawn)
    assert torch.equal(torch.get_rng_state(), seeded)
    assert module.drawn == 0
    assert not run.parts.state()["optimizer sine 0"]["state"]


def test_a_run_with_the_batch_that_was_found_gives_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    found, given = Curves(), Curves()
    searching = trainer(found)
    searching.settings = replace(searching.settings, finds_batch=True)
    monkeypatch.setattr(Device, "free_memory", lambda _: 1200)
    batch = searching.run().batch_size
    assert 1 < batch < 8
    repeated = trainer(given)
    repeated.result.batch_size = batch
    repeated.run()
    assert all(torch.equal(one, other) for one, other in zip(weights(found), weights(given), strict=True))


def test_not_even_the_trial_fits() -> None:
    class Hungry(Curves):
        def step(self, work: StepContext) -> Mapping[str, Tensor]:
            if work.batch_size > 1:
                raise MemoryError
            return super().step(work)

    assert CPU.kind == "cpu"
    assert found_batch(trainer(Hungry())) == 1
