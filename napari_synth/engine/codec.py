"""Carries blocks of pixels from the image to the device and back: dtypes, normalisation, NaN and rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.device import Device
from napari_synth.engine.tiling import Block
from napari_synth.imaging.intensity import IntensityTransform

if TYPE_CHECKING:
    import torch

_Numbers = float | npt.NDArray[np.float64]

_FINEST = 1e-30
_FITS_FLOAT32 = {np.dtype(name) for name in ("uint8", "int8", "uint16", "int16", "float16", "float32")}


@dataclass(frozen=True)
class Codec:
    """Turns counts of one dtype into normalised tensors on a device, and back.

    Attributes
    ----------
    intensity : tuple of IntensityTransform
        Of each channel that is read, or one for all of them.
    result_intensity : tuple of IntensityTransform
        Of each channel that is returned, or one for all of them.
    device : Device
    dtype : numpy.dtype
        Of the counts that are read.
    result_dtype : numpy.dtype
        Of the counts that are returned: integers are rounded and clipped to what the dtype holds.
    difference : bool
        Whether results are differences of intensities (a spread), which have no offset.
    """

    intensity: tuple[IntensityTransform, ...]
    result_intensity: tuple[IntensityTransform, ...]
    device: Device
    dtype: np.dtype[Any]
    result_dtype: np.dtype[Any]
    difference: bool = False

    def encode(self, counts: npt.NDArray[Any], holes: npt.NDArray[np.bool_] | None = None) -> torch.Tensor:
        """Return normalised float32 intensities on the device, with NaN and inf filled from around them.

        Parameters
        ----------
        counts : array, (N, C, *spatial)
        holes : array of bool, (N, 1, *spatial), optional
            Pixels that are filled from around them as well; they are returned as one more channel.
        """
        import torch

        offset, scale = _numbers(self.intensity, counts.ndim)
        if self.dtype in _FITS_FLOAT32 and _in_float32(self.intensity):
            raw = torch.from_numpy(np.require(counts, requirements=["C", "W"])).to(self.device.torch_name)
            normalised = (raw.to(torch.float32) - _beside(raw, offset)) / _beside(raw, scale)
        else:
            wide = (counts.astype(np.float64) - offset) / scale
            normalised = torch.from_numpy(wide.astype(np.float32)).to(self.device.torch_name)
        if self.dtype.kind != "f" and holes is None:
            return normalised
        known = torch.isfinite(normalised)
        if holes is not None:
            hidden = torch.from_numpy(np.require(holes, requirements=["C", "W"])).to(self.device.torch_name)
            known &= ~hidden
        if not bool(known.all()):
            normalised = _fill(normalised, known)
        return normalised if holes is None else torch.cat((normalised, hidden.to(normalised.dtype)), dim=1)

    def decode(self, normalised: torch.Tensor) -> npt.NDArray[Any]:
        """Return counts in the dtype of the result."""
        import torch

        offset, scale = _numbers(self.result_intensity, normalised.ndim)
        if self.difference:
            offset = 0.0
        if self.result_dtype not in _FITS_FLOAT32 or not _in_float32(self.result_intensity):
            counts = normalised.cpu().numpy().astype(np.float64) * scale + offset
            return _round_and_clip(counts, self.result_dtype)
        counts_on_device = normalised.to(torch.float32) * _beside(normalised, scale) + _beside(normalised, offset)
        if self.result_dtype.kind in "iu":
            limits = np.iinfo(self.result_dtype)
            rounded = counts_on_device.round().clamp(limits.min, limits.max).to(torch.int32)
            return rounded.cpu().numpy().astype(self.result_dtype)
        if self.result_dtype == np.float16:
            counts_on_device = counts_on_device.clamp(-65504, 65504)
        return counts_on_device.cpu().numpy().astype(self.result_dtype)


def mixture(source: Any, result: Any, share: float) -> Any:
    """Return a mixture of a source and a result of the same shape, in the dtype of the result.

    Parameters
    ----------
    source, result : array-like
        numpy or dask, in the same counts.
    share : float
        Of the result, 0 to 1.
    """
    dtype = np.dtype(result.dtype)
    wide = np.result_type(dtype, np.float32 if dtype.itemsize < 4 or dtype.kind == "f" else np.float64)
    before = source.astype(wide)
    mixed = before + share * (result.astype(wide) - before)
    return (mixed.round() if dtype.kind in "iu" else mixed).astype(dtype)


def keep_nonfinite(result: npt.NDArray[Any], source: npt.NDArray[Any], block: Block, *, mixed: bool = False) -> None:
    """Put NaN and inf of a block that was read back into its result, in place: where a pixel has its centre in one of them.

    Parameters
    ----------
    result, source : array, (C, *spatial)
        The result has the sizes that the block gives, the source those that it reads.
    block : Block
    mixed : bool
        Whether every channel of the result is made of all channels of the source: it then is NaN where any of them is lost.
    """
    if source.dtype.kind != "f" or result.dtype.kind != "f" or np.isfinite(source).all():
        return
    origins = block.at_results(source)
    lost = ~np.isfinite(origins)
    if mixed:
        result[:, lost.any(axis=0)] = np.nan
    else:
        result[lost] = origins[lost]


def put_back(
    result: npt.NDArray[Any],
    source: npt.NDArray[Any],
    kept: npt.NDArray[np.bool_],
    block: Block,
    *,
    mixed: bool = False,
    difference: bool = False,
) -> None:
    """Put pixels of a block that was read back into its result, in place: where a pixel has its centre in one of them.

    Parameters
    ----------
    result, source : array, (C, *spatial)
        The result has the sizes that the block gives, the source those that it reads.
    kept : array of bool, (C, *spatial)
        Which pixels of the source.
    block : Block
    mixed : bool
        Whether the result has other channels, in other counts: it then has no value there, NaN or 0.
    difference : bool
        Whether results are differences of intensities: there is none.
    """
    there = block.at_results(kept)
    if mixed:
        result[:, there.any(axis=0)] = np.nan if result.dtype.kind == "f" else 0
    elif difference:
        result[there] = 0
    else:
        result[there] = block.at_results(source)[there].astype(result.dtype)


def _in_float32(transforms: tuple[IntensityTransform, ...]) -> bool:
    """Return whether float32 holds all differences of counts and their quotients."""
    return all(_FINEST < one.scale < 1 / _FINEST and abs(one.offset) < 1 / _FINEST for one in transforms)


def add_back(
    result: npt.NDArray[Any],
    source: npt.NDArray[Any],
    replaced: npt.NDArray[Any],
    outliers: npt.NDArray[np.bool_],
    block: Block,
) -> None:
    """Let outliers stand out of a result as far as they do in the source, in place, where the result has other intensities.

    Parameters
    ----------
    result, source : array, (C, *spatial)
        The result has the sizes that the block gives, the source those that it reads.
    replaced : array, (C, *spatial)
        The source without its outliers.
    outliers : array of bool, (C, *spatial)
    block : Block
    """
    there = block.at_results(outliers)
    if not there.any():
        return
    above = block.at_results(source)[there].astype(np.float64) - block.at_results(replaced)[there]
    result[there] = _round_and_clip(result[there] + above, result.dtype)


def _numbers(transforms: tuple[IntensityTransform, ...], ndim: int) -> tuple[_Numbers, _Numbers]:
    """Return offset and scale: one number for all channels, or an array (1, C, 1, ...) of float64."""
    if len(transforms) == 1:
        return float(transforms[0].offset), float(transforms[0].scale)
    shape = (1, -1, *(1 for _ in range(ndim - 2)))
    offset, scale = (np.array([getattr(one, name) for one in transforms], np.float64) for name in ("offset", "scale"))
    return offset.reshape(shape), scale.reshape(shape)


def _beside(tensor: torch.Tensor, numbers: _Numbers) -> float | torch.Tensor:
    """Return numbers so that float32 tensors on the device of a tensor can be computed with them."""
    import torch

    if isinstance(numbers, float):
        return numbers
    return torch.from_numpy(numbers).to(tensor.device, torch.float32)


def _round_and_clip(counts: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "f":
        ends = np.finfo(dtype)
        return np.clip(counts, float(ends.min), float(ends.max)).astype(dtype)
    limits = np.iinfo(dtype)
    rounded = np.rint(counts)
    # The largest 64-bit integers are no float64: clip below the next float, then mend what was at the top.
    result = np.clip(rounded, limits.min, np.nextafter(float(limits.max), 0)).astype(dtype)
    result[rounded >= float(limits.max)] = limits.max
    return result


def _fill(values: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    """Replace what is not finite by the mean of the finite pixels around it, and by the middle where there are none."""
    import torch

    planes = torch.where(finite, values, 0.0).reshape(-1, 1, *values.shape[-2:])
    weight = finite.reshape(planes.shape).to(planes.dtype)
    filled = torch.full_like(planes, 0.5)
    for window in (31, 7):
        total, share = _mean_around(planes, window), _mean_around(weight, window)
        filled = torch.where(share > 1e-6, total / share.clamp_min(1e-6), filled)
    return torch.where(finite, values, filled.reshape(values.shape))


def _mean_around(planes: torch.Tensor, window: int) -> torch.Tensor:
    """Return the mean over a square window; one axis after the other, which is many times faster on large planes."""
    import torch.nn.functional as F

    rows = F.avg_pool2d(planes, (1, window), stride=1, padding=(0, window // 2))
    return F.avg_pool2d(rows, (window, 1), stride=1, padding=(window // 2, 0))
