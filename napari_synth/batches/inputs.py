"""What is filled, what a result should look like, what a run is limited to, and the files that belong to an image."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from napari_synth.batches.writing import RECIPE_SUFFIX
from napari_synth.contract.generator import Task
from napari_synth.core.errors import ImageFileError, MaskError
from napari_synth.engine.recipe import Recipe, RegionRecord
from napari_synth.engine.references import as_psf, as_reference
from napari_synth.files import (
    READABLE_SUFFIXES,
    TIFF_SUFFIXES,
    belonging,
    find_images,
    image_suffix,
    is_folder,
    is_zarr,
    natural_key,
    read_image,
)
from napari_synth.imaging.image import Image


@dataclass(frozen=True)
class Masked:
    """What is filled; what is left out is taken from the recipe that is repeated."""

    mask: str | None = None
    "An image that is not 0 where pixels are to be filled; for many, one for all or a folder or pattern with one of each name."
    mask_from: Literal["nan", "zero", "saturated", "hot"] | None = None
    "A rule that finds the pixels in the image itself instead."
    mask_ids: tuple[int, ...] | None = None
    "Only this label of the mask; can be given several times."
    grow: int | None = None
    "Pixels in Y and X by which the mask is grown."

    def check(self, recipe: Recipe) -> None:
        """Raise `MaskError` where there is no mask for any image, or two, `ImageFileError` where its file is not there."""
        if self.mask is not None and self.mask_from is not None:
            raise MaskError("A mask and a rule for one are given: give --mask or --mask-from.")
        if self.mask is not None and not glob.has_magic(self.mask) and not Path(self.mask).exists():
            raise ImageFileError(f"There is no mask {self.mask!r}: check the name.")
        if self.mask is not None or self.mask_from is not None or not recipe.generator.startswith(f"{Task.INPAINT}/"):
            return
        if recipe.mask is None:
            raise MaskError("There is no mask: add --mask MASK.tif, or --mask-from nan, zero, saturated or hot.")
        if recipe.needs_mask:
            raise MaskError("The mask of this recipe was drawn: add --mask with the mask of the images.")

    def applied(self, image: Image, recipe: Recipe, path: Path) -> Image:
        """Return the image of a path with its mask.

        Parameters
        ----------
        image : Image
        recipe : Recipe
            Whose mask is taken where the command names none.
        path : Path
            The file of the image: the mask is looked for by its name.

        Raises
        ------
        SynthError
            The mask is not there, cannot be read or does not fit.
        """
        # Measuring what a rule marks takes scipy, which help and lists do without.
        from napari_synth.engine.masking import with_mask

        mask = None if self.mask is None else _read(find_mask(self.mask, path))
        return with_mask(image, recipe, mask, rule=self.mask_from, ids=self.mask_ids, grow=self.grow)


AS_IN_RECIPE = Masked()


@dataclass(frozen=True)
class Drawn:
    """What a run is limited to, where that was drawn; what is left out is as the recipe says."""

    region: str | None = None
    "An image that is not 0 on the region; for many, one for all or a folder or pattern with one of each name."

    @classmethod
    def parse(cls, text: str | None) -> tuple[RegionRecord | None, Drawn]:
        """Return the bounds and the drawing that a text asks for.

        Parameters
        ----------
        text : str or None
            Bounds such as ``"Y=10:80,X=5:60"``, an image, a folder or a pattern; ``"all"`` or None is the whole image.

        Raises
        ------
        AxesError
            Bounds are written in another way.
        """
        if text is None or text == "all":
            return None, cls()
        if _BOUNDS.match(text) and not Path(text).exists():
            return RegionRecord.from_text(text), cls()
        return None, cls(text)

    def check(self, recipe: Recipe) -> None:
        """Raise `ImageFileError` where its file is not there, `MaskError` where the region of a recipe has to be given again."""
        if self.region is None:
            if recipe.region is not None and recipe.region.is_drawn:
                raise MaskError("The region of this recipe was drawn: add --region with an image that is not 0 on it.")
        elif not glob.has_magic(self.region) and not Path(self.region).exists():
            raise ImageFileError(
                f"There is no region {self.region!r}: give an image that is not 0 on it, or bounds such as Y=10:80,X=5:60."
            )

    def of(self, image: Path) -> Any:
        """Return what is marked for the image of a path, None where nothing was drawn.

        Raises
        ------
        SynthError
            It is not there or cannot be read.
        """
        return None if self.region is None else _read(find_mask(self.region, image, "region"))


AS_RECORDED = Drawn()
_BOUNDS = re.compile(r"\s*\w\s*=")


def find_mask(where: str, image: Path, what: str = "mask", suffixes: Collection[str] = READABLE_SUFFIXES) -> Path:
    """Return the mask of an image, or what else belongs to it.

    Parameters
    ----------
    where : str
        A file (which belongs to every image), a folder with a file in any format that has the image's name, else one whose name
        contains it, else one with the same numbers, or a pattern in whose last
        part the first ``*`` stands for the image's name, such as ``"masks/*_mask.tif"``.
    image : pathlib.Path
    what : str
        What it is called where there is none.
    suffixes : collection of str
        Of what is looked for in a folder.

    Raises
    ------
    ImageFileError
        There is none, or more than one.
    """
    stem = _stem(image)
    if glob.has_magic(where):
        last = Path(where).name
        wanted = last.replace("*", glob.escape(stem), 1)
        found = [Path(match) for match in glob.glob(where, recursive=True)]  # noqa: PTH207 - it takes absolute patterns
        matching = sorted(
            (path for path in found if "*" in last and fnmatch.fnmatchcase(path.name, wanted)), key=natural_key
        )
    elif is_folder(Path(where)):
        there = sorted((path for path in Path(where).iterdir() if image_suffix(path) in suffixes), key=natural_key)
        matching = [there[index] for index in belonging(stem, [_stem(path) for path in there])]
    else:
        return Path(where)
    if not matching:
        raise ImageFileError(f"There is no {what} for {stem!r} in {where!r}: give it the name of the image.")
    if len(matching) > 1:
        names = " and ".join(repr(path.name) for path in matching[:2])
        raise ImageFileError(f"There is more than one {what} for {stem!r} in {where!r}, {names}: leave one of them.")
    return matching[0]


def _read(path: Path) -> Any:
    """Return a mask as an image where its file says what its dimensions are, else as an array: its axes are found by sizes."""
    mask = read_image(path)
    return mask if names_its_axes(path) else mask.data


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(image_suffix(path))]


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


@dataclass(frozen=True)
class Referenced:
    """How the result should look; a recipe that holds what was learnt of its reference needs none."""

    reference: Path | None = None
    "An image that shows how the result should look, for all images."

    def check(self) -> None:
        """Raise `ImageFileError` where its file is not there."""
        if self.reference is not None and not self.reference.exists():
            raise ImageFileError(f"There is no reference image {str(self.reference)!r}: check the name.")

    def of(self, image: Image) -> Image | None:
        """Return the reference for an image, None where there is none.

        Raises
        ------
        SynthError
            It cannot be read.
        """
        return None if self.reference is None else as_reference(self._read, image)

    @cached_property
    def _read(self) -> Any:
        assert self.reference is not None
        read = read_image(self.reference)
        return read if names_its_axes(self.reference) else read.data


NO_REFERENCE = Referenced()


@dataclass(frozen=True)
class Tiles(Referenced):
    """Tiles as one reference: what several files hold is stacked."""

    pattern: str = ""

    def check(self) -> None:
        """Raise `ImageFileError` where there are no tiles."""
        find_images(self.pattern, ignored=RECIPE_SUFFIX)

    def of(self, image: Image) -> Image | None:
        """Return the tiles as one stack, read when they are looked at."""
        return self._stack

    @cached_property
    def _stack(self) -> Image:
        import dask.array

        found, _ = find_images(self.pattern, ignored=RECIPE_SUFFIX)
        tiles = [read_image(path) for path in found]
        first = tiles[0]
        for path, tile in zip(found, tiles, strict=True):
            if (tile.axes, tile.shape) != (first.axes, first.shape):
                raise ImageFileError(
                    f"{str(path)!r} has the shape {tile.shape} ({tile.axes}), the first of the tiles {first.shape} ({first.axes}):"
                    " give tiles of one size."
                )
        if len(tiles) == 1:
            return first
        arrays = [dask.array.asarray(tile.data) for tile in tiles]
        if "T" in first.axes:
            return first.with_data(dask.array.concatenate(arrays, axis=first.axes.index("T")))
        return Image(dask.array.stack(arrays), f"T{first.axes}", name="tiles")


@dataclass(frozen=True)
class Pointed(Referenced):
    """The image of a point, or of many beads; without one, the settings of the generator say what it is."""

    def of(self, image: Image) -> Image | None:
        """Return the image of the point for an image, None where there is none; raises as `Referenced.of`."""
        return None if self.reference is None else as_psf(self.reference, image)
