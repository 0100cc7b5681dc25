"""The options that say what a result should look like or what its light is learnt from, and the files behind them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from napari_synth.cli.axes import names_its_axes
from napari_synth.cli.writing import RECIPE_SUFFIX
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.references import as_reference
from napari_synth.files import find_images, read_image
from napari_synth.imaging.image import Image

REFERENCE = Group("What it should look like", sort_key=0)


@Parameter(name="*", group=REFERENCE)
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


@Parameter(name="*", group=Group("What the light is learnt from", sort_key=0))
@dataclass(frozen=True)
class Learnt:
    """What a correction learns from; a recipe that holds what was learnt needs nothing."""

    from_: Annotated[str | None, Parameter(name="--from")] = None
    "Tiles of the same microscope for a flat field: a folder, a stack, or a quoted pattern such as 'tiles/*.tif'."

    def referenced(self) -> Referenced:
        """Return them as the reference of a run."""
        return NO_REFERENCE if self.from_ is None else _Tiles(pattern=self.from_)


@dataclass(frozen=True)
class _Tiles(Referenced):
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


NOTHING_LEARNT = Learnt()
