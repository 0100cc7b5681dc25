"""Resampling of tensors along their axes, with the outer edges of the first and last pixels as the fixed points.

Kernels: Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2; Duchon, "Lanczos filtering in
one and two dimensions", 1979, with three lobes. Where the result is coarser, the kernel is widened, so that nothing is aliased; at
borders its weights are those of the pixels that exist, normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import Kernel
from napari_synth.engine.tiling import Sampling

if TYPE_CHECKING:
    import torch

RADIUS = {"cubic": 2, "lanczos": 3}
"""Pixels on each side that a kernel looks at where the result is not coarser."""


def between(size: int, result: int) -> Sampling:
    """Return the sampling that turns a whole axis of ``size`` pixels into ``result`` pixels."""
    step = Fraction(size, result)
    return Sampling(step / 2 - Fraction(1, 2), step, result, size)


def resized(tensor: torch.Tensor, sizes: Sequence[int], kernel: Kernel = "cubic") -> torch.Tensor:
    """Return a tensor whose last axes have the given sizes.

    Parameters
    ----------
    tensor : torch.Tensor
        Floating point.
    sizes : sequence of int
        One for each of the last axes.
    kernel : {"cubic", "lanczos"}
        As for `resampled`.
    """
    own = tensor.shape[tensor.ndim - len(sizes) :]
    return resampled(tensor, [between(a, b) for a, b in zip(own, sizes, strict=True)], kernel)


def resampled(tensor: torch.Tensor, samplings: Sequence[Sampling], kernel: Kernel = "cubic") -> torch.Tensor:
    """Sample the last axes of a tensor at other positions.

    Parameters
    ----------
    tensor : torch.Tensor
        Floating point.
    samplings : sequence of Sampling
        One for each of the last axes.
    kernel : {"cubic", "lanczos"}

    Returns
    -------
    torch.Tensor
        With ``sampling.count`` pixels along each of these axes.
    """
    import torch

    for axis, sampling in enumerate(samplings, tensor.ndim - len(samplings)):
        if sampling.step == 1 and sampling.first.denominator == 1:
            tensor = tensor.narrow(axis, int(sampling.first), sampling.count)
            continue
        indices, weights = taps(sampling, kernel)
        shape = [1] * tensor.ndim
        shape[axis] = sampling.count
        result: torch.Tensor | None = None
        for index, weight in zip(indices, weights, strict=True):
            picked = tensor.index_select(axis, torch.from_numpy(index).to(tensor.device))
            factor = torch.from_numpy(weight).to(tensor).reshape(shape)
            result = picked.mul_(factor) if result is None else result.addcmul_(picked, factor)
        assert result is not None
        tensor = result
    return tensor


@lru_cache(64)
def taps(sampling: Sampling, kernel: Kernel) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the pixels that every pixel of the result is made of and their weights, each of shape (taps, count)."""
    widening = max(1.0, float(sampling.step))
    support = RADIUS[kernel] * widening
    centres = float(sampling.first) + float(sampling.step) * np.arange(sampling.count)
    index = np.floor(centres - support).astype(np.int64) + 1 + np.arange(ceil(2 * support))[:, None]
    weight = _KERNELS[kernel]((index - centres) / widening)
    weight[(index < 0) | (index >= sampling.valid)] = 0.0
    return np.clip(index, 0, sampling.valid - 1), (weight / weight.sum(0)).astype(np.float32)


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


_KERNELS = {"cubic": _cubic, "lanczos": _lanczos}
