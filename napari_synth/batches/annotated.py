"""Reads images for a data set with what belongs to each of them: labels, points and shapes, found by the image's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_synth.batches.inputs import find_mask
from napari_synth.core.errors import InvalidImageError
from napari_synth.files import Series, read_image
from napari_synth.files.annotations import read_points, read_shapes

if TYPE_CHECKING:
    from napari_synth.augmentation.export import AnnotatedImage
    from napari_synth.imaging.image import Image

_TABLES = (".csv",)


@dataclass(frozen=True)
class Beside:
    """What belongs to images: for each a file (one image), or a folder or a pattern with one of each name (many).

    Attributes
    ----------
    labels : str or None
        Of integers, such as ``"labels/*_label.tif"``.
    points, shapes : str or None
        Tables as napari saves them (CSV).
    """

    labels: str | None = None
    points: str | None = None
    shapes: str | None = None

    def read(
        self, path: Path, axes: str | None = None, series: Series = None
    ) -> tuple[AnnotatedImage, tuple[str, ...]]:
        """Read an image with what belongs to it.

        Parameters
        ----------
        path : pathlib.Path
        axes : str, optional
            Roles of the dimensions, where the file does not say.
        series : int or "all", optional
            Which of the images of a file.

        Returns
        -------
        AnnotatedImage
        notes : tuple of str
            What is to be said of the image, a sentence each.

        Raises
        ------
        ImageFileError
            A file is not there, more than one belongs to the image, or it cannot be read.
        InvalidImageError
            Labels are no whole numbers.
        """
        from napari_synth.augmentation.export import AnnotatedImage

        points = shapes = None
        types: list[str] = []
        if self.points is not None:
            points = read_points(find_mask(self.points, path, "table of points", _TABLES))
        if self.shapes is not None:
            shapes, types = read_shapes(find_mask(self.shapes, path, "table of shapes", _TABLES))
        image = read_image(path, axes, series=series)
        labels = None if self.labels is None else _labels_of(path, self.labels)
        return AnnotatedImage.of(image, labels, points, shapes, shape_types=types), image.notes


def _labels_of(path: Path, where: str) -> Image:
    found = find_mask(where, path, "labels file")
    labels = read_image(found)
    if labels.dtype.kind not in "iu":
        raise InvalidImageError(
            f"{found.name!r} has pixels of dtype {labels.dtype}, no ids: give labels of an integer dtype."
        )
    return labels
