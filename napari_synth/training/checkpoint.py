"""Checkpoints of a training run: everything that the next step depends on, written so that a crash leaves the old one or the new.

Tensors, numbers and strings only, so that reading one executes nothing.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_synth.core.errors import CheckpointError

FILE = "checkpoint.pt"
_FORMAT = 1


def save(folder: Path, state: dict[str, Any]) -> Path:
    """Write ``checkpoint.pt`` into a folder, which is made where it is missing, and return its path.

    Raises
    ------
    CheckpointError
        It cannot be written.
    """
    path = folder / FILE
    partial = path.with_suffix(".partial")
    make_folder(folder)
    try:
        with partial.open("wb") as file:
            torch.save({"format": _FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise CheckpointError(f"The checkpoint {path} cannot be written: {error.strerror}.") from error
    return path


def make_folder(folder: Path) -> None:
    """Make the folder of a run where it is missing; raises as `save`, but before anything was trained."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"The folder {folder} of the training cannot be made: {error.strerror}.") from error


def load(folder: Path) -> dict[str, Any] | None:
    """Return the state in a folder's checkpoint, all tensors on the CPU, or None where there is none.

    Raises
    ------
    CheckpointError
        It is damaged, or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state.pop("format")
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"The checkpoint {path} is damaged: train without resuming, or in another folder."
        ) from error
    if version != _FORMAT:
        raise CheckpointError(f"The checkpoint {path} is of another version of napari-synth: train without resuming.")
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
