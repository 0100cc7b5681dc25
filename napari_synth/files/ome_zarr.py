"""OME-Zarr: versions 0.4 and 0.5 are read block by block, version 0.5 is written block by block."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import CancelToken
from napari_synth.files.atomic import replacing
from napari_synth.files.choosing import Series, chosen_series, joined
from napari_synth.files.levels import halved
from napari_synth.files.origin import MOST_FILES
from napari_synth.files.pixels import as_dask, without_bools
from napari_synth.files.record import KEY, to_text
from napari_synth.files.units import unit_name
from napari_synth.files.work_units import Resume, UnderWay, under_way
from napari_synth.imaging.image import AXIS_ROLES, ChannelInfo, Image, guess_axes

if TYPE_CHECKING:
    import zarr

VERSION = "0.5"
CHUNK = {"T": 1, "C": 1, "Z": 16, "Y": 512, "X": 512, "S": 1}
SMALLEST_LEVEL = 1024
_SMALLEST_CHUNK, _LARGEST_CHUNK = 128, 1024
_CHUNK_NAME = re.compile(r"(c\.)?\d+(\.\d+)*")
_TYPES = {"T": "time", "C": "channel"}
_STORED = "TCSZYX"
LABELS = "labels"
"""The group in which an image keeps images of labels, as the format says."""


@dataclass(frozen=True)
class LabelImage:
    """Labels that are kept beside an image.

    Attributes
    ----------
    name : str
        Of its group: letters, digits, ``-`` and ``_``.
    image : Image
        Of integers.
    record : mapping
        What is kept of its layer, see `napari_synth.files.record`.
    """

    name: str
    image: Image
    record: Mapping[str, Any]


def label_groups(path: Path) -> tuple[Path, ...]:
    """Return where the images of labels lie that an OME-Zarr keeps beside its image; none where it keeps none."""
    import zarr

    if not (path / LABELS).is_dir():
        return ()
    group = zarr.open_group(str(path / LABELS), mode="r")
    attributes: dict[str, Any] = dict(group.attrs)
    names = attributes.get("ome", attributes).get(LABELS, ())
    return tuple(path / LABELS / str(name) for name in names if str(name) in group)


def read_ome_zarr(path: Path, series: Series = None) -> Image:
    """Open the finest level of an OME-Zarr image, or a bare Zarr array; no pixel is read yet.

    Raises
    ------
    ImageFileError
        There is no image, or none of this number.
    """
    import zarr

    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        chosen_series(path, [path.name], [node.shape], series)
        axes = guess_axes(node.shape, _dimension_names(node))
        return Image(without_bools(node), axes, notes=_missing_chunks(path, node))
    attributes: dict[str, Any] = dict(node.attrs)
    metadata = attributes.get("ome", attributes)
    if "multiscales" not in metadata and "bioformats2raw.layout" in metadata:
        return _read_several(path, node, series)
    if "plate" in metadata:
        raise ImageFileError(f"{path.name!r} is a plate of many images: name one of them, such as {path.name}/A/1/0.")
    if "multiscales" not in metadata:
        raise ImageFileError(f"{path.name!r} is a Zarr group without an image: name the array inside it.")
    every = metadata["multiscales"]
    images = [_multiscale(path, node, one, attributes) for one in every]
    titles = [f"{one.get('name', '')!r}, {image.shape}" for one, image in zip(every, images, strict=True)]
    numbers, notes = chosen_series(path, titles, [image.shape for image in images], series)
    image = joined([images[number] for number in numbers])
    return replace(image, notes=(*image.notes, *notes))


def _dimension_names(array: Any) -> list[str] | None:
    """Return the names that a bare array gives its dimensions, in version 3 of Zarr or as xarray writes them in version 2."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return [str(name or "") for name in names] if names and len(names) == array.ndim else None


def _read_several(path: Path, node: zarr.Group, series: Series) -> Image:
    """Read what Bio-Formats converted: a group with an image in each of its numbered groups."""
    names = sorted((name for name in node.group_keys() if name.isdigit()), key=int)
    if not names:
        raise ImageFileError(f"{path.name!r} is a Zarr group without an image: name the array inside it.")
    images = [read_ome_zarr(path / name) for name in names]
    titles = [f"{name!r}, {image.shape}" for name, image in zip(names, images, strict=True)]
    numbers, notes = chosen_series(path, titles, [(image.shape, str(image.dtype)) for image in images], series)
    image = joined([images[number] for number in numbers])
    return replace(image, notes=(*image.notes, *notes))


def _multiscale(path: Path, node: zarr.Group, multiscale: Mapping[str, Any], attributes: Mapping[str, Any]) -> Image:
    """Return the finest level of an image with what is said of it."""
    import zarr

    finest = multiscale["datasets"][0]
    array = node[finest["path"]]
    if not isinstance(array, zarr.Array):
        raise ImageFileError(f"{path.name!r} names no array as its finest level: it is damaged.")
    described = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale.get("axes", ())]
    labels = [str(axis["name"]).upper() for axis in described]
    axes = "".join(labels)
    if len(labels) != array.ndim or not set(labels) <= set(AXIS_ROLES) or len(set(labels)) != len(labels):
        axes = guess_axes(array.shape, labels or None, rgb=False, units=[axis.get("unit") for axis in described])
    scale = np.abs(np.multiply(_scale(multiscale, array.ndim), _scale(finest, array.ndim)))
    spacing = {axis: float(size) for axis, size in zip(axes, scale, strict=True) if axis not in "CS" and size > 0}
    names = {axis: unit_name(entry.get("unit")) for axis, entry in zip(axes, described, strict=False)}
    units = {axis: name for axis, name in names.items() if name}
    own = attributes.get("napari_synth", {}).get("axes", axes)
    omero = attributes.get("ome", attributes).get("omero", {})
    channels = tuple(_channel(channel) for channel in omero.get("channels", ()))
    if len(channels) != dict(zip(axes, array.shape, strict=True)).get("C"):
        channels = ()
    notes = _missing_chunks(path / finest["path"], array)
    return _in_order(Image(without_bools(array), axes, spacing, units, channels=channels, notes=notes), own)


def _channel(described: Mapping[str, Any]) -> ChannelInfo:
    """Return name and colour of a channel as OMERO describes it; white is no colour."""
    text = str(described.get("color", "")).lstrip("#")
    colour = None
    if len(text) == 6 and text.upper() != "FFFFFF" and all(letter in hexdigits for letter in text):
        colour = (int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16))
    return ChannelInfo(str(described.get("label", "")), colour)


def _missing_chunks(path: Path, array: Any) -> tuple[str, ...]:
    """Return a note that counts the chunks of an array that are not there; programs leave out those of the fill value."""
    total = prod(-(-size // edge) for size, edge in zip(array.shape, array.shards or array.chunks, strict=True))
    if total > MOST_FILES:
        return ()
    there = sum(_CHUNK_NAME.fullmatch(name) is not None for _, _, names in os.walk(path) for name in names)
    if there >= total:
        return ()
    what = "shards" if array.shards else "chunks"
    return (
        f"{total - there} of {total} {what} of {path.name!r} are not there: their pixels are the fill value {array.fill_value}.",
    )


@contextmanager
def create_ome_zarr(
    path: str | Path,
    like: Image,
    *,
    chunks: Mapping[str, int] | None = None,
    blocks: Sequence[int] | None = None,
    overwrite: bool = False,
    cancel: CancelToken | None = None,
    first: Callable[[], None] | None = None,
    record: Mapping[str, Any] | None = None,
    labels: Sequence[LabelImage] = (),
    resume: Resume | None = None,
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
    first : callable, optional
        Called once all is written, right before the image takes its name.
    record : mapping, optional
        What is kept of layers, see `napari_synth.files.record`.
    labels : sequence of LabelImage
        What is kept beside the image, in its group of labels.
    resume : Resume, optional
        How it goes on where an earlier process was killed: blocks are written by `OmeZarrTarget.write_unit` then.

    Yields
    ------
    OmeZarrTarget
        To be assigned to; indices are in the order of ``like.axes``.

    Raises
    ------
    ImageFileError
        The target exists, cannot be written, was changed by others while it was written, or the source of ``like`` has changed.
    """
    import zarr

    if {"C", "S"} <= set(like.axes):
        raise ImageFileError(
            "OME-Zarr holds either channels or RGB samples: write each channel into a file of its own."
        )
    fitting = {} if blocks is None else {axis: _chunk(edge) for axis, edge in zip(like.axes, blocks, strict=True)}
    wanted = {**CHUNK, **fitting, **(chunks or {})}
    if resume is None:
        with replacing(Path(path), overwrite=overwrite, first=first) as part:
            store = _tracking_store(part)
            group = zarr.open_group(store, mode="w", zarr_format=3)
            target = _create_finest(group, like, wanted)
            yield target
            _finish(group, target, like, record, cancel or CancelToken())
            if labels:
                _add_labels(group, labels, cancel or CancelToken())
            store.check(Path(path))
            if like.origin is not None:
                like.origin.check()
        return
    stored = _stored(like)
    token = f"{resume.token} {like.dtype} {[(axis, like.sizes[axis], wanted[axis]) for axis in stored]}"
    with under_way(Path(path), replace(resume, token=token), overwrite=overwrite) as found:
        store = _tracking_store(found.store)
        if found.holds(token):
            group = zarr.open_group(store, mode="r+")
            target = OmeZarrTarget(_array(group, 0), stored, like.axes)
        else:
            group = zarr.open_group(store, mode="w", zarr_format=3)
            target = _create_finest(group, like, wanted)
            found.begun(token)
        target.found = found
        yield target
        _finish(group, target, like, record, cancel or CancelToken())
        if labels:
            _add_labels(group, labels, cancel or CancelToken())
        store.check(Path(path))
        if like.origin is not None:
            like.origin.check()
        if first is not None:
            first()


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
    stored : str
        That order.
    found : UnderWay or None
        What an earlier process has left of it, where it may be gone on with.
    """

    def __init__(self, array: zarr.Array[Any], stored: str, axes: str) -> None:
        self.array, self.stored = array, stored
        self.found: UnderWay | None = None
        self.shape = tuple(array.shape[stored.index(axis)] for axis in axes)
        self.dtype: np.dtype[Any] = array.dtype
        self.ndim = len(axes)
        self._axes = axes

    @classmethod
    def under_way(cls, folder: Path, axes: str) -> OmeZarrTarget:
        """Open what another process has begun, to write units of it.

        Parameters
        ----------
        folder : pathlib.Path
            Where it lies, see `napari_synth.files.work_units`.
        axes : str
            Of the image.
        """
        import zarr

        found = UnderWay(folder)
        stored = "".join(axis for axis in _STORED if axis in axes)
        target = cls(_array(zarr.open_group(str(found.store), mode="r+"), 0), stored, axes)
        target.found = found
        return target

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a stored chunk, in the order of the image's axes."""
        return tuple(self.array.chunks[self.stored.index(axis)] for axis in self._axes)

    def __setitem__(self, index: Any, block: Any) -> None:
        """Write a block at an index of slices and ints; what is left out is taken whole."""
        stored, order = self._places(index)
        values = np.asarray(block)
        if values.ndim == len(order):
            values = values.transpose(order)
        self.array[stored] = values

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read what was written at such an index."""
        stored, order = self._places(index)
        return np.asarray(self.array[stored]).transpose(np.argsort(order))

    def write_unit(self, index: tuple[slice, ...], make: Callable[[], Any]) -> None:
        """Write a block that shares no chunk with another one, unless an earlier process has done so.

        Parameters
        ----------
        index : tuple of slice
            Where it lies, along each axis of the image.
        make : callable
            Makes the block.
        """

        def fill() -> None:
            self[index] = make()

        if self.found is None:
            fill()
        else:
            _do_unit(self.found, 0, self.array.chunks, self._places(index)[0], fill)

    def has_unit(self, index: tuple[slice, ...], *, deep: bool = True) -> bool:
        """Return whether a unit is done.

        Parameters
        ----------
        index : tuple of slice
            As for `write_unit`.
        deep : bool
            Whether its files are read; else only their sizes are looked at.
        """
        if self.found is None:
            return False
        unit, files = _unit(0, self.array.chunks, self._places(index)[0])
        return self.found.is_done(unit, files, deep=deep)

    def _places(self, index: Any) -> tuple[tuple[Any, ...], list[int]]:
        """Return an index in the order that is stored, and the order of the axes that it keeps."""
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = given[:at] + (slice(None),) * (self.ndim - len(given) + 1) + given[at + 1 :]
        by_axis = dict(zip(self._axes, given + (slice(None),) * (self.ndim - len(given)), strict=True))
        kept = [axis for axis in self._axes if isinstance(by_axis[axis], slice)]
        order = [kept.index(axis) for axis in self.stored if axis in kept]
        return tuple(by_axis[axis] for axis in self.stored), order


def _tracking_store(folder: Path) -> Any:
    """Return a store that can tell whether all that was written is still there.

    zarr makes a folder anew that somebody has emptied, and takes what is gone for the fill value.
    """
    from zarr.storage import LocalStore

    class TrackingStore(LocalStore):
        """Remembers how large every file is that it writes."""

        def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
            super().__init__(root, read_only=read_only)
            self._sizes: dict[str, int] = {}

        async def set(self, key: str, value: Any) -> None:
            await super().set(key, value)
            self._sizes[key] = len(value)

        async def delete(self, key: str) -> None:
            await super().delete(key)
            self._sizes.pop(key, None)

        def check(self, path: Path) -> None:
            """Raise `ImageFileError` where a file is not as it was written."""
            for key, size in self._sizes.items():
                file = folder / key
                if not file.is_file() or file.stat().st_size != size:
                    raise ImageFileError(
                        f"Another program changed {path.name!r} while it was written, {key!r} is gone: run it again."
                    )

    return TrackingStore(folder)


def write_ome_zarr(
    path: Path,
    image: Image,
    *,
    overwrite: bool = False,
    first: Callable[[], None] | None = None,
    record: Mapping[str, Any] | None = None,
    labels: Sequence[LabelImage] = (),
) -> None:
    """Copy an image into an OME-Zarr, chunk by chunk.

    Parameters
    ----------
    path : Path
    image : Image
    overwrite : bool
        Whether one that is there already is replaced.
    first : callable, optional
        Called before the result takes its place.
    record : mapping, optional
        What is kept of layers, see `napari_synth.files.record`.
    labels : sequence of LabelImage
        What is kept beside the image.
    """
    with create_ome_zarr(path, image, overwrite=overwrite, first=first, record=record, labels=labels) as target:
        _copy(image, target)


def _copy(image: Image, target: OmeZarrTarget) -> None:
    steps = [min(CHUNK[axis], size) for axis, size in image.sizes.items()]
    for block in _blocks(image.shape, steps):
        target[block] = image.read(**dict(zip(image.axes, block, strict=True)))


def _stored(like: Image) -> str:
    """Return the axes of an image in the order of the format: time, channels, space; RGB samples are channels to it."""
    return "".join(axis for axis in _STORED if axis in like.axes)


def _array(group: zarr.Group, number: int) -> zarr.Array[Any]:
    import zarr

    found = group[str(number)]
    assert isinstance(found, zarr.Array)
    return found


def _create_finest(group: zarr.Group, like: Image, chunks: Mapping[str, int]) -> OmeZarrTarget:
    """Make the array of the finest level of an image in its group."""
    stored = _stored(like)
    sizes = like.sizes
    level = group.create_array(
        "0",
        shape=tuple(sizes[axis] for axis in stored),
        chunks=tuple(min(chunks[axis], sizes[axis]) for axis in stored),
        dtype=like.dtype,
        dimension_names=[_label(axis) for axis in stored],
    )
    return OmeZarrTarget(level, stored, like.axes)


def _finish(
    group: zarr.Group,
    target: OmeZarrTarget,
    like: Image,
    record: Mapping[str, Any] | None,
    cancel: CancelToken,
    *,
    of_labels: bool = False,
) -> None:
    """Add the smaller levels of an image whose finest is written, and describe it."""
    n_levels = _add_levels(group, target, cancel, averaged=not of_labels)
    described = _metadata(like, target.stored, n_levels)
    if of_labels:
        described["image-label"] = {"version": VERSION, "source": {"image": "../../"}}
    group.attrs["ome"] = described
    group.attrs["napari_synth"] = {"axes": like.axes, **({KEY: to_text(record)} if record else {})}


def _add_labels(group: zarr.Group, labels: Sequence[LabelImage], cancel: CancelToken) -> None:
    """Write images of labels into the group of an image."""
    every = group.create_group(LABELS)
    for one in labels:
        inner = every.create_group(one.name)
        target = _create_finest(inner, one.image, CHUNK)
        _copy(one.image, target)
        _finish(inner, target, one.image, one.record, cancel, of_labels=True)
    every.attrs["ome"] = {"version": VERSION, LABELS: [one.name for one in labels]}


def _add_levels(group: zarr.Group, target: OmeZarrTarget, cancel: CancelToken, *, averaged: bool = True) -> int:
    """Halve Y and X until a plane is small; return how many levels there are. Labels are picked, since no mean is a label."""
    n_levels, level, found = 1, target.array, target.found
    plane = [target.stored.index("Y"), target.stored.index("X")]
    while max(level.shape[axis] for axis in plane) > SMALLEST_LEVEL:
        described = [f"{n_levels}/zarr.json"]
        if found is not None and found.is_done(f"level-{n_levels}", described):
            coarse = _array(group, n_levels)
        else:
            shape = tuple(-(-size // 2) if axis in plane else size for axis, size in enumerate(level.shape))
            coarse = group.create_array(
                str(n_levels),
                shape=shape,
                chunks=tuple(min(c, s) for c, s in zip(target.array.chunks, shape, strict=True)),
                dtype=target.dtype,
                dimension_names=[_label(axis) for axis in target.stored],
                overwrite=found is not None,
            )
            if found is not None:
                found.complete(f"level-{n_levels}", described)
        for block in _blocks(coarse.shape, coarse.chunks):
            cancel.check()
            halve = partial(_halve, level, coarse, block, plane, averaged)
            if found is None:
                halve()
            else:
                _do_unit(found, n_levels, coarse.chunks, block, halve)
        n_levels, level = n_levels + 1, coarse
    return n_levels


def _halve(
    level: zarr.Array[Any], coarse: zarr.Array[Any], block: tuple[slice, ...], plane: list[int], averaged: bool
) -> None:
    """Write a block of a level of half the size."""
    source = tuple(slice(2 * part.start, 2 * part.stop) if axis in plane else part for axis, part in enumerate(block))
    finer = np.asarray(level[source])
    picked = tuple(slice(None, None, 2) if axis in plane else slice(None) for axis in range(finer.ndim))
    coarse[block] = halved(finer, plane) if averaged else finer[picked]


def _do_unit(
    found: UnderWay, level: int, chunks: tuple[int, ...], block: Sequence[slice], fill: Callable[[], None]
) -> None:
    """Do a unit of whole chunks, unless it is done."""
    unit, files = _unit(level, chunks, block)
    if not found.is_done(unit, files):
        found.begin(unit, files)
        fill()
        found.complete(unit, files)


def _unit(level: int, chunks: tuple[int, ...], block: Sequence[slice]) -> tuple[str, list[str]]:
    """Return the name of a unit, and the files that it owns."""
    first = [part.start // edge for part, edge in zip(block, chunks, strict=True)]
    last = [-(-part.stop // edge) for part, edge in zip(block, chunks, strict=True)]
    owned = product(*(range(start, stop) for start, stop in zip(first, last, strict=True)))
    files = [f"{level}/c/" + "/".join(map(str, at)) for at in owned]
    return "-".join(map(str, (level, *first))), files


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
    described: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [{"name": image.name, "axes": axes, "datasets": datasets}],
    }
    if len(image.channels) == image.sizes.get("C", 0) > 0:
        described["omero"] = {
            "channels": [
                {"label": channel.name, "color": "{:02X}{:02X}{:02X}".format(*(channel.colour or (255, 255, 255)))}
                for channel in image.channels
            ]
        }
    return described


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
        image = replace(image, axes=image.axes.replace("C", "S"), channels=())
    if sorted(axes) != sorted(image.axes) or axes == image.axes:
        return image
    data = as_dask(image.data).transpose([image.axes.index(axis) for axis in axes])
    return replace(image, data=data, axes=axes)
