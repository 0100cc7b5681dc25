"""Between napari's layers and our images: no pixel is read here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import AxesError, InvalidImageError
from napari_synth.files.origin import FileOrigin
from napari_synth.imaging.image import Image, check_axes, guess_axes

if TYPE_CHECKING:
    import napari.layers


def full_resolution(layer: napari.layers.Image | napari.layers.Labels) -> Any:
    """Return the layer's pixels as they are stored (numpy, dask, zarr), level 0 of a pyramid; nothing is read."""
    return layer.data[0] if layer.multiscale else layer.data


def level_factors(layer: napari.layers.Image) -> npt.NDArray[np.float64]:
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


def guessed_axes(layer: napari.layers.Image | napari.layers.Labels) -> str:
    """Return what the dimensions of a layer seem to mean, "" where nothing fits."""
    try:
        return guess_layer_axes(layer)
    except AxesError:
        return ""


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
    # No roles at all would be taken for a wish to have them guessed.
    check_axes(axes, tuple(pixels.shape))
    spacing = {axis: abs(float(step)) for axis, step in zip(axes, layer.scale, strict=False) if step}
    units = {axis: str(unit) for axis, unit in zip(axes, layer.units, strict=False) if str(unit) != "pixel"}
    image = Image.from_array(pixels, axes, spacing=spacing, units=units, name=layer.name)
    path = layer.source.path
    # The worker looks at the file once it begins: a folder of many chunks takes a while.
    return replace(image, origin=FileOrigin(Path(path), ())) if path and image.is_lazy else image
