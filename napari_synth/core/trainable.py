"""What every training can be set to, and what a trainable says of itself: all that a form, a command and a list need to know.

The contract itself, which knows networks and pixels, is `napari_synth.training.trainable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from napari_synth.core.generator import Params, Task

Kind = Literal["one", "paired", "unpaired"]
"""What is learnt from: one set of images, two whose images show the same fields, or two that only have their kind in common."""

Augmentation = Literal["none", "geometry", "light-microscopy", "electron-microscopy", "histology", "mri", "ct"]
"""How patches are changed while training: not at all, moved, or moved and changed as images of such a kind differ."""


class TrainParams(Params):
    """What every training has; few of them need to be touched."""

    minutes: float = Field(
        10.0,
        ge=0,
        le=100_000,
        title="Minutes",
        description="About how long to train; 0 for until it is stopped.",
        json_schema_extra={"presets": [2, 10, 0]},
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        title="Steps",
        description="Train so many steps rather than by the clock: the same number gives the same model again.",
        json_schema_extra={"advanced": True},
    )
    patch: int = Field(
        64,
        ge=16,
        le=1024,
        multiple_of=8,
        title="Patch size",
        description="Edge of a training patch, in pixels.",
        json_schema_extra={"advanced": True},
    )
    batch: int | None = Field(
        None,
        ge=1,
        le=4096,
        title="Batch size",
        description="Patches a training step, of all devices together; found by trying where left out, and kept with the model."
        " Made smaller where the memory is short.",
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        title="Learning rate",
        description="The highest of the training; that of the method where left out.",
        json_schema_extra={"advanced": True},
    )
    augmentation: Augmentation = Field(
        "none",
        title="Augmentation",
        description="Change patches at random, besides flips and turns, so that few images teach more: turn, scale and bend them"
        " (geometry), or change them also in brightness, blur and noise as images of that kind differ.",
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        title="Seed",
        description="The same seed, steps and kind of device give the same model.",
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class TrainableInfo:
    """What a trainable says of itself.

    Attributes
    ----------
    id : str
        ``task/name``, e.g. ``"denoise/supervised"``; the model becomes a generator of the task.
    title : str
        What the panel's list shows.
    summary : str
        One sentence that tells the user when to take it, and what to give it.
    task : Task
    images : {"one", "paired", "unpaired"}
    reference : str
        The paper, or "" where there is none.
    source : {"image", "labels"}
        What the source is; the target is an image.
    """

    id: str
    title: str
    summary: str
    task: Task
    images: Kind = "one"
    reference: str = ""
    source: Literal["image", "labels"] = "image"

    @property
    def name(self) -> str:
        """The id without its task."""
        return self.id.split("/", 1)[1]
