"""How layers look: results as their sources, and colours for what is added to judge a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap

if TYPE_CHECKING:
    import napari.layers

    from napari_synth.engine.image_run import PreparedImage

TRUST_EXPLAINED, TRUST_LIMIT = 3.0, 8.0
"""Standard deviations of noise that are not shown yet, and those at which colours are full."""
MASK_COLOURS = Colormap([(1.0, 0.2, 0.2, 0.0), (1.0, 0.2, 0.2, 0.7)], name="mask")
_OF_COUNTS = {"colormap", "contrast_limits", "gamma"}


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


def trust_colormap() -> Colormap:
    """Return colours that leave what noise explains transparent: blue where the result is brighter, red where it is darker."""
    red, blue = (0.93, 0.25, 0.2), (0.25, 0.5, 1.0)
    colours = [(*blue, 1.0), (*blue, 0.0), (*red, 0.0), (*red, 1.0)]
    edge = 0.5 * TRUST_EXPLAINED / TRUST_LIMIT
    return Colormap(colours, name="trust", controls=[0.0, 0.5 - edge, 0.5 + edge, 1.0])


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


def contrast(pixels: Any, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return contrast limits that leave a few of the darkest and brightest pixels out; what is not finite is left out too.

    Parameters
    ----------
    pixels : array-like
        All of them are read.
    percentiles : (float, float)
    """
    values = np.asarray(pixels)
    values = values[np.isfinite(values)]
    low, high = (float(limit) for limit in np.percentile(values, percentiles)) if values.size else (0.0, 1.0)
    return low, max(high, low + 1e-6)
