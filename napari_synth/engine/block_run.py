"""A run that makes its result block by block: what runs on images and on movies have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import BlockSpec, Method
from napari_synth.contract.params import Params
from napari_synth.core.device import Device
from napari_synth.core.errors import AxesError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.core.result_dtype import FLOAT, DtypeChoice, choose_dtype
from napari_synth.engine.channels import Channel
from napari_synth.engine.prepared import Pieces, Region, empty, lazy_array, needs_store, one_by_one
from napari_synth.engine.queue import MOST_BATCH_PIXELS
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.result_axes import ResultLayout
from napari_synth.engine.tiling import Block, Grid, make_block, split_core
from napari_synth.imaging.image import Image, colour_samples
from napari_synth.imaging.intensity import Statistics
from napari_synth.imaging.screening import noise_of
from napari_synth.imaging.surroundings import undisturbed

if TYPE_CHECKING:
    import dask.array

    from napari_synth.imaging.noise import NoiseReport

SMALLEST_CORE = 64
"""Edge of a block below which it is not halved."""


@dataclass(frozen=True)
class BlockItem:
    """A block of a channel at one position along the axes that are mapped over."""

    channel: Channel[Any]
    position: tuple[tuple[str, int], ...]
    core: tuple[slice, ...]


@dataclass(frozen=True)
class BlockRun(ABC):
    """A method that has seen an image, ready to make any part of its result.

    Attributes
    ----------
    source : Image
    method : Method
    params : Params
    device : Device
    options : RunOptions
    recipe : Recipe
    channels : tuple of Channel
        The prepared method of each channel, or of all of them together.
    is_spread : bool
        Whether results are the spread over flips and rotations rather than the result itself.
    chosen_dtype : numpy.dtype or None
        Of results in the counts of the source; that of the source where None.
    """

    source: Image
    method: Method[Any]
    params: Params
    device: Device
    options: RunOptions
    recipe: Recipe
    channels: tuple[Channel[Any], ...]
    is_spread: bool = False
    chosen_dtype: np.dtype[Any] | None = None

    # What the kinds of runs differ in

    @property
    @abstractmethod
    def layout(self) -> ResultLayout:
        """Between the axes of the source and those of the result."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the result; float32 for a spread."""

    @abstractmethod
    def block_spec(self, channel: Channel[Any]) -> BlockSpec:
        """Return what the blocks of a channel must be like."""

    @abstractmethod
    def fill(self, asked: Mapping[str, slice], out: Any, wanted: Mapping[str, slice], report: Reporter) -> None:
        """Write a region into an array.

        Parameters
        ----------
        asked : mapping of str to slice
            The region, by axis of the source.
        out : array-like
            With the shape of the region in the result.
        wanted : mapping of str to slice
            The pixels of the result that belong to the region, along each of its axes.
        report : Reporter
        """

    @abstractmethod
    def ensembled(self, prepared: Any) -> Any:
        """Return what gives the spread of a prepared method over flips and rotations."""

    @abstractmethod
    def sample(self) -> npt.NDArray[Any]:
        """Return some pixels of the result, one dimension, by which its dtype is decided."""

    def pieces(self) -> dict[str, Pieces]:
        """Return how the result is cut into the chunks of a lazy array, along each of its axes."""
        layout, grid, extent = self.layout, self.grid(self.channels[0]), self.extent
        pieces = {}
        for axis, part in layout.within(extent).items():
            size, whole = part.stop - part.start, extent.get(axis, part)
            if axis in grid.axes:
                inner = (at for at in grid.bounds[grid.axes.index(axis)] if whole.start < at < whole.stop)
                bounds = (whole.start, *inner, whole.stop)
                # Where a result is coarser, a block may hold no pixel of it: the last bound that gives one counts.
                stops = {layout.within({axis: slice(0, bound)})[axis].stop: bound for bound in bounds}
                pieces[axis] = _between(tuple(stops), tuple(stops.values()))
            else:
                single = axis in layout.common and axis != "S"
                pieces[axis] = one_by_one(size, whole.start) if single else Pieces((size,))
        return pieces

    # What they share

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of this run, a plain sentence each."""
        return self.recipe.notes

    @property
    def noise(self) -> tuple[NoiseReport | None, ...]:
        """The measured noise of each channel, or of all of them together, in counts; None where none was measured."""
        return tuple(getattr(channel.prepared, "noise", None) for channel in self.channels)

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """The intensities of each channel, or of all of them together, in counts."""
        return tuple(one for channel in self.channels for one in channel.statistics)

    @property
    def axes(self) -> str:
        """Axes of the result: those of the source, unless the method makes other channels of its channels."""
        return self.layout.axes

    @property
    def extent(self) -> dict[str, slice]:
        """The part of the source that the result shows, along each of its axes."""
        return {axis: slice(0, size) for axis, size in self.layout.source.items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the result along its axes."""
        return tuple(part.stop - part.start for part in self.layout.within(self.extent).values())

    @property
    def dtype_choice(self) -> DtypeChoice:
        """What was decided of the dtype, for other images of the same batch."""
        return "source" if self.dtype == self.source.dtype else "float32"

    @property
    def stack_axis(self) -> str:
        """None: a result is one image."""
        return ""

    @property
    def joint_axes(self) -> str:
        """Axes of the source of which no part can be had without the rest."""
        return "".join(axis for axis in self.source.axes if axis in self.layout.joint + "S")

    @property
    def samples(self) -> int:
        """RGB samples that are worked on: alpha is not."""
        return colour_samples(self.source.sizes.get("S", 1))

    @property
    def needs_store(self) -> bool:
        """Whether the result is larger than the memory budget, so that it belongs into a file."""
        return needs_store(self.shape, self.dtype, self.options)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a block of the result, along its axes."""
        return tuple(piece.lengths[0] for piece in self.pieces().values())

    @cached_property
    def result(self) -> Image:
        """The result as a lazy image, with the spacing of its own grid."""
        spacing = dict(self.source.spacing)
        for axis, ratio in self.layout.ratios.items():
            spacing[axis] = spacing.get(axis, 1.0) / float(ratio)
        return replace(self.source, data=self.lazy(), axes=self.axes, spacing=spacing, mask=None)

    def spread(self) -> Self:
        """Return the run whose result is the relative confidence: the spread over flips and rotations, in counts."""
        channels = tuple(replace(channel, prepared=self.ensembled(channel.prepared)) for channel in self.channels)
        return replace(self, channels=channels, is_spread=True)

    def grid(self, channel: Channel[Any]) -> Grid:
        """Return where the blocks of a channel begin: as the user's tile says, or as the recipe does."""
        spec, tile = self.block_spec(channel), self.options.tile
        return Grid.of(spec, self.source.sizes, [tile] * len(spec.axes) if tile else self.recipe.grid.get(spec.axes))

    def with_grid(self, earlier: Recipe) -> Self:
        """Return the run with its grid in the recipe: that of an earlier recipe of an image of this size, or the default."""
        if self.options.tile:
            return self
        source = self.recipe.source
        is_same = earlier.source is not None and source is not None and earlier.source.shape == source.shape
        known = earlier.grid if is_same and earlier.axes == self.recipe.axes else {}
        grid: dict[str, tuple[int, ...]] = {}
        for channel in self.channels:
            spec = self.block_spec(channel)
            if spec.whole:
                continue
            edges = Grid.of(spec, self.source.sizes, known.get(spec.axes)).edges
            grid[spec.axes] = tuple(map(min, edges, grid.get(spec.axes, edges)))
        return replace(self, recipe=self.recipe.model_copy(update={"grid": grid}))

    def with_dtype(self) -> Self:
        """Return the run with the dtype of its results decided."""
        choice, source, levels = self.options.dtype, self.source, []
        if choice == "auto" and source.dtype.kind in "iu":
            levels = [(one.mean, noise_of(c.image).sigma_typical) for c in self.channels for one in c.statistics]
        made_of = replace(self, chosen_dtype=FLOAT)
        dtype, sentence = choose_dtype(choice, source.dtype, source.axes, levels, made_of.sample)
        if dtype == source.dtype:
            return self
        notes = (*self.recipe.notes, *((sentence,) if sentence else ()))
        recipe = self.recipe.model_copy(update={"dtype": "float32", "notes": notes})
        return replace(self, chosen_dtype=dtype, recipe=recipe)

    @undisturbed()
    def compute(self, *, region: Region | None = None, out: Any = None, report: Reporter | None = None) -> Any:
        """Make the result, or a region of it.

        Parameters
        ----------
        region : mapping of str to slice or int, optional
            What to make along each axis role, in pixels of the source (along T of a movie: in frames of the result); an int drops
            its axis. Whole axes where left out, as those of `joint_axes` must be.
        out : array-like, optional
            Written block by block and returned: anything with numpy's slice assignment and the shape of the result.
        report : Reporter, optional
            Told of every block, in this thread; a cancel takes effect within one block.

        Returns
        -------
        array
            numpy, or ``out``.

        Raises
        ------
        AxesError
            The region is none of the image.
        Cancelled
            The user wishes to stop.
        OutOfMemoryError
            The smallest block does not fit.
        GeneratorError
            The method failed.
        """
        asked = self._resolve(region or {})
        wanted = self.layout.within(asked)
        if out is None:
            out = empty([part.stop - part.start for part in wanted.values()], self.dtype)
        self.fill(asked, out, wanted, report or Reporter())
        dropped = tuple(0 if isinstance((region or {}).get(axis), int) else slice(None) for axis in wanted)
        return out[dropped] if any(index == 0 for index in dropped) else out

    def lazy(self) -> dask.array.Array:
        """Return the result as a dask array whose chunks are made when they are asked for."""
        return lazy_array(self, self.pieces(), spread=self.is_spread)

    def joint_sizes(self) -> dict[str, int]:
        """Return the axes of the source whose positions are the channels of a block, in their order there, with their sizes."""
        sizes = self.source.sizes | {"S": self.samples}
        return {axis: sizes[axis] for axis in self.layout.joint}

    def positions(self, asked: Mapping[str, slice], without: str) -> Iterator[tuple[tuple[str, int], ...]]:
        """Yield every position along the axes of the source that are mapped over."""
        mapped = self.mapped(without)
        ranges = (
            range(asked[a].start, min(asked[a].stop, self.samples) if a == "S" else asked[a].stop) for a in mapped
        )
        return (tuple(zip(mapped, at, strict=True)) for at in product(*ranges))

    def mapped(self, without: str) -> str:
        """Return the axes of the source that are mapped over."""
        return "".join(axis for axis in self.source.axes if axis not in without + "C" + self.layout.joint)

    def n_positions(self, asked: Mapping[str, slice], without: str) -> int:
        """Return how many positions `positions` yields."""
        return prod(
            min(asked[a].stop, self.samples if a == "S" else asked[a].stop) - asked[a].start
            for a in self.mapped(without)
        )

    def where(self, item: BlockItem, axes: str) -> dict[str, slice]:
        """Return the pixels of the source that an item gives, along all axes but those that are whole."""
        part = {axis: slice(at, at + 1) for axis, at in item.position} | dict(zip(axes, item.core, strict=True))
        if item.channel.index is not None:
            part["C"] = slice(item.channel.index, item.channel.index + 1)
        return part | {axis: slice(0, size) for axis, size in self.joint_sizes().items()}

    def _resolve(self, region: Region) -> dict[str, slice]:
        """Return the region as a slice with bounds for every axis."""
        unknown = set(region) - set(self.source.axes)
        if unknown:
            raise AxesError(f"The image has no axis {sorted(unknown)[0]!r}: its axes are {self.source.axes}.")
        resolved = {}
        extent = self.extent
        for axis, size in self.layout.source.items():
            part = region.get(axis, extent[axis])
            start, stop, _ = (slice(part, part + 1) if isinstance(part, int) else part).indices(size)
            if stop <= start:
                raise AxesError(f"The region is empty along {axis}: it must lie inside the image's {size} pixels.")
            if axis in self.joint_axes and (stop - start < size or isinstance(part, int)):
                what = "samples of an RGB pixel" if axis == "S" else "channels"
                raise AxesError(f"The {what} are restored together: ask for all of them.")
            resolved[axis] = slice(start, stop)
        return resolved


class BlockWork:
    """What the queue does with the blocks of a run; see `napari_synth.engine.queue.Work`.

    Parameters
    ----------
    run : BlockRun
    report : Reporter
        Whose cancel takes effect inside a block.
    """

    def __init__(self, run: BlockRun, report: Reporter) -> None:
        self.device, self.cancel = run.device, report.cancel
        self.budget = min(run.device.free_memory() // 2, run.options.memory_budget or 2**62)
        self.most_batch_pixels = MOST_BATCH_PIXELS[run.device.kind]
        self._run = run

    def block(self, item: BlockItem) -> Block:
        """Return the block of an item, with its halo."""
        return make_block(item.core, self._run.source.sizes, self._run.block_spec(item.channel))

    def pixels(self, item: BlockItem) -> int:
        """Return the size of a block, halo included."""
        return prod(self.block(item).shape)

    def bytes(self, item: BlockItem) -> int:
        """Return the working memory of a block."""
        return self.pixels(item) * self._run.block_spec(item.channel).bytes_per_pixel

    def halves(self, item: Any) -> list[Any]:
        """Return an item in two halves; a tile that the user set stays as it is."""
        if self._run.options.tile:
            return [item]
        return [
            replace(item, core=core)
            for core in split_core(item.core, self._run.block_spec(item.channel), SMALLEST_CORE)
        ]

    def too_large(self, _: BlockItem) -> str:
        """Say that a block does not fit and cannot be made smaller."""
        tile = self._run.options.tile
        what = f"A tile of {tile} pixels" if tile else "The smallest block"
        advice = "set a smaller tile" if tile else "free memory"
        return f"{what} does not fit into the memory of {self.device.title}: {advice}, or run on the cpu."


def read_block(image: Image, block: Block, axes: str, joint: str, at: Mapping[str, slice | int]) -> npt.NDArray[Any]:
    """Read a block with its halo, padded by reflection at the far ends.

    Parameters
    ----------
    image : Image
    block : Block
    axes : str
        Of the block, in space.
    joint : str
        Axes whose positions are the channels of a block, in their order there.
    at : mapping of str to slice or int
        The part of all other axes that is read.

    Returns
    -------
    numpy.ndarray, (C, *spatial)
    """
    selection: dict[str, slice | int] = {**at, **{a: span.read for a, span in zip(axes, block.spans, strict=True)}}
    return as_block(image.read(**selection), image, selection, block, axes, joint)


def as_block(
    pixels: npt.NDArray[Any],
    image: Image,
    selection: Mapping[str, slice | int],
    block: Block,
    axes: str,
    joint: str,
) -> npt.NDArray[Any]:
    """Bring what was read for a block into the order (C, *spatial), and pad it by reflection at the far ends.

    Parameters
    ----------
    pixels : numpy.ndarray
        What was read, in the order of the image's axes without those of which one index was selected.
    image : Image
    selection : mapping of str to slice or int
        What was read of each axis.
    block : Block
        How much is missing at the far ends, along ``axes``.
    axes : str
        The spatial axes that the method sees.
    joint : str
        The axes that become its channels.
    """
    kept = [axis for axis in image.axes if not isinstance(selection.get(axis), int)]
    pixels = pixels.transpose([kept.index(axis) for axis in joint + axes])
    pixels = pixels.reshape(-1, *pixels.shape[len(joint) :])
    pads = [(0, 0), *((0, span.pad) for span in block.spans)]
    return np.pad(pixels, pads, mode="reflect") if any(pad for _, pad in pads) else pixels


def in_order(pixels: npt.NDArray[Any], present: str, axes: str) -> npt.NDArray[Any]:
    """Bring pixels with some axes into the order of others, with length 1 along those that they lack.

    Parameters
    ----------
    pixels : numpy.ndarray
    present : str
        Their axes; each is among ``axes``.
    axes : str
        The order that is wanted.
    """
    pixels = pixels.transpose([present.index(axis) for axis in axes if axis in present])
    return np.expand_dims(pixels, [i for i, axis in enumerate(axes) if axis not in present])


def put(out: Any, pixels: Any, part: Mapping[str, slice], wanted: Mapping[str, slice]) -> None:
    """Write pixels of a part of the result into an array that holds what is wanted of it.

    Parameters
    ----------
    out : array-like
        Of the shape of ``wanted``; anything that takes slices will do.
    pixels : array-like or float
    part : mapping of str to slice
        Where in the result the pixels lie, by axis.
    wanted : mapping of str to slice
        Where in the result the array lies, by axis, in the order of its dimensions.
    """
    target = (slice(part[axis].start - span.start, part[axis].stop - span.start) for axis, span in wanted.items())
    out[tuple(target)] = pixels


def notes_of(
    channels: Sequence[Channel[Any]],
    *,
    labelled: bool,
    unit: str,
    more: Callable[[Channel[Any]], tuple[str, ...]] = lambda _: (),
) -> tuple[str, ...]:
    """Collect what prepared methods and statistics say, naming the channel where there are several.

    Parameters
    ----------
    channels : sequence of Channel
    labelled : bool
        Whether sentences begin with the channel that they are about.
    unit : str
        What intensities of the image are called.
    more : callable
        Says what else there is to say of a channel.
    """
    notes = []
    for channel in channels:
        label = f"Channel {channel.index + 1}: " if labelled and channel.index is not None and len(channels) > 1 else ""
        noise = getattr(channel.prepared, "noise", None)
        warnings = [warning for one in channel.statistics for warning in one.warnings()]
        notes += [
            label + said
            for said in (*(noise.sentences(unit) if noise else ()), *channel.prepared.notes, *warnings, *more(channel))
        ]
    return tuple(notes)


def weights_of(channels: Sequence[Channel[Any]]) -> dict[str, str]:
    """Return the SHA-256 of every weight file that the channels' methods use, by model name."""
    return {name: value for channel in channels for name, value in channel.prepared.weights.items()}


def _between(stops: tuple[int, ...], bounds: tuple[int, ...]) -> Pieces:
    """Return pieces that end at these pixels of the result, and at these bounds of the source."""
    lengths = tuple(int(b - a) for a, b in pairwise(stops))
    return Pieces(lengths, lambda number: slice(bounds[number], bounds[number + 1]))
