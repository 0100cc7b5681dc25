"""Which pixels a run has filled, and which one would fill: what the panel shows of a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap

from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.stores import store
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import holes

if TYPE_CHECKING:
    import napari.layers

    from napari_synth.gui.runs import Region, Request

MASK_COLOURS = Colormap([(1.0, 0.2, 0.2, 0.0), (1.0, 0.2, 0.2, 0.7)], name="mask")


def filled_levels(
    prepared: PreparedImage, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[Any, ...]:
    """Return which pixels were filled.

    Returns
    -------
    tuple of array-like
        uint8, 1 where a pixel was filled, along the axes of the image but S: one numpy array, or the levels on disk where the
        result is there too. Empty where there was no mask.
    """
    source = prepared.source
    mask = source.mask
    if mask is None:
        return ()
    axes = source.axes.replace("S", "")
    shape = tuple(source.sizes[axis] for axis in axes)
    order = [mask.axes.index(axis) for axis in axes if axis in mask.axes]
    missing = tuple(slice(None) if axis in mask.axes else None for axis in axes)
    if not prepared.needs_store:
        marked = np.asarray(mask.data).transpose(order)[missing]
        return (np.array(np.broadcast_to(marked, shape)),)
    import dask.array as da

    lazy = da.broadcast_to(da.asarray(mask.data).transpose(order)[missing], shape)
    image = Image(lazy, axes, source.spacing, source.units, f"{source.name} filled pixels")
    return store(image, settings.folder, "Storing which pixels were filled", progress, cancel)


def mask_region(
    request: Request, region: Region, _prepared: PreparedImage | None, progress: ProgressCallback, cancel: CancelToken
) -> tuple[None, Any]:
    """Return which pixels of a region are to be filled; parameters and results are those of `restore_region`."""
    Reporter(progress, cancel).start("Making the mask")
    source = request.source()
    asked = {axis: region.get(axis, slice(0, size)) for axis, size in source.sizes.items() if axis != "S"}
    shape = [part.stop - part.start for part in asked.values() if isinstance(part, slice)]
    return None, np.broadcast_to(holes(source, {**asked, "S": 0}), shape).astype(np.uint8)


def mask_words(_size: str, _prepared: PreparedImage | None, marked: Any) -> tuple[str, ...]:
    """Say how much of what is in sight a mask marks."""
    return (f"{np.count_nonzero(marked)} of the {marked.size} pixels in sight are to be filled.",)


def mask_look(_source: napari.layers.Image) -> dict[str, Any]:
    """Return how a mask is shown over an image: what is marked in red, the rest transparent."""
    return {
        "rgb": False,
        "multiscale": False,
        "colormap": MASK_COLOURS,
        "contrast_limits": (0, 1),
        "blending": "translucent",
        "interpolation2d": "nearest",
    }
