"""What a model says of itself: how it is called and run, where it comes from, what it was trained on, where it fails."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_synth.core.errors import ModelFileError

FORMAT_VERSION = 1
"""Version of the layout of model files; a file with a larger one was written by a newer napari-synth."""


@contextmanager
def reading_card(name: str) -> Iterator[None]:
    """Take out of a card what a model needs to run; what is not there, or is something else, is the file's fault.

    Raises
    ------
    ModelFileError
        It is.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelFileError(
            f"The card of the model {name!r} is damaged: download or train the model again."
        ) from error


class TrainingData(BaseModel):
    """One source of training data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What the data are.")
    licence: str = Field(description="Licence, as an SPDX identifier where there is one.")
    authors: tuple[str, ...] = Field(default=(), description="Who made the data.")
    source: str = Field(default="", description="Where the data can be had.")


class ModelCard(BaseModel):
    """The card of a model; it travels as JSON in the metadata of the weights' file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="Identifier, in lower case with hyphens.")
    title: str = Field(description="Name for people.")
    task: str = Field(description="What the model does, e.g. denoise.")
    architecture: str = Field(description="Name of the network's class in the registry of architectures.")
    config: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments that rebuild the network.")
    training_data: tuple[TrainingData, ...] = Field(default=(), description="Everything the weights were fitted to.")
    training_command: str = Field(default="", description="The command that made the weights.")
    metrics: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Measured quality, by test and image."
    )
    limits: tuple[str, ...] = Field(default=(), description="Where the model fails or was not tested.")
    weights_licence: str = Field(default="", description="Licence of the weights, as an SPDX identifier.")
    normalisation: dict[str, Any] = Field(
        default_factory=dict, description="How intensities were brought to what the network sees."
    )
    extras: dict[str, Any] = Field(default_factory=dict, description="What else a generator needs that runs the model.")
    images: tuple[dict[str, Any], ...] = Field(
        default=(), description="Name, shape, dtype and fingerprint of the user's images that it was trained on."
    )
    curve: dict[str, list[float]] = Field(
        default_factory=dict,
        description="Step, seconds and losses of the training, and step and metrics of validations.",
    )
    versions: dict[str, str] = Field(default_factory=dict, description="Of the programs that trained it.")
    version: str = Field(default="1", description="Version of the weights.")
    format_version: int = Field(default=FORMAT_VERSION, ge=1, description="Version of the file's layout.")

    @field_validator("config", "normalisation", "extras")
    @classmethod
    def _has_usable_numbers(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse what no network and no intensity can be: a run computes with these numbers."""
        waiting: list[tuple[str, Any]] = list(values.items())
        while waiting:
            name, value = waiting.pop()
            if isinstance(value, dict):
                waiting += value.items()
            elif isinstance(value, list | tuple):
                waiting += [(name, item) for item in value]
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is not finite")
            elif name in {"scale", "offset"} and not isinstance(value, int | float):
                raise ValueError(f"{name} is no number")
            elif name == "scale" and not value > 0:
                raise ValueError("a scale is not above 0")
        return values


NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
PACKAGE_NAMES = ("bioimageio.yaml", "rdf.yaml")
"""What the description of a bioimage.io package is called."""
Kind = Literal["napari-synth", "spandrel", "torchscript", "bioimageio", "vgg"]
RUNNABLE_TASKS = ("denoise", "super-resolution", "inpaint")
"""Tasks that an image-to-image network of others can be run for."""
OWN_TASKS = (*RUNNABLE_TASKS, "synthesize", "translate", "predict-frames")
"""Tasks that our own model files can be run for."""
EXECUTED = ("torchscript", "bioimageio")
"""Kinds whose files are programs."""
LARGEST_SCALE = 16
"""How many times finer a network may make images."""
_MOST_CHANNELS, _MOST_PIXELS, _MOST_BYTES = 2**12, 2**16, 2**40


class ModelDescription(BaseModel):
    """Everything that a generator needs to know of a model file before it is loaded; travels as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN, description="Identifier, in lower case with hyphens.")
    title: str = Field(description="Name for people.")
    summary: str = Field(description="One sentence: what it is and where it comes from.")
    task: str = Field(description="What the model does, e.g. denoise.")
    kind: Kind = Field(description="Which reader the file needs.")
    architecture: str = Field(description="Name of the network's architecture, as far as it is known.")
    file: str = Field(description="Name of the file or folder, beside this description.")
    sha256: str = Field(description="Hash of its content, in hexadecimal.")
    trusted: bool = Field(default=False, description="Whether the user allowed it to execute what it contains.")
    scale: int = Field(default=1, ge=1, le=LARGEST_SCALE, description="How many times finer the result is.")
    input_channels: int = Field(default=1, ge=1, le=_MOST_CHANNELS)
    output_channels: int = Field(default=1, ge=1, le=_MOST_CHANNELS)
    spatial_dims: tuple[Literal[2, 3], ...] = Field(
        default=(2,), min_length=1, max_length=2, description="Dimensionalities of the blocks that it takes."
    )
    multiple: int = Field(
        default=1, ge=1, le=_MOST_PIXELS, description="Blocks begin and end at multiples of this, in pixels."
    )
    halo: int = Field(default=0, ge=0, le=_MOST_PIXELS, description="Context in pixels on each side of a block.")
    tile_error: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Measured difference of a tile from the whole; the range is 1.",
    )
    whole: bool = Field(default=False, description="Whether it must see the whole plane.")
    bytes_per_pixel: int = Field(
        default=1024, ge=1, le=_MOST_BYTES, description="Working memory for a pixel of the image."
    )
    half: bool = Field(default=False, description="Whether it may compute in float16.")
    preprocessing: tuple[dict[str, Any], ...] | None = Field(
        default=None,
        description="Steps of a bioimage.io package before the network; None where the network takes 0 to 1.",
    )
    postprocessing: tuple[dict[str, Any], ...] = Field(default=(), description="Steps behind it.")
    reference: str = Field(default="", description="Who made it, or the paper.")
    licence: str = Field(default="", description="Licence of the weights.")
    notes: tuple[str, ...] = Field(default=(), description="Plain sentences that every run repeats.")

    @field_validator("file")
    @classmethod
    def _is_only_a_name(cls, file: str) -> str:
        """Refuse a way to another folder: what is there would be loaded, and removed with the model."""
        if file in {"", ".."} or Path(file).name != file:
            raise ValueError("not the name of a file")
        return file

    @field_validator("task")
    @classmethod
    def _is_a_task(cls, task: str) -> str:
        if task not in OWN_TASKS:
            raise ValueError("no task that a model file can be run for")
        return task

    @property
    def id(self) -> str:
        """The id of the generator: ``task/name``."""
        return f"{self.task}/{self.name}"
