"""What is given to a run, and what every prepared run can do, whatever the kind of its method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import psutil

from napari_synth.contract.generator import Method
from napari_synth.core.device import Device
from napari_synth.core.errors import OutOfMemoryError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.engine.recipe import Recipe
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import dask.array

    from napari_synth.imaging.noise import NoiseReport

Region = Mapping[str, slice | int]
"""A part of a result, by axis role; axes that are left out are whole, an int drops its axis."""

# Of so many pixels the fingerprint of an image sees each.
_ALL_SEEN = 2**18


@dataclass(frozen=True)
class Inputs:
    """What a run is given.

    Attributes
    ----------
    image : Image or None
        With its mask where the task is to inpaint. None where a method makes images of random numbers alone.
    reference : Image or None
        How the result should look, for a method that takes such an image.
    region : ChosenRegion, mapping, array-like or Image, optional
        What the run is limited to in place of what its recipe says, see `napari_synth.engine.region.open_region`.
    yardstick : Image or None
        Whose intensities and noise are taken for those of the image, so that the images of a series stay comparable. With as many
        channels as the image, or one for all of them.
    """

    image: Image | None = None
    reference: Image | None = None
    region: Any = field(default=None, kw_only=True)
    yardstick: Image | None = field(default=None, kw_only=True)


class PreparedRun(Protocol):
    """A method that has seen its inputs, ready to give any part of its result.

    Attributes
    ----------
    method : Method
    source : Image or None
        The image that it was given.
    device : Device
    recipe : Recipe
        The record of the run.
    """

    @property
    def method(self) -> Method[Any]:
        """What is done."""

    @property
    def source(self) -> Image | None:
        """The image that was given."""

    @property
    def device(self) -> Device:
        """Where it is done."""

    @property
    def recipe(self) -> Recipe:
        """The record of the run."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of this run, a plain sentence each."""

    @property
    def noise(self) -> tuple[NoiseReport | None, ...]:
        """The measured noise of each channel, in counts, None where none was measured."""

    @property
    def result(self) -> Image:
        """The result as a lazy image, with the spacing of its own grid."""

    @property
    def axes(self) -> str:
        """Axes of the result."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the result along its axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the result."""

    @property
    def dtype_choice(self) -> DtypeChoice:
        """What was decided of the dtype, for other inputs of the same batch."""

    @property
    def stack_axis(self) -> str:
        """The axis of the result along which images lie that have nothing to do with each other; "" where it is one."""

    @property
    def needs_store(self) -> bool:
        """Whether the result is larger than the memory budget, so that it belongs into a file."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a block of the result, along its axes."""

    def compute(self, *, region: Region | None = None, out: Any = None, report: Reporter | None = None) -> Any:
        """Make the result, or a region of it, as a numpy array, or in ``out`` block by block.

        Parameters
        ----------
        region : Region, optional
            By axis; all of the result where it is left out.
        out : array-like, optional
            Of the shape of the region; anything that takes slices will do.
        report : Reporter, optional
            Told of each block; its cancel stops the run.

        Returns
        -------
        numpy.ndarray
            ``out`` where it was given.
        """

    def lazy(self) -> dask.array.Array:
        """Return the result as a dask array whose chunks are made when they are asked for."""

    def spread(self) -> PreparedRun:
        """Return the run whose result is the spread over flips and rotations: a relative confidence, in counts.

        Raises
        ------
        InvalidParameterError
            There is none for this kind of method.
        """


@dataclass(frozen=True)
class Pieces:
    """How one axis of a result is cut into chunks.

    Attributes
    ----------
    lengths : tuple of int
        Of the chunks, in pixels of the result.
    region : callable or None
        Gives the region of a chunk, by its number, as `PreparedRun.compute` takes it; None where the axis is whole.
    """

    lengths: tuple[int, ...]
    region: Callable[[int], slice] | None = None


def one_by_one(size: int, first: int = 0) -> Pieces:
    """Return pieces of one position each, from the first one."""
    return Pieces((1,) * size, lambda number: slice(first + number, first + number + 1))


def lazy_array(run: PreparedRun, pieces: Mapping[str, Pieces], *, spread: bool = False) -> dask.array.Array:
    """Return the result of a run as a dask array: nothing of it is planned or looked at before a chunk is asked for.

    Parameters
    ----------
    run : PreparedRun
    pieces : mapping of str to Pieces
        For each axis of the result, in their order.
    spread : bool
        Whether the run is the spread of its recipe's.
    """
    import dask.array as da

    def make(block_id: Any = None) -> Any:
        numbers = zip(pieces.items(), block_id, strict=True)
        region = {axis: piece.region(number) for (axis, piece), number in numbers if piece.region is not None}
        return run.compute(region=region)

    array: dask.array.Array = da.map_blocks(
        make,
        chunks=tuple(piece.lengths for piece in pieces.values()),
        dtype=run.dtype,
        meta=np.empty((0,) * len(pieces), run.dtype),
        name=_name(run, spread),
    )
    return array


def needs_store(shape: Sequence[int], dtype: np.dtype[Any], options: RunOptions) -> bool:
    """Return whether a result is larger than the memory that a run may take.

    Parameters
    ----------
    shape : sequence of int
    dtype : numpy.dtype
    options : RunOptions
        Half of the free memory is taken where they name no budget.
    """
    return prod(shape) * dtype.itemsize > (options.memory_budget or psutil.virtual_memory().available // 2)


def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
    """Return an array for a result.

    Raises
    ------
    OutOfMemoryError
        It does not fit into memory.
    """
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise OutOfMemoryError(
            f"A result of {prod(shape) * dtype.itemsize / 2**30:.1f} GiB does not fit into memory:"
            " write it to an OME-Zarr, or restore a part."
        ) from error


def _name(run: PreparedRun, spread: bool) -> str:
    """Return the name of a result in a graph of dask: that of its recipe, and the same again for the same run.

    The fingerprint of a large image is one of samples, so where its pixels are counts there as well.
    """
    digest = hashlib.sha256(run.recipe.model_dump_json().encode())
    digest.update(f"{spread} {_whereabouts(run.source)}".encode())
    return f"synth-{digest.hexdigest()[:32]}"


def _whereabouts(image: Image | None) -> str:
    if image is None or image.n_pixels <= _ALL_SEEN:
        return ""
    data = image.data
    if isinstance(data, np.ndarray):
        return str(data.__array_interface__["data"])
    return str(getattr(data, "name", "")) + str(getattr(data, "store", "")) or str(id(data))
