"""How the layer of a result lies and looks, whose axes and counts need not be those of its source."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from napari_synth.engine.image_run import PreparedImage
from napari_synth.gui.layers import Placement

_OF_COUNTS = {"colormap", "contrast_limits", "gamma"}


def result_placement(source: Placement, run: PreparedImage, first: Mapping[str, int] | None = None) -> Placement:
    """Return where a result lies, or a part of it.

    Parameters
    ----------
    source : Placement
        Where the source lies.
    run : PreparedImage
    first : mapping of str to int, optional
        The pixel of the source at which the part begins, by axis role.
    """
    sizes, result = run.source.sizes, dict(zip(run.axes, run.shape, strict=True))
    # Without the samples of an RGB pixel.
    own = run.source.axes[: len(source.scale)]
    axes = own if run.axes == run.source.axes else run.axes.replace("S", "")
    factors, start = [], []
    for axis in own:
        kept = axis in result and axis not in run.joint_axes
        finer = result[axis] / sizes[axis] if kept else 1.0
        begin = (first or {}).get(axis, 0) if kept else 0
        factors.append(finer)
        # The first pixel of the whole result's grid with its centre in the part.
        start.append(ceil(begin * finer - 0.5) / finer)
    place = source.refined(factors, start)
    return place if axes == own else place.along(own, axes)


def result_look(source: Mapping[str, Any], run: PreparedImage) -> dict[str, Any]:
    """Return how a result is shown, as keyword arguments of a layer.

    Parameters
    ----------
    source : mapping of str to object
        How its source is shown.
    run : PreparedImage
    """
    if run.result_range is None:
        return dict(source)
    look = {name: value for name, value in source.items() if name not in _OF_COUNTS}
    if run.axes.endswith("S"):
        return look | {"rgb": True}
    return look | {"rgb": False, "colormap": "gray", "contrast_limits": run.result_range}
