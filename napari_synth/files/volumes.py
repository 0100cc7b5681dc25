"""NIfTI, NRRD and MetaImage: volumes with their spacing."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from napari_synth.core.errors import ImageFileError, MissingExtraError, plain_cause
from napari_synth.imaging.image import Image, guess_axes

_NIFTI = (".nii", ".nii.gz")
_PIECE = 2**20


def read_volume(path: Path) -> Image:
    """Read a volume, or a series of volumes; distances are in millimetres, and times of NIfTI in seconds.

    Raises
    ------
    ImageFileError
        It ends too early, or cannot be decoded.
    MissingExtraError
        SimpleITK is not installed.
    """
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise MissingExtraError.of("medical", f"Files ending in {path.suffix!r}", error) from error
    is_nifti = path.name.lower().endswith(_NIFTI)
    if is_nifti:
        _check_nifti(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with itk_quietly():
            volume = reader.Execute()
    except RuntimeError as error:
        raise ImageFileError(
            f"{path.name!r} cannot be read whole, it is damaged or cut off ({plain_cause(error)}): copy it again."
        ) from error
    data = sitk.GetArrayFromImage(volume)
    n_samples = volume.GetNumberOfComponentsPerPixel()
    # The arrays of SimpleITK have the axes of the file in the opposite order.
    steps = [abs(float(step)) for step in volume.GetSpacing()[::-1]]
    plain = data.shape[: data.ndim - (n_samples > 1)]
    # NIfTI has further values of each voxel behind the times.
    axes = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "CTZYX"}.get(len(plain)) or guess_axes(plain)
    coloured = n_samples in (3, 4) and data.dtype == np.uint8
    spacing = {axis: step for axis, step in zip(axes, steps, strict=True) if axis != "C" and step > 0}
    units = dict.fromkeys((axis for axis in spacing if axis != "T"), "millimeter")
    if "T" in spacing and is_nifti:
        units["T"] = "second"
    if n_samples > 1 and not coloured:
        # Vectors and other values of a voxel are channels.
        data, axes = np.moveaxis(data, -1, 0), f"C{axes}"
    elif coloured:
        axes += "S"
    kept = [index for index, axis in enumerate(axes) if axis in "YXS" or data.shape[index] > 1]
    data = data.reshape([data.shape[index] for index in kept])
    axes = "".join(axes[index] for index in kept)
    return Image(
        data,
        axes,
        {axis: step for axis, step in spacing.items() if axis in axes},
        {axis: unit for axis, unit in units.items() if axis in axes},
    )


@contextmanager
def itk_quietly() -> Iterator[None]:
    """Keep the warnings of ITK off the terminal: what matters of them comes as an error."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _check_nifti(path: Path) -> None:
    """Raise `ImageFileError` where a NIfTI ends too early: SimpleITK fills what is missing."""
    there = path.stat().st_size
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rb") as file:
        head = file.read(352)
        order = "<" if int.from_bytes(head[:4], "little") in (348, 540) else ">"
        if int.from_bytes(head[:4], "little" if order == "<" else "big") != 348 or head[344:347] != b"n+1":
            return
        dims = np.frombuffer(head, f"{order}i2", 8, 40).astype(int)
        bits = int(np.frombuffer(head, f"{order}i2", 1, 72)[0])
        start = int(np.frombuffer(head, f"{order}f4", 1, 108)[0])
        needed = start + prod(int(size) for size in dims[1 : dims[0] + 1]) * bits // 8
        if opened is gzip.open:
            there = len(head)
            while piece := file.read(_PIECE):
                there += len(piece)
    if there < needed:
        raise ImageFileError(f"{path.name!r} ends too early: {needed - there} bytes are missing, copy it again.")
