"""The option that says what a result should look like, and the file behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from napari_synth.cli.axes import names_its_axes
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.references import as_psf, as_reference
from napari_synth.files import read_image
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

PSF = Group("Point spread function", sort_key=0)


@Parameter(name="*", group=PSF)
@dataclass(frozen=True)
class Pointed(Referenced):
    """The image of a point; without one, the settings of the generator say what it is."""

    reference: Annotated[Path | None, Parameter(name=("--psf", "--reference"))] = None
    "An image of the point spread function, or with --psf-model beads of many beads, for all images."

    def of(self, image: Image) -> Image | None:
        """Return the image of the point for an image, None where there is none; raises as `Referenced.of`."""
        return None if self.reference is None else as_psf(self._read, image)


NO_PSF = Pointed()
