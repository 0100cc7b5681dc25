"""The contract between a synthesizer and everything that runs it: new images, of random numbers and at times of a source.

A synthesizer says what it is and what can be set, and prepares a `Sampler`. That draws the random numbers of an image, its latents,
and decodes them: the same latents give the same image in any batch. Loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from napari_synth.contract.generator import Method, resolved
from napari_synth.contract.params import Params
from napari_synth.core.device import Device
from napari_synth.core.errors import InvalidParameterError
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import torch

Needs = Literal["nothing", "image", "labels", "optional labels"]
"""What a synthesizer is given besides random numbers: nothing, an image to make others like, or labels to make images for; where
these are optional, it draws new ones if there are none."""
# Pixels along an edge, and channels.
_LARGEST = 65_536


class SynthesisParams(Params):
    """Settings of every synthesizer; one that has others inherits from it."""

    count: int = Field(1, ge=1, le=100_000, title="Number", description="How many images to make.")
    size: int | None = Field(
        None,
        ge=8,
        le=65_536,
        title="Size",
        description="Height and width of an image in pixels; what the model was trained to make where left out.",
    )
    width: int | None = Field(
        None,
        ge=8,
        le=65_536,
        title="Width",
        description="Width of an image in pixels, where it is not as wide as high. More is wider.",
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class SampleSpec:
    """What the images of a sampler are like.

    Attributes
    ----------
    channels : int
        Of a decoded tensor.
    axis : {"C", "S", ""}
        What they are in the image: channels (even where there is but one), samples of an RGB pixel, or the one plane there is.
    dtype : str
        Of the counts, as numpy calls it.
    size : (int, int)
        Height and width that are made where none are asked for.
    grid : int or None
        What other heights and widths must be multiples of; None where there are no others.
    spacing, units : mapping
        Of the images that were learnt from, as in `Image`, where they are known and the same.
    """

    channels: int
    axis: Literal["C", "S", ""]
    dtype: str
    size: tuple[int, int]
    grid: int | None = None
    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as plain JSON types, for the card of a model."""
        return asdict(self) | {"size": list(self.size)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SampleSpec:
        """Take up what `record` returned; TypeError, KeyError or ValueError where it is something else."""
        height, width = record["size"]
        found = cls(**{**record, "size": (int(height), int(width))})
        np.dtype(found.dtype)
        numbers = (found.channels, *found.size, 1 if found.grid is None else found.grid)
        if found.axis not in {"C", "S", ""} or not all(1 <= number <= _LARGEST for number in numbers):
            raise ValueError("no images can be like that")
        return found

    @property
    def axes(self) -> str:
        """Axes of one image: ``"YX"``, ``"CYX"`` or ``"YXS"``."""
        return {"": "YX", "C": "CYX", "S": "YXS"}[self.axis]

    def size_for(self, params: SynthesisParams) -> tuple[int, int]:
        """Return the height and width that are asked for.

        Raises
        ------
        InvalidParameterError
            They cannot be made.
        """
        wanted = (params.size or self.size[0], params.width or params.size or self.size[1])
        if wanted == self.size:
            return wanted
        if self.grid is None:
            raise InvalidParameterError(
                f"This model makes images of {self.size[0]} x {self.size[1]} pixels, not of {wanted[0]} x {wanted[1]}: leave the"
                " size out, or train one with that patch size."
            )
        if any(edge % self.grid for edge in wanted):
            raise InvalidParameterError(
                f"This model makes images whose height and width are multiples of {self.grid}, not {wanted[0]} x {wanted[1]}:"
                " choose such a size."
            )
        return wanted


class Sampler(ABC):
    """A synthesizer that is ready to make images.

    Subclasses set `spec`, and implement `latent_shape` and `decode`; those that can find the latents of an image set `can_encode`
    and implement `encode`. All tensors that they are given, and all that they return but those of `draw`, are on the device of the
    context.

    Attributes
    ----------
    spec : SampleSpec
    can_encode : bool
    makes_labels : bool
        Whether latents hold labels, for which the image is made; it then implements `labels`.
    bytes_per_pixel : int
        Working memory for a pixel of an image, from which the run chooses how many are made at once.
    notes : tuple of str
        What the user should know, a plain sentence each.
    weights : mapping of str to str
        SHA-256 of every weight file that is used, by model name.
    """

    spec: SampleSpec
    can_encode: bool = False
    makes_labels: bool = False
    bytes_per_pixel: int = 4096
    notes: tuple[str, ...] = ()
    weights: Mapping[str, str] = {}

    @abstractmethod
    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the latents of one image of this height and width: ``(L,)`` where they are a vector."""

    @property
    def latent_size(self) -> int:
        """Length of the latent vector, of which a user can set the entries; 0 where latents are no vector."""
        shape = self.latent_shape(self.spec.size)
        return prod(shape) if len(shape) == 1 else 0

    def draw(self, generator: torch.Generator, size: tuple[int, int]) -> torch.Tensor:
        """Draw the latents of one image: normal numbers, unless a sampler knows better.

        Parameters
        ----------
        generator : torch.Generator
            On the CPU, of this image alone: its latents are the same whatever is made beside it, and on every device.
        size : (int, int)

        Returns
        -------
        Tensor, (*latent_shape(size)), float32, on the CPU
        """
        import torch

        return torch.randn(self.latent_shape(size), generator=generator)

    @abstractmethod
    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Make images.

        One that takes long calls `napari_synth.core.progress.check_cancelled` now and then.

        Parameters
        ----------
        latents : Tensor, (N, *latent_shape(size)), float32
        size : (int, int)
            Height and width, as `SampleSpec.size_for` allows them.

        Returns
        -------
        Tensor, (N, channels, *size), float32
            In counts; they are rounded and clipped to the dtype by whoever asks.
        """

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Find the latents of images, where `can_encode`.

        Parameters
        ----------
        pixels : Tensor, (N, channels, Y, X), float32
            In counts, finite, of a size that can be made.

        Returns
        -------
        Tensor, (N, *latent_shape((Y, X))), float32

        Raises
        ------
        InvalidParameterError
            This sampler cannot.
        """
        raise InvalidParameterError("This model makes images and cannot look at any: choose one that has an encoder.")

    def labels(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the labels that images are made for, where `makes_labels`.

        Parameters
        ----------
        latents : Tensor, (N, *latent_shape(size)), float32

        Returns
        -------
        Tensor, (N, *size), int64
            0 for the background, objects from 1.

        Raises
        ------
        InvalidParameterError
            This sampler draws none.
        """
        raise InvalidParameterError("This model makes images alone: train one of labels and their images to have both.")

    def directions(self, count: int) -> torch.Tensor:
        """Return directions in which images change most, (at most ``count``, latent_size), each of length 1, on the CPU.

        They are what sliders move along; the entries of the vector themselves, unless a sampler knows better.
        """
        import torch

        return torch.eye(self.latent_size)[:count]


@dataclass(frozen=True)
class SynthesisContext:
    """What a run gives its synthesizer.

    Attributes
    ----------
    device : Device
        Where tensors belong, and the precision that is wanted there.
    seed : int
        Latents come from it; a sampler needs it only for what is random besides.
    report : Reporter
        To be told of what takes longer than a moment before the first image is made.
    """

    device: Device
    seed: int = 0
    report: Reporter = field(default_factory=Reporter)


P = TypeVar("P", bound=SynthesisParams)


@dataclass(frozen=True)
class Synthesizer(Method[P]):
    """A method that makes new images; ``info.task`` is ``Task.SYNTHESIZE``, and ``info.invents`` true.

    Attributes
    ----------
    needs : {"nothing", "image", "labels", "optional labels"}
        What it is given besides random numbers.
    """

    needs: Needs = "nothing"

    @property
    def given(self) -> str:
        """What it works on besides random numbers, in the user's words."""
        return {"nothing": "", "image": "an image"}.get(self.needs, "labels")

    @property
    def takes_labels(self) -> bool:
        """Whether it may be given labels."""
        return self.needs in {"labels", "optional labels"}

    @property
    def makes_many(self) -> bool:
        """Whether its result is a stack of images: it always is."""
        return True

    def prepare(self, source: Image | None, params: P, context: SynthesisContext) -> Sampler:
        """Load what is needed, once a run (of labels: once a plane).

        Parameters
        ----------
        source : Image or None
            None where nothing is needed, or optional labels are left out. The whole image without alpha where that is needed. Where
            labels are given, one plane of them, of axes YX, int64: the images are of its size.
        params : SynthesisParams
            An instance of `params_type`.
        context : SynthesisContext
        """
        sampler: Sampler = resolved(self.function)(source, params, context)
        return sampler
