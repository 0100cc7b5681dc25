"""Whether a file says itself what its dimensions are: only where it does not may a recipe say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_synth.files import TIFF_SUFFIXES, image_suffix, is_zarr
from napari_synth.imaging.image import Image


def with_axes_of_recipe(image: Image, path: Path, axes: str | None) -> Image:
    """Return the image with a recipe's axes where its file has none and they have as many letters as it has dimensions.

    Parameters
    ----------
    image : Image
    path : Path
        The file that it was read from.
    axes : str or None
        Those of the recipe.
    """
    if axes is None or axes == image.axes or len(axes) != len(image.axes) or names_its_axes(path):
        return image
    same = {new for new, old in zip(axes, image.axes, strict=True) if new == old}
    return replace(
        image,
        axes=axes,
        spacing={axis: size for axis, size in image.spacing.items() if axis in same},
        units={axis: unit for axis, unit in image.units.items() if axis in same},
    )


def names_its_axes(path: Path) -> bool:
    """Return whether a file that can be read says what its dimensions are; only its head is looked into."""
    suffix = image_suffix(path)
    if is_zarr(path):
        import zarr

        return isinstance(zarr.open(str(path), mode="r"), zarr.Group)
    if suffix in TIFF_SUFFIXES:
        from napari_synth.files.tiff import names_axes

        return names_axes(path)
    return suffix != ".npy"
