"""Finds how many patches a step should have: as many as make it worth its while, and no more than the memory holds.

On CUDA the batch is doubled as long as that lowers the time a patch takes. On other devices, which are busy with a few patches
already, the method's own batch is taken, or a smaller one where what the backward pass keeps would not fit.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_synth.core.memory import is_memory_short
from napari_synth.training import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_synth.training.session import Session

# Of a step at one size: the first one chooses kernels and takes memory.
_WARM, _TIMED = 1, 3
_MOST_DOUBLINGS = 4
# A doubled batch must take less than so much of twice the time.
_WORTH_IT = 0.9
# Of the free memory, as validations need some too.
_MOST_MEMORY = 0.9
# What a step takes at its peak, in units of what it keeps for the backward pass.
_PEAK = 2.0
# Of a run of minutes, and of any other.
_SHARE, _MOST_SECONDS = 0.03, 20.0


@dataclass(frozen=True)
class Trial:
    """What a step was seen to take.

    Attributes
    ----------
    seconds : float
        Of one step.
    memory : float
        Share of the free memory, at most.
    """

    seconds: float
    memory: float


def quickest_batch(start: int, trial: Callable[[int], Trial | None], most_seconds: float) -> int:
    """Return the batch with which a patch takes the least time.

    Parameters
    ----------
    start : int
        Where the search begins; a smaller one is returned only where the memory is short.
    trial : callable
        Tries a batch; None where it does not fit into the memory.
    most_seconds : float
        The search goes no further after so many seconds of steps.
    """
    batch, found = start, trial(start)
    while found is None and batch > 1:
        batch //= 2
        found = trial(batch)
    if found is None or batch < start:
        return batch
    seconds = found.seconds
    for _ in range(_MOST_DOUBLINGS):
        if 2 * found.memory > _MOST_MEMORY or seconds > most_seconds / (_WARM + _TIMED):
            break
        larger = trial(2 * batch)
        if larger is None or larger.seconds > _WORTH_IT * 2 * found.seconds:
            break
        batch, found = 2 * batch, larger
        seconds += found.seconds
    return batch


def fitting_batch(start: int, bytes_a_patch: float, free: float) -> int:
    """Return ``start``, halved until its patches fit into so many free bytes."""
    while start > 1 and _PEAK * start * bytes_a_patch > _MOST_MEMORY * free:
        start //= 2
    return start


def found_batch(session: Session) -> int:
    """Return how many patches a step of a session that has not begun should have; the session is left as it was."""
    device, start = session.device, session.batch_size
    with _restored(session):
        if device.kind == "cuda":
            minutes = session.budget.minutes
            most = min(_MOST_SECONDS, _SHARE * 60.0 * minutes) if minutes else _MOST_SECONDS
            return quickest_batch(start, lambda batch: _tried(session, batch), most)
        return fitting_batch(start, _bytes_a_patch(session), device.free_memory())


@contextmanager
def _restored(session: Session) -> Iterator[None]:
    """Let steps be tried, and take back all that they change."""
    parts, trainee = session.parts.snapshot(), copy.deepcopy(session.trainee.state())
    precision = session.fabric.strategy.precision
    scaler = copy.deepcopy(precision.state_dict())
    drawn, states, batch = session.generator.get_state(), checkpoint.random_states(), session.batch_size
    try:
        yield
    finally:
        session.parts.forget_gradients()
        session.parts.take_up(parts)
        session.trainee.restore(trainee)
        precision.load_state_dict(scaler)
        session.generator.set_state(drawn)
        checkpoint.set_random_states(states)
        session.result.batch_size = batch
        session.device.release_memory()


def _tried(session: Session, batch: int) -> Trial | None:
    session.result.batch_size = batch
    session.parts.forget_gradients()
    session.device.release_memory()
    place = session.device.torch_name
    free, before = session.device.free_memory(), torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    try:
        for _ in range(_WARM):
            session.trainee.step(session)
        torch.cuda.synchronize(place)
        begun = time.perf_counter()
        for _ in range(_TIMED):
            session.trainee.step(session)
        torch.cuda.synchronize(place)
    except torch.OutOfMemoryError:
        return None
    taken = torch.cuda.max_memory_allocated(place) - before
    return Trial((time.perf_counter() - begun) / _TIMED, taken / max(free, 1))


def _bytes_a_patch(session: Session) -> float:
    """Return what one patch keeps in memory for the backward pass."""
    kept = 0

    def counted(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += 0 if isinstance(tensor, nn.Parameter) else tensor.nbytes
        return tensor

    # Some networks need two to learn from.
    few = session.result.batch_size = min(2, session.batch_size)
    try:
        with torch.autograd.graph.saved_tensors_hooks(counted, lambda tensor: tensor):
            session.trainee.step(session)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_short(error):
            raise
        return float("inf")
    return kept / few
