"""Between napari's layers and the samples of an augmentation: pure functions, no widget, no pixel is read here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Points, Shapes, Tracks, Vectors

from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.export import bent_type, outline
from napari_synth.augmentation.sample import Sample
from napari_synth.core.errors import AxesError, InvalidImageError
from napari_synth.gui.layers.appearance import appearance
from napari_synth.gui.layers.images import full_resolution
from napari_synth.gui.layers.marks import PREVIEW, RESULT, kind_of
from napari_synth.gui.layers.placement import Placement
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import napari.layers

Doubles = npt.NDArray[np.float64]

KINDS: dict[type[Layer], str] = {
    Labels: "labels",
    Points: "points",
    Shapes: "shapes",
    Vectors: "vectors",
    Tracks: "tracks",
}
"""The layers that can move along, and the part of a sample that each becomes."""


@dataclass(frozen=True)
class SampleLayers:
    """A source layer with what moves along, as a sample in the source's pixels.

    Attributes
    ----------
    source : napari.layers.Image
    companions : tuple of napari.layers.Layer
    sample : Sample
    units : dict of str to str
        Of the axes.
    """

    source: napari.layers.Image
    companions: tuple[Layer, ...]
    sample: Sample
    units: dict[str, str]


def can_move_along(layer: Any) -> bool:
    """Tell whether a layer can be augmented with an image: one of `KINDS` that we did not make."""
    return isinstance(layer, tuple(KINDS)) and kind_of(layer) not in (PREVIEW, RESULT)


def kind(layer: Layer) -> str:
    """Return which part of a sample a layer becomes."""
    return next(name for layer_type, name in KINDS.items() if isinstance(layer, layer_type))


def sample_layers(source: napari.layers.Image, image: Image, companions: Iterable[Layer]) -> SampleLayers:
    """Return a layer and what moves along as a sample; coordinates are brought to pixels of the image.

    Parameters
    ----------
    source : napari.layers.Image
    image : Image
        Of that layer.
    companions : iterable of napari.layers.Layer
        At most one of each of `KINDS`.

    Raises
    ------
    InvalidImageError
        Labels do not lie on the image pixel by pixel.
    AxesError
        A layer has dimensions that the image lacks.
    """
    parts: dict[str, Any] = {}
    kept = tuple(companions)
    for layer in kept:
        try:
            parts[kind(layer)] = _part(layer, source)
        except AxesError as error:
            raise AxesError(f"{layer.name!r} cannot move along: {error}") from error
    return SampleLayers(source, kept, Sample(image, **parts), dict(image.units))


def placed(source: napari.layers.Image, axes: str, draw: Draw, *, at_start: bool = True) -> Placement:
    """Return where the result of a draw lies: that of a crop where it was cut, that of a resized image on the same field.

    Parameters
    ----------
    source : napari.layers.Image
    axes : str
        Of the source.
    draw : Draw
    at_start : bool
        Whether a crop is shown where it was cut; where the source begins otherwise.
    """
    finer, start = _window(axes[: source.ndim], draw)
    return Placement.of(source).refined(finer, start if at_start else [0.0] * source.ndim)


def placed_back(result: napari.layers.Image, axes: str, draw: Draw) -> Placement:
    """Return where the source of a draw lies, from where its result does.

    Parameters
    ----------
    result : napari.layers.Image
    axes : str
        Of the result.
    draw : Draw
    """
    finer, start = _window(axes[: result.ndim], draw)
    before = [-first * factor for first, factor in zip(start, finer, strict=True)]
    return Placement.of(result).refined([1 / factor for factor in finer], before)


def _window(axes: str, draw: Draw) -> tuple[list[float], list[float]]:
    """Return how many times finer the result is along each axis, and the source pixel at which it begins."""
    finer, start = dict.fromkeys(axes, 1.0), dict.fromkeys(axes, 0.0)
    for step in draw.steps:
        values = step.values.get({"crop": "starts", "resize": "sizes"}.get(step.kind, ""))
        if not isinstance(values, tuple):
            continue
        for axis, value, size in zip(draw.axes, values, step.sizes, strict=True):
            if step.kind == "crop":
                start[axis] += value / finer[axis]
            else:
                finer[axis] *= value / size
    return list(finer.values()), list(start.values())


def stacked(place: Placement, name: str = "sample") -> Placement:
    """Return a place with an axis of samples, or of another name, in front."""
    ndim = len(place.scale)
    rotate, affine = np.eye(ndim + 1), np.eye(ndim + 2)
    rotate[1:, 1:], affine[1:, 1:] = place.rotate, place.affine
    return Placement(
        np.insert(place.scale, 0, 1.0),
        np.insert(place.translate, 0, 0.0),
        rotate,
        np.concatenate([np.zeros(ndim), np.ravel(place.shear)]),
        affine,
        ("pixel", *place.units),
        (name, *place.axis_labels),
    )


def result_layers(layers: SampleLayers, samples: Sequence[Sample], place: Placement, suffix: str) -> list[Layer]:
    """Return new layers for one sample, or a stack of several with an axis in front: the image first.

    Parameters
    ----------
    layers : SampleLayers
        What the samples were made from.
    samples : sequence of Sample
    place : Placement
        Of one sample.
    suffix : str
        Behind the names of the layers they were made from.
    """
    several = len(samples) > 1
    where = stacked(place) if several else place
    pixels = _together([sample.image for sample in samples])
    look = appearance(layers.source)
    made: list[Layer] = [ImageLayer(pixels, name=f"{layers.source.name} {suffix}", **look, **where.as_kwargs())]
    for layer in layers.companions:
        made += _companion(layer, layers.source, samples, where, f"{layer.name} {suffix}")
    return made


def vectors_of(field: npt.NDArray[np.float32], step: int) -> Doubles:
    """Return arrows (N, 2, D) from the pixels of the result to where they come from, every ``step`` pixels."""
    sizes = field.shape[1:]
    axes = [np.arange(min(step // 2, size - 1), size, step) for size in sizes]
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sizes))
    directions = field[(slice(None), *starts.T)].T
    return np.stack([starts.astype(np.float64), directions.astype(np.float64)], 1)


def _part(layer: Layer, source: napari.layers.Image) -> Any:
    if isinstance(layer, Labels):
        _check_labels(layer, source)
        return full_resolution(layer)
    count = min(layer.ndim, source.ndim)
    matrix, offset = _to_pixels(layer, source, count)

    def moved(rows: npt.ArrayLike) -> Doubles:
        found = np.array(rows, dtype=np.float64)
        found[..., found.shape[-1] - count :] = found[..., found.shape[-1] - count :] @ matrix.T + offset
        return found

    if isinstance(layer, Shapes):
        pairs = zip(layer.data, layer.shape_type, strict=True)
        return [moved(outline(vertices, shape)) for vertices, shape in pairs]
    if isinstance(layer, Vectors):
        vectors = np.array(layer.data, dtype=np.float64)
        vectors[:, 0] = moved(vectors[:, 0])
        vectors[:, 1, vectors.shape[-1] - count :] = vectors[:, 1, vectors.shape[-1] - count :] @ matrix.T
        return vectors
    return moved(layer.data)


def _check_labels(layer: Labels, source: napari.layers.Image) -> None:
    here, there = (_to_world(one, min(layer.ndim, source.ndim)) for one in (layer, source))
    if not all(np.allclose(a, b, rtol=1e-6) for a, b in zip(here, there, strict=True)):
        raise InvalidImageError(
            f"{layer.name!r} does not lie on {source.name!r} pixel by pixel: give it the same scale and translation."
        )


def _to_world(layer: Layer, count: int) -> tuple[Doubles, Doubles]:
    """Return the matrix and the offset that bring the last ``count`` coordinates of a layer to the world."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=np.float64)
    columns = [np.asarray(layer.data_to_world(unit), dtype=np.float64) - origin for unit in np.eye(layer.ndim)]
    return np.stack(columns, 1)[-count:, -count:], origin[-count:]


def _to_pixels(layer: Layer, source: napari.layers.Image, count: int) -> tuple[Doubles, Doubles]:
    """Return the matrix and the offset that bring the last ``count`` coordinates of a layer to pixels of the source."""
    own, own_offset = _to_world(layer, count)
    world, world_offset = _to_world(source, count)
    back = np.linalg.inv(world)
    return back @ own, back @ (own_offset - world_offset)


def _companion(
    layer: Layer, source: napari.layers.Image, samples: Sequence[Sample], where: Placement, name: str
) -> list[Layer]:
    """Return the new layer of one that moved along; none for tracks of several samples, which have one time axis only."""
    several, part = len(samples) > 1, kind(layer)
    values = [getattr(sample, part) for sample in samples]
    # Viewers align the last axes: what lies on all channels has to be on each of them where samples come first.
    lead = tuple(int(size) for size in samples[0].image.shape[: source.ndim - layer.ndim]) if several else ()
    ndim = layer.ndim + several + len(lead)
    given = _trailing(where, ndim) | {"name": name, "opacity": layer.opacity}
    if part == "labels":
        ids = _together(values)
        if lead:
            ids = np.broadcast_to(ids[(slice(None), *(None for _ in lead))], (len(ids), *lead, *ids.shape[1:]))
        return [Labels(ids, **given)]
    if part == "tracks":
        nothing = several or values[0] is None or not len(values[0])
        return [] if nothing else [Tracks(np.asarray(values[0]), **given)]
    count = min(layer.ndim, source.ndim)
    larger = float(np.abs(np.linalg.det(_to_pixels(layer, source, count)[0])) ** (1 / count))
    copies = list(product(*(range(size) for size in lead)))
    fronts = [[(number, *copy) for copy in copies] if several else [()] for number in range(len(samples))]
    pairs = [(front, value) for own, value in zip(fronts, values, strict=True) for front in own]
    origins = [origin for sample in samples for _ in copies for origin in _origins(sample, part)]
    if isinstance(layer, Points):
        rows = np.concatenate([_in_front(np.asarray(value), front) for front, value in pairs])
        look = {"size": np.asarray(layer.size)[origins] * larger, "face_color": np.asarray(layer.face_color)[origins]}
        return [Points(rows, ndim=ndim, **(look if len(rows) else {}), **given)]
    if isinstance(layer, Vectors):
        vectors = np.concatenate([_in_front(np.asarray(value), front) for front, value in pairs])
        vectors[:, 1, : ndim - layer.ndim] = 0.0
        return [Vectors(vectors, ndim=ndim, edge_width=layer.edge_width * larger, **given)]
    assert isinstance(layer, Shapes)
    made = Shapes(ndim=ndim, **given)
    if origins:
        made.add(
            [_in_front(np.asarray(shape), front) for front, value in pairs for shape in value],
            shape_type=[bent_type(layer.shape_type[row]) for row in origins],
            edge_width=[float(layer.edge_width[row]) * larger for row in origins],
            edge_color=np.asarray(layer.edge_color)[origins],
            face_color=np.asarray(layer.face_color)[origins],
        )
    return [made]


def _origins(sample: Sample, part: str) -> list[int]:
    """Return the row of the source layer that each row of a part was made from; what was pasted came from the same layer."""
    rows = sample.origin.get(part)
    if rows is None:
        return list(range(len(getattr(sample, part))))
    return [int(row) if row >= 0 else -1 - int(row) for row in rows]


def _in_front(rows: npt.NDArray[Any], front: tuple[int, ...]) -> Doubles:
    """Return rows with the same coordinates before those that they have."""
    found = np.empty((*rows.shape[:-1], rows.shape[-1] + len(front)))
    found[..., : len(front)], found[..., len(front) :] = front, rows
    return found


def _together(arrays: Sequence[Any]) -> npt.NDArray[Any]:
    return np.stack([np.asarray(array) for array in arrays]) if len(arrays) > 1 else np.asarray(arrays[0])


def _trailing(place: Placement, ndim: int) -> dict[str, Any]:
    """Return the place of a layer that has only the last axes of another, or one more in front."""
    own = len(place.scale)
    if ndim == own:
        return place.as_kwargs()
    if ndim > own:
        return _trailing(stacked(place, "time"), ndim)
    return {
        "scale": place.scale[-ndim:],
        "translate": place.translate[-ndim:],
        "rotate": place.rotate[-ndim:, -ndim:],
        "affine": np.eye(ndim + 1) if own == ndim else _block(place.affine, ndim),
        "units": place.units[-ndim:],
        "axis_labels": place.axis_labels[-ndim:],
    }


def _block(affine: Doubles, ndim: int) -> Doubles:
    found = np.eye(ndim + 1)
    found[:ndim, :ndim] = affine[-ndim - 1 : -1, -ndim - 1 : -1]
    found[:ndim, -1] = affine[-ndim - 1 : -1, -1]
    return found
