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

from napari_synth.core.arguments import given_path
from napari_synth.core.errors import ModelFileError, UnknownGeneratorError
from napari_synth.core.texts import TextError, read_json
from napari_synth.models import trusted as trusted_files
from napari_synth.models._sniffing import in_brief
from napari_synth.models.card import PACKAGE_NAMES, ModelDescription

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
    """Return where the library lies, ``~`` being the home folder; it need not exist."""
    given = os.environ.get(VARIABLE)
    if not given:
        return platformdirs.user_data_path("napari-synth", appauthor=False) / "models"
    try:
        return Path(given).expanduser()
    except RuntimeError:  # nobody has that name
        return Path(given)


def resolved(path: Path | str) -> Path:
    """Return the absolute path of a model file; of a package, where its description was named, the folder."""
    absolute = given_path(path, ModelFileError).absolute()
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
    if description.trusted:
        trusted_files.trust(description.sha256)
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
            description = ModelDescription.model_validate(read_json(path.read_bytes()))
        except (OSError, TextError, ValidationError):
            broken.append(f"The description {path} of a model is damaged: remove its folder, and add the model again.")
            continue
        file = path.parent / description.file
        if not file.exists():
            broken.append(f"The model file {file} is gone: remove its folder, and add the model again.")
        elif description.id != f"{path.parent.parent.name}/{path.parent.name}":
            broken.append(f"The folder {path.parent} of a model was renamed: remove it, and add the model again.")
        else:
            # What a folder says of trust is what its maker wishes.
            own = description.trusted and trusted_files.is_trusted(description.sha256)
            found.append(Entry(description.model_copy(update={"trusted": own}), file))
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


def trust(name: str) -> ModelDescription:
    """Allow the model with this id or name to execute what it holds, on this computer; raises as `find`."""
    from napari_synth.models.reading import check_unchanged

    entry = find(name)
    check_unchanged(entry.description, entry.path)
    trusted_files.trust(entry.description.sha256)
    description = entry.description.model_copy(update={"trusted": True})
    try:
        (entry.path.parent / _DESCRIPTION).write_text(description.model_dump_json(indent=1), encoding="utf-8")
    except OSError as error:
        raise ModelFileError(f"The model {name!r} cannot be changed: {error.strerror}.") from error
    return description


def remove(name: str) -> ModelDescription:
    """Remove the model with this id or name, with its copy of the file; raises as `find`."""
    entry = find(name)
    try:
        shutil.rmtree(entry.path.parent)
    except OSError as error:
        raise ModelFileError(f"The model {name!r} cannot be removed: {error.strerror}.") from error
    if entry.description.trusted and not any(
        other.description.sha256 == entry.description.sha256 for other in entries()[0]
    ):
        trusted_files.forget(entry.description.sha256)
    return entry.description
