"""What kind of model file a path is, by its content, and its weights: nothing in it is executed or unpickled."""

from __future__ import annotations

import hashlib
import pickle
import textwrap
import zipfile
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ModelFileError
from napari_synth.models._claims import check_archive, check_weights
from napari_synth.models.card import PACKAGE_NAMES, Kind
from napari_synth.models.files import holds_card, weights_hash

_PICKLE_SUFFIXES = {".pth", ".pt", ".ckpt", ".bin"}


def kind_of(path: Path) -> Kind:
    """Return which reader a model file or folder needs.

    Raises
    ------
    ModelFileError
        There is nothing, or nothing that any reader knows.
    """
    if path.is_dir():
        if any((path / name).is_file() for name in PACKAGE_NAMES):
            return "bioimageio"
        raise ModelFileError(f"The folder {path} is no bioimage.io package: it must hold a {PACKAGE_NAMES[0]}.")
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}: check the path.")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return "napari-synth" if holds_card(path) else "spandrel"
    if zipfile.is_zipfile(path):
        check_archive(path)
        names = _names(path)
        if any(name in names for name in PACKAGE_NAMES):
            return "bioimageio"
        # What torch itself goes by: it would hand such a file over to the interpreter, whatever its suffix.
        if any(name.endswith("/constants.pkl") for name in names):
            return "torchscript"
        if any(name.endswith("/data.pkl") for name in names):
            return "spandrel"
    elif suffix in _PICKLE_SUFFIXES:
        return "spandrel"
    raise ModelFileError(
        f"{path} is no model file that can be read: give a .safetensors, .pth or .ckpt file, a TorchScript, or a bioimage.io"
        " package (zip or folder)."
    )


def _names(path: Path) -> list[str]:
    """Return the names of what a zip contains."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception as error:  # the reader raises five types and more for what is damaged
        raise ModelFileError(f"The model file {path} is damaged: download it again.") from error


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder with their names, in hexadecimal.

    Raises
    ------
    ModelFileError
        It cannot be read.
    """
    if not path.is_dir():
        return weights_hash(path)
    digest = hashlib.sha256()
    for item in sorted(path.rglob("*")):
        if item.is_file():
            digest.update(f"{item.relative_to(path).as_posix()}:{weights_hash(item)}\n".encode())
    return digest.hexdigest()


_LONGEST = 160


def in_brief(error: BaseException) -> str:
    """Return the text of an error, or its type where it has none, in one line of at most 160 characters."""
    text = str(error).strip() or type(error).__name__
    # The cause comes last, after the places.
    return textwrap.shorten(text.splitlines()[-1] if "Traceback" in text else text, _LONGEST, placeholder=" …")


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
