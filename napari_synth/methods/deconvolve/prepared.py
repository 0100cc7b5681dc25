"""Prepares the methods for deconvolution: the point spread function, the noise, the stop; and restores blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidParameterError, PsfError
from napari_synth.core.texts import three_digits
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseReport
from napari_synth.imaging.outliers import ceiling
from napari_synth.imaging.sampling import sample_windows
from napari_synth.imaging.screening import noise_of
from napari_synth.methods.deconvolve.catalogue import (
    ConsensusParams,
    DeconvolveParams,
    Fit,
    NetworkParams,
    RichardsonLucyParams,
    StoredOptics,
    TotalVariationParams,
    WienerParams,
)
from napari_synth.methods.deconvolve.held_out import Curve, Solver, curve_of, split_photons, split_pixels
from napari_synth.methods.deconvolve.methods import (
    DenoisedFirst,
    Electrons,
    Iterations,
    Network,
    PlugAndPlay,
    Regularizations,
)
from napari_synth.methods.deconvolve.psf import (
    Microscope,
    Psf,
    averaged_beads,
    gaussian_psf,
    measured_psf,
    micrometers,
    model_words,
    restored,
)
from napari_synth.methods.noise_conditioning import bundled_network, measure_condition

MODEL = "denoise-blind"
# In standard deviations of the PSF: what lies further away changes a result by less than 1e-3 of the range.
_REACH = 12.0
_LEAST_HALO, _MOST_HALO = 24, 160
_NETWORK_HALO = 80
_BYTES_PER_PIXEL, _NETWORK_BYTES = 160, 400
# Share of a pixel's light that must come from within the image for the pixel to be judged.
_OWN_LIGHT = 0.95
# What is looked at to find the stop: windows of so many pixels, the most structured ones.
_WINDOWS, _WINDOW_PIXELS, _WINDOW_EDGE = 2, 2**17, 256
_LEAST_EDGE = 48
# Of the noise that is taken for that of an image without any, in its range.
_QUIET = 1e-3
# How the darkest level is found: on so many pixels, behind a Gaussian, at a quantile.
_SAMPLED, _SAMPLE_EDGE, _SMOOTH, _DARKEST = 2**19, 256, 1.5, 0.01
# Where noise is so many times stronger than that of the measured gain, the stop is looked for again with a larger one, until it is
# nearly as strong, or so often.
_STRONGER, _NEARLY, _AGAIN = 1.2, 1.05, 3
_WIDTHS = tuple(0.6 * 1.28**i for i in range(9))
_MOST = 60
# Where the total variation is weighed: later ones gain nothing, and rounding grows in them until blocks differ.
_MOST_WEIGHED = 36
# Of what a file says of a microscope: beyond, it is mistaken.
_LARGEST_APERTURE, _LONGEST_WAVE = 1.7, 5000.0


class Deconvolved(Prepared):
    """A method for deconvolution with the point spread function and the noise of one image.

    Parameters
    ----------
    psf : Psf
        (Y, X), or (Z, Y, X) where volumes are restored.
    electrons : Electrons
    solver : Solver
    stop : float
    noise : NoiseReport or None
    spec : BlockSpec
    """

    def __init__(
        self, psf: Psf, electrons: Electrons, solver: Solver, stop: float, noise: NoiseReport | None, spec: BlockSpec
    ) -> None:
        self.psf, self.electrons, self.solver, self.stop = psf, electrons, solver, stop
        self.noise, self.spec = noise, spec
        self.told_gains: Tensor | None = None

    def with_gains(self, gains: Tensor) -> Prepared:
        """Return what knows of these very blocks how many photons a correction multiplied; see `Prepared.with_gains`."""
        told = copy(self)
        told.told_gains = gains
        return told

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, 1, [Z,] Y, X); see `Prepared.apply`."""
        with torch.autocast(block.device.type, enabled=False):
            psf = torch.from_numpy(self.psf.pixels).to(block.device)
            optics = self.solver.optics(psf, tuple(block.shape[2:]))
            gains = None if self.told_gains is None else self.told_gains.float()
            estimate = self.solver.at(optics, self.electrons.light(block.float(), gains), self.stop)
            return self.electrons.intensity(optics.crop(estimate), gains)

    def seen_again(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what the instrument would see of a result; see `Prepared.seen_again`."""
        from scipy.signal import oaconvolve

        own = oaconvolve(np.ones_like(pixels, np.float32), self.psf.pixels, mode="same")
        pad = [(r, r) for r in self.psf.radius]
        around = np.pad(pixels.astype(np.float32), pad, mode="symmetric")
        # Nothing is known of light that comes from beyond the image.
        return np.where(own > _OWN_LIGHT, oaconvolve(around, self.psf.pixels, mode="valid"), np.nan).astype(np.float32)

    def transposed(self) -> Prepared:
        """Return the same for the image with Y and X swapped."""
        turned = Deconvolved(
            Psf(np.ascontiguousarray(self.psf.pixels.swapaxes(-1, -2)), self.psf.said),
            self.electrons,
            self.solver,
            self.stop,
            self.noise,
            replace(
                self.spec,
                halo=(*self.spec.halo[:-2], self.spec.halo[-1], self.spec.halo[-2]),
                multiple=(*self.spec.multiple[:-2], self.spec.multiple[-1], self.spec.multiple[-2]),
            ),
        )
        turned.notes, turned.weights, turned.resolved = self.notes, self.weights, self.resolved
        turned.wants_gains = self.wants_gains
        turned.told_gains = None if self.told_gains is None else self.told_gains.mT
        return turned

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the same for the image flipped along Y or X."""
        axes = [axis for axis, turns in ((-2, y), (-1, x)) if turns]
        turned = copy(self)
        turned.psf = Psf(np.ascontiguousarray(np.flip(self.psf.pixels, tuple(axes))), self.psf.said)
        turned.told_gains = None if self.told_gains is None else self.told_gains.flip(axes)
        return turned


class Flat(Prepared):
    """Returns an image in which nothing is to be seen as it is."""

    def __init__(self, noise: NoiseReport) -> None:
        self.noise, self.spec = noise, BlockSpec.plane(0)
        self.notes = ("All pixels are equal: the image is returned as it is.",)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block


@dataclass(frozen=True)
class _Seen:
    """An image with all that is known of it."""

    image: Image
    context: Context
    params: DeconvolveParams
    noise: NoiseReport
    electrons: Electrons
    counted: bool
    excess: float = 1.0

    def with_excess(self, excess: float) -> _Seen:
        """Return the same with a gain that is so many times the measured one.

        Parameters
        ----------
        excess : float
        """
        excess = float(f"{excess:.6g}")
        return replace(self, electrons=self.electrons.fewer(excess / self.excess), excess=excess)

    @property
    def known(self) -> Fit | None:
        """What the recipe holds of this channel."""
        fitted, channel = self.params.fitted, self.context.channel or 0
        if fitted is None:
            return None
        if len(fitted) > 1 and channel >= len(fitted):
            raise InvalidParameterError(
                f"Parameter 'fitted' holds {len(fitted)} channels, the image has more: run without the recipe."
            )
        return fitted[channel if len(fitted) > 1 else 0]

    @property
    def planes(self) -> int:
        """How many planes the image has along Z."""
        return self.image.sizes.get("Z", 1)

    @property
    def optics(self) -> StoredOptics | None:
        """What the recipe, or else the file of the image, says of the microscope; None where that is too little."""
        known = self.known
        if known is not None and known.optics is not None:
            return known.optics
        said = self.image.optics[0] if self.image.optics else None
        if said is None or said.numerical_aperture is None or said.emission is None:
            return None
        if not (said.numerical_aperture <= _LARGEST_APERTURE and said.emission <= _LONGEST_WAVE):
            return None
        return StoredOptics.model_validate(
            {
                "numerical_aperture": said.numerical_aperture,
                "wavelength": said.emission,
                "excitation": said.excitation,
                "refractive_index": said.refractive_index,
                "kind": said.kind or "wide-field",
            }
        )

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Of the pixels along Z, Y and X in micrometers, or Y and X where there is one plane; None where it is not known."""
        axes = "ZYX" if self.planes > 1 else "YX"
        asked = {"Z": self.params.z_step, "Y": self.params.pixel_size, "X": self.params.pixel_size}
        found = []
        for axis in axes:
            own = micrometers(self.image, axis)
            value = asked[axis] or (own[0] if own else None)
            if value is None:
                return None
            found.append(value)
        return tuple(found)


def prepare_network(image: Image, params: NetworkParams, context: Context) -> Prepared:
    """Prepare the network and an inversion; see `Generator.prepare`."""
    network, weights = bundled_network(MODEL, context.device)
    condition = measure_condition(image, context)

    def solver(seen: _Seen, volume: bool) -> Solver:
        inside = Network(network, condition.with_gain(seen.excess * condition.model.gain), seen.electrons)
        if volume:
            # As many steps as are asked for are another way from much noise to little, and not the beginning of a longer one.
            return PlugAndPlay(inside, most=params.iterations) if params.iterations else PlugAndPlay(inside)
        return DenoisedFirst(inside, Iterations(most=_MOST))

    prepared = _prepare(image, params, context, solver, params.iterations, network.multiple)
    prepared.weights = weights
    return prepared


def prepare_richardson_lucy(image: Image, params: RichardsonLucyParams, context: Context) -> Prepared:
    """Prepare Richardson-Lucy; see `Generator.prepare`."""
    most = _MOST if params.accelerated else 5 * _MOST
    solver = Iterations(accelerated=params.accelerated, most=most)
    return _prepare(image, params, context, lambda *_: solver, params.iterations)


def prepare_gradient_consensus(image: Image, params: ConsensusParams, context: Context) -> Prepared:
    """Prepare gradient consensus; see `Generator.prepare`."""
    solver = Iterations("gradient-consensus", accelerated=False, most=2 * _MOST)
    return _prepare(image, params, context, lambda *_: solver, params.iterations)


def prepare_total_variation(image: Image, params: TotalVariationParams, context: Context) -> Prepared:
    """Prepare Richardson-Lucy with total variation; see `Generator.prepare`."""
    solver = Iterations(weight=params.weight, most=_MOST_WEIGHED)
    return _prepare(image, params, context, lambda *_: solver, params.iterations)


def prepare_wiener(image: Image, params: WienerParams, context: Context) -> Prepared:
    """Prepare Wiener's filter; see `Generator.prepare`."""
    return _prepare(image, params, context, lambda *_: Regularizations(), params.regularization)


def _prepare(
    image: Image,
    params: DeconvolveParams,
    context: Context,
    solver_of: Callable[[_Seen, bool], Solver],
    asked: float | None,
    multiple: int = 1,
) -> Prepared:
    context.report.start("Measuring the noise")
    noise = noise_of(image)
    seen = _Seen(image, context, params, noise, *_electrons(image, noise, context))
    fit = seen.known or Fit()
    if asked is None and context.reference is None:
        seen = seen.with_excess(fit.excess)
    if context.statistics.maximum == context.statistics.minimum and context.reference is None:
        return Flat(noise)
    psf, found = _psf(seen, fit)
    volume = psf.pixels.ndim == 3
    solver = solver_of(seen, volume)
    stop, notes = asked, [psf.said]
    curve: tuple[tuple[float, float], ...] = ()
    if asked is None and fit.stop is not None and context.reference is None:
        stop, curve = fit.stop, fit.curve
    elif asked is None:
        found_curve = _curve(seen, psf, solver)
        for time in range(_AGAIN):
            if found_curve.dispersion < (_STRONGER if time == 0 else _NEARLY):
                break
            # What is thinned as photons and holds fewer of them goes together in both parts: its noise would explain itself.
            seen = seen.with_excess(seen.excess * found_curve.dispersion)
            solver = solver_of(seen, volume)
            found_curve = _curve(seen, psf, solver)
        stop, curve = found_curve.best[0], tuple((step, float(f"{value:.6g}")) for step, value in found_curve.points)
    assert stop is not None
    if asked is None:
        notes.append(_said_of_stop(stop, curve, seen.counted, solver))
    if seen.excess > 1.0:
        notes.append(
            f"What is no light behind the point spread function is noise {seen.excess**0.5:.2g} times as strong as measured: the"
            f" gain was taken for {three_digits(seen.electrons.gain * context.intensity.scale)} counts per electron."
        )
    prepared = Deconvolved(psf, seen.electrons, solver, stop, noise, _spec(seen, psf, solver, multiple))
    prepared.notes = (*notes, *(_said_of_plane(seen, volume)))
    prepared.wants_gains = bool(image.gains)
    record = found.model_copy(
        update={"stop": None if asked is not None else stop, "curve": curve, "excess": seen.excess}
    )
    prepared.resolved = {"fitted": [record.model_dump(mode="json")]} if record != Fit() else {}
    return prepared


def _curve(seen: _Seen, psf: Psf, solver: Solver) -> Curve:
    """Return how well the steps of a method explain what was held out."""
    splits = _splits(seen, psf)
    return curve_of(solver, torch.from_numpy(psf.pixels), splits, seen.context.report, "Looking for the stop")


def _electrons(image: Image, noise: NoiseReport, context: Context) -> tuple[Electrons, bool]:
    """Return how to come from normalised intensities to electrons, and whether the gain was measured.

    Where the noise does not grow with the signal, a unit is made up in which the noise of photons in the brightest places is as
    strong as that everywhere, so that the noise of all of it is nearly even.
    """
    to, statistics = context.intensity, context.statistics
    model = noise.model.scaled(to.scale, to.offset)
    mean = (statistics.mean - to.offset) / to.scale
    kept = (float(image.gains[-1].levels[0]) - to.offset) / to.scale if image.gains else 0.0
    if model.gain > 0.0:
        # Where much is darker than the measured offset, that is none: photons take the place of the read noise.
        offset = min(model.offset, (_dark_level(image) - to.offset) / to.scale)
        variance = max(model.read_noise**2 - model.gain * (model.offset - offset), 0.0)
        level = max((mean - offset) / model.gain, 1e-3)
        return Electrons(model.gain, offset, variance / model.gain**2, level, kept), True
    lowest = (statistics.minimum - to.offset) / to.scale
    sigma = max(model.read_noise, _QUIET)
    gain = sigma**2
    return Electrons(gain, lowest, (sigma / gain) ** 2, max((mean - lowest) / gain, 1e-3), kept), False


def _dark_level(image: Image) -> float:
    """Return how dark an image was for the camera, in counts, where it is darkest, apart from its noise."""
    from scipy.ndimage import gaussian_filter

    windows = sample_windows(image, _SAMPLED, _SAMPLE_EDGE)
    planes = [image.even_noise(image.read(**at), **at).astype(np.float64) for at in windows]
    levels = [
        gaussian_filter(np.where(known, plane, plane[known].mean()), _SMOOTH).ravel()
        for plane, known in ((plane, np.isfinite(plane)) for plane in planes)
        if known.any()
    ]
    return float(np.quantile(np.concatenate(levels), _DARKEST))


def _spec(seen: _Seen, psf: Psf, solver: Solver, multiple: int) -> BlockSpec:
    halo = [min(_MOST_HALO, max(_LEAST_HALO, ceil(_REACH * sigma))) for sigma in psf.sigma[-2:]]
    costs = _BYTES_PER_PIXEL
    if isinstance(solver, (DenoisedFirst, PlugAndPlay)):
        halo = [one + _NETWORK_HALO for one in halo]
        costs = _NETWORK_BYTES
    if psf.pixels.ndim == 2:
        return BlockSpec("YX", (halo[0], halo[1]), (multiple,) * 2, (1, 1), bytes_per_pixel=costs)
    # Blocks that begin at multiples of all planes have all of them: light of one plane is in many.
    return BlockSpec("ZYX", (0, halo[0], halo[1]), (seen.planes, multiple, multiple), (1, 1, 1), bytes_per_pixel=costs)


# The point spread function


def _psf(seen: _Seen, fit: Fit) -> tuple[Psf, Fit]:
    """Return the point spread function that is asked for, and what the recipe is to hold of it."""
    params, given = seen.params, seen.context.reference
    kind = params.psf_model
    if kind == "auto":
        kind = _chosen(seen, given is not None, fit)
    elif given is not None and kind not in ("image", "beads"):
        raise PsfError(
            f"An image of the point spread function is given, and 'psf_model' is {kind!r}: leave one of them out."
        )
    if kind in ("image", "beads"):
        kept = fit.psf
        if given is not None:
            part = given
            found, kept = (averaged_beads if kind == "beads" else measured_psf)(part, seen.spacing)
        elif kept is not None:
            found = restored(kept, seen.spacing)
        else:
            raise PsfError("There is no image of the point spread function: give one, or choose a model of it.")
        return _fitting(found, seen), Fit(psf=kept)
    if kind == "estimated":
        width, tried = fit.width, fit.width_curve
        if width is None:
            width, tried = _estimated_width(seen)
        said = (
            f"The point spread function was estimated: a Gaussian of {width:.3g} pixels (standard deviation), which explains"
            " held-out photons best; one that is measured or modelled is better."
        )
        return _fitting(Psf(gaussian_psf((width, width)), said), seen), Fit(width=width, width_curve=tried)
    found, optics = _modelled(seen, kind)
    return _fitting(found, seen), Fit(optics=optics)


def _chosen(seen: _Seen, given: bool, fit: Fit) -> Any:
    params = seen.params
    if given or fit.psf is not None:
        return "image"
    if params.numerical_aperture is not None and params.wavelength is not None:
        return "wide-field"
    if params.width is not None:
        return "gaussian"
    if fit.width is None and seen.optics is not None and seen.spacing is not None:
        return seen.optics.kind
    return "estimated"


def _fitting(psf: Psf, seen: _Seen) -> Psf:
    """Return a PSF with as many axes as blocks have, no longer than the image."""
    if psf.pixels.ndim == 3 and (seen.planes == 1 or psf.pixels.shape[0] == 1):
        psf = psf.plane()
    sizes = [seen.image.sizes[axis] for axis in "ZYX"[-psf.pixels.ndim :]]
    return psf.within(sizes)


def _modelled(seen: _Seen, kind: str) -> tuple[Psf, StoredOptics | None]:
    """Return the model of a PSF, and what the file said of the microscope where the model is of that."""
    params, planes = seen.params, seen.planes
    if kind == "gaussian" and params.width is not None:
        along = (params.width_z,) if params.width_z is not None and planes > 1 else ()
        sigma = (*along, params.width, params.width)
        widths = " by ".join(f"{one:.3g}" for one in sigma)
        said = f"The point spread function is a Gaussian of {widths} pixels (standard deviation)."
        return Psf(gaussian_psf(sigma), said), None
    optics = seen.optics if params.numerical_aperture is None or params.wavelength is None else None
    aperture, wavelength, index, excitation = (
        params.numerical_aperture,
        params.wavelength,
        params.refractive_index,
        params.excitation,
    )
    if optics is not None:
        if aperture is None:
            aperture, index = optics.numerical_aperture, optics.refractive_index or index
        wavelength, excitation = wavelength or optics.wavelength, excitation or optics.excitation
    missing = [
        word for value, word in ((aperture, "the numerical aperture"), (wavelength, "the wavelength")) if value is None
    ]
    if aperture is None or wavelength is None:
        hint = ", or the width in pixels" if kind == "gaussian" else ""
        raise PsfError(
            f"A {kind} point spread function needs {' and '.join(missing)}: set {'them' if len(missing) > 1 else 'it'}{hint}."
        )
    spacing = seen.spacing
    if spacing is None:
        what = "pixel_size and z_step" if planes > 1 else "pixel_size"
        raise PsfError(f"The image does not say how large its pixels are: set {what} in micrometers.")
    full = spacing if planes > 1 else (1.0, *spacing)
    scope = Microscope(aperture, index, wavelength / 1000.0, (full[0], full[1], full[2]))
    if kind == "gaussian":
        pixels = scope.gaussian(planes)
    elif kind == "confocal":
        pixels = scope.confocal(planes, (excitation or 0.92 * wavelength) / 1000.0, params.pinhole)
    elif kind == "light-sheet":
        pixels = scope.light_sheet(planes, params.sheet or 3.0)
    else:
        pixels = scope.wide_field(planes)
    return Psf(pixels, model_words(scope, kind, pixels, from_file=optics is not None)), optics


def _estimated_width(seen: _Seen) -> tuple[float, tuple[tuple[float, float], ...]]:
    """Return the width of the Gaussian with which held-out photons are explained best, and all that were tried."""
    splits = _splits(seen, Psf(gaussian_psf((_WIDTHS[-1],) * 2), ""))
    solver, tried = Iterations(most=24), []
    for width in _WIDTHS:
        psf = torch.from_numpy(gaussian_psf((width, width)))
        curve = curve_of(solver, psf, splits, seen.context.report, "Estimating the point spread function")
        tried.append((width, curve.best[1]))
    best = min(range(len(tried)), key=lambda i: tried[i][1])
    width = tried[best][0]
    if 0 < best < len(tried) - 1:
        # The bottom of the parabola through the best and its neighbours.
        low, middle, high = (tried[i][1] for i in (best - 1, best, best + 1))
        bend = low - 2.0 * middle + high
        width *= (_WIDTHS[1] / _WIDTHS[0]) ** (0.5 * (low - high) / bend if bend > 0 else 0.0)
    return float(f"{width:.4g}"), tuple((float(f"{w:.4g}"), float(f"{v:.6g}")) for w, v in tried)


# The stop


def _splits(seen: _Seen, psf: Psf) -> list[Any]:
    """Return the most structured windows of an image with a part of their photons held out.

    Where there is but one window its photons are split twice: which ones are held out is chance, and moves the stop.
    """
    generator = torch.Generator().manual_seed(seen.context.seed * 1000 + 7)
    split = split_photons if seen.counted else split_pixels
    splits = []
    # One bead that outshines the rest would stop for itself alone.
    level = ceiling(seen.image, seen.noise.model, seen.context.statistics.maximum)
    windows = _windows(seen.image, psf.pixels.ndim == 3)
    for counts, factors in windows if len(windows) == _WINDOWS else windows * _WINDOWS:
        counts = counts if level is None else np.minimum(counts, level)
        block = torch.from_numpy(seen.context.intensity.forward(counts))[None, None]
        known = torch.isfinite(block)
        block = torch.where(known, block, 0.5)
        device = seen.context.device.torch_name
        gains = None if factors is None else torch.from_numpy(factors.copy())[None, None].to(device)
        splits.append(split(seen.electrons.light(block.to(device), gains), generator))
    return splits


def _windows(image: Image, volume: bool) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any] | None]]:
    """Return windows (Y, X), or (Z, Y, X), where the image varies most, each with what corrections multiplied it by."""
    axes = "ZYX" if volume else "YX"
    depth = image.sizes["Z"] if volume else 1
    edge = max(_LEAST_EDGE, min(_WINDOW_EDGE, int((_WINDOW_PIXELS / depth) ** 0.5)))
    lead = [axis for axis in image.axes if axis not in axes]
    places = [
        {axis: (0 if image.sizes[axis] == 1 else round(share * (image.sizes[axis] - 1))) for axis in lead}
        for share in ((0.5,) if not lead else (0.3, 0.5, 0.7))
    ]
    found: list[tuple[float, npt.NDArray[Any], dict[str, slice | int]]] = []
    order = [[axis for axis in image.axes if axis in axes].index(axis) for axis in axes]
    for at in places:
        for y in _starts(image.sizes["Y"], edge):
            for x in _starts(image.sizes["X"], edge):
                where: dict[str, slice | int] = {**at, "Y": slice(y, y + edge), "X": slice(x, x + edge)}
                part = np.transpose(image.read(**where), order)
                finite = part[np.isfinite(part)]
                found.append((float(finite.astype(np.float64).std()) if finite.size else 0.0, part, where))
    found.sort(key=lambda item: -item[0])
    return [
        (part, np.transpose(image.gain(**where), order) if image.gains else None) for _, part, where in found[:_WINDOWS]
    ]


def _starts(size: int, edge: int) -> list[int]:
    """Return where windows begin: at most three, evenly spread."""
    return sorted({round(i) for i in np.linspace(0, max(0, size - edge), 1 if size <= edge else 3)})


def _said_of_stop(stop: float, curve: Sequence[tuple[float, float]], counted: bool, solver: Solver) -> str:
    what = "held-out photons" if counted else "held-out pixels (the gain could not be measured)"
    if isinstance(solver, Regularizations):
        return f"A regularization of {stop:.3g} explains {what} best."
    word = "Step" if isinstance(solver, PlugAndPlay) else "Iteration"
    first, best = (curve[0][1], min(value for _, value in curve)) if curve else (0.0, 0.0)
    return f"{word} {stop:.0f} explains {what} best: their deviance falls from {first:.4g} to {best:.4g}."


def _said_of_plane(seen: _Seen, volume: bool) -> tuple[str, ...]:
    if seen.planes > 1 and not volume:
        return ("The planes are restored one by one: the point spread function has no extent along Z.",)
    return ()
