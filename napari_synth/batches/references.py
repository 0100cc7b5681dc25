"""What results should look like, and the file behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from napari_synth.batches.axes import names_its_axes
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.references import as_reference
from napari_synth.files import read_image
from napari_synth.imaging.image import Image


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
