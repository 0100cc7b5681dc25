"""What is known of a model file from elsewhere: read from the file or measured once, kept beside it in the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

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
