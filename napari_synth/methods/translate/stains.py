"""Takes the two stains of a slide apart, and puts those of another in their place.

Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009. Vahadane et al.,
"Structure-preserving color normalization and sparse stain separation for histological images", IEEE TMI 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import ReferenceImageError
from napari_synth.engine.door import applied
from napari_synth.imaging.image import Image
from napari_synth.methods.noise_conditioning import full_precision
from napari_synth.methods.translate.catalogue import GENERATORS, Fit, Show, SlideParams, StainParams
from napari_synth.methods.translate.slides import Colours, Light, Slide, fit_of, is_mark, optical_density, tissue_weight

Separate = Callable[[Colours], Colours]
"""Finds the directions of two stains, (3, 2), in the optical densities of tissue, (pixels, 3)."""

BYTES_PER_PIXEL = 200
_EXTREME = 1.0
_STRONGEST = 99.0
# In degrees. Haematoxylin and eosin lie 22 apart.
_ONE_STAIN, _PARALLEL = 8.0, 4.0
_WEAKEST = 0.05
_MOST_CHANGE = 5.0
_SPARSITY = 0.1
_ROUNDS = 60
_MOST_PIXELS = 2**13


@dataclass(frozen=True)
class Stains:
    """Two stains, haematoxylin first.

    Attributes
    ----------
    vectors : numpy.ndarray, (3, 2)
        Their optical densities in red, green and blue, of length 1.
    maxima : numpy.ndarray, (2,)
        How strong each is where it is strongest (99th percentile over tissue).
    alone : bool
        Whether one of the vectors is not the slide's own, since it shows one stain alone.
    """

    vectors: Colours
    maxima: Colours
    alone: bool = False

    @classmethod
    def of(cls, tissue: Colours, separate: Separate) -> Stains:
        """Measure the stains of tissue, given as optical densities (pixels, 3)."""
        vectors = _ordered(separate(tissue))
        alone = _angle(*vectors.T) < _ONE_STAIN
        if alone:
            vectors = _completed(tissue.mean(axis=0))
        return cls(vectors, np.percentile(concentrations(tissue, vectors), _STRONGEST, axis=0), alone)

    @classmethod
    def from_fit(cls, fit: Fit) -> Stains:
        """Return what `fit` gave."""
        return cls(np.array(fit["stains"]).reshape(2, 3).T, np.array(fit["maxima"]))

    def fit(self) -> Fit:
        """Return the numbers that describe them."""
        return {"stains": tuple(self.vectors.T.ravel()), "maxima": tuple(self.maxima)}


# Of the published reference slide that implementations of Macenko's method have in common.
STANDARD = Stains(
    np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]]),
    np.array([1.9705, 1.0308]),
)


class StainPrepared(Prepared):
    """A slide whose stains are known.

    Parameters
    ----------
    light : Light
    own, target : Stains
        Of the slide, and of the reference.
    show : {"normalised", "haematoxylin", "eosin", "residual"}
    strength : float
    marked : bool
        Whether it has marks of a pen, which stay as they are.
    """

    def __init__(
        self, light: Light, own: Stains, target: Stains, show: Show, strength: float, *, marked: bool = False
    ) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=BYTES_PER_PIXEL)
        self._light, self._own, self._show, self._strength, self._marked = light, own, show, strength, marked
        change = np.where(own.maxima > _WEAKEST, target.maxima / np.maximum(own.maxima, _WEAKEST), 1.0)
        self._target = target.vectors * change.clip(1 / _MOST_CHANGE, _MOST_CHANGE)

    def apply(self, block: Tensor) -> Tensor:
        """Exchange the stains of blocks (N, 3, H, W), or show one; see `Prepared.apply`."""
        with full_precision(block):
            transmitted = self._light.transmitted(block)
            marks = is_mark(transmitted) if self._marked else None
            density = optical_density(transmitted)
            stains = _concentrations(density, self._own.vectors)
            if self._show in ("haematoxylin", "eosin"):
                which = slice(0, 1) if self._show == "haematoxylin" else slice(1, 2)
                return self._light.normalised(_mixed(stains[:, which], -self._target[:, which]).exp_())
            if self._show == "residual":
                return self._light.normalised((_mixed(stains, self._own.vectors) - density).exp_())
            # What neither stain explains stays: the density changes by the difference of the stains.
            changed = _mixed(stains, self._own.vectors - self._target).sub_(density).exp_()
            changed = self._light.normalised(changed)
            weight = tissue_weight(density).mul_(self._strength)
            if marks is not None:
                weight.masked_fill_(marks, 0.0)
            return changed.sub_(block).mul_(weight).add_(block)


def prepare_stains(image: Image, params: StainParams, context: Context, separate: Separate) -> StainPrepared:
    """Measure the stains of a slide and of its reference.

    Parameters
    ----------
    image, params, context
        As for `Generator.prepare`.
    separate : callable
        Finds the vectors of the two stains.

    Raises
    ------
    ReferenceImageError
        The reference image has no tissue.
    """
    context.report.start("Measuring the stains")

    def learn(reference: Image) -> Fit:
        slide = Slide.of(reference, seed=context.seed)
        if slide.is_empty:
            raise ReferenceImageError(
                "No tissue is found in the reference image: give a stained slide in transmitted light."
            )
        return Stains.of(slide.tissue, separate).fit()

    fit = fit_of(params, context, {"stains": 6, "maxima": 2}, learn)
    target = STANDARD if fit is None else Stains.from_fit(fit)
    slide = Slide.of(image, params.white, context.seed)
    own = target if slide.is_empty else Stains.of(slide.tissue, separate)
    light = Light(slide.white, context)
    prepared = StainPrepared(light, own, target, params.show, params.strength, marked=bool(slide.marks))
    prepared.notes = slide_notes(slide, fit)
    if own.alone:
        prepared.notes += ("One stain alone is found: the other is taken for the standard one.",)
    prepared.resolved = resolved(fit)
    return prepared


def slide_notes(slide: Slide, fit: Fit | None) -> tuple[str, ...]:
    """Say what a slide is normalised to."""
    if slide.is_empty:
        return ("No tissue is found: the image stays as it is.", *slide.mark_notes())
    said = "No reference is given: the slide is brought to a standard haematoxylin and eosin stain."
    return (*((said,) if fit is None else ()), *slide.mark_notes())


def resolved(fit: Fit | None) -> dict[str, Any]:
    """Return what the recipe keeps of a reference."""
    return {} if fit is None else {"fitted": [{name: list(values) for name, values in fit.items()}]}


def by_extreme_angles(tissue: Colours) -> Colours:
    """Find two stains as the extreme directions in the plane that holds most of the optical density (Macenko)."""
    _, axes = np.linalg.eigh(np.cov(tissue.T))
    plane = axes[:, :0:-1] * np.where(axes[:, :0:-1].sum(axis=0) < 0, -1.0, 1.0)
    along = tissue @ plane
    angles = np.percentile(np.arctan2(along[:, 1], along[:, 0]), [_EXTREME, 100.0 - _EXTREME])
    return _unit(np.maximum(plane @ np.stack([np.cos(angles), np.sin(angles)]), 0.0))


def by_sparse_factors(tissue: Colours) -> Colours:
    """Find two stains so that most pixels need little of either: a sparse non-negative factorisation (Vahadane)."""
    if len(tissue) > _MOST_PIXELS:
        tissue = tissue[np.linspace(0, len(tissue) - 1, _MOST_PIXELS).astype(int)]
    vectors = by_extreme_angles(tissue)
    if _angle(*vectors.T) < _ONE_STAIN:
        return vectors
    for _ in range(_ROUNDS):
        amounts = concentrations(tissue, vectors, _SPARSITY)
        gram = amounts.T @ amounts
        # A stain that no pixel needs any more keeps its direction.
        if np.linalg.det(gram) < 1e-9 * max(np.trace(gram), 1e-12) ** 2:
            return vectors
        vectors = _unit(np.maximum(np.linalg.solve(gram, amounts.T @ tissue).T, 0.0))
    return vectors


def concentrations(tissue: Colours, vectors: Colours, sparsity: float = 0.0) -> Colours:
    """Return how much of each stain explains optical densities (pixels, 3), never negative, shape (pixels, 2).

    Parameters
    ----------
    tissue : array, (pixels, 3)
        Optical densities.
    vectors : array, (2, 3)
        Of the two stains.
    sparsity : float
        The penalty on each concentration, in optical density; 0 for none.
    """
    found = _concentrations(torch.from_numpy(np.ascontiguousarray(tissue.T))[None, :, None], vectors, sparsity)
    amounts: Colours = found[0, :, 0].numpy().T
    return amounts


def _concentrations(density: Tensor, vectors: Colours, sparsity: float = 0.0) -> Tensor:
    """Solve the non-negative least squares of two unknowns for every pixel (N, 3, H, W), in closed form."""
    overlap = float(vectors[:, 0] @ vectors[:, 1])
    along = _mixed(density, vectors.T).sub_(sparsity / 2)
    both = _mixed(along, np.array([[1.0, -overlap], [-overlap, 1.0]]) / (1.0 - overlap**2))
    first, second = both[:, :1], both[:, 1:]
    # Where one would be negative, the other explains the pixel alone.
    alone = along.clamp_min_(0.0)
    only_second, only_first = first < 0, second < 0
    first = torch.where(only_first, alone[:, :1], first).masked_fill_(only_second, 0.0)
    second = torch.where(only_second, alone[:, 1:], second).masked_fill_(only_first, 0.0)
    return torch.cat((first, second), dim=1)


def _mixed(planes: Tensor, matrix: Colours) -> Tensor:
    """Multiply the channels of (N, I, H, W) with a matrix (O, I)."""
    weight = torch.as_tensor(matrix.tolist(), dtype=planes.dtype, device=planes.device)
    return (weight @ planes.flatten(2)).view(planes.shape[0], -1, *planes.shape[-2:])


def _unit(vectors: Colours) -> Colours:
    """Return vectors (3, 2) of length 1; one of length 0 as gray."""
    length = np.linalg.norm(vectors, axis=0)
    return np.where(length > 0, vectors / np.where(length > 0, length, 1.0), 3**-0.5)


def _ordered(vectors: Colours) -> Colours:
    """Put haematoxylin first: it takes more of the red."""
    return vectors if vectors[0, 0] >= vectors[0, 1] else vectors[:, ::-1]


def _completed(mean: Colours) -> Colours:
    """Return two stains where tissue shows one: its own direction, and the standard's other."""
    own = _unit(np.maximum(mean, 0.0)[:, None])[:, 0]
    nearer = int(_angle(own, STANDARD.vectors[:, 0]) > _angle(own, STANDARD.vectors[:, 1]))
    vectors = _unit(STANDARD.vectors)
    vectors[:, nearer] = own
    return vectors if _angle(*vectors.T) > _PARALLEL else _unit(STANDARD.vectors)


def _angle(first: Colours, second: Colours) -> float:
    """Return the angle in degrees between two vectors of length 1."""
    return float(np.degrees(np.arccos(np.clip(first @ second, -1.0, 1.0))))


def prepare_macenko(image: Image, params: StainParams, context: Context) -> Prepared:
    """Measure the stains.

    For its parameters see `Generator.prepare`.
    """
    return prepare_stains(image, params, context, by_extreme_angles)


def prepare_vahadane(image: Image, params: StainParams, context: Context) -> Prepared:
    """Measure the stains.

    For its parameters see `Generator.prepare`.
    """
    return prepare_stains(image, params, context, by_sparse_factors)


_BYTES_PER_PIXEL = 200
_STEPS = 48
_REINHARD_STRONGEST = 0.99


@dataclass(frozen=True)
class LabStatistics:
    """The mean and the standard deviation of tissue along L, a and b, each (3,)."""

    mean: Colours
    std: Colours

    @classmethod
    def of(cls, tissue: Colours) -> LabStatistics:
        """Measure tissue, given as optical densities (pixels, 3)."""
        transmitted = torch.from_numpy(np.exp(-tissue.T).copy())[None, :, None]
        lab = rgb_to_lab(transmitted)[0, :, 0].numpy()
        return cls(lab.mean(axis=1), lab.std(axis=1))


@cache
def _standard() -> LabStatistics:
    """Measure tissue with the standard stains whose amounts fall off exponentially, as they about do in slides."""
    share = (np.arange(_STEPS) + 0.5) / _STEPS
    amount = np.log1p(-share) / np.log1p(-_REINHARD_STRONGEST)
    both = np.stack(np.meshgrid(*(amount * strongest for strongest in STANDARD.maxima)), axis=-1).reshape(-1, 2)
    return LabStatistics.of(both @ STANDARD.vectors.T)


class ReinhardPrepared(Prepared):
    """A slide whose colours are known.

    Parameters
    ----------
    light : Light
    own, target : LabStatistics
    strength : float
    marked : bool
        Whether it has marks of a pen, which stay as they are.
    """

    def __init__(
        self, light: Light, own: LabStatistics, target: LabStatistics, strength: float, *, marked: bool = False
    ) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._light, self._strength, self._marked = light, strength, marked
        spread = target.std / np.maximum(own.std, 1e-6)
        self._gain = np.where(own.std > 1e-6, spread.clip(1 / _MOST_CHANGE, _MOST_CHANGE), 1.0)
        self._offset = target.mean - self._gain * own.mean

    def apply(self, block: Tensor) -> Tensor:
        """Move the colours of blocks (N, 3, H, W); see `Prepared.apply`."""
        with full_precision(block):
            transmitted = self._light.transmitted(block)
            lab = rgb_to_lab(transmitted.clamp_min(0.0))
            gain, offset = (block.new_tensor(v.tolist()).view(1, 3, 1, 1) for v in (self._gain, self._offset))
            changed = self._light.normalised(lab_to_rgb(lab * gain + offset, clip=False))
            weight = self._strength * tissue_weight(optical_density(transmitted.clone()))
            if self._marked:
                weight = weight.masked_fill(is_mark(transmitted), 0.0)
            return block + weight * (changed - block)


def prepare_reinhard(image: Image, params: SlideParams, context: Context) -> ReinhardPrepared:
    """Measure the colours of the tissue of a slide and of its reference.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    ReferenceImageError
        The reference image has no tissue.
    """
    context.report.start("Measuring the colours")

    def learn(reference: Image) -> Fit:
        slide = Slide.of(reference, seed=context.seed)
        if slide.is_empty:
            raise ReferenceImageError(
                "No tissue is found in the reference image: give a stained slide in transmitted light."
            )
        found = LabStatistics.of(slide.tissue)
        return {"mean": tuple(found.mean), "std": tuple(found.std)}

    fit = fit_of(params, context, {"mean": 3, "std": 3}, learn)
    target = _standard() if fit is None else LabStatistics(np.array(fit["mean"]), np.array(fit["std"]))
    slide = Slide.of(image, params.white, context.seed)
    own = target if slide.is_empty else LabStatistics.of(slide.tissue)
    light = Light(slide.white, context)
    prepared = ReinhardPrepared(light, own, target, params.strength, marked=bool(slide.marks))
    prepared.notes = slide_notes(slide, fit)
    prepared.resolved = resolved(fit)
    return prepared


def macenko(
    slide: npt.ArrayLike,
    reference: npt.ArrayLike | None = None,
    *,
    strength: float = 1.0,
    show: Show = "normalised",
) -> npt.NDArray[Any]:
    """Give a slide the two stains of another, found at the extreme angles of its optical densities.

    Every pixel keeps how much of each stain it holds, scaled by the strongest of each slide.

    Parameters
    ----------
    slide : array-like, (Y, X, 3)
        RGB, a stained slide in transmitted light on white: integers of any width, or floats.
    reference : array-like, (Y, X, 3), optional
        A slide of any size that the result should look like; the standard of the method where it is left out.
    strength : float
        0 (as it is) to 1 (all the way).
    show : {"normalised", "haematoxylin", "eosin", "residual"}
        All of the slide, one of its stains alone, or what neither stain explains.

    Returns
    -------
    numpy.ndarray, (Y, X, 3)
        In the dtype of the slide; what has no tissue, and marks of a pen, stay as they are.

    Raises
    ------
    SynthError
        The slide is not RGB, a number is out of bounds, or the reference has no tissue (`ReferenceImageError`).

    References
    ----------
    Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
    """
    return applied(GENERATORS["translate/macenko"], slide, "YXS", {"strength": strength, "show": show}, reference)


def vahadane(
    slide: npt.ArrayLike,
    reference: npt.ArrayLike | None = None,
    *,
    strength: float = 1.0,
    show: Show = "normalised",
) -> npt.NDArray[Any]:
    """Give a slide the two stains of another, found so that most pixels need one of them.

    Truer than `macenko` where the stains overlap, and slower.

    Parameters
    ----------
    slide : array-like, (Y, X, 3)
        RGB, a stained slide in transmitted light on white: integers of any width, or floats.
    reference : array-like, (Y, X, 3), optional
        A slide of any size that the result should look like; the standard of the method where it is left out.
    strength : float
        0 (as it is) to 1 (all the way).
    show : {"normalised", "haematoxylin", "eosin", "residual"}
        All of the slide, one of its stains alone, or what neither stain explains.

    Returns
    -------
    numpy.ndarray, (Y, X, 3)
        In the dtype of the slide; what has no tissue, and marks of a pen, stay as they are.

    Raises
    ------
    SynthError
        The slide is not RGB, a number is out of bounds, or the reference has no tissue (`ReferenceImageError`).

    References
    ----------
    Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
    histological images", IEEE TMI 2016.
    """
    return applied(GENERATORS["translate/vahadane"], slide, "YXS", {"strength": strength, "show": show}, reference)


def reinhard(
    slide: npt.ArrayLike,
    reference: npt.ArrayLike | None = None,
    *,
    strength: float = 1.0,
) -> npt.NDArray[Any]:
    """Give the tissue of a slide the mean and the spread of the colours of another.

    The colours are those of the CIE L*a*b* space, and only tissue is measured.

    Parameters
    ----------
    slide : array-like, (Y, X, 3)
        RGB, a stained slide in transmitted light on white: integers of any width, or floats.
    reference : array-like, (Y, X, 3), optional
        A slide of any size that the result should look like; the standard of the method where it is left out.
    strength : float
        0 (as it is) to 1 (all the way).

    Returns
    -------
    numpy.ndarray, (Y, X, 3)
        In the dtype of the slide; what has no tissue, and marks of a pen, stay as they are.

    Raises
    ------
    SynthError
        The slide is not RGB, a number is out of bounds, or the reference has no tissue (`ReferenceImageError`).

    References
    ----------
    Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 2001.
    """
    return applied(GENERATORS["translate/reinhard"], slide, "YXS", {"strength": strength}, reference)
