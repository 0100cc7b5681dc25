"""What kind of model file a path is, by its content: nothing in it is executed or unpickled."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from napari_synth.core.errors import ModelFileError
from napari_synth.models._claims import check_archive
from napari_synth.models.description import PACKAGE_NAMES, Kind
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
