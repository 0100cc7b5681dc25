"""Between napari's layers and what is learnt from: pure functions, no widget, no pixel is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_synth.core.errors import TrainingDataError
from napari_synth.gui.layers.images import guessed_axes, to_image
from napari_synth.gui.layers.masks import MaskRequest, layer_request
from napari_synth.gui.layers.placement import Placement
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import Mask

if TYPE_CHECKING:
    import napari.layers

_SAME_PLACE = 0.01
"""Of a pixel."""


@dataclass(frozen=True)
class ChosenImages:
    """Images that were chosen: layers with what they hold, or files.

    Attributes
    ----------
    layers : tuple of napari.layers.Image
    images : tuple of Image
        Of the layers.
    files : tuple of str
        Paths and patterns.
    file_axes : str or None
        What the dimensions of the files mean, where they do not say so themselves.
    limits : tuple of MaskRequest
        For each layer, which pixels may be learnt from; empty for all.
    file_limits : tuple of str
        Paths and patterns of labels that say so of the files, as many as these or one for all; empty for all pixels.
    """

    layers: tuple[napari.layers.Image, ...] = ()
    images: tuple[Image, ...] = ()
    files: tuple[str, ...] = ()
    file_axes: str | None = None
    limits: tuple[MaskRequest, ...] = ()
    file_limits: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.images or self.files)

    def given(self) -> Any:
        """Return the images as `napari_synth.studio.train.train_model` takes them."""
        every: list[Any] = [*self.files, *self.images]
        return every[0] if len(every) == 1 else every

    def regions(self) -> list[Mask] | list[str]:
        """Return which pixels may be learnt from, one for each image; draws them, so it is called in the worker."""
        return list(self.file_limits) or [limit.mask() for limit in self.limits]


def chosen_layers(
    layers: Sequence[napari.layers.Image], axes: str, *, like: napari.layers.Image | None = None, region: Any = None
) -> ChosenImages:
    """Return layers as images to learn from.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
    axes : str
        The roles of ``like``'s dimensions, RGB samples included; they hold for every layer with as many.
    like : napari.layers.Image, optional
        The first layer where it is left out.
    region : napari.layers.Labels, optional
        Where it is drawn on may be learnt from.

    Raises
    ------
    AxesError
        The axes do not fit.
    InvalidImageError
        A layer holds no intensities.
    MaskError
        The region cannot be used.
    """
    first = like if like is not None else layers[0]
    images = tuple(to_image(layer, axes if _is_alike(layer, first) else guessed_axes(layer)) for layer in layers)
    limits: tuple[MaskRequest, ...] = ()
    if region is not None:
        limits = tuple(layer_request(region, layer, image) for layer, image in zip(layers, images, strict=True))
    return ChosenImages(tuple(layers), images, limits=limits)


def _is_alike(layer: napari.layers.Image, other: napari.layers.Image) -> bool:
    return bool(layer.ndim == other.ndim and getattr(layer, "rgb", False) == getattr(other, "rgb", False))


def pairing(source: ChosenImages, target: ChosenImages) -> tuple[str, ...]:
    """Return which images belong together, a line each."""
    return tuple(f"{one.name} → {other.name}" for one, other in zip(source.images, target.images, strict=False))


def doubts(source: ChosenImages, target: ChosenImages) -> tuple[str, ...]:
    """Return what the user should look at before pairs are learnt from: layers of a pair that lie elsewhere."""
    pairs = zip(source.layers, target.layers, strict=False)
    return tuple(
        f"{other.name!r} lies elsewhere in space than {one.name!r}: pairs are learnt from pixel by pixel, wherever they lie."
        for one, other in pairs
        if one.ndim == other.ndim and not _lie_together(one, other)
    )


def check_pairs(source: ChosenImages, target: ChosenImages) -> None:
    """Check that layers of pairs can be learnt from.

    Raises
    ------
    TrainingDataError
        There are more of one than of the other, one is in both, or two have different sizes.
    """
    both = [layer.name for layer in source.layers if layer in target.layers]
    if both:
        raise TrainingDataError(f"{both[0]!r} is source and target: choose another target.")
    if source.files or target.files:
        return
    if len(source.images) != len(target.images):
        raise TrainingDataError(
            f"There are {len(source.images)} sources and {len(target.images)} targets: choose one target for each source."
        )
    for one, other in zip(source.images, target.images, strict=True):
        sizes = [{axis: size for axis, size in image.sizes.items() if axis not in "CS"} for image in (one, other)]
        if sizes[0] != sizes[1]:
            first, second = (" · ".join(f"{axis} {size}" for axis, size in found.items()) for found in sizes)
            raise TrainingDataError(
                f"{one.name!r} has {first} pixels and {other.name!r} {second}: choose two layers of the same field and size."
            )


def _lie_together(one: napari.layers.Image, other: napari.layers.Image) -> bool:
    first, second = Placement.of(one), Placement.of(other)
    step = float(np.min(np.abs(first.scale[first.scale != 0]), initial=np.inf))
    close = _SAME_PLACE * (step if np.isfinite(step) else 1.0)
    return bool(
        np.allclose(first.scale, second.scale, rtol=1e-3, atol=0)
        and np.allclose(first.translate, second.translate, rtol=0, atol=close)
        and np.allclose(first.rotate, second.rotate, atol=1e-3)
        and np.allclose(first.shear, second.shear, atol=1e-3)
        and np.allclose(first.affine, second.affine, atol=1e-3)
    )
