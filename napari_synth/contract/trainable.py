"""The contract between what can be trained and everything that trains it: the panel, Python and the command line.

A trainable says what it is (`TrainableInfo`) and what can be set (`TrainParams`), and makes of images a `TrainingSetup`:
networks, what they learn, and how the model that comes of it describes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import Field

from napari_synth.contract.generator import Task, resolved
from napari_synth.contract.params import Params
from napari_synth.core.device import Device
from napari_synth.core.progress import Reporter

if TYPE_CHECKING:
    import torch

    from napari_synth.training.dataset import TrainingImages
    from napari_synth.training.optim import FitSettings
    from napari_synth.training.training_module import TrainingModule

Kind = Literal["one", "paired", "unpaired"]
"""What is learnt from: one set of images, two whose images show the same fields, or two that only have their kind in common."""

Dimensions = Literal["auto", "2D", "3D"]
"""What is learnt: planes or volumes; auto takes volumes on a GPU, where they are deep enough."""

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
        description="Edge of a training patch, in pixels."
        " A larger one shows more context at once, and takes more memory and time.",
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
        description="The highest of the training; that of the method where left out."
        " A higher one learns faster and may not settle; a lower one is slow and safe.",
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


@dataclass(frozen=True)
class TrainingSetup:
    """What is to be learnt, ready to begin.

    Attributes
    ----------
    module : TrainingModule
    settings : FitSettings
    network : torch.nn.Module
        Whose weights become the model: one of the module's networks, or a part of one; it has a ``config``.
    architecture : str
        Its name among `napari_synth.models.ARCHITECTURES`.
    normalisation : mapping
        How intensities are brought to what the network sees; plain JSON types.
    extras : mapping
        What else the generator needs that runs the model; plain JSON types.
    notes : tuple of str
        What the user should know before it begins.
    limits : tuple of str
        Where the model will fail or was not tested.
    """

    module: TrainingModule
    settings: FitSettings
    network: torch.nn.Module
    architecture: str
    normalisation: Mapping[str, Any] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainContext:
    """What a training gives its trainable.

    Attributes
    ----------
    device : Device
    seed : int
        Initial weights come from it.
    report : Reporter
        To be told of what takes longer than a moment before training begins.
    """

    device: Device
    seed: int = 0
    report: Reporter = field(default_factory=Reporter)


P = TypeVar("P", bound=TrainParams)


@dataclass(frozen=True)
class Trainable(Generic[P]):
    """One way to train, as a value: declaring it loads nothing that computes.

    Attributes
    ----------
    info : TrainableInfo
    params_type : type of TrainParams
        The settings that it has.
    function : callable or str
        What sets it up, or where that is, as ``"package.module:function"``: the module is imported at the first use.
    """

    info: TrainableInfo
    params_type: type[P]
    function: Callable[..., TrainingSetup] | str

    def prepare(self, images: TrainingImages, params: P, context: TrainContext) -> TrainingSetup:
        """Read the pixels, and set up what is learnt from them.

        Parameters
        ----------
        images : TrainingImages
        params : TrainParams
            An instance of `params_type`.
        context : TrainContext

        Raises
        ------
        SynthError
            One of its subclasses, `napari_synth.core.errors.TrainingDataError` for most, where the images do not suit.
        """
        setup: TrainingSetup = resolved(self.function)(images, params, context)
        return setup
