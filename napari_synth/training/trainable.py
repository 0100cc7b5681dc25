"""The contract between what can be trained and everything that trains it: the panel, Python and the command line.

A trainable says what it is (`TrainableInfo`) and what can be set (`TrainParams`), and makes of images a `Lesson`: networks, what
they learn, and how the model that comes of it describes itself. Loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from napari_synth.core.device import Device
from napari_synth.core.progress import Reporter
from napari_synth.core.trainable import TrainableInfo, TrainParams

if TYPE_CHECKING:
    import torch

    from napari_synth.training.schedule import FitSettings
    from napari_synth.training.sources import TrainingImages
    from napari_synth.training.trainee import Trainee


@dataclass(frozen=True)
class Lesson:
    """What is to be learnt, ready to begin.

    Attributes
    ----------
    trainee : Trainee
    settings : FitSettings
    network : torch.nn.Module
        Whose weights become the model: one of the trainee's networks, or a part of one; it has a ``config``.
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

    trainee: Trainee
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


class Trainable(ABC, Generic[P]):
    """One way to train. Subclasses set `info` and `params_type`, import nothing heavy at module level, and keep no state."""

    info: ClassVar[TrainableInfo]
    params_type: ClassVar[type[TrainParams]] = TrainParams

    @abstractmethod
    def prepare(self, images: TrainingImages, params: P, context: TrainContext) -> Lesson:
        """Read the pixels, and set up what is learnt from them.

        Raises
        ------
        SynthError
            One of its subclasses, `napari_synth.core.errors.TrainingDataError` for most, where the images do not suit.
        """
