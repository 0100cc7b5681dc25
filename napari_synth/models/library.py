"""The models that the user added: files in a folder of theirs, each with a description, and each a generator.

The folder is the user's data folder of the operating system, or what the environment variable ``NAPARI_SYNTH_MODELS``
names::

    models/super-resolution/my-esrgan/description.json
                                      my-esrgan.pth

Reading the list loads neither torch nor the files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from napari_synth.core.errors import ModelFileError, UnknownGeneratorError
from napari_synth.models._wording import in_brief
from napari_synth.models.description import PACKAGE_NAMES, ModelDescription

VARIABLE = "NAPARI_SYNTH_MODELS"
_DESCRIPTION = "description.json"


@dataclass(frozen=True)
class Entry:
    """A model in the library.

    Attributes
    ----------
    description : ModelDescription
    path : Path
        The copy of the file or folder.
    """

    description: ModelDescription
    path: Path


def folder() -> Path:
    """Return where the library lies; it need not exist."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_data_path("napari-synth", appauthor=False) / "models")


def resolved(path: Path | str) -> Path:
    """Return the absolute path of a model file; of a package, where its description was named, the folder."""
    absolute = Path(path).expanduser().absolute()
    if absolute.name in PACKAGE_NAMES and absolute.is_file():
        absolute = absolute.parent
    # A link to a file has the name that matters: what it points to may be called by its hash.
    return absolute.resolve() if absolute.is_dir() else absolute


def keep(description: ModelDescription, path: Path) -> Entry:
    """Copy a described model file into the library.

    Parameters
    ----------
    description : ModelDescription
    path : Path
        Of the file or folder, as `resolved` returns it.

    Raises
    ------
    ModelFileError
        The file was changed since it was described, or cannot be copied.
    """
    from napari_synth.models.reading import check_unchanged

    target = folder() / description.task / description.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix="."))
        try:
            copy = temporary / description.file
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
            check_unchanged(description, copy)
            (temporary / _DESCRIPTION).write_text(description.model_dump_json(indent=1), encoding="utf-8")
            temporary.replace(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        # That of copying a folder is a list of what failed, without a word for all of it.
        raise ModelFileError(f"The model cannot be copied to {target}: {error.strerror or in_brief(error)}.") from error
    return Entry(description, target / description.file)


def entries() -> tuple[list[Entry], list[str]]:
    """Return the models of the library, by task and name, and a sentence for each that is broken."""
    found, broken = [], []
    for path in sorted(folder().glob(f"*/*/{_DESCRIPTION}")):
        try:
            description = ModelDescription.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError):
            broken.append(f"The description {path} of a model is damaged: remove its folder, and add the model again.")
            continue
        file = path.parent / description.file
        if not file.exists():
            broken.append(f"The model file {file} is gone: remove its folder, and add the model again.")
        elif description.id != f"{path.parent.parent.name}/{path.parent.name}":
            broken.append(f"The folder {path.parent} of a model was renamed: remove it, and add the model again.")
        else:
            found.append(Entry(description, file))
    return found, broken


def find(name: str) -> Entry:
    """Return the model with this id or name.

    Raises
    ------
    UnknownGeneratorError
        There is none, or there are several.
    """
    found, _ = entries()
    matching = [entry for entry in found if name in {entry.description.id, entry.description.name}]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(entry.description.id for entry in matching or found) or "none"
    raise UnknownGeneratorError(f"No single model of the library is called {name!r}: it has {known}.")


def remove(name: str) -> ModelDescription:
    """Remove the model with this id or name, with its copy of the file; raises as `find`."""
    entry = find(name)
    try:
        shutil.rmtree(entry.path.parent)
    except OSError as error:
        raise ModelFileError(f"The model {name!r} cannot be removed: {error.strerror}.") from error
    return entry.description
