"""Reads the model files that spandrel detects by their weights alone: weights are read, nothing in the file is executed."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ModelFileError
from napari_synth.models._network import Facts, FileNetwork, masked
from napari_synth.models._torchvision import import_spandrel
from napari_synth.models._wording import in_brief

_TASKS = {"SR": "super-resolution", "Restoration": "denoise", "Inpainting": "inpaint"}
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
    state = _state(path)
    try:
        with warnings.catch_warnings():
            # The architectures are older than what torch has deprecated since; the user can change neither.
            warnings.simplefilter("ignore")
            descriptor = spandrel.ModelLoader("cpu").load_from_state_dict(spandrel.canonicalize_state_dict(state))
    except spandrel.UnsupportedModelError as error:
        raise ModelFileError(
            f"The architecture of {path} is none that spandrel knows: look for the model in another format, such as TorchScript."
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


def _state(path: Path) -> Any:
    """Return the tensors in a file by name."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError) as error:
        raise _damaged(path) from error
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path} is damaged, or asks for more than weights, which can run programs on your computer, and was not loaded:"
            " get the model as .safetensors."
        ) from error
    except Exception as error:  # torch's reader raises RuntimeError, KeyError and others for what is cut off
        raise _damaged(path) from error
    if not isinstance(state, dict):
        raise ModelFileError(f"{path} holds no weights by name: get the model as .safetensors.")
    return state


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(f"The model file {path} is damaged: download it again.")
