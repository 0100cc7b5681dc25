"""What all classical filters share: the noise is measured and made one unit strong before, and undone after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.texts import three_digits
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseModel, NoiseReport
from napari_synth.methods.denoise.adapted import Calibration, calibrate
from napari_synth.methods.denoise.catalogue import Neighbours
from napari_synth.methods.denoise.even_noise import with_even_noise
from napari_synth.methods.denoise.hidden_pixels import correlation_reach
from napari_synth.methods.denoise.shared import keeping_photons, measure_noise

_PLANE_WINDOW, _PLANE_COUNT = (1, 128, 128), 8
_VOLUME_WINDOW, _VOLUME_COUNT = (8, 96, 96), 4
_FEWEST_PLANES = 3
_MOSTLY = 0.5
# Correlated noise averages out more slowly.
_STRONGER = (1.6, 2.5)


@dataclass(frozen=True)
class Filter:
    """One classical method.

    Attributes
    ----------
    smooth : callable
        Filters a tensor ``(N, 1, Z, Y, X)`` with noise of standard deviation 1, given the setting; planes along Z are
        evidence for each other.
    halo : int
        Pixels of context in the plane.
    planes : int
        Planes of context above and below; 0 for a method that knows planes only.
    values : tuple of float
        Settings to choose from, increasing.
    default : float
        The setting where there is nothing to choose by, the best on most photographs.
    between : bool
        Whether the setting may lie between these.
    shown : float
        Factor on the setting that predicts hidden pixels best. A filter that is shown a pixel keeps some of its noise,
        so that it has to smooth more; how much was measured on photographs.
    setting : str
        How the setting is called in a sentence.
    bytes_per_pixel : int
        Working memory.
    keeps_means : bool
        Whether local means are those of the image, which an error of its own takes from the result where photons are few; what
        answers with a median is meant to have others.
    """

    smooth: Callable[[Tensor, float], Tensor]
    halo: int
    values: tuple[float, ...]
    default: float
    setting: str
    planes: int = 0
    between: bool = True
    shown: float = 1.0
    bytes_per_pixel: int = 96
    keeps_means: bool = True

    def apply(self, image: Tensor, setting: float, volume: bool) -> Tensor:
        """Filter ``(N, 1, Z, Y, X)`` as volumes, or plane by plane.

        Parameters
        ----------
        image : Tensor, (N, 1, Z, Y, X)
            Normalised intensities.
        setting : float
            The strength of the filter.
        volume : bool
            Whether planes along Z are filtered together.
        """
        if volume:
            return self.smooth(image, setting)
        return self.smooth(image.reshape(-1, 1, 1, *image.shape[-2:]), setting).reshape(image.shape)


class ClassicalPrepared(Prepared):
    """A classical filter that is set up for an image.

    Parameters
    ----------
    method : Filter
    setting : float
    volume : bool
        Whether blocks are volumes whose planes are evidence for each other.
    noise : NoiseReport
        In counts.
    stabilisation : VarianceStabilisation
        In normalised intensities.
    notes : tuple of str
    """

    def __init__(
        self,
        method: Filter,
        setting: float,
        volume: bool,
        noise: NoiseReport,
        stabilisation: VarianceStabilisation,
        notes: tuple[str, ...],
    ) -> None:
        self._method, self._setting, self._volume = method, setting, volume
        self._stabilisation = stabilisation
        self.noise, self.notes = noise, notes
        halo, memory = method.halo, method.bytes_per_pixel
        self.spec = (
            BlockSpec.volume("ZYX", (method.planes, halo, halo), bytes_per_pixel=memory)
            if volume
            else BlockSpec.plane(halo, bytes_per_pixel=memory)
        )

    def apply(self, block: Tensor) -> Tensor:
        """Filter one batch of blocks; see `Prepared.apply`."""
        n, c = block.shape[:2]
        stabilised = self._stabilisation.forward(block).reshape(n * c, 1, -1, *block.shape[-2:])
        smooth = self._method.apply(stabilised, self._setting, self._volume)
        return self._stabilisation.inverse(smooth).reshape(block.shape)


def prepare_classical(
    image: Image, context: Context, method: Filter, setting: float | None, neighbours: Neighbours
) -> Prepared:
    """Measure the noise of the image, and choose on held-out pixels what the user left open.

    Parameters
    ----------
    image : Image
    context : Context
    method : Filter
    setting : float or None
        None to choose it.
    neighbours : {"auto", "ignore", "use"}
        Whether the planes of a volume are evidence for each other.
    """
    return with_even_noise(image, context, lambda even: _prepare(even, context, method, setting, neighbours))


def _prepare(image: Image, context: Context, method: Filter, setting: float | None, neighbours: Neighbours) -> Prepared:
    noise = measure_noise(image, context)
    model = noise.model.scaled(context.intensity.scale, context.intensity.offset)
    stabilisation = VarianceStabilisation.of(model)
    layered = method.planes > 0 and image.sizes.get("Z", 1) >= _FEWEST_PLANES
    ways = {"auto": (False, True), "ignore": (False,), "use": (True,)}[neighbours] if layered else (False,)
    chosen = _Chosen(method.default if setting is None else setting, ways[-1])
    if setting is None or len(ways) > 1:
        values = method.values if setting is None else (setting,)
        if setting is None and noise.correlated and method.between:
            values += tuple(factor * values[-1] for factor in _STRONGER)
        windows = stabilisation.forward(_windows(image, context, layered and True in ways))
        context.report.start("Choosing on held-out pixels", len(values) * len(ways))
        chosen = _choose(windows, method, values, ways, noise, context) or chosen
    notes = chosen.sentences(method, setting is None, len(ways) > 1)
    if noise.correlated:
        notes = (*notes, "This method takes the noise of neighbours as independent: denoise/blind does not.")
    prepared = ClassicalPrepared(method, chosen.setting, chosen.volume, noise, stabilisation, notes)
    return keeping_photons(prepared, noise, context) if method.keeps_means else prepared


@dataclass(frozen=True)
class _Chosen:
    """What was settled, the error of each way that was tried, and how far (0 to 1) these were trusted."""

    setting: float
    volume: bool
    losses: tuple[float, ...] = ()
    trust: float = 1.0

    def sentences(self, method: Filter, was_open: bool, planes_were_open: bool) -> tuple[str, ...]:
        """Say what was chosen."""
        if not self.losses:
            if not was_open:
                return ()
            return (f"The image is too small to choose by: {method.setting} is {three_digits(self.setting)}.",)
        said = [f"{method.setting[0].upper()}{method.setting[1:]} {three_digits(self.setting)}"] if was_open else []
        if planes_were_open:
            how = "neighbouring planes used" if self.volume else "each plane on its own"
            said.append(how if said else how[0].upper() + how[1:])
        if self.trust < _MOSTLY:
            return (f"{', '.join(said)}: what suits most images, since the noise is too weak to choose by.",)
        return (f"{', '.join(said)}: predicts held-out pixels best.",)


def _choose(
    windows: Tensor,
    method: Filter,
    values: tuple[float, ...],
    ways: tuple[bool, ...],
    noise: NoiseReport,
    context: Context,
) -> _Chosen | None:
    found: list[tuple[bool, Calibration]] = []
    for volume in ways:
        calibration = calibrate(
            windows,
            partial(method.apply, volume=volume),
            values,
            correlation_reach(noise),
            context.report,
            between=method.between,
        )
        if calibration is None:
            return None
        found.append((volume, calibration))
    volume, best = min(found, key=lambda way: way[1].loss)
    trust = 1.0 if noise.correlated or not method.between else best.trust
    setting = (best.value * method.shown) ** trust * method.default ** (1.0 - trust)
    return _Chosen(setting, volume, tuple(calibration.loss for _, calibration in found), trust)


def _windows(image: Image, context: Context, volume: bool) -> Tensor:
    """Return windows (N, 1, Z, Y, X), normalised."""
    size, count = (_VOLUME_WINDOW, _VOLUME_COUNT) if volume else (_PLANE_WINDOW, _PLANE_COUNT)
    axes = "ZYX" if "Z" in image.axes else "TYX"
    return torch.cat(sample_windows(image, axes, size, count, context)).unsqueeze(1)


# Multiples of this in one dimension more are spread evenly however many are taken (Roberts' sequence).
_PLASTIC = (1.0, 1.618033988749895, 1.324717957244746, 1.220744084605760, 1.167303978261419, 1.134724138401519)


def sample_windows(
    image: Image, axes: str, size: tuple[int, ...], count: int, context: Context, *, multiple: int = 1
) -> tuple[Tensor, ...]:
    """Return windows at evenly spread places, the same ones at every call.

    Parameters
    ----------
    image : Image
    axes : str
        The axes of a window, e.g. ``"ZYX"``; the image need not have all of them.
    size : tuple of int
        Largest extent of a window along each of ``axes``.
    count : int
        How many windows are taken at most.
    context : Context
        Says how counts are normalised, and where tensors belong.
    multiple : int
        Of which the extents along Y and X are multiples where the image is not smaller.

    Returns
    -------
    tuple of torch.Tensor, each (C, *size)
        Normalised intensities, of C samples of an RGB pixel; NaN and inf are replaced by the median.
    """
    extent = {a: min(s, image.sizes[a]) for a, s in zip(axes, size, strict=True) if a in image.axes}
    extent |= {a: n // multiple * multiple for a, n in extent.items() if a in "YX" and n >= multiple}
    free = [a for a in image.axes if a != "S"]
    places = [image.sizes[a] - extent.get(a, 1) + 1 for a in free]
    count = min(count, prod(places))
    root = _PLASTIC[len(free)]
    steps = [root ** -(i + 1) for i in range(len(free))]
    found = []
    for k in range(count):
        starts = [int((0.5 + k * step) % 1.0 * n) for step, n in zip(steps, places, strict=True)]
        part: dict[str, slice | int] = {
            a: slice(start, start + extent[a]) if a in extent else start for a, start in zip(free, starts, strict=True)
        }
        found.append(_as_tensor(image, part, axes, context))
    return tuple(found)


def _as_tensor(image: Image, part: dict[str, slice | int], axes: str, context: Context) -> Tensor:
    pixels = image.read(**part)
    present = [a for a in image.axes if not isinstance(part.get(a), int)]
    order = [a for a in "S" + axes if a in present]
    pixels = pixels.transpose([present.index(a) for a in order])
    pixels = pixels.reshape([pixels.shape[order.index(a)] if a in order else 1 for a in "S" + axes])[:3]
    normalised = context.intensity.forward(pixels)
    finite = np.isfinite(normalised)
    if not finite.all():
        normalised = np.where(finite, normalised, np.median(normalised[finite]) if finite.any() else 0.0)
    return torch.from_numpy(np.ascontiguousarray(normalised, dtype=np.float32)).to(context.device.torch_name)


_LEAST_NOISE = 1e-5
_DARKEST = 2.0 * sqrt(3.0 / 8.0)


@dataclass(frozen=True)
class VarianceStabilisation:
    """The generalised Anscombe transform of one noise model; a division where noise does not depend on the signal.

    Attributes
    ----------
    gain, offset, read_noise : float
        Of the noise model, in the units of the blocks.
    """

    gain: float
    offset: float
    read_noise: float

    @classmethod
    def of(cls, model: NoiseModel) -> VarianceStabilisation:
        """Return the transform for a model in the units of the blocks; where it has no noise, a trace is assumed."""
        return cls(model.gain, model.offset, max(model.read_noise, 0.0 if model.gain > 0.0 else _LEAST_NOISE))

    def forward(self, image: Tensor) -> Tensor:
        """Return values of any shape with noise of standard deviation 1."""
        if self.gain <= 0.0:
            return image / self.read_noise
        electrons = (image - self.offset) / self.gain
        return 2.0 * torch.sqrt(torch.clamp(electrons + 3.0 / 8.0 + (self.read_noise / self.gain) ** 2, min=0.0))

    def inverse(self, stabilised: Tensor) -> Tensor:
        """Return the expected intensities of denoised stabilised values."""
        if self.gain <= 0.0:
            return stabilised * self.read_noise
        root = torch.clamp(stabilised, min=_DARKEST)
        reciprocal = 1.0 / root
        correction = 0.25 * sqrt(1.5) * reciprocal - 11.0 / 8.0 * reciprocal**2 + 0.625 * sqrt(1.5) * reciprocal**3
        electrons = 0.25 * root**2 - 1.0 / 8.0 - (self.read_noise / self.gain) ** 2 + correction
        return electrons * self.gain + self.offset
