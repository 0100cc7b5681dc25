"""The bias field of magnetic resonance: coils receive the near side of a body brighter than the far one.

N4 finds the smooth field without which the intensities of a volume fall into the sharpest histogram. It runs on a coarse copy, and
what it finds is kept as polynomials along the axes: a block asks where it lies and is divided by the field there.

References
----------
Tustison et al., "N4ITK: improved N3 bias correction", IEEE Transactions on Medical Imaging 29 (2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidImageError, InvalidParameterError, MissingExtraError, SynthError
from napari_synth.imaging.image import Image
from napari_synth.methods.correct.catalogue import BiasFieldParams, Fit

Doubles = npt.NDArray[np.float64]

# Pixels along each axis of the copy that is looked at.
_COARSE = 32
_FEWEST, _SMALLEST = 64, 8
_CONVERGED = 1e-3
_CONTROL_POINTS = 4
# Polynomials along each axis, which tell a field of three levels to a fifth of a percent.
_ORDER = 7
# Of the threshold between background and signal: the far side of a body is dark.
_SIGNAL = 0.5
_DARKEST = 0.05
_DIGITS = 6
_BYTES_PER_PIXEL = 48


class Evened(Prepared):
    """An image that is divided by a smooth field.

    Parameters
    ----------
    coefficients : Tensor, (K, ...)
        Of Legendre polynomials along `axes`: the logarithm of the field.
    axes : str
        ``"YX"`` or ``"ZYX"``.
    sizes : mapping of str to int
        Of the image, by axis.
    zero : float
        Normalised intensity of no counts.
    place : mapping of str to slice, optional
        Where the blocks lie; the whole image where left out.
    """

    is_placed = True

    def __init__(
        self,
        coefficients: Tensor,
        axes: str,
        sizes: Mapping[str, int],
        zero: float,
        place: Mapping[str, slice] | None = None,
    ) -> None:
        dims = len(axes)
        self.spec = BlockSpec(axes, (0,) * dims, (1,) * dims, (1,) * dims, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._coefficients, self._sizes, self._zero = coefficients, sizes, zero
        self._place = place or {axis: slice(0, sizes[axis]) for axis in axes}
        self.noise_level, self.multiplies = 0.0, True

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what corrects the blocks at one place; see `Prepared.at`."""
        return Evened(self._coefficients, self.spec.axes, self._sizes, self._zero, place)

    def apply(self, block: Tensor) -> Tensor:
        """Divide one batch of blocks by the field; see `Prepared.apply`."""
        return (block - self._zero) * self.gains(block) + self._zero

    def gains(self, block: Tensor) -> Tensor:
        """Return how much brighter pixels are made; see `Prepared.gains`."""
        return (1.0 / self._field.clamp_min(_DARKEST)).to(block).expand_as(block)

    @property
    def learnt(self) -> dict[str, tuple[str, npt.NDArray[np.float32]]]:
        """What was learnt, as images with their axes, by name."""
        return {"bias field": (self.spec.axes, self._field.numpy().astype(np.float32))}

    @cached_property
    def _field(self) -> Tensor:
        axes = self.spec.axes
        return field(
            self._coefficients, [self._sizes[axis] for axis in axes], [self._place[axis] for axis in axes]
        ).exp()


def field(coefficients: Tensor, sizes: list[int], part: list[slice]) -> Tensor:
    """Return a part of a smooth field of any size from its polynomials.

    Parameters
    ----------
    coefficients : Tensor, (K, ...)
        Of Legendre polynomials along each axis.
    sizes : list of int
        Of the whole field along each axis.
    part : list of slice
        The pixels that are wanted.
    """
    result = coefficients
    for size, wanted in zip(sizes, part, strict=True):
        # The axis in front goes behind the others: after all of them, they are in order again.
        result = torch.tensordot(result, _polynomials(size, wanted, len(coefficients)), dims=([0], [1]))
    return result


def _polynomials(size: int, part: slice, order: int) -> Tensor:
    """Return Legendre polynomials at a part of so many pixels, (pixels, order)."""
    at = 2.0 * (np.arange(part.start, part.stop) + 0.5) / size - 1.0
    return torch.from_numpy(np.polynomial.legendre.legvander(at, order - 1))


def prepare_bias_field(image: Image, params: BiasFieldParams, context: Context) -> Prepared:
    """Find the field, or take that of a recipe.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    InvalidImageError
        No field can be found.
    InvalidParameterError
        What a recipe holds is of another size than the image, or of fewer channels.
    MissingExtraError
        SimpleITK is not installed.
    """
    axes = "ZYX" if image.sizes.get("Z", 1) > 1 else "YX"
    sizes = {axis: image.sizes[axis] for axis in axes}
    notes: tuple[str, ...] = ()
    if params.fitted is not None:
        coefficients = _held(params.fitted, context.channel or 0, sizes)
    else:
        coarse = _coarse(image, axes)
        mask = _signal(coarse)
        if mask.sum() < _FEWEST or min(sizes["Y"], sizes["X"]) < _SMALLEST:
            coefficients = torch.zeros((_ORDER,) * len(axes), dtype=torch.float64)
            notes = ("There is hardly any signal to learn a field from: the image stays as it is.",)
        else:
            coefficients = _fitted(coarse, mask, params, context)
            shown = field(coefficients, [_COARSE] * len(axes), [slice(0, _COARSE)] * len(axes)).exp()
            notes = (
                f"The field goes from {float(shown.min()):.2f} to {float(shown.max()):.2f} of its usual strength.",
            )
    zero = -context.intensity.offset / context.intensity.scale
    prepared = Evened(coefficients, axes, sizes, zero)
    prepared.notes = notes
    numbers = tuple(float(f"{value:.{_DIGITS}g}") for value in coefficients.ravel().tolist())
    prepared.resolved = {"fitted": [{"field": numbers, "size": tuple(float(size) for size in sizes.values())}]}
    return prepared


def _coarse(image: Image, axes: str) -> Doubles:
    """Return the image averaged to few pixels, and over all axes that the field does not have."""
    kept = [axis for axis in image.axes if axis in axes]
    lead = [axis for axis in image.axes if axis not in axes]
    edges = [min(_COARSE, image.sizes[axis]) for axis in axes]
    total, weight = np.zeros(edges), np.zeros(edges)
    for index in np.ndindex(*(image.sizes[axis] for axis in lead)):
        volume = image.read(**dict(zip(lead, index, strict=True))).astype(np.float64)
        volume = volume.transpose([kept.index(axis) for axis in axes])
        finite = np.isfinite(volume)
        # Pixels without a value say nothing, and are not dark.
        total += _pooled(np.where(finite, volume, 0.0), edges)
        weight += _pooled(finite.astype(np.float64), edges)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)


def _pooled(volume: Doubles, edges: list[int]) -> Doubles:
    """Return the mean of a volume over so many parts along each axis."""
    pixels = torch.from_numpy(np.ascontiguousarray(volume))[None, None]
    return np.asarray(functional.interpolate(pixels, size=edges, mode="area")[0, 0])


def _signal(volume: Doubles) -> npt.NDArray[np.bool_]:
    """Return where a coarse volume is brighter than its background; nowhere where all is alike."""
    from skimage.filters import threshold_otsu

    if np.ptp(volume) == 0:
        return np.zeros(volume.shape, bool)
    return np.asarray(volume > max(_SIGNAL * float(threshold_otsu(volume)), 0.0))


def _fitted(volume: Doubles, mask: npt.NDArray[np.bool_], params: BiasFieldParams, context: Context) -> Tensor:
    """Return the polynomials of the logarithm of the field that N4 finds in the signal of a coarse volume."""
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise MissingExtraError.of("medical", "The correction of bias fields", error) from error
    image = sitk.GetImageFromArray((volume / volume.max() * 1000.0).clip(0.0).astype(np.float32))
    levels = [params.iterations] * params.levels
    context.report.start("Finding the field", sum(levels))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(levels)
    n4.SetConvergenceThreshold(_CONVERGED)
    n4.SetNumberOfControlPoints([_CONTROL_POINTS] * volume.ndim)
    n4.SetNumberOfThreads(torch.get_num_threads())

    stopped: list[SynthError] = []

    def step() -> None:
        # An exception would not come through the C++ that calls this.
        try:
            context.report.advance()
        except SynthError as error:
            stopped.append(error)
            n4.Abort()

    n4.AddCommand(sitk.sitkIterationEvent, step)
    try:
        n4.Execute(image, sitk.GetImageFromArray(mask.astype(np.uint8)))
    except RuntimeError as error:
        raise InvalidImageError(
            "No smooth field was found in the image: check that it shows a body before a dark background."
        ) from error
    if stopped:
        raise stopped[0]
    found = np.asarray(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)), np.float64)
    # The mean of the signal stays what it was.
    found += np.log((volume * np.exp(-found))[mask].sum() / volume[mask].sum())
    return _as_polynomials(found)


def _as_polynomials(values: Doubles) -> Tensor:
    """Return the polynomials nearest to a field, along each axis as many as there are pixels for."""
    result = values
    for size in values.shape:
        order = min(_ORDER, size)
        basis = np.asarray(_polynomials(size, slice(0, size), order))
        solved = np.zeros((_ORDER, size))
        solved[:order] = np.linalg.pinv(basis)
        result = np.tensordot(result, solved, axes=([0], [1]))
    return torch.from_numpy(np.ascontiguousarray(result))


def _held(fitted: tuple[Fit, ...], channel: int, sizes: Mapping[str, int]) -> Tensor:
    """Return what a recipe holds of the field of a channel."""
    if len(fitted) > 1 and channel >= len(fitted):
        raise InvalidParameterError(
            f"The recipe holds the fields of {len(fitted)} channels, and the image has more: find them anew."
        )
    fit = fitted[min(channel, len(fitted) - 1)]
    dims = len(sizes)
    if len(fit.get("size", ())) != dims or len(fit.get("field", ())) != _ORDER**dims:
        raise InvalidParameterError(
            "The fitted fields are not those of a bias field of this kind of image: take them from a recipe of this method."
        )
    if tuple(fit["size"]) != tuple(sizes.values()):
        have, want = (" x ".join(f"{int(size)}" for size in one) for one in (fit["size"], sizes.values()))
        raise InvalidParameterError(
            f"The recipe holds the field of {have} pixels, and the image has {want}: find it anew."
        )
    return torch.tensor(fit["field"], dtype=torch.float64).reshape((_ORDER,) * dims)
