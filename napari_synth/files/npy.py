"""Arrays of numpy in files: pixels without axes, spacing or units."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.core.errors import ImageFileError, InvalidImageError
from napari_synth.files.pixels import transposed
from napari_synth.files.raw import EAGER_BYTES, RawArray
from napari_synth.imaging.image import Image


def read_npy(path: Path) -> Image:
    """Open a .npy file, whose pixels are read where they are asked for; true and false become 1 and 0.

    Raises
    ------
    ImageFileError
        It is damaged, ends too early, or holds no plain array.
    InvalidImageError
        Its values are no intensities.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        offset = file.tell()
    if dtype.hasobject:
        raise ImageFileError(f"{path.name!r} cannot be read: it holds Python objects, so save an array of numbers.")
    if dtype.kind not in "biuf":
        raise InvalidImageError(
            f"{path.name!r} has values of dtype {dtype}, no intensities: save them as an integer or float dtype."
        )
    data: Any = RawArray(path, np.uint8 if dtype.kind == "b" else dtype, shape[::-1] if by_columns else shape, offset)
    if data.dtype.itemsize * prod(shape) <= EAGER_BYTES:
        data = data[...]
    return Image.from_array(transposed(data, list(range(len(shape)))[::-1]) if by_columns else data)


def write_npy(path: Path, image: Image) -> None:
    """Write a .npy file, position by position of the first axis, so that a lazy image is never in memory whole."""
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(image.dtype),
            "fortran_order": False,
            "shape": image.shape,
        }
        np.lib.format.write_array_header_2_0(file, header)
        for index in range(image.shape[0]):
            part = image.read(**{image.axes[0]: slice(index, index + 1)})
            file.write(np.ascontiguousarray(part).data)
