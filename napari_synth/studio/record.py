"""What a training was started with, kept in the folder of its run, so that it can be gone on with. No torch here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from napari_synth.contract.trainable import Kind
from napari_synth.core.errors import CheckpointError
from napari_synth.imaging.image import Image
from napari_synth.models.card import NAME_PATTERN
from napari_synth.registry import trainable

FILE = "training.json"
# Named here as well, since the module that writes it loads torch.
_CHECKPOINT = "checkpoint.pt"


class Origin(pydantic.BaseModel):
    """Where images came from.

    Attributes
    ----------
    names : tuple of str
        Absolute paths and patterns, or what images in memory were called.
    are_files : bool
    """

    model_config = pydantic.ConfigDict(frozen=True)

    names: tuple[str, ...] = ()
    are_files: bool = False

    @classmethod
    def of(cls, given: Any, images: Sequence[Image] = ()) -> Origin:
        """Describe what a training was given, and the images that it became."""
        items = given if isinstance(given, (list, tuple)) else [given]
        if items and all(isinstance(item, (str, Path)) for item in items):
            return cls(names=tuple(str(Path(path).expanduser().absolute()) for path in items), are_files=True)
        return cls(names=tuple(image.name for image in images or items if isinstance(image, Image)))


class TrainingRecord(pydantic.BaseModel):
    """A training as it was started.

    Attributes
    ----------
    method : str
        Id of the trainable.
    model : str
        What the model is called.
    images : {"one", "paired", "unpaired"}
    params : dict
        All settings.
    axes : str or None
        As given.
    source, target, region : Origin
    """

    model_config = pydantic.ConfigDict(frozen=True)

    method: str
    model: str = pydantic.Field(pattern=NAME_PATTERN)
    images: Kind = "one"
    params: dict[str, Any] = {}
    axes: str | None = None
    source: Origin = Origin()
    target: Origin = Origin()
    region: Origin = Origin()

    def to_command(self) -> str:
        """Return the training as a command line for a POSIX shell; images that were in memory have to be files there."""
        words = ["napari-synth", "train", self.method, _file(self.source, "SOURCE")]
        words += ["--target", _file(self.target, "TARGET")] if self.images != "one" else []
        words += ["--region", _file(self.region, "REGION")] if self.region.names else []
        for option, value in self._options().items():
            flag = option.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            elif isinstance(value, (list, tuple)):
                words += [word for item in value for word in (f"--{flag}", str(item))]
            else:
                words += [f"--{flag}", str(value)]
        return shlex.join(words)

    def to_python(self) -> str:
        """Return the training as Python that can be pasted; images that were in memory are variables there."""
        given = [repr(self.method), _variable(self.source, "source")]
        given += [_variable(self.target, "target")] if self.images != "one" else []
        given += [f"region={_variable(self.region, 'region')}"] if self.region.names else []
        given += [f"{name}={value!r}" for name, value in self._options().items()]
        return f"import napari_synth\n\nmodel = napari_synth.train({', '.join(given)})\n"

    def _options(self) -> dict[str, Any]:
        """Return what differs from a plain call; without the name, since there is a model of that name now."""
        fields = trainable(self.method).params_type.model_fields
        usual = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
        changed = {name: value for name, value in self.params.items() if name not in usual or value != usual[name]}
        return ({"axes": self.axes} if self.axes else {}) | {k: v for k, v in changed.items() if v is not None}

    def write(self, folder: Path) -> None:
        """Write the record into the folder of a run, which is made where it is missing.

        Raises
        ------
        CheckpointError
            It cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")
        except OSError as error:
            raise CheckpointError(
                f"The folder {folder} of the training cannot be written: {error.strerror}."
            ) from error


@dataclass(frozen=True)
class EarlierRun:
    """A run that can be gone on with.

    Attributes
    ----------
    folder : Path
    record : TrainingRecord
    is_finished : bool
        Whether it came to its end, so that it gets its time once more.
    modified : float
        When its checkpoint was written, in seconds since 1970.
    """

    folder: Path
    record: TrainingRecord
    is_finished: bool
    modified: float


def _file(origin: Origin, placeholder: str) -> str:
    if origin.are_files and len(origin.names) == 1:
        return origin.names[0]
    return f"{placeholder}.tif" if len(origin.names) == 1 else f"{placeholder}S/*.tif"


def _variable(origin: Origin, name: str) -> str:
    if not origin.are_files:
        return name if len(origin.names) == 1 else f"{name}s"
    return repr(origin.names[0] if len(origin.names) == 1 else list(origin.names))


def earlier_run(folder: Path) -> EarlierRun:
    """Return the run in a folder.

    Raises
    ------
    CheckpointError
        There is none, or what it was started with is not known.
    """
    checkpoint = folder / _CHECKPOINT
    try:
        modified = checkpoint.stat().st_mtime
        record = TrainingRecord.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"There is no training in {folder} that can be gone on with: choose a folder with {FILE} and {_CHECKPOINT}."
        ) from error
    return EarlierRun(folder, record, (folder / f"{record.model}.safetensors").exists(), modified)


def earlier_runs(folder: Path) -> list[EarlierRun]:
    """Return the runs below a folder that can be gone on with, the latest first; what is damaged is left out."""
    found = []
    for checkpoint in folder.glob(f"*/{_CHECKPOINT}"):
        try:
            found.append(earlier_run(checkpoint.parent))
        except CheckpointError:
            continue
    return sorted(found, key=lambda run: run.modified, reverse=True)
