"""Between napari's layers and the core's images: pure functions, no widget, no pixel is read here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.utils.colormaps import Colormap
from napari.utils.transforms import Affine

from napari_synth.core.errors import InvalidImageError
from napari_synth.core.image import Image, guess_axes
from napari_synth.files.origin import FileOrigin

if TYPE_CHECKING:
    import napari.layers

METADATA_KEY = "napari_synth"
RESULT, PREVIEW, REMOVED, TRUST, CONFIDENCE = "result", "preview", "removed", "trust", "confidence"
FILLED, PAIRS = "filled", "pairs"
DERIVED = frozenset({REMOVED, TRUST, CONFIDENCE, FILLED})
"""What is added to judge a result."""

TRUST_EXPLAINED, TRUST_LIMIT = 3.0, 8.0
"""Standard deviations of noise that are not shown yet, and those at which colours are full."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """Where a layer lies in the world; everything as napari's layers take it, without the axis of RGB samples.

    Attributes
    ----------
    scale, translate : numpy.ndarray, (ndim,)
        World units a pixel, and the position of the first pixel's centre.
    rotate : numpy.ndarray, (ndim, ndim)
    shear : numpy.ndarray
        Upper triangle of the shear.
    affine : numpy.ndarray, (ndim + 1, ndim + 1)
    units : tuple
    axis_labels : tuple of str
    """

    scale: Matrix
    translate: Matrix
    rotate: Matrix
    shear: Matrix
    affine: Matrix
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]

    @classmethod
    def of(cls, layer: napari.layers.Layer) -> Placement:
        """Return where a layer lies now."""
        return cls(
            scale=np.array(layer.scale, dtype=float),
            translate=np.array(layer.translate, dtype=float),
            rotate=np.array(layer.rotate, dtype=float),
            shear=np.array(layer.shear, dtype=float),
            affine=np.array(layer.affine.affine_matrix, dtype=float),
            units=tuple(layer.units),
            axis_labels=tuple(layer.axis_labels),
        )

    @classmethod
    def plain(cls, scale: Matrix, units: tuple[Any, ...], axes: str) -> Placement:
        """Return the place of a layer that begins at the origin, with the axes of these roles."""
        count = len(axes)
        turned, shear = np.eye(count), np.zeros(count * (count - 1) // 2)
        labels = tuple(axis.lower() for axis in axes)
        return cls(scale, np.zeros(count), turned, shear, np.eye(count + 1), units, labels)

    def refined(self, factors: Iterable[float], start: Iterable[float] | None = None) -> Placement:
        """Return the place of a grid that is finer, or of one that begins at another pixel.

        Outer edges of pixels stay where they are: the first pixel of a grid finer by ``s`` lies ``(1 - 1 / s) / 2`` source
        pixels nearer to the corner than the first pixel of the source.

        Parameters
        ----------
        factors : iterable of float, (ndim,)
            How many times finer the grid is along each axis.
        start : iterable of float, (ndim,), optional
            The source pixel at which the grid begins.
        """
        finer = np.array(list(factors), dtype=float)
        first = np.zeros_like(finer) if start is None else np.array(list(start), dtype=float)
        shift = first + (1 / finer - 1) / 2
        to_physical = Affine(scale=self.scale, rotate=self.rotate, shear=self.shear, ndim=len(self.scale))
        translate = self.translate + to_physical.linear_matrix @ shift
        return Placement(
            self.scale / finer, translate, self.rotate, self.shear, self.affine, self.units, self.axis_labels
        )

    def along(self, own: str, axes: str) -> Placement:
        """Return the same place for a layer of other axes: those that are left out are dropped, new ones begin at 0.

        Parameters
        ----------
        own : str
            Roles of the axes of this layer.
        axes : str
            Those of the other one.
        """
        count = len(axes)
        kept = [i for i, axis in enumerate(axes) if axis in own]
        from_own = [own.index(axes[i]) for i in kept]

        def moved(numbers: Matrix, fill: Matrix) -> Matrix:
            """Put what belongs to the axes that stay into a vector or a matrix for the new ones."""
            fill[np.ix_(*(kept,) * fill.ndim)] = numbers[np.ix_(*(from_own,) * fill.ndim)]
            return fill

        shear = np.eye(len(own))
        shear[np.triu_indices(len(own), 1)] = self.shear
        affine = np.eye(count + 1)
        affine[:-1, :-1] = moved(self.affine[:-1, :-1], np.eye(count))
        affine[kept, -1] = self.affine[from_own, -1]
        there = {axis: i for i, axis in enumerate(own)}
        return Placement(
            moved(self.scale, np.ones(count)),
            moved(self.translate, np.zeros(count)),
            moved(self.rotate, np.eye(count)),
            moved(shear, np.eye(count))[np.triu_indices(count, 1)],
            affine,
            tuple(self.units[there[axis]] if axis in there else "pixel" for axis in axes),
            tuple(self.axis_labels[there[axis]] if axis in there else axis.lower() for axis in axes),
        )

    def as_kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments of a new layer in this place."""
        return {
            "scale": self.scale,
            "translate": self.translate,
            "rotate": self.rotate,
            "shear": self.shear,
            "affine": self.affine,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }


def is_source(layer: Any) -> bool:
    """Tell whether a layer can be worked on: an image that is no preview of ours."""
    return isinstance(layer, ImageLayer) and kind_of(layer) != PREVIEW


def kind_of(layer: napari.layers.Layer) -> str:
    """Return what we made this layer for (``"preview"``, ``"result"``, ...), or "" where it is not ours."""
    mark = layer.metadata.get(METADATA_KEY, {})
    return str(mark.get("kind", "")) if isinstance(mark, Mapping) else ""


def full_resolution(layer: napari.layers.Image | napari.layers.Labels) -> Any:
    """Return the layer's pixels as they are stored (numpy, dask, zarr), level 0 of a pyramid; nothing is read."""
    return layer.data[0] if layer.multiscale else layer.data


def level_factors(layer: napari.layers.Image) -> Matrix:
    """Return how many full-resolution pixels a pixel of the shown level covers, (ndim,)."""
    if not layer.multiscale:
        return np.ones(layer.ndim)
    return np.array(layer.downsample_factors[layer.data_level][: layer.ndim], dtype=float)


def guess_layer_axes(layer: napari.layers.Image | napari.layers.Labels) -> str:
    """Guess the role of every dimension from axis labels, units, shape and the RGB flag.

    Raises
    ------
    AxesError
        There are too few or too many dimensions.
    """
    return guess_axes(
        tuple(full_resolution(layer).shape),
        layer.axis_labels,
        bool(getattr(layer, "rgb", False)),
        [str(unit) for unit in layer.units],
    )


def to_image(layer: napari.layers.Image | napari.layers.Labels, axes: str) -> Image:
    """Return the layer as an image; pixels stay where they are.

    Parameters
    ----------
    layer : napari.layers.Image
    axes : str
        Role of every dimension, RGB samples included.

    Raises
    ------
    AxesError
        The axes do not fit.
    InvalidImageError
        The layer is empty, its dtype holds no intensities, or it holds no array as numpy knows them.
    """
    pixels = full_resolution(layer)
    try:
        np.dtype(pixels.dtype)
    except (TypeError, AttributeError) as error:
        kind = f"{type(pixels).__module__.partition('.')[0]}.{type(pixels).__name__}"
        raise InvalidImageError(
            f"The layer {layer.name!r} holds a {kind}: set its data to a NumPy, Dask or Zarr array."
        ) from error
    spacing = {axis: abs(float(step)) for axis, step in zip(axes, layer.scale, strict=False) if step}
    units = {axis: str(unit) for axis, unit in zip(axes, layer.units, strict=False) if str(unit) != "pixel"}
    image = Image.from_array(pixels, axes, spacing=spacing, units=units, name=layer.name)
    path = layer.source.path
    # The worker looks at the file once it begins: a folder of many chunks takes a while.
    return replace(image, origin=FileOrigin(Path(path), ())) if path and image.is_lazy else image


def refinement(source: tuple[int, ...], result: tuple[int, ...], ndim: int) -> list[float]:
    """Return how many times finer a result's grid is along each of the layer's ``ndim`` axes, from both shapes."""
    return [fine / coarse for fine, coarse in zip(result[:ndim], source[:ndim], strict=True)]


def appearance(layer: napari.layers.Image) -> dict[str, Any]:
    """Return how a layer is shown, as keyword arguments of a new one with the same intensities."""
    shown: dict[str, Any] = {
        "rgb": bool(layer.rgb),
        "multiscale": False,
        "blending": layer.blending,
        "interpolation2d": layer.interpolation2d,
        "rendering": layer.rendering,
    }
    if not layer.rgb:
        shown |= {
            "colormap": layer.colormap,
            # Given, so that napari does not read the pixels to find them.
            "contrast_limits": tuple(layer.contrast_limits),
            "gamma": layer.gamma,
        }
    return shown


def trust_colormap() -> Colormap:
    """Return colours that leave what noise explains transparent: blue where the result is brighter, red where it is darker."""
    red, blue = (0.93, 0.25, 0.2), (0.25, 0.5, 1.0)
    colours = [(*blue, 1.0), (*blue, 0.0), (*red, 0.0), (*red, 1.0)]
    edge = 0.5 * TRUST_EXPLAINED / TRUST_LIMIT
    return Colormap(colours, name="trust", controls=[0.0, 0.5 - edge, 0.5 + edge, 1.0])


def fresh_name(wanted: str, taken: Iterable[str]) -> str:
    """Return ``wanted``, with a number behind it where a layer has this name."""
    names = set(taken)
    if wanted not in names:
        return wanted
    number = 2
    while f"{wanted} {number}" in names:
        number += 1
    return f"{wanted} {number}"


def mark(kind: str, recipe: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the metadata of a layer of ours.

    Parameters
    ----------
    kind : str
        ``"result"``, ``"preview"``, ``"removed"``, ``"trust"``, ``"confidence"``, ``"filled"`` or ``"pairs"``.
    recipe : mapping, optional
        The recipe as plain values.
    **more
        Anything else that a reader of the layer should know.
    """
    return {METADATA_KEY: {"kind": kind, **({"recipe": dict(recipe)} if recipe else {}), **more}}
