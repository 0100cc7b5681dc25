"""Reads TorchScript: a program with its weights, so that the user must trust it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from napari_synth.core.errors import ModelFileError, UntrustedModelError
from napari_synth.models._claims import check_weights
from napari_synth.models.file_network import Facts, FileNetwork, masked

_PROBE = 64
# A script does not say which sizes it takes; the networks that fill holes halve them three times.
_MULTIPLE_OF_FILLERS = 8


def read(path: Path, trusted: bool) -> tuple[FileNetwork, Facts]:
    """Read a TorchScript that takes one image of 1 or 3 channels, or such an image and a mask, and returns one.

    Raises
    ------
    UntrustedModelError
        The user did not say that they trust it.
    ModelFileError
        It is damaged, or takes something else.
    """
    if not trusted:
        raise UntrustedModelError(
            f"{path} is a TorchScript, a program with its weights: if you trust where it comes from, add it with --trust"
            " (in Python trusted=True)."
        )
    network = open_script(path, str(path))
    problem: Exception | None = None
    filler = FileNetwork(network.module, masked(network.module))
    for tried, channels in ((network, 1), (network, 3), (filler, 1), (filler, 3)):
        fills = tried is filler
        try:
            with torch.inference_mode():
                tried(torch.full((1, channels + fills, _PROBE, _PROBE), 0.5))
        except Exception as error:  # noqa: BLE001 - a script raises whatever it likes
            problem = problem or error
        else:
            if fills:
                return tried, Facts("TorchScript", channels, "inpaint", multiple=_MULTIPLE_OF_FILLERS, whole=True)
            return tried, Facts("TorchScript", channels)
    raise ModelFileError(
        f"The TorchScript {path} takes no image of 1 or 3 channels: choose another model."
    ) from problem


def open_script(source: Any, name: str) -> FileNetwork:
    """Load a trusted TorchScript from a path or an open file.

    Raises
    ------
    ModelFileError
        It is damaged.
    """
    try:
        with warnings.catch_warnings():
            # Deprecated for writing new ones; the files are here all the same.
            warnings.simplefilter("ignore", DeprecationWarning)
            module: Any = torch.jit.load(source, map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # RuntimeError, and others for what is cut off
        raise ModelFileError(f"The TorchScript {name} is damaged: download it again.") from error
    check_weights(Path(name), dict(module.state_dict()))
    # Images are float32, whatever the weights were saved in.
    module.eval().float()
    return FileNetwork(module, module)
