"""Makes images out of noise whose patches are replaced by those of an example, the most alike ones.

From the coarsest resolution on, every patch of what was made so far gives way to the patch of the example that is most like it, as
patches that nothing in the image was like yet are preferred (so that all of the example is used), and overlapping patches are
averaged. Granot et al., "Drop the GAN: In Defense of Patches Nearest Neighbors as Single Image Generative Models", CVPR 2022.
The latents are noise of the image's size; every resolution begins with what it alone can show of it, as strong as the example's own
detail.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisContext
from napari_synth.core.errors import InvalidImageError
from napari_synth.core.progress import check_cancelled
from napari_synth.engine.resampling import resized
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.noise_conditioning import full_precision
from napari_synth.methods.patch_distributions import example_plane
from napari_synth.methods.synthesize.catalogue import PatchSynthesisParams

# Of a patch's numbers, those that tell most patches apart.
_FEATURES = 24
_MOST_EXAMPLES = 2**12
# Pixels between patches that are replaced: each pixel still lies in several.
_STRIDE = 2
_CHUNK = 2**22
# How much less alike a patch may be that is not used yet; of the mean distance.
_COMPLETENESS = 0.02


class PatchSampler(Sampler):
    """An example that images are made like.

    Parameters
    ----------
    example : Tensor, (1, C, H, W)
        Normalised by its own range, on the device.
    intensity : IntensityTransform
        How it was.
    spec : SampleSpec
    params : PatchSynthesisParams
    seed : int
    """

    def __init__(
        self, example: Tensor, intensity: IntensityTransform, spec: SampleSpec, params: PatchSynthesisParams, seed: int
    ) -> None:
        self.spec, self._example, self._intensity, self._params, self._seed = spec, example, intensity, params, seed
        self.bytes_per_pixel = 4 * params.patch**2 * example.shape[1] * 4
        self._patch = min(params.patch, *example.shape[-2:])
        self._halvings = max(0, ceil(log2(params.structure / self._patch)))

    @classmethod
    def of(cls, source: Image, params: PatchSynthesisParams, context: SynthesisContext) -> PatchSampler:
        """Look at an image: the middle of its middle plane where it is large.

        For its parameters see `Synthesizer.prepare`.

        Raises
        ------
        InvalidImageError
            All of it has one value.
        """
        context.report.start("Looking at the image")
        example, intensity = example_plane(source, "CS")
        if float(example.max()) == float(example.min()):
            raise InvalidImageError("All pixels of the image have one value: there is nothing to make others like.")
        axis: Literal["C", "S", ""] = "S" if "S" in source.axes else "C" if "C" in source.axes else ""
        spec = SampleSpec(
            example.shape[1],
            axis,
            source.dtype.name,
            (source.sizes["Y"], source.sizes["X"]),
            1,
            {one: step for one, step in source.spacing.items() if one in "YX"},
            {one: unit for one, unit in source.units.items() if one in "YX"},
        )
        return cls(example.to(context.device.torch_name), intensity, spec, params, context.seed)

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """See `Sampler.latent_shape`."""
        return (self.spec.channels, *size)

    def decode(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """See `Sampler.decode`."""
        with full_precision(latents):
            made = torch.cat([self._made(noise[None], size) for noise in latents])
        return torch.from_numpy(self._intensity.inverse(made.cpu().numpy())).to(latents.device)

    def _made(self, noise: Tensor, size: tuple[int, int]) -> Tensor:
        image = torch.zeros_like(noise)
        before: tuple[Tensor, Tensor] | None = None
        for level in range(self._halvings, -1, -1):
            own, found = self._coarse(size, level), self._coarse(self._example.shape[-2:], level)
            grain, example = _white(noise, own), resized(self._example, found)
            if before is None:
                image = example.mean((-2, -1), keepdim=True) + _spread(example) * grain
            else:
                detail = grain - resized(before[0], own)
                strength = _spread(example - resized(before[1], found)) / _spread(detail)
                image = resized(image, own) + strength * detail
            before = grain, example
            for _ in range(self._params.steps):
                check_cancelled()
                image = _replaced(image, example, self._patch)
        return image

    def _coarse(self, size: tuple[int, ...] | torch.Size, level: int) -> tuple[int, int]:
        height, width = (max(self._patch, round(edge / 2**level)) for edge in size)
        return height, width


def _replaced(image: Tensor, example: Tensor, patch: int) -> Tensor:
    """Return an image (1, C, H, W) each of whose patches is the most alike one of an example."""
    found = functional.unfold(example, patch)[0].T
    found = found[:: -(-len(found) // _MOST_EXAMPLES)]
    centre = found.mean(0)
    axes = torch.linalg.svd(found - centre, full_matrices=False).Vh[:_FEATURES].T
    height, width = image.shape[-2:]
    beyond = [(patch - edge) % _STRIDE for edge in (height, width)]
    image = functional.pad(image, (0, beyond[1], 0, beyond[0]), mode="replicate")
    keys = (found - centre) @ axes
    queries = (functional.unfold(image, patch, stride=_STRIDE)[0].T - centre) @ axes
    parts = queries.split(max(1, _CHUNK // len(keys)))
    nearest = torch.stack([_apart(some, keys).amin(0) for some in parts]).amin(0)
    nearest += _COMPLETENESS * nearest.mean() + 1e-9
    chosen = torch.cat([_apart(some, keys).div_(nearest).argmin(1) for some in parts])
    total = functional.fold(found[chosen].T[None], image.shape[-2:], patch, stride=_STRIDE)
    covering = functional.fold(total.new_ones(1, patch**2, len(chosen)), image.shape[-2:], patch, stride=_STRIDE)
    return (total / covering)[..., :height, :width]


def _apart(some: Tensor, keys: Tensor) -> Tensor:
    """Return the squared distances of features (n, F) and (m, F), (n, m)."""
    squares = torch.addmm(keys.square().sum(1), some, keys.T, alpha=-2.0)
    return squares.add_(some.square().sum(1, keepdim=True)).clamp_min_(0.0)


def _white(noise: Tensor, size: tuple[int, int]) -> Tensor:
    """Return noise at a coarser resolution, as strong as before."""
    coarse = resized(noise, size)
    return coarse / _spread(coarse)


def _spread(image: Tensor) -> Tensor:
    """Return the standard deviation of each channel of (1, C, H, W), above 0."""
    return image.std((-2, -1), keepdim=True).clamp_min(1e-6)


def prepare_patches(source: Image | None, params: PatchSynthesisParams, context: SynthesisContext) -> Sampler:
    """Look at the image.

    For its parameters see `Synthesizer.prepare`.
    """
    assert source is not None
    return PatchSampler.of(source, params, context)
