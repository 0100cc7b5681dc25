"""PNG, JPEG and npy: pixels without axes, spacing or units."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.core.errors import ImageFileError
from napari_synth.imaging.image import Image

_PNG_DEPTH_AND_COLOUR = slice(24, 26)
_PNG_GRAY = (0, 4)


def read_picture(path: Path) -> Image:
    """Read a PNG, JPEG or BMP."""
    import imageio.v3 as iio

    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(b"\x89PNG") and len(head) == 32:
        depth, colour = struct.unpack("2B", head[_PNG_DEPTH_AND_COLOUR])
        if depth == 16 and colour not in _PNG_GRAY:
            raise ImageFileError(
                f"{path.name!r} is a 16-bit colour PNG, of which only 8 bits would be read: convert it to TIFF."
            )
    data = np.asarray(iio.imread(path, plugin="pillow", index=0))
    return Image(data, "YX" if data.ndim == 2 else "YXS")


def check_png(image: Image) -> None:
    """Raise `ImageFileError` where a PNG cannot hold this image without loss."""
    gray = set(image.axes) == set("YX") and image.dtype.name in {"uint8", "uint16"}
    colour = set(image.axes) == set("YXS") and image.dtype.name == "uint8" and image.sizes["S"] in (3, 4)
    if not (gray or colour):
        raise ImageFileError(
            f"PNG holds one plane of 8 or 16 bits (8 in colour), not {image.axes} of {image.dtype}: write .ome.tif."
        )


def write_png(path: Path, image: Image) -> None:
    """Write an 8-bit or 16-bit gray plane, or an 8-bit RGB(A) plane; see `check_png`."""
    import imageio.v3 as iio

    data = image.read().transpose([image.axes.index(axis) for axis in ("YXS" if "S" in image.axes else "YX")])
    iio.imwrite(path, np.ascontiguousarray(data), plugin="pillow", extension=".png")


def read_npy(path: Path) -> Image:
    """Map a .npy file into memory."""
    return Image.from_array(np.load(path, mmap_mode="r", allow_pickle=False))


def write_npy(path: Path, image: Image) -> None:
    """Write a .npy file, position by position of the first axis, so that a lazy image is never in memory whole."""
    target: Any = np.lib.format.open_memmap(path, mode="w+", dtype=image.dtype, shape=image.shape)
    for index in range(image.shape[0]):
        target[index] = image.read(**{image.axes[0]: slice(index, index + 1)})[0]
    target.flush()
