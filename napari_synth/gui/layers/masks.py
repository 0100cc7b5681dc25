"""Masks from layers: what is drawn anywhere in the world, as pixels of an image. Nothing is read before it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Points, Shapes
from napari.utils.transforms import Affine
from skimage.draw import polygon

from napari_synth.core.errors import MaskError
from napari_synth.engine.masking import chosen_labels, grown, make_mask
from napari_synth.gui.layers.placement import Placement
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import Mask

if TYPE_CHECKING:
    import napari.layers

Pixels = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

_SAME_GRID = 0.01
_ELLIPSE_POINTS = 72
_THINNEST = 0.5


@dataclass(frozen=True)
class Outline:
    """A shape that was drawn.

    Attributes
    ----------
    vertices : numpy.ndarray, (n, ndim)
        In pixels of its layer.
    closed : bool
        Whether what it encloses is marked; else the line itself.
    width : float
        Of the line, in pixels of its layer.
    """

    vertices: Matrix
    closed: bool
    width: float = 1.0


class MaskRequest:
    """A mask that is made when it is first asked for, in whatever thread that is.

    Parameters
    ----------
    make : callable
        Makes it.
    """

    def __init__(self, make: Callable[[], Mask]) -> None:
        self._make = make
        self._mask: Mask | None = None
        self._lock = threading.Lock()

    def mask(self) -> Mask:
        """Return the mask.

        Raises
        ------
        MaskError
            It is empty, does not fit, or misses the image.
        """
        with self._lock:
            if self._mask is None:
                self._mask = self._make()
            return self._mask

    def within(self, part: Mapping[str, slice]) -> MaskRequest:
        """Return the request for a part of the mask, by axis role."""

        def cut() -> Mask:
            mask = self.mask()
            made = mask.select(**{axis: at for axis, at in part.items() if axis in mask.axes})
            assert isinstance(made, Mask)
            return made

        return MaskRequest(cut)


def rule_request(image: Image, rule: str, grow: int) -> MaskRequest:
    """Return the request for the mask that a rule makes of an image.

    Parameters
    ----------
    image : Image
    rule : str
        One of `napari_synth.imaging.masks.RULES`.
    grow : int
        See `napari_synth.engine.masking.grown`.
    """
    return MaskRequest(lambda: make_mask(image, rule=rule, grow=grow))


def layer_request(
    layer: napari.layers.Layer,
    source: napari.layers.Image,
    image: Image,
    *,
    ids: Sequence[int] = (),
    radius: float = 0.0,
    grow: int = 0,
    units: tuple[Any, ...] | None = None,
) -> MaskRequest:
    """Return the request for the mask that a layer draws on the image of another.

    Parameters
    ----------
    layer : Labels, Shapes or Points
        Of any scale, place, rotation and shear. Where it has fewer dimensions than the image, it holds over the first ones of the
        image; where it has more, all that is drawn along its first ones counts. Labels are read when the mask is asked for.
    source : napari.layers.Image
    image : Image
        Of that layer.
    ids : sequence of int
        Of a Labels layer, those that mark; all where there are none.
    radius : float
        Of points, in pixels of the image; 0 takes half their size.
    grow : int
        See `napari_synth.engine.masking.grown`.
    units : tuple, optional
        What the canvas shows; None where it takes all units as equal.
    """
    ndim = min(layer.ndim, source.ndim)
    to_world = trailing(world_matrix(Placement.of(layer), units), ndim)
    image_to_world = trailing(world_matrix(Placement.of(source), units), ndim)
    axes = image.axes[source.ndim - ndim : source.ndim]
    shape = image.shape[source.ndim - ndim : source.ndim]
    if not {"Y", "X"} <= set(axes):
        raise MaskError(
            f"The layer {layer.name!r} has {layer.ndim} dimensions, too few for Y and X: draw on one with more."
        )
    try:
        to_image = np.linalg.inv(image_to_world) @ to_world
        to_layer = np.linalg.inv(to_world) @ image_to_world
    except np.linalg.LinAlgError as error:
        raise MaskError(
            f"The layer {layer.name!r} is flat in the world: give it a scale above 0 along each axis."
        ) from error
    draw = _drawing(layer, ndim, tuple(ids), radius, to_layer, to_image)

    def make() -> Mask:
        drawn = draw(shape)
        if not drawn.any():
            raise MaskError(
                f"The layer {layer.name!r} marks no pixel of {source.name!r}: move it onto the image, or draw on the image."
            )
        if "S" in axes:
            drawn = np.asarray(drawn.any(axis=axes.index("S")), np.uint8)
        return grown(Mask(drawn, axes.replace("S", ""), name=layer.name, ids=tuple(ids)), grow)

    return MaskRequest(make)


def _drawing(
    layer: napari.layers.Layer, ndim: int, ids: tuple[int, ...], radius: float, to_layer: Matrix, to_image: Matrix
) -> Callable[[tuple[int, ...]], Pixels]:
    """Return what draws a layer on pixels of the image; shapes and points are taken as they are now."""
    scale = _plane_scale(to_image)
    if isinstance(layer, Labels):
        labels = layer.data[0] if layer.multiscale else layer.data
        empty = MaskError(f"The layer {layer.name!r} is empty: draw on it what is to be filled.")

        def sample(shape: tuple[int, ...]) -> Pixels:
            marked = chosen_labels(labels, ids) if ids else labels
            if marked.ndim > ndim:
                marked = (marked != 0).any(axis=tuple(range(marked.ndim - ndim)))
            drawn = resampled(marked, to_layer, shape)
            if not drawn.any() and not np.asarray(marked != 0).any():
                raise empty
            return drawn

        return sample
    if isinstance(layer, Shapes):
        outlines = [
            replace(outline, vertices=outline.vertices[:, -ndim:], width=outline.width * scale)
            for outline in outlines_of(layer)
        ]
        if not outlines:
            raise MaskError(f"The layer {layer.name!r} is empty: draw on it what is to be filled.")
        return lambda shape: shapes_on(outlines, to_image, shape)
    if isinstance(layer, Points):
        points = np.asarray(layer.data, float)[:, -ndim:]
        if len(points) == 0:
            raise MaskError(f"The layer {layer.name!r} is empty: set points on what is to be filled.")
        radii = np.full(len(points), radius) if radius else np.asarray(layer.size, float) / 2 * scale
        return lambda shape: points_on(transformed(points, to_image), radii, shape)
    raise MaskError(f"{layer.name!r} is a {type(layer).__name__} layer: choose Labels, Shapes or Points.")


def world_matrix(place: Placement, units: tuple[Any, ...] | None = None) -> Matrix:
    """Return the matrix from pixels to the world, (ndim + 1, ndim + 1), homogeneous.

    Parameters
    ----------
    place : Placement
    units : tuple of pint.Unit, optional
        Of the world; its last ones belong to the axes of the layer.
    """
    ndim = len(place.scale)
    inner = Affine(scale=place.scale, translate=place.translate, rotate=place.rotate, shear=place.shear, ndim=ndim)
    matrix = np.asarray(place.affine @ inner.affine_matrix, float)
    if units is not None:
        factors = [float((1 * own).to(shown).magnitude) for own, shown in zip(place.units, units[-ndim:], strict=True)]
        matrix[:-1] *= np.array(factors)[:, None]
    return matrix


def trailing(matrix: Matrix, ndim: int) -> Matrix:
    """Return the part of a homogeneous matrix that belongs to the last ``ndim`` axes."""
    return matrix[-ndim - 1 :, -ndim - 1 :]


def transformed(points: Matrix, matrix: Matrix) -> Matrix:
    """Return points (n, ndim) through a homogeneous matrix."""
    return np.asarray(points @ matrix[:-1, :-1].T + matrix[:-1, -1])


def resampled(labels: Any, matrix: Matrix, shape: tuple[int, ...]) -> Pixels:
    """Return which pixels of an image lie on a label.

    Parameters
    ----------
    labels : array-like
        Not 0 where something is drawn; lazy ones are loaded as far as needed.
    matrix : numpy.ndarray, (ndim + 1, ndim + 1)
        From pixels of the image to those of the labels; the nearest one counts, and none outside.
    shape : tuple of int
        Of the image, as many axes as the labels.
    """
    identity = np.eye(len(matrix))
    # A step that is a little off adds up over the image.
    offsets = np.abs(matrix - identity) @ np.array([*shape, 1.0])
    if tuple(labels.shape) == shape and offsets[:-1].max() < _SAME_GRID:
        return np.asarray(labels != 0).astype(np.uint8)
    linear, shift = matrix[:-1, :-1], matrix[:-1, -1]
    result = np.zeros(shape, np.uint8)
    if np.allclose(linear, np.diag(np.diag(linear)), atol=_SAME_GRID / max(shape)):
        nearest = [
            np.floor(step * np.arange(size) + first + 0.5).astype(np.intp)
            for step, first, size in zip(np.diag(linear), shift, shape, strict=True)
        ]
        inside = [(index >= 0) & (index < size) for index, size in zip(nearest, labels.shape, strict=True)]
        if all(part.any() for part in inside):
            part = labels
            for axis, (index, there) in enumerate(zip(nearest, inside, strict=True)):
                part = part[(slice(None),) * axis + (index[there],)]
            result[np.ix_(*inside)] = np.asarray(part) != 0
        return result
    pixels = np.asarray(labels) != 0
    y, x = np.arange(shape[-2])[:, None], np.arange(shape[-1])[None, :]
    for at in np.ndindex(shape[:-2]):
        first = linear[:, :-2] @ np.array(at, float) + shift
        nearest = [
            np.floor(start + row[-2] * y + row[-1] * x + 0.5).astype(np.intp)
            for start, row in zip(first, linear, strict=True)
        ]
        there = np.logical_and.reduce(
            [(index >= 0) & (index < size) for index, size in zip(nearest, pixels.shape, strict=True)]
        )
        result[at][there] = pixels[tuple(index[there] for index in nearest)]
    return result


def outlines_of(layer: Shapes) -> list[Outline]:
    """Return the shapes of a layer; an ellipse becomes a polygon."""
    kinds, widths = list(layer.shape_type), np.broadcast_to(layer.edge_width, len(layer.data))
    made = []
    for vertices, kind, width in zip(layer.data, kinds, widths, strict=True):
        corners = np.asarray(vertices, float)
        if kind == "ellipse":
            angle = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)[:, None]
            one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
            corners = corners.mean(axis=0) + np.cos(angle) * one + np.sin(angle) * other
        made.append(Outline(corners, kind not in ("line", "path"), float(width)))
    return made


def shapes_on(outlines: Iterable[Outline], matrix: Matrix, shape: tuple[int, ...]) -> Pixels:
    """Draw shapes on an image.

    Parameters
    ----------
    outlines : iterable of Outline
        Each lies in one plane, the one nearest to it; the width of a line is in pixels of the image.
    matrix : numpy.ndarray
        From pixels of their layer to those of the image.
    shape : tuple of int
    """
    result = np.zeros(shape, np.uint8)
    for outline in outlines:
        vertices = transformed(outline.vertices, matrix)
        plane = _plane(result, vertices[:, :-2].mean(axis=0))
        if plane is None:
            continue
        if outline.closed:
            plane[polygon(vertices[:, -2], vertices[:, -1], plane.shape)] = 1
        else:
            half = max(outline.width / 2, _THINNEST)
            for start, stop in zip(vertices[:-1, -2:], vertices[1:, -2:], strict=True):
                _draw_segment(plane, start, stop, half)
    return result


def points_on(points: Matrix, radii: npt.NDArray[Any], shape: tuple[int, ...]) -> Pixels:
    """Draw a disc at each point, in the plane nearest to it, and at least the pixel it lies in.

    Parameters
    ----------
    points : numpy.ndarray, (n, ndim)
        In pixels of the image.
    radii : numpy.ndarray, (n,)
        In pixels of the image.
    shape : tuple of int
    """
    result = np.zeros(shape, np.uint8)
    for point, radius in zip(points, radii, strict=True):
        plane = _plane(result, point[:-2])
        if plane is not None:
            _draw_segment(plane, point[-2:], point[-2:], float(radius))
            at = tuple(np.floor(point[-2:] + 0.5).astype(int))
            if all(0 <= index < size for index, size in zip(at, plane.shape, strict=True)):
                plane[at] = 1
    return result


def _plane(pixels: Pixels, lead: npt.NDArray[Any]) -> Pixels | None:
    """Return the plane of Y and X that is nearest to a position along the other axes, None where it is outside."""
    at = tuple(np.floor(lead + 0.5).astype(int))
    there = all(0 <= index < size for index, size in zip(at, pixels.shape[:-2], strict=True))
    return pixels[at] if there else None


def _draw_segment(plane: Pixels, start: Matrix, stop: Matrix, half: float) -> None:
    """Mark what lies within ``half`` pixels of a segment."""
    low = np.maximum(np.floor(np.minimum(start, stop) - half), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, stop) + half) + 1, plane.shape).astype(int)
    if (high <= low).any():
        return
    y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
    along = stop - start
    length = float(along @ along)
    share = np.clip(((y - start[0]) * along[0] + (x - start[1]) * along[1]) / length, 0, 1) if length else 0.0
    distance = (y - start[0] - share * along[0]) ** 2 + (x - start[1] - share * along[1]) ** 2
    plane[low[0] : high[0], low[1] : high[1]][distance <= half**2] = 1


def _plane_scale(matrix: Matrix) -> float:
    """Return how many pixels of the image one of the layer is long in the plane, on average."""
    return float(np.sqrt(abs(np.linalg.det(matrix[-3:-1, -3:-1]))))
