"""Reference images: how a result should look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.contract.generator import Generator
from napari_synth.core.errors import AxesError, PsfError, ReferenceImageError
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image
from napari_synth.imaging.image import Image, as_array, guess_axes, known_shape
from napari_synth.imaging.sampling import sample_windows

_HANDFUL = 64


def has_content(image: Image) -> bool:
    """Return whether an image shows anything: two finite pixels of it, of those that are looked at, differ.

    Of one with a handful of pixels nothing is expected.
    """
    if image.n_pixels < _HANDFUL:
        return True
    lowest, highest = np.inf, -np.inf
    for at in sample_windows(image):
        pixels = image.read(**at)
        pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            lowest, highest = min(lowest, float(pixels.min())), max(highest, float(pixels.max()))
        if lowest < highest:
            return True
    return False


def as_psf(given: Any, image: Image) -> Image:
    """Return the image of a point for an image that is to be deconvolved.

    Parameters
    ----------
    given : array-like, Image, str or Path
        An array of two dimensions is (Y, X), one of three (Z, Y, X), or (C, Y, X) where its first size is the number of channels
        of an image without Z; one of four is (C, Z, Y, X). A text or a path names a file.
    image : Image

    Returns
    -------
    Image

    Raises
    ------
    AxesError
        It has other dimensions.
    PsfError
        It has no pixels, or they are no real numbers.
    ImageFileError, InvalidImageError
        It cannot be read, or it is no image.
    """
    if isinstance(given, (str, Path)):
        given = read_image(given)
    if isinstance(given, Image):
        return replace(given, axes=given.axes.replace("T", "Z")) if _is_stack(given) else given
    is_named = hasattr(given, "dims")
    given = given if is_named else as_array(given)
    shape = known_shape(given)
    if 0 in shape:
        raise PsfError(f"The point spread function has no pixels (shape {shape}): give the image of a point.")
    # What has another kind of dtype, such as a tensor, is no image.
    if getattr(given.dtype, "kind", "f") not in "iuf":
        raise PsfError(
            f"A point spread function of dtype {given.dtype} holds no intensities: give the image of a point as integers or floats."
        )
    if is_named:
        return Image.from_array(given)
    per_channel = "Z" not in image.axes and len(shape) == 3 and shape[0] == image.sizes.get("C", 0) > 1
    axes = {2: "YX", 3: "CYX" if per_channel else "ZYX", 4: "CZYX"}.get(len(shape))
    if axes is None:
        raise AxesError(f"A point spread function of {len(shape)} dimensions cannot be: give one of YX, ZYX or CZYX.")
    return Image(given, axes, name="psf")


def _is_stack(given: Image) -> bool:
    """Return whether what a file calls time is a stack of planes: a point does not move."""
    return "T" in given.axes and "Z" not in given.axes and given.sizes["T"] > 1


def as_reference(reference: Any, image: Image) -> Image:
    """Return a reference for an image.

    Parameters
    ----------
    reference : array-like or Image
        Where it has as many dimensions as the image, they have the same roles; those of another array are guessed.
    image : Image

    Returns
    -------
    Image

    Raises
    ------
    AxesError
        Its dimensions cannot be guessed.
    InvalidImageError
        It is no image.
    """
    if isinstance(reference, Image):
        return reference
    if hasattr(reference, "dims") or isinstance(reference, np.ma.MaskedArray):
        return Image.from_array(reference)
    reference = as_array(reference)
    shape = known_shape(reference)
    axes = image.axes if len(shape) == len(image.axes) else guess_axes(shape)
    return Image(reference, axes, name="reference")


def taken_by(steps: Sequence[Generator[Any]], recipe: Recipe) -> int:
    """Return the number, from 0, of the step of a chain that the only reference is for.

    Parameters
    ----------
    steps : sequence of Generator
    recipe : Recipe
        Steps whose settings hold what was learnt of an earlier reference need none.

    Raises
    ------
    ReferenceImageError
        No step takes one, or several do.
    """
    takers = [number for number, step in enumerate(steps) if step.info.reference_image != "none"]
    if not takers:
        raise ReferenceImageError("No step of the chain takes a reference image: leave it out.")
    lacking = [
        number
        for number in takers
        if not any(recipe.steps[number].params.get(name) is not None for name in steps[number].params_type.learnt())
    ]
    chosen = lacking or takers
    needed = [number for number in chosen if steps[number].info.reference_image == "needed"]
    chosen = needed if len(needed) == 1 else chosen
    if len(chosen) > 1:
        names = " and ".join(f"{steps[number].info.title} (step {number + 1})" for number in chosen)
        raise ReferenceImageError(f"{names} take a reference image: say for which step of the chain it is.")
    return chosen[0]
