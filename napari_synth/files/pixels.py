"""Changes of pixels that a file asks for itself, on arrays that may be lazy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

# How each value of the tag Orientation is turned upright: whether Y and X change places first, then what is turned over.
_UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def changed(data: Any, change: Callable[[Any], Any], dtype: npt.DTypeLike | None = None) -> Any:
    """Return pixels after a change that looks at each by itself; a lazy array stays lazy.

    Parameters
    ----------
    data : array-like
        numpy, dask or zarr.
    change : callable
        Maps an array to another one of the same shape, pixel by pixel.
    dtype : dtype, optional
        Of the result; that of the source where left out.
    """
    if isinstance(data, np.ndarray):
        return change(data)
    return as_dask(data).map_blocks(change, dtype=np.dtype(dtype or data.dtype))


def as_dask(data: Any) -> Any:
    """Return a lazy array as one of dask."""
    import dask.array as da

    return data if hasattr(data, "dask") else da.from_array(data)


def transposed(data: Any, order: list[int]) -> Any:
    """Return pixels with their axes in another order."""
    if order == list(range(len(order))):
        return data
    return data.transpose(order) if isinstance(data, np.ndarray) else as_dask(data).transpose(order)


def samples_last(data: Any, axes: str) -> tuple[Any, str]:
    """Return pixels with the samples of a colour behind everything else."""
    if "S" not in axes or axes.endswith("S"):
        return data, axes
    wanted = axes.replace("S", "") + "S"
    return transposed(data, [axes.index(axis) for axis in wanted]), wanted


def oriented(data: Any, axes: str, orientation: int) -> tuple[Any, bool]:
    """Return pixels upright, as the tag Orientation of TIFF and EXIF says, and whether Y and X have changed places.

    Parameters
    ----------
    data : array-like
    axes : str
        The role of each dimension.
    orientation : int
        The value of the tag, 1 to 8.
    """
    if orientation not in _UPRIGHT:
        return data, False
    swapped, over_y, over_x = _UPRIGHT[orientation]
    if swapped:
        wanted = axes.translate(str.maketrans("YX", "XY"))
        data = transposed(data, [axes.index(axis) for axis in wanted])
    for axis, over in (("Y", over_y), ("X", over_x)):
        if over:
            index = (*(slice(None),) * axes.index(axis), slice(None, None, -1))
            data = data[index] if isinstance(data, np.ndarray) else as_dask(data)[index]
    return data, swapped


def without_bools(data: Any) -> Any:
    """Return pixels of true and false as 1 and 0."""
    return changed(data, lambda values: values.astype(np.uint8), np.uint8) if data.dtype == bool else data


def colours_of_ink(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return cyan, magenta, yellow and black (..., 4) of an unsigned dtype as red, green and blue (..., 3)."""
    top = np.iinfo(values.dtype).max
    light = top - values.astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:4] / top).astype(values.dtype)
