"""Compares denoisers on held-out pixels and takes the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import Context, Generator, Prepared
from napari_synth.contract.params import Params
from napari_synth.core.errors import Cancelled, OutOfMemoryError, SynthError
from napari_synth.engine.computing import MemoryShortError, translated_errors
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseReport
from napari_synth.methods.denoise.catalogue import METHODS, AutoParams
from napari_synth.methods.denoise.classical import sample_windows
from napari_synth.methods.denoise.even_noise import with_even_noise
from napari_synth.methods.denoise.hidden_pixels import HeldOut, correlation_reach, hold_out
from napari_synth.methods.denoise.shared import measure_noise, noise_variance

CANDIDATES: Mapping[str, Generator[Any]] = {one.info.id: one for one in METHODS if isinstance(one, Generator)}
# By steps, not by the clock, so that the choice can be repeated.
TRAINED: Mapping[str, Mapping[str, Any]] = {
    "denoise/adapted": {},
    "denoise/zero-shot-noise2noise": {},
    "denoise/noise2void": {"steps": 300},
}
"""Candidates that learn from the image, with their settings."""

_EDGE = 128
_PIXELS = 8 * _EDGE**2
_MOST_PLANES = 5
_FEWEST = 200
_LEAST_NOISE = 1e-3
_SURE = 2.0
_UNPREDICTABLE = 1.15


class Selected(Prepared):
    """The generator that was taken, with the reasons added to its notes, and with its way with outliers."""

    def __init__(self, taken: Prepared, reasons: tuple[str, ...], outliers: str = "keep") -> None:
        self._taken, self._reasons = taken, reasons
        self.outliers = outliers
        self.spec, self.noise, self.weights = taken.spec, taken.noise, taken.weights
        self.notes = (*reasons, *taken.notes)

    def apply(self, block: Tensor) -> Tensor:
        """Restore one batch of blocks; see `Prepared.apply`."""
        return self._taken.apply(block)

    def transposed(self) -> Prepared:
        """Return the same choice, prepared for the image with Y and X swapped."""
        return Selected(self._taken.transposed(), self._reasons, self.outliers)

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the same for the image flipped along Y or X."""
        return Selected(self._taken.flipped(y, x), self._reasons, self.outliers)


class SampleBySample(Prepared):
    """Restores the samples of RGB pixels, which it is given together, one apart from the other."""

    def __init__(self, single: Prepared) -> None:
        self._single = single
        self.spec = replace(single.spec, bytes_per_pixel=3 * single.spec.bytes_per_pixel)
        self.noise, self.notes, self.weights = single.noise, single.notes, single.weights

    def apply(self, block: Tensor) -> Tensor:
        """Restore one batch of blocks (N, C, *spatial); see `Prepared.apply`."""
        return self._single.apply(block.flatten(0, 1).unsqueeze(1)).reshape(block.shape)

    def transposed(self) -> Prepared:
        """Return the same, prepared for the image with Y and X swapped."""
        return SampleBySample(self._single.transposed())

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the same for the image flipped along Y or X."""
        return SampleBySample(self._single.flipped(y, x))


@dataclass(frozen=True)
class _Tried:
    """A candidate, prepared, and the error of each held-out pixel."""

    generator: Generator[Params]
    settings: Params
    prepared: Prepared
    errors: Tensor

    @property
    def error(self) -> float:
        """Root mean square error where 1 is the noise that was measured; outliers count less."""
        return float((2.0 * self.errors.mean()).sqrt())


def select(image: Image, quick: Sequence[str], trained: Mapping[str, Mapping[str, Any]], context: Context) -> Selected:
    """Take the candidate that predicts held-out pixels best; an earlier one where no later one is measurably better.

    Parameters
    ----------
    image : Image
    quick : sequence of str
        Ids of candidates that only measure the image, in order of preference.
    trained : mapping of str to mapping
        Ids of candidates that learn from the image, with their settings: they are shown none of the held-out pixels.
    context : Context

    Raises
    ------
    SynthError
        No candidate can be prepared: the error of the first.
    """
    noise = measure_noise(image, context)
    trial = _Trial.of(image, noise, context)
    tried: list[_Tried] = []
    left_out: list[str] = []
    first_error: SynthError | None = None
    for identifier in (*quick, *trained):
        try:
            candidate = CANDIDATES[identifier]
            settings = candidate.params_type.parse(trained.get(identifier, {}))
            shown = trial.training_image(image, context) if identifier in trained else image
            tried.append(_try(candidate, settings, shown, trial, context))
        except Cancelled:
            raise
        except SynthError as error:
            # Its frames hold the tensors of what failed.
            first_error = first_error or error.with_traceback(None)
            left_out.append(f"{identifier} was left out: {error}")
        context.report.start("Comparing methods")
    if not tried:
        raise first_error or SynthError("There is no candidate to choose from: name at least one.")
    taken = _best(tried)
    reasons = (*_reasons(tried, taken, trial), *left_out)
    again = taken.generator.info.id in trained
    prepared = _prepare(taken.generator, taken.settings, image, context) if again else taken.prepared
    return Selected(prepared, reasons, getattr(taken.settings, "outliers", "keep"))


def _try(candidate: Generator[Params], settings: Params, image: Image, trial: _Trial, context: Context) -> _Tried:
    """Prepare a candidate for ``image`` and measure its errors.

    Raises
    ------
    SynthError
        It fails, for whatever reason.
    """
    try:
        with translated_errors(candidate, context.device):
            prepared = _prepare(candidate, settings, image, context)
            return _Tried(candidate, settings, prepared, trial.errors(prepared))
    except MemoryShortError:
        pass
    context.device.release_memory()
    raise OutOfMemoryError(
        f"{candidate.info.title} does not fit into the memory of {context.device.title}: free memory, or take the cpu."
    )


def _prepare(generator: Generator[Params], settings: Params, image: Image, context: Context) -> Prepared:
    """Prepare a generator so that it takes the samples of RGB pixels together."""
    prepared = generator.prepare(image, settings, context)
    return SampleBySample(prepared) if "S" in image.axes and generator.info.colour == "separate" else prepared


@dataclass(frozen=True)
class _Trial:
    """Windows of the image with held-out pixels.

    Attributes
    ----------
    held_out : HeldOut
        Windows as (N * T * Z, C, 1, Y, X).
    lead : tuple of int
        N, T and Z.
    unit : torch.Tensor, (P,)
        Standard deviation of the noise at the held-out pixels.
    reach : tuple of int
        How far away along y and x neighbours were hidden too.
    """

    held_out: HeldOut
    lead: tuple[int, int, int]
    unit: Tensor
    reach: tuple[int, int]

    @classmethod
    def of(cls, image: Image, noise: NoiseReport, context: Context) -> _Trial:
        planes = {axis: min(_MOST_PLANES, image.sizes.get(axis, 1)) for axis in "TZ"}
        size = (planes["T"], planes["Z"], _EDGE, _EDGE)
        count = max(2, _PIXELS // int(np.prod(size)))
        windows = torch.stack(sample_windows(image, "TZYX", size, count, context))
        n, c, t, z, y, x = windows.shape
        reach = correlation_reach(noise)
        # Planes lie side by side while pixels are held out, so that no two neighbouring ones lack the same.
        stack = windows.reshape(n, c, t * z, y, x)
        together = hold_out(stack, reach)
        where = _planes(together.where)
        flat = HeldOut(_planes(together.filled), _planes(stack)[where], where)
        model = noise.model.scaled(context.intensity.scale, context.intensity.offset)
        # Neighbours without a single photon do not say that there is no noise: one more among eight would have been no surprise.
        least = max(_LEAST_NOISE, model.gain / 8**0.5)
        unit = noise_variance(model, flat.filled[flat.where]).sqrt().clamp(min=least)
        return cls(flat, (n, t, z), unit, reach)

    def errors(self, prepared: Prepared) -> Tensor:
        """Return the error of a denoiser at every held-out pixel."""
        with torch.inference_mode():
            return self.held_out.errors(self._restored(prepared), self.unit)

    def _restored(self, prepared: Prepared) -> Tensor:
        """Return what a denoiser makes of the windows, in blocks as it wants them."""
        filled = self.held_out.filled
        c, _, y, x = filled.shape[1:]
        n, t, z = self.lead
        whole = filled.reshape(n, t, z, c, y, x)
        match prepared.spec.axes:
            case "ZYX":
                blocks = whole.transpose(2, 3).reshape(n * t, c, z, y, x)
                return _restore(prepared, blocks).reshape(n, t, c, z, y, x).transpose(2, 3).reshape(filled.shape)
            case "TYX":
                blocks = whole.permute(0, 2, 3, 1, 4, 5).reshape(n * z, c, t, y, x)
                restored = _restore(prepared, blocks).reshape(n, z, c, t, y, x)
                return restored.permute(0, 3, 1, 2, 4, 5).reshape(filled.shape)
            case _:
                return _restore(prepared, filled.squeeze(2)).unsqueeze(2)

    def training_image(self, image: Image, context: Context) -> Image:
        """Return the windows, without what is held out, as frames of an image."""
        filled = self.held_out.filled
        n, t, z = self.lead
        c, _, y, x = filled.shape[1:]
        counts = context.intensity.inverse(filled.cpu().numpy()).astype(np.float32)
        axes = "T" + ("Z" if "Z" in image.axes else "") + "YX" + ("S" if "S" in image.axes else "")
        frames = np.moveaxis(counts.reshape(n * t, z, c, y, x), 2, -1)
        sizes = {"T": n * t, "Z": z, "Y": y, "X": x, "S": c}
        spacing = {axis: image.spacing[axis] for axis in "ZYX" if axis in image.spacing}
        return Image(frames.reshape([sizes[axis] for axis in axes]), axes, spacing)


def _planes(stack: Tensor) -> Tensor:
    """Bring (N, C, P, Y, X) into (N * P, C, 1, Y, X)."""
    n, c, planes, y, x = stack.shape
    return stack.transpose(1, 2).reshape(n * planes, c, 1, y, x)


def _restore(prepared: Prepared, blocks: Tensor) -> Tensor:
    """Apply a denoiser to whole windows, padded to the sizes that it needs."""
    spatial = blocks.shape[2:]
    pads = [-size % multiple for size, multiple in zip(spatial, prepared.spec.multiple, strict=True)]
    padding = [value for pad in reversed(pads) for value in (0, pad)]
    padded = functional.pad(blocks, padding, mode="replicate") if any(pads) else blocks
    restored = prepared.apply(padded)
    for axis, size in enumerate(spatial, start=2):
        restored = restored.narrow(axis, 0, size)
    return restored


def _best(tried: Sequence[_Tried]) -> _Tried:
    """Return the candidate of least error, or an earlier one that is as good as far as can be told."""
    lowest = min(tried, key=lambda candidate: candidate.error)
    if lowest.errors.numel() < _FEWEST:
        return tried[0]
    for candidate in tried:
        difference = candidate.errors - lowest.errors
        if float(difference.mean()) <= _SURE * float(difference.std()) / difference.numel() ** 0.5:
            return candidate
    return lowest


def _reasons(tried: Sequence[_Tried], taken: _Tried, trial: _Trial) -> tuple[str, ...]:
    """Say what was taken, and why, with the numbers."""
    name, pixels = taken.generator.info.title, taken.errors.numel()
    if pixels < _FEWEST:
        return (f"Took {name}: the image is too small to compare methods on it.",)
    ranked = sorted(tried, key=lambda candidate: candidate.error)
    table = ", ".join(f"{candidate.generator.info.title} {candidate.error:.3f}" for candidate in ranked)
    why = "it predicts best" if taken is ranked[0] else "no other predicts measurably better"
    said = [
        f"Took {name}: {why} what it was not shown.",
        f"Error at {pixels} held-out pixels in units of the noise: {table}.",
    ]
    if ranked[0].error > _UNPREDICTABLE:
        said.append("Errors far above 1 come from detail or outliers that nothing predicts: the choice is less sure.")
    if any(trial.reach):
        farthest = max(trial.reach)
        said.append(f"Noise goes together, so that neighbours up to {farthest} pixels away were not shown either.")
    return tuple(said)


def prepare_auto(image: Image, params: AutoParams, context: Context) -> Prepared:
    """Compare the candidates and prepare the best.

    For its parameters see `Generator.prepare`.
    """
    return with_even_noise(image, context, lambda even: _prepare_auto(even, params, context))


def _prepare_auto(image: Image, params: AutoParams, context: Context) -> Prepared:
    quick = ["blind", "wavelet", "non-local-means", "total-variation", "median"]
    names = quick if params.candidates == "all" else quick[1:]
    chosen = select(image, [f"denoise/{name}" for name in names], TRAINED if params.trained else {}, context)
    if params.outliers == "auto":
        chosen.resolved = {"outliers": chosen.outliers}
    return chosen
