"""Reads the weights in a file by their names: nothing in the file is executed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ModelFileError


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors in a ``.safetensors``, ``.pth`` or ``.ckpt`` file by name.

    Raises
    ------
    ModelFileError
        It is damaged, or asks for more than weights.
    """
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
