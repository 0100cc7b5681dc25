"""What is learnt from: one set of images, two whose images belong together, or two that only have their kind in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.trainable import Kind
from napari_synth.core.arguments import given_path
from napari_synth.core.errors import InvalidImageError, MaskError, SynthError, TrainingDataError
from napari_synth.engine.recipe import Source
from napari_synth.engine.references import has_content
from napari_synth.files import Series, find_images, image_suffix, paired, pairs_in_words, read_image
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.imaging.masks import as_mask, holes
from napari_synth.imaging.sampling import sample_planes
from napari_synth.training.patches import MOST_PIXELS, PatchRegion

_LEAST_ROWS = 16
# Fewer images or frames than this are split by bands rather than among each other.
_FEW = 8
# Means over squares of this edge have little noise left.
_SQUARE = 8
_HARDLY_ANY = 0.1
# Pixels of an image that are looked at before the training begins.
_LOOKED_AT = 2**16
_LISTED = 5


@dataclass(frozen=True)
class TrainingImages:
    """Images to learn from.

    Attributes
    ----------
    source : tuple of Image
        Without alpha. Where a region was given, its outside is the mask of the image.
    target : tuple of Image
        Of a pair, the one that belongs to each source; empty where there is one set.
    kind : {"one", "paired", "unpaired"}
    notes : tuple of str
        What the user should know.
    """

    source: tuple[Image, ...]
    target: tuple[Image, ...]
    kind: Kind
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identifies the pixels: a hash of evenly spread samples of all of them."""
        return " ".join(Source.of(image).fingerprint for image in (*self.source, *self.target))

    def check_files(self) -> None:
        """Raise `ImageFileError` where a file has changed since it was opened: what was learnt from it is a mixture then."""
        for image in (*self.source, *self.target):
            if image.origin is not None:
                image.origin.check()


def gather(
    source: Any,
    target: Any = None,
    *,
    kind: Kind,
    axes: str | None = None,
    region: Any = None,
    series: Series = None,
) -> TrainingImages:
    """Read what is to be learnt from, and check that it fits together.

    Parameters
    ----------
    source, target : image or sequence of images
        Each an `Image`, an array, or the name of a file, a folder or a pattern such as ``"day*/*.tif"``. Files of pairs belong
        together by their names where those are the same, else by what the names have in common, or their numbers. Of several files,
        those that cannot be read are left out, with their partners, and named in the notes.
    kind : {"one", "paired", "unpaired"}
        What is wanted.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension of all images; guessed where it is left out.
    region : image or sequence of images, optional
        Labels, not zero where the source may be learnt from; one for all sources, or one each.
    series : int or "all", optional
        Which image of files that hold several, see `napari_synth.files.read_image`.

    Raises
    ------
    TrainingDataError
        A target is missing or not wanted, the two do not fit together, or their names do not tell which belongs to which.
    SynthError
        Another one of its subclasses where an image cannot be read.
    """
    if kind == "one" and target is not None:
        raise TrainingDataError("This training learns from one set of images: leave the target out.")
    if kind != "one" and target is None:
        what = "shows the same fields as the source" if kind == "paired" else "shows how results should look"
        raise TrainingDataError(f"This training needs a target, which {what}: give one.")
    sources = _opened(source, axes, series)
    targets = [] if target is None else _opened(target, axes, series)
    opened = [one.image for one in (*sources, *targets) if one.image is not None]
    notes = tuple(dict.fromkeys(note for image in opened for note in image.notes))
    if kind == "paired":
        targets, shown = _matched(sources, targets, in_order=not (_is_search(source) or _is_search(target)))
        notes += shown
        sources, targets = _pairs_that_fit(sources, targets)
        _check_targets(*([one.image for one in part if one.image is not None] for part in (sources, targets)))
    regions = [] if region is None else _regions(region)
    if len(regions) not in {0, 1, len(sources)}:
        raise TrainingDataError(
            f"There are {len(sources)} sources and {len(regions)} regions: give one, or one for each."
        )
    notes = (*notes, *_left_out(sources, "source"), *(() if kind == "paired" else _left_out(targets, "target")))
    kept = [(number, one.image) for number, one in enumerate(sources) if one.image is not None]
    plain = tuple(without_alpha(image) for _, image in kept)
    if regions:
        plain = _within(plain, [regions[number if len(regions) > 1 else 0] for number, _ in kept])
    others = tuple(without_alpha(one.image) for one in targets if one.image is not None)
    return TrainingImages(plain, others, kind, notes)


@dataclass(frozen=True)
class Normalisation:
    """How the intensities of images are brought to what networks see, 0 to 1 or a little beyond.

    Attributes
    ----------
    transforms : tuple of tuple of IntensityTransform
        For each image, one for each of its channels that are learnt from apart (one where there are none).
    """

    transforms: tuple[tuple[IntensityTransform, ...], ...]

    @classmethod
    def of(cls, images: Sequence[Image], *, apart: str = "C", shared: bool = False) -> Normalisation:
        """Measure images, each by itself, or (``shared``) one for all by the mean of their percentiles.

        Parameters
        ----------
        images : sequence of Image
        apart : str
            The axes along which every index is measured by itself.
        shared : bool
            Whether one transform serves all images.

        Raises
        ------
        InvalidImageError
            An image has no finite pixel.
        """
        found = [
            [IntensityTransform.from_statistics(measure_statistics(part)) for part in _parts(image, apart)]
            for image in images
        ]
        if not shared:
            return cls(tuple(map(tuple, found)))
        count = min(len(transforms) for transforms in found)
        common = tuple(
            IntensityTransform(
                float(np.mean([transforms[i].offset for transforms in found])),
                float(np.mean([transforms[i].scale for transforms in found])),
            )
            for i in range(count)
        )
        return cls((common,) * len(images))

    def record(self) -> list[dict[str, float]]:
        """Return offset and scale of every channel, the mean over all images, for the card of a model."""
        count = min(len(transforms) for transforms in self.transforms)
        return [
            {
                "offset": float(np.mean([transforms[i].offset for transforms in self.transforms])),
                "scale": float(np.mean([transforms[i].scale for transforms in self.transforms])),
            }
            for i in range(count)
        ]


@dataclass(frozen=True)
class Scaling:
    """The straight line that brings the counts of a target to those of its source.

    Attributes
    ----------
    gain, offset : float
        ``source = gain * target + offset``, but for noise.
    correlation : float
        Of the means over squares of 8 x 8 pixels, -1 to 1.
    """

    gain: float = 1.0
    offset: float = 0.0
    correlation: float = 1.0

    @classmethod
    def between(cls, source: Sequence[Image], target: Sequence[Image], *, noisy_target: bool) -> Scaling:
        """Fit the line to the means over squares, in which hardly any noise is left.

        Parameters
        ----------
        source, target : sequence of Image
        noisy_target : bool
            Whether the target is as noisy as the source, so that neither may be taken for the truth.
        """
        pairs = [_square_means(one, other) for one, other in zip(source, target, strict=True)]
        s, t = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        if len(s) < 2 or not (s.std() > 0 and t.std() > 0):
            return cls(correlation=0.0)
        correlation = float(np.corrcoef(s, t)[0, 1])
        if not correlation > _HARDLY_ANY:
            return cls(float(s.std() / t.std()), float(s.mean() - t.mean() * s.std() / t.std()), correlation)
        gain = float(s.std() / t.std()) * (1.0 if noisy_target else correlation)
        return cls(gain, float(s.mean() - gain * t.mean()), correlation)

    @property
    def is_doubtful(self) -> bool:
        """Whether the two hardly have anything in common."""
        return not self.correlation > _HARDLY_ANY

    def applied(self, target: IntensityTransform) -> IntensityTransform:
        """Return what brings the target's counts to where ``target``, the transform of the source, brings the source's."""
        return IntensityTransform((target.offset - self.offset) / self.gain, target.scale / self.gain)


def read_fields(
    images: Sequence[Image],
    normalisation: Normalisation,
    axes: str,
    *,
    joint: str = "S",
    others: Sequence[Image] = (),
    other_normalisation: Normalisation | None = None,
    most_pixels: int = MOST_PIXELS,
) -> list[PatchRegion]:
    """Read the pixels to learn from: whole images where they are small, evenly spread windows of them where they are not.

    Parameters
    ----------
    images : sequence of Image
    normalisation : Normalisation
        Of those, made with the channels ``apart`` that are not ``joint``.
    axes : str
        The spatial axes of a field in the order wanted, e.g. ``"YX"`` or ``"ZYX"``.
    joint : str
        Which of C and S become the channels of a field; each of the others is a field of its own, as are times and, in a field
        without Z, planes.
    others : sequence of Image, optional
        Read at the same places; their channels follow.
    other_normalisation : Normalisation, optional
        Of those.
    most_pixels : int
        Of all fields, of one image of a pair.
    """
    fields = []
    for number, image in enumerate(images):
        pair = others[number] if others else None
        for at, frame, apart in _windows(image, axes, joint, most_pixels // len(images)):
            pixels = _read(image, at, axes, joint, normalisation.transforms[number][apart])
            if pair is not None and other_normalisation is not None:
                where = {axis: part for axis, part in at.items() if axis in pair.axes}
                second = _read(pair, where, axes, joint, other_normalisation.transforms[number][apart])
                pixels = np.concatenate((pixels, second))
            place = tuple(part.start or 0 if isinstance(part := at[axis], slice) else part for axis in axes)
            fields.append(PatchRegion(pixels, _inside(image, at, axes, joint), number, frame, place, apart))
    return fields


def split_fields(
    fields: Sequence[PatchRegion], share: float = 1 / 8, least: int = _LEAST_ROWS
) -> tuple[list[PatchRegion], list[PatchRegion]]:
    """Hold a part out that is never learnt from: some images where there are many, else the last times, else a band of rows.

    Parameters
    ----------
    fields : sequence of Field
    share : float
        Of the pixels to hold out, between 0 and 1.
    least : int
        Rows that either part must have.

    Returns
    -------
    (training, held_out) : pair of list of Field
        No pixel, plane or channel of a place is in both.

    Raises
    ------
    TrainingDataError
        There is too little for that.
    """
    for groups in ([field.image for field in fields], [field.frame for field in fields]):
        kinds = sorted({group for group in groups if group is not None})
        if len(kinds) >= _FEW and None not in groups:
            # Frames next to each other look alike: what is held out is the end of the movie.
            last = set(kinds[-max(1, round(share * len(kinds))) :])
            return (
                [field for field, group in zip(fields, groups, strict=True) if group not in last],
                [field for field, group in zip(fields, groups, strict=True) if group in last],
            )
    training: list[PatchRegion] = []
    held_out: list[PatchRegion] = []
    for image in sorted({field.image for field in fields}):
        own = [field for field in fields if field.image == image]
        cut = _cut(own, share, least)
        for field in own:
            row = min(max(cut - field.place[-2], 0), field.spatial[-2])
            if row >= least:
                training.append(field.rows(0, row))
            if field.spatial[-2] - row >= least:
                held_out.append(field.rows(row, field.spatial[-2]))
    training, held_out = ([f for f in part if f.inside is None or f.inside.any()] for part in (training, held_out))
    if not (training and held_out):
        raise TrainingDataError(
            f"There is too little to learn from: give images, or a region, of at least {2 * least} rows, so that a part can be"
            " kept to check what was learnt."
        )
    return training, held_out


def describe(images: Sequence[Image]) -> list[dict[str, Any]]:
    """Return name, shape, dtype and fingerprint of images, for the card of a model."""
    return [Source.of(image).model_dump(mode="json") for image in images]


@dataclass(frozen=True)
class _Opened:
    """One of the images that were given, or why it cannot be learnt from.

    Attributes
    ----------
    name : str
    image : Image or None
    problem : SynthError or None
    """

    name: str
    image: Image | None
    problem: SynthError | None = None


def _opened(given: Any, axes: str | None, series: Series) -> list[_Opened]:
    """Open what was given, one image after the other; a list is taken for several where its items are no numbers.

    Raises
    ------
    SynthError
        The only one, or every one, cannot be read.
    """
    found = [_tried(item, axes, series) for item in _items(given)]
    if all(one.problem is not None for one in found):
        first = found[0].problem
        assert first is not None
        if len(found) == 1:
            raise first
        raise TrainingDataError(f"None of the {len(found)} images can be learnt from; the first: {first}") from first
    return found


def _items(given: Any) -> list[Any]:
    """Return files, images and arrays one by one."""
    if isinstance(given, (str, Path)):
        return list(find_images(given_path(given, TrainingDataError))[0])
    if isinstance(given, Sequence) and not isinstance(given, Image) and len(given) and not _is_number(given[0]):
        return [part for item in given for part in _items(item)]
    return [given]


def _is_number(item: Any) -> bool:
    """Return whether an item of a list is a pixel rather than an image, or the name of one."""
    return bool(np.isscalar(item)) and not isinstance(item, str)


def _is_search(given: Any) -> bool:
    """Return whether files were looked for, rather than given one by one in an order of the user's own."""
    return isinstance(given, (str, Path))


def _tried(item: Any, axes: str | None, series: Series) -> _Opened:
    """Open an image and look at a few of its pixels, so that what cannot be read is found before anything is learnt."""
    name = (
        item.name[: len(item.name) - len(image_suffix(item))]
        if isinstance(item, Path)
        else getattr(item, "name", "image")
    )
    try:
        image = read_image(item, axes, series=series) if isinstance(item, Path) else Image.from_array(item, axes)
        pixels = sample_planes(image, _LOOKED_AT, _SQUARE)
        if not any(np.isfinite(plane).any() for plane in pixels):
            raise InvalidImageError(f"{image.name!r} has no finite pixel: there is nothing to learn from.")
    except SynthError as error:
        return _Opened(str(name), None, error)
    return _Opened(image.name, image)


def _left_out(opened: Sequence[_Opened], what: str) -> tuple[str, ...]:
    """Name those that cannot be learnt from."""
    bad = [one for one in opened if one.problem is not None]
    if not bad:
        return ()
    named = "; ".join(f"{one.name} ({str(one.problem).rstrip('.')})" for one in bad[:_LISTED])
    more = f"; and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
    return (f"{len(bad)} of {len(opened)} {what}s cannot be learnt from and are left out: {named}{more}.",)


def _matched(
    sources: list[_Opened], targets: list[_Opened], *, in_order: bool
) -> tuple[list[_Opened], tuple[str, ...]]:
    """Put the targets into the order of their sources, and show what belongs together where the names differ.

    ``in_order`` says that the order in which both were given holds where their names tell nothing.
    """
    if len(sources) != len(targets):
        raise TrainingDataError(
            f"There are {len(sources)} sources and {len(targets)} targets: give one target for each source."
        )
    if len(sources) == 1:
        return targets, ()
    names = [[one.name for one in opened] for opened in (sources, targets)]
    found = paired(*names)
    if found is None:
        if not in_order:
            raise TrainingDataError(
                f"The names do not tell which target belongs to which source ({names[0][0]!r}, … and {names[1][0]!r}, …):"
                " give both the same names, or names with the same numbers."
            )
        return targets, (
            "The names do not tell which target belongs to which source: they were paired in their order.",
        )
    if found.by == "names":
        return [targets[index] for index in found.partners], ()
    matched = [targets[index] for index in found.partners]
    shown = pairs_in_words(names[0], [one.name for one in matched])
    return matched, (f"Sources and targets were paired by the {found.by} of their names: {shown}.",)


def _pairs_that_fit(sources: list[_Opened], targets: list[_Opened]) -> tuple[list[_Opened], list[_Opened]]:
    """Leave a pair out as a whole where either of it cannot be read, or they do not fit together."""
    fitting: tuple[list[_Opened], list[_Opened]] = ([], [])
    for source, target in zip(sources, targets, strict=True):
        problem = source.problem or target.problem
        if source.image is not None and target.image is not None:
            problem = _unlike(source.image, target.image)
        for kept, one in zip(fitting, (source, target), strict=True):
            kept.append(one if problem is None else _Opened(one.name, None, problem))
    first = fitting[0][0].problem
    if first is not None and all(one.problem is not None for one in fitting[0]):
        if len(sources) == 1:
            raise first
        raise TrainingDataError(f"None of the {len(sources)} pairs can be learnt from; the first: {first}") from first
    return fitting


def _unlike(source: Image, target: Image) -> TrainingDataError | None:
    """Say where two images are not of the same size."""
    spatial = [{axis: size for axis, size in image.sizes.items() if axis not in "CS"} for image in (source, target)]
    if spatial[0] == spatial[1]:
        return None
    one, other = (" x ".join(f"{axis} {size}" for axis, size in sizes.items()) for sizes in spatial)
    return TrainingDataError(
        f"The source {source.name!r} is {one} and its target {target.name!r} {other}: give two images of the same field and"
        " size."
    )


def _check_targets(sources: Sequence[Image], targets: Sequence[Image]) -> None:
    """Refuse targets of which none has anything to teach; single ones, as of blank fields, do."""
    if not any(has_content(target) for target in targets):
        raise TrainingDataError(
            "Every target is the same in all pixels: give targets that show how results should look."
        )
    pairs = list(zip(sources, targets, strict=True))
    if all(
        one.shape == other.shape and Source.of(one).fingerprint == Source.of(other).fingerprint for one, other in pairs
    ):
        raise TrainingDataError("Every target equals its source: there is nothing to learn, give other targets.")


def _regions(given: Any) -> list[Any]:
    """Return what was given as labels of any dtype that has some."""
    if isinstance(given, (str, Path)):
        return [read_image(path) for path in find_images(given)[0]]
    if isinstance(given, Sequence) and not isinstance(given, Image):
        return [region for item in given for region in _regions(item)]
    return [given]


def _within(images: Sequence[Image], regions: Sequence[Any]) -> tuple[Image, ...]:
    limited = []
    for image, region in zip(images, regions, strict=True):
        try:
            inside = as_mask(region, image)
        except MaskError as error:
            raise TrainingDataError(f"The region does not fit {image.name!r}: {error}") from error
        lead = "".join(axis for axis in inside.axes if axis not in "YX")
        if not any(bool(inside.read(**at).any()) for at in inside.indices(lead)):
            raise TrainingDataError("The region marks no pixel: mark what may be learnt from, or leave it out.")
        limited.append(replace(image, mask=replace(inside, data=1 - inside.data)))
    return tuple(limited)


def _parts(image: Image, apart: str) -> Iterable[Image]:
    if apart in image.axes:
        return [image.select(**{apart: i}) for i in range(image.sizes[apart])]
    return [image]


def _windows(
    image: Image, axes: str, joint: str, most_pixels: int
) -> Iterable[tuple[dict[str, slice | int], int | None, int]]:
    """Return where fields lie in an image, their time, and their channel where channels are learnt from apart."""
    lead = [axis for axis in image.axes if axis not in axes and axis not in joint]
    sizes = [image.sizes[axis] for axis in axes]
    positions = prod(image.sizes[axis] for axis in lead)
    edges = sizes
    if positions * prod(sizes) > most_pixels:
        edges = [min(size, 512 if axis in "YX" else 32) for axis, size in zip(axes, sizes, strict=True)]
    starts = [
        [round(i) for i in np.linspace(0, size - edge, size // edge)] for size, edge in zip(sizes, edges, strict=True)
    ]
    places = list(product(*starts))
    total = positions * len(places)
    affordable = max(1, most_pixels // prod(edges))
    for number in np.linspace(0, total - 1, min(total, affordable)).round().astype(int):
        position, place = divmod(int(number), len(places))
        index = np.unravel_index(position, [image.sizes[axis] for axis in lead]) if lead else ()
        at: dict[str, slice | int] = {axis: int(i) for axis, i in zip(lead, index, strict=True)}
        frame, apart = at.get("T"), at.get("C", 0)
        for axis, start, edge in zip(axes, places[place], edges, strict=True):
            at[axis] = slice(start, start + edge)
        yield at, frame if isinstance(frame, int) else None, apart if isinstance(apart, int) else 0


def _read(
    image: Image, at: dict[str, slice | int], axes: str, joint: str, transform: IntensityTransform
) -> npt.NDArray[np.float32]:
    """Return pixels (C, *spatial), normalised, those that are not finite replaced by the mean of the others."""
    pixels = transform.forward(image.read(**at))
    kept = [axis for axis in image.axes if not isinstance(at.get(axis), int)]
    channels = [axis for axis in kept if axis in joint]
    pixels = pixels.transpose([kept.index(axis) for axis in (*channels, *axes)])
    pixels = pixels.reshape(-1, *pixels.shape[len(channels) :])
    finite = np.isfinite(pixels)
    if finite.all():
        return pixels
    return np.where(finite, pixels, pixels[finite].mean() if finite.any() else 0).astype(np.float32)


def _inside(image: Image, at: dict[str, slice | int], axes: str, joint: str) -> npt.NDArray[np.bool_] | None:
    """Return what of a window may be learnt from, (*spatial); None for all of it."""
    if image.mask is None:
        return None
    outside = holes(image, at)
    kept = [axis for axis in image.axes if not isinstance(at.get(axis), int)]
    channels = tuple(kept.index(axis) for axis in kept if axis in joint)
    outside = np.any(outside, axis=channels) if channels else outside
    kept = [axis for axis in kept if axis not in joint]
    sizes = [part.stop - part.start for axis in axes if isinstance(part := at[axis], slice)]
    return ~np.broadcast_to(outside.transpose([kept.index(axis) for axis in axes]), sizes)


def _cut(fields: Sequence[PatchRegion], share: float, least: int) -> int:
    """Return the row of an image below which about ``share`` of what may be learnt from lies."""
    bottom = max(field.place[-2] + field.spatial[-2] for field in fields)
    per_row = np.zeros(bottom)
    for field in fields:
        rows = slice(field.place[-2], field.place[-2] + field.spatial[-2])
        across = tuple(i for i in range(len(field.spatial)) if i != len(field.spatial) - 2)
        per_row[rows] += (
            prod(field.spatial) / field.spatial[-2] if field.inside is None else field.inside.sum(axis=across)
        )
    filled = np.flatnonzero(per_row)
    if not len(filled):
        return bottom
    below = per_row[::-1].cumsum()[::-1]
    cut = int(np.flatnonzero(below >= share * below[0])[-1])
    return int(np.clip(cut, filled[0] + least, max(filled[-1] + 1 - least, filled[0])))


def _square_means(source: Image, target: Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the means over squares of the planes of two images, without those that are not finite."""
    lead = [axis for axis in source.axes if axis not in "YXS" and axis in target.axes]
    positions = list(product(*(range(source.sizes[axis]) for axis in lead)))
    means: list[list[npt.NDArray[np.float64]]] = [[], []]
    for number in np.linspace(0, len(positions) - 1, min(len(positions), 16)).round().astype(int):
        at = dict(zip(lead, positions[number], strict=True))
        for image, found in zip((source, target), means, strict=True):
            plane = image.read(**at)
            kept = [axis for axis in image.axes if axis not in at]
            others = [axis for axis in kept if axis not in "YX"]
            plane = plane.transpose([kept.index(axis) for axis in ("Y", "X", *others)]).astype(np.float64)
            plane = plane.reshape(*plane.shape[:2], -1).mean(axis=2)
            height, width = (size // _SQUARE for size in plane.shape)
            squares = plane[: height * _SQUARE, : width * _SQUARE].reshape(height, _SQUARE, width, _SQUARE)
            found.append(squares.mean(axis=(1, 3)).ravel())
    s, t = (np.concatenate(found) for found in means)
    finite = np.isfinite(s) & np.isfinite(t)
    return s[finite], t[finite]
