"""File > Open Sample: the sample images as layers. Nothing is loaded before one is opened."""

from __future__ import annotations

from typing import Any


def actin() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``actin``."""
    return _open("actin")


def neuron() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``neuron``."""
    return _open("neuron")


def scratch() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``scratch``."""
    return _open("scratch")


def brain() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``brain``."""
    return _open("brain")


def tissue() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``tissue``."""
    return _open("tissue")


def retina() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``retina``."""
    return _open("retina")


def damaged() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``damaged`` with the labels of what is to be filled."""
    return _open("damaged")


def restained() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``restained``."""
    return _open("restained")


def wide_field() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the sample ``wide_field`` with its point spread function, which is hidden."""
    return _open("wide_field")


def _open(name: str) -> list[tuple[Any, dict[str, Any], str]]:
    import numpy as np

    from napari_synth.samples import SAMPLES, load, load_mask, load_psf

    image = load(name)
    axes = image.axes.replace("S", "")
    placed = {
        "axis_labels": tuple(axis.lower() for axis in axes),
        "scale": [image.spacing.get(axis, 1.0) for axis in axes],
        "units": [image.units.get(axis, "pixel") for axis in axes],
    }
    shown = {
        "name": name,
        "rgb": "S" in image.axes,
        **placed,
        "metadata": {"description": SAMPLES[name].description, "licence": SAMPLES[name].licence},
    }
    if not shown["rgb"]:
        # A few bright pixels would leave the rest dark.
        low, high = np.percentile(image.data, [0.1, 99.8])
        shown["contrast_limits"] = (float(low), float(high))
    mask = load_mask(name)
    psf = load_psf(name)
    points = [] if psf is None else [(psf.data, {"name": psf.name, "visible": False, **placed}, "image")]
    labels = [] if mask is None else [(mask.data, {"name": mask.name, **placed}, "labels")]
    return [*points, (image.data, shown, "image"), *labels]
