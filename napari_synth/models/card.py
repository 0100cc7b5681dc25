"""What a model says of itself: where it comes from, what it was trained on, how good it is, where it fails."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
