"""The contract between a generator and everything that runs it.

A generator is a value: it says what it is (`GeneratorInfo`), what can be set (`Params`), and names the function that looks at an
image once. What that returns, a `Prepared`, restores one block at a time and is pure: the same block gives the same result, in any
order, on any machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from napari_synth.contract.params import Params
from napari_synth.core.device import Device
from napari_synth.core.errors import RecipeError
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from napari_synth.imaging.intensity import IntensityTransform, Statistics
    from napari_synth.imaging.noise import NoiseReport


Kernel = Literal["cubic", "lanczos"]
"""What blocks are resampled with: Keys' cubic convolution (a = -1/2) or Lanczos' with three lobes."""


class Task(StrEnum):
    """What the user wants."""

    DENOISE = "denoise"
    CORRECT = "correct"
    DECONVOLVE = "deconvolve"
    SUPER_RESOLUTION = "super-resolution"
    INPAINT = "inpaint"
    TRANSLATE = "translate"
    SYNTHESIZE = "synthesize"
    PREDICT_FRAMES = "predict-frames"
    AUGMENT = "augment"

    @property
    def verb(self) -> str:
        """What does it, in Python and on the command line."""
        return {Task.SUPER_RESOLUTION: "upscale", Task.PREDICT_FRAMES: "predict-frames"}.get(self, self.value)


@dataclass(frozen=True)
class GeneratorInfo:
    """What a generator says of itself.

    Attributes
    ----------
    id : str
        ``task/name``, e.g. ``"denoise/blind"``.
    title : str
        What the panel's list shows.
    summary : str
        One sentence that tells the user when to take it.
    task : Task
    reference : str
        The paper, or "" where there is none.
    weights_licence : str
        Licence of bundled weights, or "" where there are none.
    spatial_dims : tuple of int
        Dimensionalities of the blocks it can take: ``(2,)``, ``(3,)`` or ``(2, 3)``.
    colour : {"joint", "separate"}
        Whether it sees the samples of an RGB pixel together, or is mapped over them.
    channels : {"joint", "mapped"}
        Whether it sees the channels of an image together, or is mapped over them.
    trains : bool
        Whether it learns from the image when it is run, which takes more than a moment.
    invents : bool
        Whether its output is invented content rather than measured data restored.
    reference_image : {"none", "optional", "needed"}
        Whether it takes another image that shows how the result should look.
    needs_colour : bool
        Whether it takes nothing but images with the samples of an RGB pixel.
    """

    id: str
    title: str
    summary: str
    task: Task
    reference: str = ""
    weights_licence: str = ""
    spatial_dims: tuple[int, ...] = (2,)
    colour: Literal["joint", "separate"] = "separate"
    channels: Literal["joint", "mapped"] = "mapped"
    trains: bool = False
    invents: bool = False
    reference_image: Literal["none", "optional", "needed"] = "none"
    needs_colour: bool = False

    @property
    def name(self) -> str:
        """The id without its task."""
        return self.id.split("/", 1)[1]

    def joint(self, axes: str) -> str:
        """Return which axes of an image become the channels of a block, in their order there."""
        together = {"C": self.channels == "joint", "S": self.colour == "joint"}
        return "".join(axis for axis, is_joint in together.items() if is_joint and axis in axes)

    def refusal(self, axes: str) -> str:
        """Say why an image with these axes cannot be taken, "" where it can."""
        if self.needs_colour and "S" not in axes:
            return f"{self.title} needs colours, the image has {axes}: give an RGB image, or choose another generator."
        if 2 in self.spatial_dims or "Z" in axes:
            return ""
        return f"{self.title} needs a Z axis, the image has {axes}: set the axes."


@dataclass(frozen=True)
class BlockSpec:
    """What the blocks of a prepared generator must be like, along each of the block's spatial axes.

    Attributes
    ----------
    axes : str
        The spatial axes of a block in the order of its tensor, e.g. ``"YX"``, ``"ZYX"``, or ``"TYX"`` where neighbouring
        frames are evidence. The image is mapped over all other axes.
    halo : tuple of int
        Pixels of context on each side of a block that its result depends on.
    multiple : tuple of int
        Sizes and positions of blocks are multiples of this.
    scale : tuple of int
        How many times finer the restored block is than the block.
    whole : bool
        Whether a block must be the whole field (a global method), so that it cannot be tiled.
    bytes_per_pixel : int
        Working memory for a pixel of a block, from which the runner chooses the block's size.
    result : tuple of int, optional
        Size of the whole result, where it is not that of the image times `scale`: the runner resamples restored blocks to it, so
        that the outer edges of the first and last pixels stay where they are.
    kernel : {"cubic", "lanczos"}
        What it resamples with.
    most_pixels : int, optional
        Of a block with its halo, for a method that takes large blocks a part at a time; what is usual where left out.
    """

    axes: str
    halo: tuple[int, ...]
    multiple: tuple[int, ...]
    scale: tuple[int, ...]
    whole: bool = False
    bytes_per_pixel: int = 64
    result: tuple[int, ...] | None = None
    kernel: Kernel = "cubic"
    most_pixels: int | None = None

    def ratios(self, sizes: Mapping[str, int]) -> dict[str, Fraction]:
        """Return, for each of `axes`, how many times finer the result is than an image of these sizes."""
        if self.result is None:
            return {axis: Fraction(scale) for axis, scale in zip(self.axes, self.scale, strict=True)}
        return {axis: Fraction(size, sizes[axis]) for axis, size in zip(self.axes, self.result, strict=True)}

    @classmethod
    def plane(cls, halo: int, *, multiple: int = 1, whole: bool = False, bytes_per_pixel: int = 64) -> BlockSpec:
        """Return the specification of a method that works plane by plane at the image's own size.

        Parameters
        ----------
        halo : int
            Pixels of context on each side.
        multiple : int
            What sizes and positions of blocks are multiples of.
        whole : bool
            Whether a block must be the whole plane.
        bytes_per_pixel : int
            Working memory for a pixel of a block.
        """
        return cls("YX", (halo,) * 2, (multiple,) * 2, (1,) * 2, whole, bytes_per_pixel)

    @classmethod
    def volume(
        cls,
        axes: str,
        halo: tuple[int, int, int],
        *,
        multiple: tuple[int, int, int] = (1, 1, 1),
        bytes_per_pixel: int = 64,
    ) -> BlockSpec:
        """Return the specification of a method that works on three axes at the image's own size.

        Parameters
        ----------
        axes : str
            The three axes, such as ``"ZYX"``.
        halo : (int, int, int)
            Pixels of context on each side, along each axis.
        multiple : (int, int, int)
            What sizes and positions of blocks are multiples of.
        bytes_per_pixel : int
            Working memory for a pixel of a block.
        """
        return cls(axes, halo, multiple, (1, 1, 1), False, bytes_per_pixel)


@dataclass(frozen=True)
class ResultSpec:
    """What the results of a generator are made of that sees channels together, and turns them into others.

    Attributes
    ----------
    axis : {"C", "S", ""}
        What the channels of its blocks are in the result: channels, the samples of an RGB pixel, or the one plane there is.
    intensity : tuple of IntensityTransform
        For each channel of a restored block, what brings it back to counts.
    dtype : str
        Of the counts, as numpy calls it.
    """

    axis: Literal["C", "S", ""]
    intensity: tuple[IntensityTransform, ...]
    dtype: str


class Prepared(ABC):
    """A generator that has seen the image and can restore any block of it.

    Attributes
    ----------
    spec : BlockSpec
        What its blocks must be like.
    intensity : tuple of IntensityTransform or None
        For each channel of a block, how its counts are normalised; None for all of them as in the context.
    result : ResultSpec or None
        What its results are made of; None for channels, counts and dtype of the image.
    noise : NoiseReport or None
        The noise that was measured, in counts.
    notes : tuple of str
        What the user should know of this run, a plain sentence each.
    weights : mapping of str to str
        SHA-256 of every weight file that was used, by model name, for the recipe.
    resolved : mapping of str to object
        Settings that the run decided on, which the recipe stores so that it can be repeated: the steps that fitted into the
        minutes, say. Of the numbers of several channels the recipe stores the largest; lists it joins in the channels' order.
    noise_level : float or None
        The counts from which on a correction multiplies: a pixel of the result lies by `gains` times as far above them as that
        of the image, up to a shift that holds no noise. None where the result of a pixel holds the noise of others, or none.
    multiplies : bool
        Whether its `gains` are other than 1 anywhere: they are asked for only then.
    wants_gains : bool
        Whether it is to be told by `with_gains` how the corrections before it changed the noise.
    """

    spec: BlockSpec
    intensity: tuple[IntensityTransform, ...] | None = None
    result: ResultSpec | None = None
    noise: NoiseReport | None = None
    notes: tuple[str, ...] = ()
    weights: Mapping[str, str] = {}
    resolved: Mapping[str, Any] = {}
    noise_level: float | None = None
    multiplies: bool = False
    wants_gains: bool = False

    @abstractmethod
    def apply(self, block: torch.Tensor) -> torch.Tensor:
        """Restore one batch of blocks.

        Parameters
        ----------
        block : torch.Tensor, (N, C, *spatial), float32
            Normalised intensities (see `Context.intensity`) without NaN, on the device of the context; C is the number of
            channels, or of RGB samples, or of both, where the generator sees them jointly, else 1. Spatial axes are those of
            ``spec.axes``, halo included.
            Where the image has a mask, one more channel follows: 1 where a pixel is to be filled, else 0; what lay there is
            replaced by the mean of what is around it, so that no result depends on it.

        Returns
        -------
        torch.Tensor, (N, C, *(spatial * scale)), float32
            Normalised intensities, with as many channels unless `result` says otherwise; the runner crops the halo away, and
            takes nothing but the filled pixels where there is a mask.
        """

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what restores the blocks at one place of the image: itself, unless `is_placed`.

        Parameters
        ----------
        place : mapping of str to slice
            The pixels of the image that a block was read from, halo included, along each axis but C and S.
        """
        return self

    @property
    def is_placed(self) -> bool:
        """Whether what is done to a block depends on where it lies, as with the light of a field or the time of a frame."""
        return False

    def gains(self, block: torch.Tensor) -> torch.Tensor:
        """Return by what `apply` multiplies the noise of every pixel of a batch of blocks, where it `multiplies`.

        Parameters
        ----------
        block : torch.Tensor, (N, C, *spatial)
            As for `apply`.

        Returns
        -------
        torch.Tensor, (N, C, *spatial)
            Above 0.
        """
        import torch

        return torch.ones_like(block)

    def with_gains(self, gains: torch.Tensor) -> Prepared:
        """Return what restores blocks whose noise was multiplied by the corrections before; asked for where `wants_gains`.

        Parameters
        ----------
        gains : torch.Tensor, (N, C, *spatial)
            By what the noise of every pixel of the blocks was multiplied.
        """
        return self

    def seen_again(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what the instrument would see of a result: that itself, unless restoring took a blur away.

        Parameters
        ----------
        pixels : numpy.ndarray, (*spatial)
            A part of a result in counts, along the axes of `spec`. What is returned is NaN where that cannot be told.
        """
        return pixels

    @property
    def is_pointwise(self) -> bool:
        """Whether a pixel of the result depends on the same pixel of the block alone, and on nothing beside it."""
        return not any(self.spec.halo) and not self.spec.whole

    def transposed(self) -> Prepared:
        """Return the same generator, prepared for the image with Y and X swapped (itself where it knows no direction)."""
        return self

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the same generator, prepared for the image flipped along Y or X (itself where it knows no direction)."""
        return self


P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class ModelSource:
    """The model file that a method runs.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file when it was described.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class Method(Generic[P]):
    """One way to do a task, as a value: declaring it loads nothing that computes.

    Attributes
    ----------
    info : GeneratorInfo
    params_type : type of Params
        The settings that it has.
    function : callable or str
        What prepares it, or where that is, as ``"package.module:function"``: the module is imported at the first use.
    model : ModelSource or None
        The model file that it runs, where it was made from one.
    """

    info: GeneratorInfo
    params_type: type[P]
    function: Callable[..., Any] | str
    model: ModelSource | None = None

    @property
    def given(self) -> str:
        """What it works on, in the user's words; "" where random numbers are enough."""
        return "an image"

    @property
    def title(self) -> str:
        """What it is called; of a chain, what all its steps are called."""
        return self.info.title

    @property
    def makes_many(self) -> bool:
        """Whether its result is a stack of images that have nothing to do with each other."""
        return False

    def guess_axes(self, shape: tuple[int, ...]) -> str | None:
        """Return the axes of an array that does not say them, None where they are no others than for every method."""
        return None


@dataclass(frozen=True)
class Generator(Method[P]):
    """A method that makes of an image another one of the same axes, block by block."""

    def prepare(self, image: Image, params: P, context: Context) -> Prepared:
        """Look at the whole image once: load weights, measure the noise, or train on it.

        Parameters
        ----------
        image : Image
            In counts, possibly lazy, without a C axis unless ``info.channels`` is "joint". An S axis is one to be mapped
            over, unless ``info.colour`` is "joint". Joint channels, and behind them joint samples, are the channels of a block.
        params : Params
            An instance of `params_type`.
        context : Context
            Device, random seed, intensity transform, progress and cancel token of the run.
        """
        prepared: Prepared = resolved(self.function)(image, params, context)
        return prepared


@dataclass(frozen=True)
class Chain(Generator[P]):
    """Several generators, one after the other, as one; it is called and set like the last of them.

    Attributes
    ----------
    steps : tuple of Generator
        The first one first.
    """

    steps: tuple[Generator[Any], ...] = ()

    @classmethod
    def of(cls, steps: Sequence[Method[Any]]) -> Chain[Any]:
        """Make a chain of generators.

        Raises
        ------
        RecipeError
            One of them cannot stand where it does.
        """
        restoring: list[Generator[Any]] = []
        for number, step in enumerate(steps, start=1):
            if not isinstance(step, Generator) or isinstance(step, Chain):
                raise RecipeError(
                    f"Step {number} of the chain ({step.info.title}) does not restore an image: make the chain of methods that"
                    " correct, denoise, deconvolve, upscale, fill or translate."
                )
            if number < len(steps) and step.info.task == Task.SUPER_RESOLUTION:
                raise RecipeError(
                    f"Step {number} of the chain ({step.info.title}) gives an image of another size, and the steps behind it work"
                    " on the size of the source: put it last."
                )
            restoring.append(step)
        last = restoring[-1]
        info = replace(
            last.info,
            trains=any(step.info.trains for step in restoring),
            invents=any(step.info.invents for step in restoring),
        )
        return cls(info, last.params_type, last.function, last.model, tuple(restoring))

    @property
    def title(self) -> str:
        """What all its steps are called."""
        return ", then ".join(step.info.title for step in self.steps)


def resolved(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return what prepares a method, imported where it is given as ``"package.module:function"``."""
    if not isinstance(function, str):
        return function
    found: Callable[..., Any] = resolve_name(function)
    return found


@dataclass
class Context:
    """What a run gives its generator.

    Attributes
    ----------
    device : Device
        Where tensors belong, and the precision that is wanted there.
    intensity : IntensityTransform
        Between counts and the normalised intensities of blocks.
    statistics : Statistics
        Of the whole image, in counts.
    seed : int
        Every random draw comes from it (see `torch_generator` and `numpy_generator`).
    report : Reporter
        To be told of every step of work that takes longer than a moment; it raises `Cancelled`.
    reference : Image or None
        How the result should look, where ``info.reference_image`` allows for it: like the image that is prepared, without alpha,
        but of any size, dtype and range.
    channel : int or None
        Position along C of the image that is prepared; None where there is no C axis, or all of it is prepared.
    interim : callable, optional
        To be given what training has come to so far, where somebody looks on.
    """

    device: Device
    intensity: IntensityTransform
    statistics: Statistics
    seed: int = 0
    report: Reporter = field(default_factory=Reporter)
    reference: Image | None = None
    channel: int | None = None
    interim: Callable[[Prepared], None] | None = None

    def torch_generator(self, stream: int = 0) -> torch.Generator:
        """Return a fresh random generator on the device; ``stream`` tells independent uses apart."""
        import torch

        return torch.Generator(self.device.torch_name).manual_seed(self.seed * 1000 + stream)
