"""OME-Zarr: versions 0.4 and 0.5 are read block by block, version 0.5 is written block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import CancelToken
from napari_synth.files.atomic import replacing
from napari_synth.files.units import unit_name
from napari_synth.imaging.image import AXIS_ROLES, Image, guess_axes

if TYPE_CHECKING:
    import zarr

VERSION = "0.5"
CHUNK = {"T": 1, "C": 1, "Z": 16, "Y": 512, "X": 512, "S": 1}
SMALLEST_LEVEL = 1024
_SMALLEST_CHUNK, _LARGEST_CHUNK = 128, 1024
_TYPES = {"T": "time", "C": "channel"}


def read_ome_zarr(path: Path) -> Image:
    """Open the finest level of an OME-Zarr image, or a bare Zarr array; no pixel is read yet."""
    import zarr

    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return Image.from_array(node)
    attributes: dict[str, Any] = dict(node.attrs)
    metadata = attributes.get("ome", attributes)
    if "multiscales" not in metadata and "bioformats2raw.layout" in metadata and "0" in node:
        return read_ome_zarr(path / "0")
    if "plate" in metadata:
        raise ImageFileError(f"{path.name!r} is a plate of many images: name one of them, such as {path.name}/A/1/0.")
    if "multiscales" not in metadata:
        raise ImageFileError(f"{path.name!r} is a Zarr group without an image: name the array inside it.")
    multiscale = metadata["multiscales"][0]
    finest = multiscale["datasets"][0]
    array = node[finest["path"]]
    if not isinstance(array, zarr.Array):
        raise ImageFileError(f"{path.name!r} names no array as its finest level: it is damaged.")
    described = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale.get("axes", ())]
    labels = [str(axis["name"]).upper() for axis in described]
    axes = "".join(labels)
    if len(labels) != array.ndim or not set(labels) <= set(AXIS_ROLES):
        axes = guess_axes(array.shape, labels or None, rgb=False)
    scale = np.multiply(_scale(multiscale, array.ndim), _scale(finest, array.ndim))
    spacing = {axis: float(size) for axis, size in zip(axes, scale, strict=True) if axis not in "CS"}
    names = {axis: unit_name(entry.get("unit")) for axis, entry in zip(axes, described, strict=False)}
    units = {axis: name for axis, name in names.items() if name}
    own = attributes.get("napari_synth", {}).get("axes", axes)
    return _in_order(Image(array, axes, spacing, units), own)


@contextmanager
def create_ome_zarr(
    path: str | Path,
    like: Image,
    *,
    chunks: Mapping[str, int] | None = None,
    blocks: Sequence[int] | None = None,
    overwrite: bool = False,
    cancel: CancelToken | None = None,
) -> Iterator[OmeZarrTarget]:
    """Make an OME-Zarr image that is written block by block, and appears under its name once it is whole.

    Where the planes are large, levels of half, a quarter, ... the size are added at the end, for viewers to show.

    Parameters
    ----------
    path : str or pathlib.Path
        Ends in ``.zarr``.
    like : Image
        Shape, dtype, axes, spacing, units and name of what will be written; its pixels are not read.
    chunks : mapping of str to int, optional
        Size of a chunk by axis role; `CHUNK` where an axis is left out.
    blocks : sequence of int, optional
        Shape of the blocks that will be written, in the order of ``like.axes``: chunks are chosen that divide them, so that none
        is written twice.
    overwrite : bool
        Whether an image of this name may be replaced.
    cancel : CancelToken, optional
        Checked while the smaller levels are made.

    Yields
    ------
    OmeZarrTarget
        To be assigned to; indices are in the order of ``like.axes``.

    Raises
    ------
    ImageFileError
        The target exists, or cannot be written.
    """
    import zarr

    if {"C", "S"} <= set(like.axes):
        raise ImageFileError(
            "OME-Zarr holds either channels or RGB samples: write each channel into a file of its own."
        )
    # The format wants time, then channels, then space, and knows RGB samples only as channels.
    stored = "".join(axis for axis in "TCSZYX" if axis in like.axes)
    sizes = like.sizes
    fitting = {} if blocks is None else {axis: _chunk(edge) for axis, edge in zip(like.axes, blocks, strict=True)}
    wanted = {**CHUNK, **fitting, **(chunks or {})}
    with replacing(Path(path), overwrite=overwrite) as part:
        group = zarr.open_group(str(part), mode="w", zarr_format=3)
        level = group.create_array(
            "0",
            shape=tuple(sizes[axis] for axis in stored),
            chunks=tuple(min(wanted[axis], sizes[axis]) for axis in stored),
            dtype=like.dtype,
            dimension_names=[_label(axis) for axis in stored],
        )
        yield OmeZarrTarget(level, stored, like.axes)
        n_levels = _add_levels(group, level, stored, cancel or CancelToken())
        group.attrs["ome"] = _metadata(like, stored, n_levels)
        group.attrs["napari_synth"] = {"axes": like.axes}


def check_ome_zarr(image: Image) -> None:
    """Raise `ImageFileError` where an OME-Zarr has no place for one of the image's axes."""
    if {"C", "S"} <= set(image.axes):
        raise ImageFileError("OME-Zarr holds channels or RGB samples, not both: write each channel into its own file.")


class OmeZarrTarget:
    """The array of an OME-Zarr that is being written, indexed in the order of the image's own axes.

    Attributes
    ----------
    array : zarr.Array
        As it is stored, in the order that the format wants.
    """

    def __init__(self, array: zarr.Array[Any], stored: str, axes: str) -> None:
        self.array = array
        self.shape = tuple(array.shape[stored.index(axis)] for axis in axes)
        self.dtype: np.dtype[Any] = array.dtype
        self.ndim = len(axes)
        self._stored, self._axes = stored, axes

    def __setitem__(self, index: Any, block: Any) -> None:
        """Write a block at an index of slices and ints; what is left out is taken whole."""
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = given[:at] + (slice(None),) * (self.ndim - len(given) + 1) + given[at + 1 :]
        by_axis = dict(zip(self._axes, given + (slice(None),) * (self.ndim - len(given)), strict=True))
        kept = [axis for axis in self._axes if isinstance(by_axis[axis], slice)]
        order = [kept.index(axis) for axis in self._stored if axis in kept]
        values = np.asarray(block)
        if values.ndim == len(order):
            values = values.transpose(order)
        self.array[tuple(by_axis[axis] for axis in self._stored)] = values


def write_ome_zarr(path: Path, image: Image, *, overwrite: bool = False) -> None:
    """Copy an image into an OME-Zarr, chunk by chunk."""
    with create_ome_zarr(path, image, overwrite=overwrite) as target:
        steps = [min(CHUNK[axis], size) for axis, size in image.sizes.items()]
        for block in _blocks(image.shape, steps):
            target[block] = image.read(**dict(zip(image.axes, block, strict=True)))


def _add_levels(group: zarr.Group, finest: zarr.Array[Any], axes: str, cancel: CancelToken) -> int:
    """Halve Y and X until a plane is small; return how many levels there are."""
    n_levels, level = 1, finest
    plane = [axes.index("Y"), axes.index("X")]
    while max(level.shape[axis] for axis in plane) > SMALLEST_LEVEL:
        shape = tuple(-(-size // 2) if axis in plane else size for axis, size in enumerate(level.shape))
        coarse = group.create_array(
            str(n_levels),
            shape=shape,
            chunks=tuple(min(c, s) for c, s in zip(finest.chunks, shape, strict=True)),
            dtype=finest.dtype,
            dimension_names=[_label(axis) for axis in axes],
        )
        for block in _blocks(shape, coarse.chunks):
            cancel.check()
            source = tuple(
                slice(2 * part.start, 2 * part.stop) if axis in plane else part for axis, part in enumerate(block)
            )
            coarse[block] = _halve(np.asarray(level[source]), plane)
        n_levels, level = n_levels + 1, coarse
    return n_levels


def _halve(values: npt.NDArray[Any], plane: list[int]) -> npt.NDArray[Any]:
    """Average each 2 x 2 pixels; an odd last row or column is averaged with itself."""
    dtype = values.dtype
    odd = [(0, values.shape[axis] % 2 if axis in plane else 0) for axis in range(values.ndim)]
    padded = np.pad(values, odd, mode="edge").astype(np.float64 if dtype.itemsize > 2 else np.float32)
    for axis in plane:
        even, uneven = (np.take(padded, range(start, padded.shape[axis], 2), axis) for start in (0, 1))
        padded = (even + uneven) / 2
    return (np.rint(padded) if dtype.kind in "iu" else padded).astype(dtype)


def _blocks(shape: tuple[int, ...], steps: Any) -> Iterator[tuple[slice, ...]]:
    starts = (range(0, size, step) for size, step in zip(shape, steps, strict=True))
    for corner in product(*starts):
        yield tuple(slice(c, min(c + step, size)) for c, step, size in zip(corner, steps, shape, strict=True))


def _chunk(edge: int) -> int:
    """Return a handy size that divides a block's edge; the edge itself where none does."""
    counts = range(-(-edge // _LARGEST_CHUNK), edge // _SMALLEST_CHUNK + 1)
    return next((edge // count for count in counts if edge % count == 0), edge)


def _metadata(image: Image, stored: str, n_levels: int) -> dict[str, Any]:
    axes = []
    for axis in stored:
        entry = {"name": _label(axis), "type": _TYPES.get("C" if axis == "S" else axis, "space")}
        if axis not in "CS" and axis in image.units:
            entry["unit"] = image.units[axis]
        axes.append(entry)
    size = [float(image.spacing.get(axis, 1.0)) if axis not in "CS" else 1.0 for axis in stored]
    datasets = []
    for level in range(n_levels):
        factor = [2.0**level if axis in "YX" else 1.0 for axis in stored]
        transforms = [{"type": "scale", "scale": [s * f for s, f in zip(size, factor, strict=True)]}]
        if level:
            shift = [s * (f - 1) / 2 for s, f in zip(size, factor, strict=True)]
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return {"version": VERSION, "multiscales": [{"name": image.name, "axes": axes, "datasets": datasets}]}


def _label(axis: str) -> str:
    return "c" if axis == "S" else axis.lower()


def _scale(described: Mapping[str, Any], ndim: int) -> npt.NDArray[np.float64]:
    """Return the product of the scales that a multiscale or one of its levels declares."""
    scale = np.ones(ndim)
    for transform in described.get("coordinateTransformations", ()):
        if transform.get("type") == "scale" and len(transform.get("scale", ())) == ndim:
            scale = scale * np.asarray(transform["scale"], dtype=float)
    return scale


def _in_order(image: Image, axes: str) -> Image:
    """Return the image as it was before `create_ome_zarr` put its axes into the order of the format."""
    if axes == image.axes:
        return image
    if "S" in axes and "C" in image.axes:
        image = Image(image.data, image.axes.replace("C", "S"), image.spacing, image.units, image.name)
    if sorted(axes) != sorted(image.axes) or axes == image.axes:
        return image
    import dask.array as da

    data = da.from_array(image.data).transpose([image.axes.index(axis) for axis in axes])
    return Image(data, axes, image.spacing, image.units, image.name)
