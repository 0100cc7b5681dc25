"""Writes an augmented data set to disk: crops with all that lies in them, a table, and how they were made.

Validation crops come from images, or from a part of an image, that no training crop shows anything of; they are not augmented
and do not overlap.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.geometry import Crop
from napari_synth.augmentation.pipeline import Pipeline
from napari_synth.augmentation.sample import COORDINATES, Floats, Sample
from napari_synth.augmentation.transform import Frame
from napari_synth.core.errors import AxesError, ImageFileError, InvalidImageError, InvalidParameterError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.imaging.image import Image, Origin

Split = Literal["auto", "image", "region"]
Format = Literal["tiff", "ome-zarr"]

FORMATS: dict[str, str] = {"tiff": ".tif", "ome-zarr": ".ome.zarr"}
PIPELINE, RECIPE, TABLE = "pipeline.yaml", "recipe.yaml", "table.csv"
TRAIN, VALIDATION = "train", "validation"
_COLUMNS = ("split", "image", "labels", *COORDINATES, "source", "time", "plane", "start", "seed", "draw")
_MOST = 10**6


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with what lies in it, to cut crops from.

    Attributes
    ----------
    sample : Sample
        With an image; arrays may be lazy.
    name : str
    units : mapping of str to str
        Of the axes.
    shape_types : sequence of str
        Of each shape, as napari calls it; all are polygons where left out.
    file : Origin, optional
        The file that the image was read from: no data set appears where that changes before it is complete.
    """

    sample: Sample
    name: str = "image"
    units: Mapping[str, str] = field(default_factory=dict)
    shape_types: Sequence[str] = ()
    file: Origin | None = None

    @classmethod
    def of(
        cls,
        image: Image,
        labels: Any = None,
        points: npt.ArrayLike | None = None,
        shapes: Sequence[npt.ArrayLike] | None = None,
        vectors: npt.ArrayLike | None = None,
        tracks: npt.ArrayLike | None = None,
        shape_types: Sequence[str] = (),
    ) -> AnnotatedImage:
        """Return an image with what lies in it; an image as labels brings its axes, and ellipses become polygons.

        Parameters
        ----------
        image : Image
        labels : array-like or Image, optional
            Of integers.
        points, shapes, vectors, tracks : optional
            As `napari_synth.augmentation.Sample` holds them.
        shape_types : sequence of str
            The type of each shape, such as "polygon" or "ellipse".
        """
        axes = labels.axes if isinstance(labels, Image) and len(labels.axes) != len(image.axes) else ""
        pixels = labels.data if isinstance(labels, Image) else labels
        if shapes is not None and shape_types:
            shapes = [outline(shape, kind) for shape, kind in zip(shapes, shape_types, strict=True)]
        sample = Sample(
            image, labels=pixels, labels_axes=axes, points=points, shapes=shapes, vectors=vectors, tracks=tracks
        )
        return cls(sample, image.name, dict(image.units), tuple(shape_types), image.origin)


@dataclass(frozen=True)
class DatasetPlan:
    """What a data set is made of.

    Attributes
    ----------
    pipeline : Pipeline
        Applied to each crop for training.
    crop : tuple of int
        ``(Y, X)`` or ``(Z, Y, X)`` in pixels.
    count : int
        Crops to train on.
    seed : int
    validation : float
        Share of the images, or of each image, that is kept for validation.
    split : {"auto", "image", "region"}
        ``"auto"`` splits by image where there are several.
    format : {"tiff", "ome-zarr"}

    Raises
    ------
    InvalidParameterError
        A value is out of bounds.
    """

    pipeline: Pipeline
    crop: tuple[int, ...] = (256, 256)
    count: int = 100
    seed: int = 0
    validation: float = 0.2
    split: Split = "auto"
    format: Format = "tiff"

    def __post_init__(self) -> None:
        if len(self.crop) not in (2, 3) or min(self.crop) < 1:
            raise InvalidParameterError(f"A crop cannot be {self.crop}: give two or three sizes of at least one pixel.")
        if not 1 <= self.count <= _MOST:
            raise InvalidParameterError(f"{self.count} crops cannot be: give 1 to {_MOST}.")
        if not 0.0 <= self.validation <= 0.9:
            raise InvalidParameterError(f"The share for validation cannot be {self.validation}: give 0 (none) to 0.9.")
        if self.format not in FORMATS:
            raise InvalidParameterError(f"There is no format {self.format!r}: take one of {', '.join(FORMATS)}.")
        if self.split not in ("auto", "image", "region"):
            raise InvalidParameterError(f"A split cannot be {self.split!r}: take auto, image or region.")

    @property
    def axes(self) -> str:
        """The axes of a crop, without channels and samples."""
        return "ZYX"[3 - len(self.crop) :]


@dataclass(frozen=True)
class Written:
    """A data set on disk.

    Attributes
    ----------
    folder : pathlib.Path
    training, validation : int
        Crops in it.
    """

    folder: Path
    training: int
    validation: int


@dataclass(frozen=True)
class _Region:
    """A part of an image that belongs to one side of the split; ``start`` is its first pixel along Z, Y and X."""

    source: AnnotatedImage
    sample: Sample
    start: Mapping[str, int]
    ranges: tuple[tuple[float, float], ...]

    @property
    def size(self) -> int:
        """Number of pixels."""
        return prod(self.sample.sizes.values())


def export_dataset(
    sources: Sequence[AnnotatedImage],
    plan: DatasetPlan,
    folder: Path | str,
    *,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Written:
    """Write a data set, which appears whole or not at all.

    ``train`` and ``validation`` have a folder ``images`` each, and ``labels``, ``points``, ``shapes``, ``vectors`` and ``tracks``
    where all sources have them, with the same names in each. ``table.csv`` has a line for each crop with its source and its draw,
    ``pipeline.yaml`` is the pipeline and ``recipe.yaml`` everything else that it takes to make the same data set again.

    Parameters
    ----------
    sources : sequence of AnnotatedImage
        Planes of a volume and frames of a movie are images of their own where crops are planes.
    plan : DatasetPlan
    folder : pathlib.Path or str
        Must not be there, be empty, or hold an earlier data set that may be overwritten.
    overwrite : bool
    progress : callable, optional
    cancel : CancelToken, optional

    Returns
    -------
    Written

    Raises
    ------
    ImageFileError
        The folder holds something else, or cannot be written.
    InvalidParameterError
        There is no source, or crops do not fit into the images or the parts for validation.
    AxesError
        Crops are volumes and a source has no Z.
    """
    from napari_synth.files import check_place, replacing

    target = Path(folder)
    _check_target(target, overwrite)
    check_place(target.resolve())
    training, validation = _split(sources, plan)
    reporter = Reporter(progress, cancel)
    with replacing(target, overwrite=True) as part:
        part.mkdir()
        writer = _Writer(part, plan, sources)
        reporter.start("Writing training crops", plan.count)
        for index in range(plan.count):
            writer.write(TRAIN, *_augmented(training, plan, index))
            reporter.advance()
        tiles = _tiles(validation, plan)
        reporter.start("Writing validation crops", len(tiles))
        for region, place in tiles:
            writer.write(VALIDATION, region, *_plain(region, plan, place))
            reporter.advance()
        writer.finish(_recipe(sources, plan, training, validation))
        for source in sources:
            if source.file is not None:
                source.file.check()
    return Written(target, plan.count, len(tiles))


def _check_target(folder: Path, overwrite: bool) -> None:
    """Say before the work begins that the folder is not free; nothing but an earlier data set is ever replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        if not folder.resolve().parent.is_dir():
            raise ImageFileError(f"The folder {str(folder.parent)!r} does not exist: make it first.")
        return
    ours = folder.is_dir() and (folder / RECIPE).is_file() and (folder / TABLE).is_file()
    if not ours:
        raise ImageFileError(f"{str(folder)!r} is not empty: name a new folder for the data set.")
    if not overwrite:
        raise ImageFileError(f"{str(folder)!r} holds a data set already: name a new folder, or allow to overwrite it.")


def _split(sources: Sequence[AnnotatedImage], plan: DatasetPlan) -> tuple[list[_Region], list[_Region]]:
    """Return what is trained on and what is kept for validation."""
    if not sources:
        raise InvalidParameterError("There is nothing to cut crops from: give at least one image.")
    from napari_synth.augmentation.batch import measured_ranges

    wholes = []
    for source in sources:
        _check_source(source, plan)
        wholes.append(_Region(source, source.sample, {}, measured_ranges(source.sample)))
    if len({whole.sample.frame("YX").channels for whole in wholes}) > 1:
        raise InvalidImageError("The images have different numbers of channels: give images of one kind.")
    by_image = plan.split == "image" or (plan.split == "auto" and len(wholes) > 1)
    if plan.validation == 0:
        return wholes, []
    if not by_image:
        pairs = [_halves(whole, plan) for whole in wholes]
        return [first for first, _ in pairs], [second for _, second in pairs]
    if len(wholes) < 2:
        raise InvalidParameterError("One image cannot be split by image: split it by region, or validate on nothing.")
    kept = min(max(1, round(plan.validation * len(wholes))), len(wholes) - 1)
    chosen = set(np.random.default_rng(plan.seed).permutation(len(wholes))[:kept].tolist())
    return (
        [whole for index, whole in enumerate(wholes) if index not in chosen],
        [whole for index, whole in enumerate(wholes) if index in chosen],
    )


def _check_source(source: AnnotatedImage, plan: DatasetPlan) -> None:
    sizes = source.sample.sizes
    if source.sample.image is None:
        raise InvalidImageError(f"{source.name!r} has no image: there is nothing to cut crops from.")
    if "Z" in plan.axes and "Z" not in sizes:
        raise AxesError(f"Crops of three sizes are volumes, and {source.name!r} has no Z: give two sizes.")
    if any(sizes[axis] < size for axis, size in zip(plan.axes, plan.crop, strict=True)):
        have = " x ".join(str(sizes[axis]) for axis in plan.axes)
        raise InvalidParameterError(
            f"{source.name!r} has {have} pixels, too few for a crop of {_by(plan.crop)}: make the crop smaller."
        )


def _halves(whole: _Region, plan: DatasetPlan) -> tuple[_Region, _Region]:
    """Cut an image in two along its longer side in the plane."""
    sizes, crop = whole.sample.sizes, dict(zip(plan.axes, plan.crop, strict=True))
    axis = max("YX", key=lambda name: sizes[name] / crop[name])
    kept = max(round(plan.validation * sizes[axis]), crop[axis])
    if sizes[axis] - kept < crop[axis]:
        raise InvalidParameterError(
            f"{whole.source.name!r} is too small to keep a part of it for validation with crops of {_by(plan.crop)}:"
            " make the crop smaller, split by image, or validate on nothing."
        )
    border = sizes[axis] - kept
    return _part(whole, axis, 0, border), _part(whole, axis, border, sizes[axis])


def _part(region: _Region, axis: str, start: int, stop: int) -> _Region:
    return replace(
        region,
        sample=_cut(region.sample, {axis: slice(start, stop)}),
        start={**region.start, axis: region.start.get(axis, 0) + start},
    )


def _cut(sample: Sample, parts: Mapping[str, slice | int]) -> Sample:
    """Return a part of a sample; an axis that is given one position is left out, of coordinates too."""
    gone = {axis for axis, part in parts.items() if isinstance(part, int)}

    def cut(array: Any, axes: str) -> Any:
        return array[tuple(parts.get(axis, slice(None)) for axis in axes)]

    found: dict[str, Any] = {}
    origin = dict(sample.origin)
    for name, rows in sample.coordinates():
        columns = sample.columns(name, rows)
        here, moved = _inside(rows, columns, parts)
        # Tracks are told by their time, whatever the image has.
        kept = [at for at, axis in enumerate(columns) if axis not in gone or (name == "tracks" and axis == "T")]
        found[name], chosen = _chosen(sample, name, here, moved[:, kept], rows[:, kept])
        origin[name] = sample.origin.get(name, np.arange(len(getattr(sample, name))))[chosen]
    if sample.shapes is not None and "shapes" not in found:
        found["shapes"] = []
    return Sample(
        cut(sample.image, sample.axes),
        "".join(axis for axis in sample.axes if axis not in gone),
        None if sample.labels is None else cut(sample.labels, sample.labels_axes),
        "".join(axis for axis in sample.labels_axes if axis not in gone),
        spacing={axis: step for axis, step in sample.spacing.items() if axis not in gone},
        origin=origin,
        **found,
    )


def _inside(rows: Floats, columns: str, parts: Mapping[str, slice | int]) -> tuple[npt.NDArray[np.int8], Floats]:
    """Return where coordinates lie along each axis, -1 below the part, 0 inside, 1 above, and the coordinates in the part."""
    where, shift = np.zeros(rows.shape, np.int8), np.zeros(len(columns))
    for column, axis in enumerate(columns):
        part, values = parts.get(axis, slice(None)), rows[:, column]
        if isinstance(part, int):
            where[:, column] = np.sign(values.round() - part)
        elif part.start is not None:
            where[:, column] = (values >= part.stop - 0.5).astype(np.int8) - (values < part.start - 0.5)
            shift[column] = part.start
    return where, rows - shift


def _chosen(
    sample: Sample, name: str, where: npt.NDArray[np.int8], moved: Floats, rows: Floats
) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return what of a kind lies in a part, and which rows of the sample it is."""
    if name == "shapes":
        assert sample.shapes is not None
        ends = np.cumsum([len(np.asarray(shape)) for shape in sample.shapes])[:-1]
        # A shape is there where its bounding box is: it may surround the part.
        here = np.array([bool(((w.min(0) <= 0) & (w.max(0) >= 0)).all()) for w in np.split(where, ends)], dtype=bool)
        return [shape for shape, inside in zip(np.split(moved, ends), here, strict=True) if inside], here
    here = (where == 0).all(1)
    if name == "vectors":
        count = len(moved) // 2
        here = here[:count]
        return np.stack([moved[:count], rows[count:] - rows[:count]], 1)[here], here
    if name == "tracks":
        ids = np.asarray(sample.tracks, dtype=np.float64)[:, :1]
        return np.concatenate([ids, moved], 1)[here], here
    return moved[here], here


def _augmented(
    regions: Sequence[_Region], plan: DatasetPlan, index: int
) -> tuple[_Region, Sample, Mapping[str, int], Draw | None]:
    """Return one augmented crop: of a region that is the likelier the larger it is."""
    key = np.array([plan.seed % 2**64, index], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))
    weights = np.cumsum([float(region.size) for region in regions])
    region = regions[min(int(np.searchsorted(weights, rng.random() * weights[-1], side="right")), len(regions) - 1)]
    sizes = region.sample.sizes
    place = {axis: int(rng.integers(sizes[axis])) for axis in "TZ" if axis in sizes and axis not in plan.axes}
    scene = _cut(region.sample, place)
    first = Crop(height=plan.crop[-2], width=plan.crop[-1], depth=plan.crop[0] if len(plan.crop) == 3 else None)
    pipeline = plan.pipeline.model_copy(update={"transforms": (first, *plan.pipeline.transforms)})
    frame = scene.frame(plan.axes)
    seed = int(rng.integers(2**53))
    draw = pipeline.draw_for(
        seed, Frame(plan.axes, frame.sizes, frame.spacing, frame.channels, 1, frame.rgb), region.ranges
    )
    return region, pipeline.apply(scene, draw, ranges=draw.ranges), place, draw


def _tiles(regions: Sequence[_Region], plan: DatasetPlan) -> list[tuple[_Region, dict[str, int]]]:
    """Return crops for validation that do not overlap: all there are, or as many as their share of the data set."""
    found = []
    for region in regions:
        sizes, crop = region.sample.sizes, dict(zip(plan.axes, plan.crop, strict=True))
        axes = [axis for axis in "TZYX" if axis in sizes]
        steps = [
            range(0, sizes[axis] - crop[axis] + 1, crop[axis]) if axis in crop else range(sizes[axis]) for axis in axes
        ]
        found += [(region, dict(zip(axes, place, strict=True))) for place in product(*steps)]
    wanted = max(1, round(plan.count * plan.validation))
    if len(found) <= wanted:
        return found
    chosen = np.sort(np.random.default_rng(plan.seed).permutation(len(found))[:wanted])
    return [found[index] for index in chosen]


def _plain(
    region: _Region, plan: DatasetPlan, place: Mapping[str, int]
) -> tuple[Sample, Mapping[str, int], Draw | None]:
    """Return a crop as it is."""
    crop = dict(zip(plan.axes, plan.crop, strict=True))
    parts = {axis: slice(at, at + crop[axis]) if axis in crop else at for axis, at in place.items()}
    return _cut(region.sample, parts), place, None


class _Writer:
    """Writes crops into the folders of a data set, and keeps the table."""

    def __init__(self, folder: Path, plan: DatasetPlan, sources: Sequence[AnnotatedImage]) -> None:
        self._folder, self._plan = folder, plan
        self._labelled = all(source.sample.labels is not None for source in sources)
        self._listed = [
            name for name in COORDINATES if all(getattr(source.sample, name) is not None for source in sources)
        ]
        self._dtype = _label_dtype(sources) if self._labelled else np.dtype(np.uint8)
        self._rows: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}

    def write(self, split: str, region: _Region, crop: Sample, place: Mapping[str, int], draw: Draw | None) -> None:
        """Write one crop."""
        number = self._counts.get(split, 0)
        self._counts[split] = number + 1
        stem = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', region.source.name) or 'image'}_{number:05d}"
        suffix, spacing = FORMATS[self._plan.format], dict(crop.spacing)
        units = {axis: unit for axis, unit in region.source.units.items() if axis in crop.axes}
        row: dict[str, Any] = {"split": split, "source": region.source.name}
        row["image"] = self._image(
            split, "images", stem + suffix, Image(_read(crop.image), crop.axes, spacing, units, stem)
        )
        if self._labelled:
            labels = _read(crop.labels).astype(self._dtype)
            row["labels"] = self._image(
                split, "labels", stem + suffix, Image(labels, crop.labels_axes, spacing, units, stem)
            )
        for kind in self._listed:
            row[kind] = self._places(split, stem, kind, crop, region.source)
        row["time"], row["plane"] = place.get("T", ""), place.get("Z", "") if "Z" not in self._plan.axes else ""
        start = _start(draw, place)
        row["start"] = " ".join(
            str(start[axis] + region.start.get(axis, 0)) for axis in self._plan.axes if axis in start
        )
        if draw is not None:
            row["seed"] = draw.seed
            row["draw"] = json.dumps(
                [step.model_dump(mode="json", include={"kind", "values"}) for step in draw.applied]
            )
        self._rows.append(row)

    def finish(self, recipe: Mapping[str, Any]) -> None:
        """Write the table, the pipeline and the recipe.

        Raises
        ------
        ImageFileError
            Another program removed a part of what was written.
        """
        names = [row[kind] for row in self._rows for kind in ("image", "labels", *COORDINATES) if row.get(kind)]
        if gone := next((name for name in names if not (self._folder / name).exists()), None):
            raise ImageFileError(
                f"Another program removed {gone!r} of the data set while it was written: run it again."
            )
        with (self._folder / TABLE).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, _COLUMNS)
            table.writeheader()
            table.writerows(self._rows)
        (self._folder / PIPELINE).write_text(self._plan.pipeline.to_yaml(), encoding="utf-8")
        (self._folder / RECIPE).write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")

    def _image(self, split: str, kind: str, name: str, image: Image) -> str:
        from napari_synth.files import write_image

        folder = self._folder / split / kind
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, image)
        return f"{split}/{kind}/{name}"

    def _places(self, split: str, stem: str, kind: str, crop: Sample, source: AnnotatedImage) -> str:
        from napari_synth.files.annotations import write_points, write_shapes, write_tracks, write_vectors

        folder = self._folder / split / kind
        folder.mkdir(parents=True, exist_ok=True)
        path, values = folder / f"{stem}.csv", getattr(crop, kind)
        if kind == "shapes":
            names = source.shape_types or ["polygon"] * len(source.sample.shapes or ())
            types = [bent_type(names[row]) for row in crop.origin.get("shapes", ())]
            ndim = values[0].shape[1] if types else len(self._plan.axes)
            write_shapes(path, values, types, ndim)
        elif kind == "points":
            write_points(path, values)
        elif kind == "vectors":
            write_vectors(path, values)
        else:
            write_tracks(path, values)
        return f"{split}/{kind}/{path.name}"


def _start(draw: Draw | None, place: Mapping[str, int]) -> dict[str, int]:
    """Return the first pixel of a crop in its region: what was drawn first is the crop itself."""
    if draw is None:
        return dict(place)
    starts = draw.steps[0].values["starts"]
    assert isinstance(starts, tuple)
    return {axis: int(start) for axis, start in zip(draw.axes, starts, strict=True)}


def _label_dtype(sources: Sequence[AnnotatedImage]) -> np.dtype[Any]:
    """Return the smallest dtype that holds all ids, the same for the whole data set: OME-TIFF knows at most 32 bits."""
    low = high = 0
    for source in sources:
        for block in _planes(source.sample.labels):
            low, high = min(low, int(block.min())), max(high, int(block.max()))
    for kind in (np.uint8, np.uint16, np.uint32, np.int32, np.int64):
        info = np.iinfo(kind)
        if info.min <= low and high <= info.max:
            return np.dtype(kind)
    return np.dtype(np.uint64)


def _planes(array: Any) -> Iterator[npt.NDArray[Any]]:
    """Read an array by its first axis, so that a lazy one is never in memory whole."""
    if len(array.shape) <= 2:
        yield _read(array)
        return
    for index in range(array.shape[0]):
        yield _read(array[index])


def _read(array: Any) -> npt.NDArray[Any]:
    return np.asarray(array.compute() if hasattr(array, "compute") else array)


def _recipe(
    sources: Sequence[AnnotatedImage], plan: DatasetPlan, training: Sequence[_Region], validation: Sequence[_Region]
) -> dict[str, Any]:
    from napari_synth import __version__
    from napari_synth.engine.recipe import Source

    described = []
    for source in sources:
        found = Source.of(Image(source.sample.image, source.sample.axes, name=source.name))
        described.append(found.model_dump(mode="json"))
    return {
        "napari_synth": __version__,
        "count": plan.count,
        "crop": list(plan.crop),
        "seed": plan.seed,
        "validation": plan.validation,
        "split": plan.split,
        "format": plan.format,
        "sources": described,
        "regions": {
            name: [
                {"source": region.source.name, "start": dict(region.start), "sizes": region.sample.sizes}
                for region in regions
            ]
            for name, regions in ((TRAIN, training), (VALIDATION, validation))
        },
        "pipeline": plan.pipeline.to_dict(),
    }


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)


_ELLIPSE = 48
_OPEN = frozenset({"line", "path"})


def outline(vertices: Any, shape: str) -> npt.NDArray[np.float64]:
    """Return the vertices of a shape; an ellipse, which has a box, becomes a polygon: it need not be one after it was bent."""
    rows = np.asarray(vertices, dtype=np.float64)
    if shape != "ellipse":
        return rows
    centre, first, second = rows.mean(0), (rows[1] - rows[0]) / 2, (rows[3] - rows[0]) / 2
    angles = np.linspace(0.0, 2 * np.pi, _ELLIPSE, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * first + np.sin(angles) * second)


def bent_type(shape: str) -> str:
    """Return what a shape of this type is after it was bent."""
    return "path" if shape in _OPEN else "polygon"
