"""Where layers lie in the world, and where a result lies whose grid and axes need not be those of its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.utils.transforms import Affine

if TYPE_CHECKING:
    import napari.layers

    from napari_synth.engine.image_run import PreparedImage

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
        """Return the place of a layer that begins at the origin.

        Parameters
        ----------
        scale : numpy.ndarray, (ndim,)
            World units a pixel.
        units : tuple
            Of the axes.
        axes : str
            Their roles.
        """
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


def result_placement(source: Placement, run: PreparedImage, first: Mapping[str, int] | None = None) -> Placement:
    """Return where a result lies, or a part of it.

    Parameters
    ----------
    source : Placement
        Where the source lies.
    run : PreparedImage
    first : mapping of str to int, optional
        The pixel of the source at which the part begins, by axis role; that of what the run makes where it is left out.
    """
    # Of the whole, also where the run is limited to a region: that has the same grid.
    sizes, result = run.source.sizes, run.layout.sizes
    if first is None:
        first = {axis: part.start for axis, part in run.extent.items()}
    # Without the samples of an RGB pixel.
    own = run.source.axes[: len(source.scale)]
    axes = own if run.axes == run.source.axes else run.axes.replace("S", "")
    factors, start = [], []
    for axis in own:
        kept = axis in result and axis not in run.joint_axes
        finer = result[axis] / sizes[axis] if kept else 1.0
        begin = first.get(axis, 0) if kept else 0
        factors.append(finer)
        # The first pixel of the whole result's grid with its centre in the part.
        start.append(ceil(begin * finer - 0.5) / finer)
    place = source.refined(factors, start)
    return place if axes == own else place.along(own, axes)


def refinement(source: tuple[int, ...], result: tuple[int, ...], ndim: int) -> list[float]:
    """Return how many times finer the grid of a result is than that of its source.

    Parameters
    ----------
    source, result : tuple of int
        Both shapes.
    ndim : int
        So many axes are looked at, from the first.
    """
    return [fine / coarse for fine, coarse in zip(result[:ndim], source[:ndim], strict=True)]
