"""Reads the model files that spandrel detects by their weights alone: weights are read, nothing in the file is executed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ModelFileError
from napari_synth.imaging.surroundings import random_states_kept, undisturbed
from napari_synth.models._claims import bounded, tensors_in
from napari_synth.models._sniffing import in_brief, read_weights
from napari_synth.models._torchvision import import_spandrel
from napari_synth.models.file_network import Facts, FileNetwork, masked

_TASKS = {"SR": "super-resolution", "Restoration": "denoise", "Inpainting": "inpaint"}
_AGAIN = "download the file again."
_USELESS = {"FaceSR": "makes up human faces, and is of no use for measured images"}


def read(path: Path) -> tuple[FileNetwork, Facts]:
    """Read a model file.

    Raises
    ------
    ModelFileError
        It is damaged, asks for more than weights, has an unknown architecture, or is for something else.
    MissingExtraError
        spandrel is not installed.
    """
    spandrel = import_spandrel()
    state = read_weights(path)
    try:
        shapes = [tuple(tensor.shape) for _, tensor in tensors_in(state)]
        with warnings.catch_warnings(), bounded(shapes), undisturbed(), random_states_kept():
            # The architectures are older than what torch has deprecated since; the user can change neither.
            warnings.simplefilter("ignore")
            descriptor = spandrel.ModelLoader("cpu").load_from_state_dict(spandrel.canonicalize_state_dict(state))
    except spandrel.UnsupportedModelError as error:
        raise ModelFileError(
            f"The architecture of {path} is none that spandrel knows: look for the model in another format, such as TorchScript."
        ) from error
    except ModelFileError as error:
        raise ModelFileError(
            f"The weights in {path} describe a network that is larger than they are: {_AGAIN}"
        ) from error
    except Exception as error:  # detection guesses: whatever goes wrong behind it is the file's fault
        raise ModelFileError(
            f"The weights in {path} fit no network completely ({in_brief(error)}): download the file again."
        ) from error
    if descriptor.purpose not in _TASKS:
        what = _USELESS.get(descriptor.purpose, f"is for {descriptor.purpose}")
        raise ModelFileError(f"The network in {path} ({descriptor.architecture.name}) {what}: choose another model.")
    facts = Facts(
        architecture=descriptor.architecture.name,
        input_channels=descriptor.input_channels,
        task=_TASKS[descriptor.purpose],
        multiple=descriptor.size_requirements.multiple_of,
        whole=descriptor.tiling is spandrel.ModelTiling.INTERNAL,
        half=descriptor.supports_half,
    )
    descriptor.eval()
    descriptor.model.requires_grad_(False)
    # One image a call is what spandrel promises for all of its networks.
    call = masked(descriptor) if facts.task == "inpaint" else descriptor
    return FileNetwork(descriptor.model, lambda image: _one_by_one(call, image)), facts


def _one_by_one(call: Any, image: Any) -> Any:
    import torch

    return torch.cat([call(part) for part in image.split(1)])
