"""Makes images with the decoders of variational autoencoders, and finds the latents of images with their encoders."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_synth.generators.synthesize._networks import VectorSampler
from napari_synth.generators.synthesize._options import RefinedParams

# What cannot be known of an image is the same in all of them, so that images on a path between two change smoothly.
_FINE_SEED = 0


class AutoencoderSampler(VectorSampler):
    """A `VariationalAutoencoder`."""

    can_encode = True

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network.decode(latents)
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the means of the posterior; see `Sampler.encode`."""
        mean: Tensor = self.network.encode(self.as_seen(pixels))[0]
        return mean


class RefinedSampler(AutoencoderSampler):
    """A `RefinedAutoencoder`."""

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        assert isinstance(self.params, RefinedParams)
        if self.params.manner == "blurred":
            blurred: Tensor = self.network.autoencoder.decode(latents)
            return blurred
        noise = torch.randn((1, 1, *size), generator=torch.Generator().manual_seed(_FINE_SEED))
        domain = self.network.domains - 1 if self.params.manner == "auto" else 0
        images: Tensor = self.network.decode(latents, noise.to(latents).expand(len(latents), -1, -1, -1), domain)
        return images
