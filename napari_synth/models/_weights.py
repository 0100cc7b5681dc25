"""Reads the weights in a file by their names: nothing in the file is executed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ModelFileError
from napari_synth.models._claims import check_weights


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors in a ``.safetensors``, ``.pth`` or ``.ckpt`` file by name.

    Raises
    ------
    ModelFileError
        It is damaged, asks for more than weights, claims more of them than it holds, or holds some that are not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            state: Any = load_file(path)
        else:
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
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelFileError(f"{path} holds no weights by name: get the model as .safetensors.")
    check_weights(path, state)
    return state


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(f"The model file {path} is damaged: download it again.")
