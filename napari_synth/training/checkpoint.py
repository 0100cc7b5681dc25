"""Checkpoints of a training run: everything that the next step depends on, written so that a crash leaves the old one or the new.

Tensors, numbers and strings only, so that reading one executes nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_synth.core.errors import CheckpointError
from napari_synth.core.memory import is_memory_short

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
