"""Brings arrays of any axes into the order that the engine works in, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ORDER = "TCSZYX"
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64, torch.bool: torch.uint8}
_WIDE = (torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64)


@dataclass(frozen=True)
class Layout:
    """The axes of an array, and how it becomes (T, C, Z, Y, X).

    Where there are C and S both, the samples are the channels, and the channels are mapped over like times.

    Attributes
    ----------
    axes : str
        Roles of the array's dimensions.
    sizes : dict of str to int
        Sizes by axis; those of Z, Y and X may differ from the array's.
    """

    axes: str
    sizes: dict[str, int]

    @property
    def channels(self) -> int:
        """Size of C in the engine's order."""
        return self.sizes.get("S", self.sizes.get("C", 1))

    @property
    def times(self) -> int:
        """Size of T in the engine's order."""
        return self.sizes.get("T", 1) * (self.sizes.get("C", 1) if "S" in self.axes else 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in the engine's order."""
        return (self.times, self.channels, *(self.sizes.get(axis, 1) for axis in "ZYX"))

    def forth(self, array: Tensor) -> Tensor:
        """Return an array as (T, C, Z, Y, X)."""
        ordered = array.permute([self.axes.index(axis) for axis in self._ordered])
        now = dict(zip(self._ordered, ordered.shape, strict=True))
        return ordered.reshape(self.times, self.channels, now.get("Z", 1), now["Y"], now["X"])

    def back(self, array: Tensor) -> Tensor:
        """Return what `forth` gave as an array of these axes, whose Z, Y and X may have changed."""
        now = dict(zip("ZYX", array.shape[2:], strict=True))
        ordered = array.reshape([now.get(axis, self.sizes[axis]) for axis in self._ordered])
        return ordered.permute([self._ordered.index(axis) for axis in self.axes])

    @property
    def _ordered(self) -> str:
        return "".join(axis for axis in _ORDER if axis in self.axes)


def tensor_of(array: Any) -> Tensor:
    """Return an array (numpy, or lazy and read here) as a tensor of its dtype; a tensor as it is."""
    if isinstance(array, Tensor):
        return array
    plain = np.asarray(array)
    dtype = plain.dtype.newbyteorder("=")
    # Torch knows no longer floats, and warns of arrays that may not be written to, though nothing here writes.
    plain = np.ascontiguousarray(plain, dtype=np.float64 if dtype.kind == "f" and dtype.itemsize > 8 else dtype)
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy())


def array_like(tensor: Tensor, source: Any) -> Any:
    """Return a tensor as an array of the source's kind and dtype."""
    if isinstance(source, Tensor):
        return tensor
    return tensor.detach().contiguous().numpy().astype(np.dtype(source.dtype).newbyteorder("="), copy=False)


def exact(tensor: Tensor) -> Tensor:
    """Return a tensor with the same bits in a dtype that every torch operation can move."""
    signed = _SIGNED.get(tensor.dtype)
    return tensor if signed is None else tensor.view(signed)


def from_bits(bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what `exact` gave in its dtype again."""
    # Even a view as the same dtype would cut the gradient.
    return bits if bits.dtype == dtype else bits.view(dtype)


def floating(tensor: Tensor) -> Tensor:
    """Return a tensor as floating point: float64 where float32 does not hold its values."""
    wide = tensor.dtype in _WIDE and tensor.device.type != "mps"
    return tensor.to(torch.float64 if wide else torch.float32)


def counted(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return values as a dtype: rounded, and clipped to what an integer holds."""
    if dtype == values.dtype or dtype.is_floating_point:
        return values.to(dtype)
    limits = torch.iinfo(dtype)
    kind = np.float64 if values.dtype == torch.float64 else np.float32
    top = kind(limits.max)
    # The largest long integers are no floats, and the next one is too large.
    top = np.nextafter(top, kind(0)) if int(top) > limits.max else top
    return values.round().clamp(limits.min, float(top)).to(dtype)


def tensor_dtype(array: Any) -> torch.dtype:
    """Return the dtype of the tensor that `tensor_of` makes of an array."""
    return array.dtype if isinstance(array, Tensor) else tensor_of(np.empty(0, dtype=array.dtype)).dtype
