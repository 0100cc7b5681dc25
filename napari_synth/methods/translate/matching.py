"""Gives an image the intensities of another: the same share of pixels above every level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import special_ortho_group
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidImageError, ReferenceImageError
from napari_synth.engine.door import applied
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_planes
from napari_synth.methods.noise_conditioning import full_precision
from napari_synth.methods.translate.catalogue import GENERATORS, Fit, QuantileParams, StrengthParams
from napari_synth.methods.translate.selection import AsItIs, shows_something
from napari_synth.methods.translate.slides import Colours, fit_of, full_scale, sample_colours

Floats = npt.NDArray[np.float64]

LEVELS = 257
_BYTES_PER_PIXEL = 96
_PLANE_BYTES_PER_PIXEL = 160


def shares() -> Floats:
    """Return the shares of pixels whose levels are kept: closer to each other at both ends, where few pixels span much."""
    along: Floats = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, LEVELS))
    return along


def levels(image: Image) -> Floats:
    """Return the levels in counts below which lie `shares` of the finite pixels of each sample, (samples, LEVELS)."""
    parts = [image.select(S=i) for i in range(image.sizes["S"])] if "S" in image.axes else [image]
    found = []
    for part in parts:
        pixels = np.concatenate([plane.ravel() for plane in sample_planes(part)])
        finite = pixels[np.isfinite(pixels)].astype(np.float64)
        if len(finite) == 0:
            raise InvalidImageError("A colour has no finite pixel: there is nothing to match.")
        found.append(np.quantile(finite, shares()))
    return np.stack(found)


@dataclass(frozen=True)
class Curve:
    """A rising, piecewise linear map of intensities.

    Attributes
    ----------
    before, after : numpy.ndarray, (points,)
        What goes where; ``before`` rises strictly.
    """

    before: Floats
    after: Floats

    @classmethod
    def between(cls, own: Floats, target: Floats) -> Curve:
        """Return the map from one set of levels to another; what is equal before goes to the mean of what it would."""
        before, first = np.unique(own, return_index=True)
        bounds = np.append(first, len(own))
        sums = np.concatenate([[0.0], np.cumsum(target)])
        return cls(before, (sums[bounds[1:]] - sums[bounds[:-1]]) / np.diff(bounds))

    def of(self, values: Tensor) -> Tensor:
        """Map values of any shape; beyond the ends, differences are kept in proportion to the whole."""
        before, after = (values.new_tensor(v.tolist()) for v in (self.before, self.after))
        if len(before) == 1:
            return values + (after - before)
        right = torch.searchsorted(before, values.contiguous()).clamp(1, len(before) - 1)
        slope = (after[1:] - after[:-1]) / (before[1:] - before[:-1])
        inside = after[right - 1] + (values.clamp(before[0], before[-1]) - before[right - 1]) * slope[right - 1]
        beyond = values - values.clamp(before[0], before[-1])
        return inside + beyond * ((after[-1] - after[0]) / (before[-1] - before[0]))


class QuantileMatched(Prepared):
    """An image whose intensities go where those of a reference are.

    Parameters
    ----------
    curves : list of Curve
        One a sample, in normalised intensities.
    strength : float
    """

    def __init__(self, curves: list[Curve], strength: float) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._curves, self._strength = curves, strength

    def apply(self, block: Tensor) -> Tensor:
        """Map blocks (N, samples, H, W); see `Prepared.apply`."""
        matched = torch.stack([curve.of(block[:, i]) for i, curve in enumerate(self._curves)], dim=1)
        return block + self._strength * (matched - block)


class PlanesMatched(Prepared):
    """A stack whose planes are each given the intensities of a reference.

    Parameters
    ----------
    target : numpy.ndarray, (samples, LEVELS)
        Normalised.
    strength : float
    """

    def __init__(self, target: Floats, strength: float) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_PLANE_BYTES_PER_PIXEL)
        self._target, self._strength = target, strength

    @property
    def is_pointwise(self) -> bool:
        """Levels of a whole plane, on which a few pixels have no influence."""
        return True

    def apply(self, block: Tensor) -> Tensor:
        """Match planes (N, samples, Y, X), each on its own; see `Prepared.apply`."""
        result = torch.empty_like(block)
        for n, i in np.ndindex(*block.shape[:2]):
            plane = block[n, i]
            own = np.interp(
                shares() * (plane.numel() - 1), np.arange(plane.numel()), plane.flatten().sort().values.cpu().numpy()
            )
            result[n, i] = Curve.between(own, self._target[i]).of(plane)
        return block + self._strength * (result - block)


def prepare_quantile_matching(image: Image, params: QuantileParams, context: Context) -> Prepared:
    """Measure the levels of an image and of its reference.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    ReferenceImageError
        The reference has intensities that the image's dtype cannot hold.
    """
    context.report.start("Measuring the intensities")
    samples = image.sizes.get("S", 1)

    def learn(reference: Image) -> Fit:
        return {"levels": tuple(levels(reference).ravel())}

    fit = fit_of(params, context, {"levels": samples * LEVELS}, learn)
    own = levels(image)
    target = own if fit is None else np.maximum.accumulate(np.reshape(fit["levels"], (samples, LEVELS)), axis=1)
    _check_range(image, target)
    is_stack = any(image.sizes.get(axis, 1) > 1 for axis in "TZ")
    each = params.match == "each plane" or (params.match == "auto" and fit is None and is_stack)
    # Subtracted in float64: an offset may be large against the spread.
    before, after = ((v - context.intensity.offset) / context.intensity.scale for v in (own, target))
    prepared: Prepared
    if fit is not None and not shows_something(image):
        prepared = AsItIs()
    elif each:
        prepared = PlanesMatched(after, params.strength)
    else:
        prepared = QuantileMatched([Curve.between(b, a) for b, a in zip(before, after, strict=True)], params.strength)
    if fit is None:
        prepared.notes = (
            "No reference is given: every plane is brought to the intensities of the whole stack."
            if each and is_stack
            else "No reference is given, and nothing else to match: the image stays as it is.",
        )
    else:
        prepared.resolved = {"fitted": [{"levels": list(fit["levels"])}]}
    return prepared


def _check_range(image: Image, target: Floats) -> None:
    if image.dtype.kind not in "iu":
        return
    limits: tuple[int, int] = (np.iinfo(image.dtype).min, np.iinfo(image.dtype).max)
    if target.min() < limits[0] or target.max() > limits[1]:
        raise ReferenceImageError(
            f"The reference image has intensities from {target.min():g} to {target.max():g}, which an image of"
            f" {image.dtype} cannot hold: convert one of them."
        )


_TURNS = 16
_STEPS = 1024
_TRANSPORT_BYTES_PER_PIXEL = 160


@dataclass(frozen=True)
class Turn:
    """One step of the transport: three directions at right angles, and a curve along each.

    Attributes
    ----------
    axes : numpy.ndarray, (3, 3)
        A direction a row.
    start, width : numpy.ndarray, (3,)
        Where the curve along each direction begins, and the distance of its points.
    shift : numpy.ndarray, (3, points)
        How far colours move there.
    """

    axes: Colours
    start: Colours
    width: Colours
    shift: Colours

    @classmethod
    def between(cls, own: Colours, target: Colours, axes: Colours) -> Turn:
        """Return the step that brings colours (pixels, 3) to others along three directions.

        Parameters
        ----------
        own, target : array, (pixels, 3)
            The colours, and those that they are brought to.
        axes : array, (3, 3)
            The three directions.
        """
        before, after = np.sort(own @ axes.T, axis=0), np.sort(target @ axes.T, axis=0)
        start, width = before[0], np.maximum(np.ptp(before, axis=0) / (_STEPS - 1), 1e-9)
        points = start + width * np.arange(_STEPS)[:, None]
        rank = (np.arange(len(before)) + 0.5) / len(before)
        wanted = (np.arange(len(after)) + 0.5) / len(after)
        curves = []
        for i in range(3):
            reached = np.interp(rank, wanted, after[:, i])
            # Equal colours before stay equal: they go to the mean of where they would.
            level, first, count = np.unique(before[:, i], return_index=True, return_counts=True)
            curves.append(np.interp(points[:, i], level, np.add.reduceat(reached, first) / count) - points[:, i])
        return cls(axes, start, width, np.stack(curves))

    def of(self, colours: Tensor) -> Tensor:
        """Move colours (N, 3, pixels)."""
        axes, start, width, shift = (
            torch.as_tensor(v, dtype=colours.dtype, device=colours.device)
            for v in (self.axes, self.start, self.width, self.shift)
        )
        along = ((axes @ colours) - start.view(3, 1)) / width.view(3, 1)
        along = along.clamp_(0.0, _STEPS - 1.0)
        left = along.long().clamp_max_(_STEPS - 2)
        share = along - left
        flat, place = shift.flatten(), left + torch.arange(3, device=colours.device).view(3, 1) * _STEPS
        moved = torch.lerp(flat[place], flat[place + 1], share)
        return colours + axes.T @ moved


class Transported(Prepared):
    """An image whose colours go where those of a reference are.

    Parameters
    ----------
    turns : list of Turn
        In normalised intensities.
    strength : float
    """

    def __init__(self, turns: list[Turn], strength: float) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_TRANSPORT_BYTES_PER_PIXEL)
        self._turns, self._strength = turns, strength

    def apply(self, block: Tensor) -> Tensor:
        """Move the colours of blocks (N, 3, H, W); see `Prepared.apply`."""
        with full_precision(block):
            return block + self._strength * (moved(block.flatten(2), self._turns).view(block.shape) - block)


def moved(colours: Tensor, turns: list[Turn]) -> Tensor:
    """Move colours (N, 3, pixels) by all turns."""
    for turn in turns:
        colours = turn.of(colours)
    return colours


def prepare_transport(image: Image, params: StrengthParams, context: Context) -> Prepared:
    """Find the way from the colours of an image to those of its reference.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    ReferenceImageError
        There is none.
    """
    if context.reference is None:
        raise ReferenceImageError(
            "Colour transfer needs a reference image: say which image the result should look like."
        )
    if not shows_something(image):
        return AsItIs()
    own = sample_colours(image, context.seed)
    target = sample_colours(context.reference, context.seed)
    if image.dtype != context.reference.dtype:
        target = target * (full_scale(image) / full_scale(context.reference))
    own, target = ((c - context.intensity.offset) / context.intensity.scale for c in (own, target))
    context.report.start("Finding the way between the colours", _TURNS)
    rng = np.random.default_rng(context.seed)
    turns: list[Turn] = []
    for i in range(_TURNS):
        axes = np.eye(3) if i == 0 else special_ortho_group.rvs(3, random_state=rng)
        turn = Turn.between(own, target, axes)
        own = turn.of(torch.from_numpy(own.T.copy())[None])[0].numpy().T
        turns.append(turn)
        context.report.advance()
    return Transported(turns, params.strength)


def match_quantiles(
    image: npt.ArrayLike, reference: npt.ArrayLike, axes: str = "YX", *, strength: float = 1.0
) -> npt.NDArray[Any]:
    """Give an image the distribution of intensities of another, by one rising curve a channel.

    Parameters
    ----------
    image : array-like
        Of the dimensions in ``axes``, any real dtype.
    reference : array-like
        Of the same axes and channels, any size.
    axes : str
        One letter a dimension out of TCZYXS; "YXS" for RGB.
    strength : float
        0 (as it is) to 1 (all the way).

    Returns
    -------
    numpy.ndarray
        Shape and dtype of the image.

    Raises
    ------
    SynthError
        The images do not fit each other, or the reference shows nothing (`ReferenceImageError`).
    """
    return applied(GENERATORS["translate/quantile-matching"], image, axes, {"strength": strength}, reference)


def transfer_colours(image: npt.ArrayLike, reference: npt.ArrayLike, *, strength: float = 1.0) -> npt.NDArray[Any]:
    """Give an RGB image the distribution of colours of another, channels together.

    Parameters
    ----------
    image, reference : array-like, (Y, X, 3)
        RGB, any real dtype; of any sizes.
    strength : float
        0 (as it is) to 1 (all the way).

    Returns
    -------
    numpy.ndarray, (Y, X, 3)
        In the dtype of the image.

    Raises
    ------
    SynthError
        One of the images is not RGB, or the reference shows nothing (`ReferenceImageError`).

    References
    ----------
    Pitié, Kokaram, Dahyot, "Automated colour grading using colour distribution transfer", CVIU 2007; Rabin, Peyré, Delon, Bernot,
    "Wasserstein barycenter and its application to texture mixing", SSVM 2011.
    """
    return applied(GENERATORS["translate/colour-transfer"], image, "YXS", {"strength": strength}, reference)
