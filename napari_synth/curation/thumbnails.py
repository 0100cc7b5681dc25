"""Small pictures of images, made once and kept on the disk."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from napari_synth.core.errors import SynthError
from napari_synth.files import read_image, replacing
from napari_synth.imaging.image import Image

EDGE = 128
"""Pixels along the longer edge."""
_PERCENTILES = (0.5, 99.7)
_FINER = 4
"""Many times finer than the picture is what it is averaged from."""

Picture = npt.NDArray[np.uint8]


class Thumbnails:
    """Pictures of the images of a disk, by their path, size and time.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where they are kept; the cache of the user where it is left out.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or platformdirs.user_cache_path("napari-synth", appauthor=False) / "thumbnails"

    def read(self, path: Path) -> Picture:
        """Return the picture of an image (Y, X, 3), made where none is kept.

        Raises
        ------
        SynthError
            The image cannot be read.
        """
        kept = self._place(path)
        if kept.is_file():
            # What a full disk has torn is made anew.
            with suppress(OSError, ValueError):
                stored = np.load(kept, allow_pickle=False)
                if stored.ndim == 3 and stored.dtype == np.uint8:
                    return np.asarray(stored)
        made = thumbnail(read_image(path))
        with suppress(SynthError, OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept, overwrite=True) as part, part.open("wb") as file:
                np.save(file, made)
        return made

    def _place(self, path: Path) -> Path:
        try:
            known = path.stat()
        except OSError:
            return self.folder / "missing"
        key = f"{path.absolute()}\0{known.st_size}\0{known.st_mtime_ns}\0{EDGE}"
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:34]}.npy"


def thumbnail(image: Image, edge: int = EDGE) -> Picture:
    """Return a picture of an image: its middle plane, channels brightest on top, dark and bright ends cut off.

    Parameters
    ----------
    image : Image
    edge : int
        Pixels along the longer edge; smaller images keep their size.

    Returns
    -------
    numpy.ndarray, (Y, X, 3), uint8
    """
    from PIL import Image as Pillow

    step = max(1, max(image.sizes["Y"], image.sizes["X"]) // (edge * _FINER))
    at: dict[str, Any] = {axis: size // 2 for axis, size in image.sizes.items() if axis in "TZ"}
    plane = image.read(Y=slice(None, None, step), X=slice(None, None, step), **at)
    left = [axis for axis in image.axes if axis not in "TZ"]
    plane = np.moveaxis(plane, [left.index(axis) for axis in left if axis in "YX"], [-2, -1])
    if "S" in left and image.dtype == np.uint8:
        colours = plane.reshape(-1, *plane.shape[-2:])[:3]
        stretched = np.moveaxis(colours if len(colours) == 3 else np.repeat(colours[:1], 3, 0), 0, -1)
    else:
        layers = plane.reshape(-1, *plane.shape[-2:])[:8]
        gray = np.max([_stretched(layer) for layer in layers], axis=0)
        stretched = np.repeat(gray[..., None], 3, -1)
    picture = Pillow.fromarray(np.ascontiguousarray(stretched, dtype=np.uint8))
    picture.thumbnail((edge, edge), Pillow.Resampling.BOX)
    return np.asarray(picture)


def _stretched(plane: npt.NDArray[Any]) -> Picture:
    """Return a plane as 0 to 255 between two of its percentiles; what is not finite is dark."""
    values = np.asarray(plane, dtype=np.float32)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, _PERCENTILES) if finite.size else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12), 0, 1)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)
