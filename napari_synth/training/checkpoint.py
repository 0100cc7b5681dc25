"""Checkpoints of a training run: all that the next step depends on, one training a folder, written so that a crash loses nothing.

Tensors, numbers and strings only, so that reading one executes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_synth.core.device import Device
from napari_synth.core.errors import CheckpointError, is_memory_short
from napari_synth.networks.blocks import channels_last
from napari_synth.training.training_module import Networks, TrainingModule

FILE = "checkpoint.pt"
_FORMAT = 1
_PARTIAL = ".partial"
_MOST_STEPS = 2**40
# Of a number of seconds.
_LONGEST = 1e10


def save(folder: Path, state: dict[str, Any]) -> Path:
    """Write ``checkpoint.pt`` into a folder, which is made where it is missing, and return its path.

    Raises
    ------
    CheckpointError
        It cannot be written; the one before is still there, and nothing else.
    """
    path = folder / FILE
    make_folder(folder)
    partial = folder / f".{FILE}.{secrets.token_hex(4)}{_PARTIAL}"
    try:
        with partial.open("wb") as file:
            torch.save({"format": _FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    # torch says RuntimeError where the disk is full in the middle.
    except (OSError, RuntimeError) as error:
        if is_memory_short(error) and not isinstance(error, OSError):
            raise
        raise CheckpointError(f"The checkpoint {path} cannot be written: {_cause(error)}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def make_folder(folder: Path) -> None:
    """Make the folder of a run where it is missing; raises as `save`, but before anything was trained."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"The folder {folder} of the training cannot be made: {error.strerror}.") from error


def remove_partial(folder: Path) -> None:
    """Remove what a run that was killed while it wrote a checkpoint left behind; nobody else may be training in the folder."""
    for partial in folder.glob(f".{FILE}.*{_PARTIAL}"):
        with contextlib.suppress(OSError):
            partial.unlink()


def load(folder: Path) -> dict[str, Any] | None:
    """Return the state in a folder's checkpoint, all tensors on the CPU, or None where there is none.

    Raises
    ------
    CheckpointError
        It is damaged, foreign, or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch's reader raises ten types and more for what is cut off, changed or something else
        raise CheckpointError(
            f"The checkpoint {path} is damaged: train under another name or in another folder."
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(
            f"{path} is no checkpoint of napari-synth: train under another name or in another folder."
        )
    version = state.pop("format")
    if version != _FORMAT:
        raise CheckpointError(
            f"The checkpoint {path} is of another version of napari-synth: train under another name or in another folder."
        )
    problem = _problem(state)
    if problem:
        raise CheckpointError(
            f"The checkpoint {path} is damaged ({problem}): train under another name or in another folder."
        )
    found: dict[str, Any] = state
    return found


def random_states() -> dict[str, Any]:
    """Return the states of all random generators of this process."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - what others drew from is kept too
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (
            str(name),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "python": random.getstate(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Take up what `random_states` returned."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - as above
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))


def _cause(error: BaseException) -> str:
    """Return what the system said; torch's writer hides it behind an error of its own, or says where in its source it stands."""
    known: BaseException | None = error
    while known is not None:
        if isinstance(known, OSError) and known.strerror:
            return known.strerror
        known = known.__cause__ or known.__context__
    return "the disk is full, or it is gone"


def _problem(state: Mapping[str, Any]) -> str:
    """Say what is wrong with a state before any of it is used, "" where nothing is."""
    identity, run = state.get("identity"), state.get("run")
    if not isinstance(identity, dict) or not all(isinstance(part, str) for pair in identity.items() for part in pair):
        return "it does not say what it is of"
    if not isinstance(run, dict) or not all(isinstance(state.get(part), dict) for part in ("parts", "safe", "random")):
        return "a part of it is missing"
    for name in ("steps", "planned", "batch_size", "roll_backs"):
        if not isinstance(run.get(name), int) or not 0 <= run[name] <= _MOST_STEPS:
            return f"its {name} are no number of such"
    for name in ("seconds", "scale"):
        value = run.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= _LONGEST:
            return f"its {name} are no number of such"
    # Those of the last step may have become unstable: the run then goes back to the safe ones by itself.
    for tensor in _weights((state["safe"], state.get("best"))):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return "its weights are not finite"
    return ""


def _weights(parts: Any) -> Iterator[torch.Tensor]:
    """Iterate over all tensors in nested mappings and lists."""
    waiting = [parts]
    while waiting:
        part = waiting.pop()
        if isinstance(part, torch.Tensor):
            yield part
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part


class TrainingState:
    """The networks of a training module, set up to learn.

    Parameters
    ----------
    module : TrainingModule
        Its networks are moved to the device.
    fabric : Fabric
    device : Device
    averaging : float
        Decay of the running averages, a step.

    Attributes
    ----------
    networks : mapping of str to nn.Module
        To be called while training, in the precision of the run.
    optimizers : mapping of str to list
        By the name that `StepContext.update` is given.
    """

    def __init__(self, module: TrainingModule, fabric: Fabric, device: Device, averaging: float) -> None:
        self._plain = {name: channels_last(net.to(device.torch_name)).train() for name, net in module.networks.items()}
        self._averages = {
            name: AveragedModel(self._plain[name], multi_avg_fn=_warmed_average(averaging), use_buffers=True).eval()
            for name in module.averaged
        }
        self.networks: Networks = {name: fabric.setup_module(network) for name, network in self._plain.items()}
        made = module.optimizers()
        # The rates are noted before the schedule changes them.
        self._rates = {name: [[g["lr"] for g in o.param_groups] for o in group] for name, group in made.items()}
        self.optimizers = {name: _as_list(fabric.setup_optimizers(*group)) for name, group in made.items()}

    def set_rates(self, rate: Callable[[float], float]) -> None:
        """Set the learning rates of a step, each made of the highest one of its weights."""
        for name, group in self.optimizers.items():
            for optimizer, rates in zip(group, self._rates[name], strict=True):
                for parameters, full in zip(optimizer.param_groups, rates, strict=True):
                    parameters["lr"] = rate(full)

    def average(self) -> None:
        """Take the weights into their running averages."""
        for name, average in self._averages.items():
            average.update_parameters(self._plain[name])

    def forget_gradients(self) -> None:
        """Free what the gradients take."""
        for network in self._plain.values():
            network.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return the state of every part by its name; its tensors go on changing."""
        return {name: part.state_dict() for name, part in self._all().items()}

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of `state`."""
        return copy.deepcopy(self.state())

    def take_up(self, states: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        parts = self._all()
        # Loading does not copy the optimizer's tensors, which are then changed in place.
        for name, state in copy.deepcopy(dict(states)).items():
            parts[name].load_state_dict(state)

    def kept(self) -> dict[str, nn.Module]:
        """Return the networks that are kept in the end: averages in evaluation mode, and the others as they are."""
        return {
            name: self._averages[name].module.eval() if name in self._averages else network
            for name, network in self._plain.items()
        }

    def weights(self) -> dict[str, Any]:
        """Return a copy of the weights of what is kept."""
        return copy.deepcopy({name: network.state_dict() for name, network in self.kept().items()})

    def finish(self, weights: Mapping[str, Any]) -> None:
        """Leave the networks with these weights, in evaluation mode."""
        for name, network in self._plain.items():
            network.load_state_dict(weights[name])
            network.eval().requires_grad_(False)

    def _all(self) -> dict[str, Any]:
        return (
            {f"network {name}": network for name, network in self._plain.items()}
            | {f"average {name}": average for name, average in self._averages.items()}
            | {
                f"optimizer {name} {i}": o.optimizer
                for name, group in self.optimizers.items()
                for i, o in enumerate(group)
            }
        )


def _as_list(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]


def _warmed_average(decay: float) -> Callable[..., None]:
    """Return the update of a running average that forgets the first weights quickly."""

    def update(averages: Any, weights: Any, count: Any) -> None:
        warmed = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        average: Any = get_ema_multi_avg_fn(warmed)  # type: ignore[no-untyped-call]
        average(averages, weights, count)

    return update


LOCK = ".training.lock"
"""In the folder of a run; the system gives it free where a program is killed, whether the file is there or not."""


class OccupiedError(CheckpointError):
    """Another training writes there."""


@contextmanager
def occupied(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, whose folder is made where it is missing.

    Parameters
    ----------
    path : Path
    what : str
        What it stands for, as the beginning of a sentence: ``"The folder runs/mine"``.

    Raises
    ------
    OccupiedError
        Another training holds it.
    CheckpointError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OccupiedError(
            f"{what} is taken by a training that goes on at this moment: wait for its end, or give another name or folder."
        ) from error
    except NotImplementedError:
        # The file system knows no locks: what was said before the training begins still holds.
        yield
        return
    except OSError as error:
        raise CheckpointError(f"{what} cannot be written: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.release()
