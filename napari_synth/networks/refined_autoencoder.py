"""A variational autoencoder whose blurred images a second network refines: what makes the images of a VAE-GAN.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016. There the decoder plays against the
discriminator itself; here it stays what its likelihood makes of it, and a refiner behind it plays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from napari_synth.networks.generative_blocks import LatentNoise
from napari_synth.networks.refiner import Refiner
from napari_synth.networks.variational_autoencoder import VariationalAutoencoder, drawn_latents


class Made(NamedTuple):
    """What is made of a batch of images and of drawn latents.

    Attributes
    ----------
    decoded : Tensor
        Shape (N, C, size, size): of the images, as the decoder makes them.
    mean, log_variance : Tensor
        Shape (N, latent_size): the posterior.
    blurred : Tensor
        Shape (N, C, size, size): what is refined, as the decoder makes it of the last images and then of the drawn latents.
    refined : list of Tensor
        For every domain, (N, C, size, size).
    back : Tensor or None
        What was refined into the second domain, refined into the first one again; None where there is but one.
    """

    decoded: Tensor
    mean: Tensor
    log_variance: Tensor
    blurred: Tensor
    refined: list[Tensor]
    back: Tensor | None


class RefinedAutoencoder(nn.Module):
    """Encoder, decoder and refiner; images are about -1 to 1.

    Parameters
    ----------
    channels, size, latent_size, width
        Of the autoencoder; see `VariationalAutoencoder`.
    refiner_width, blocks : int
        Of the refiner; see `Refiner`.
    domains : int
        1 or 2; the first one is that of the images that are encoded.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 64,
        latent_size: int = 128,
        width: int = 32,
        refiner_width: int = 24,
        blocks: int = 2,
        domains: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if domains not in {1, 2}:
            raise ValueError("There are one or two domains.")
        self.autoencoder = VariationalAutoencoder(channels, size, latent_size, width, generator)
        self.refiner = Refiner(channels, refiner_width, blocks, domains, generator)
        self.noise = LatentNoise(latent_size, size)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        refiner = self.refiner.config
        return self.autoencoder.config | {
            "refiner_width": refiner["width"],
            "blocks": refiner["blocks"],
            "domains": refiner["domains"],
        }

    @property
    def domains(self) -> int:
        """How many there are."""
        return self.refiner.domains

    @property
    def latent_size(self) -> int:
        """Length of the latent vector."""
        return self.autoencoder.latent_size

    @property
    def first_weight(self) -> Tensor:
        """Of the layer that the latents meet first, (features, latent_size)."""
        return self.autoencoder.first_weight

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior; see `VariationalAutoencoder.encode`."""
        return self.autoencoder.encode(x)

    def decode(self, latents: Tensor, domain: int = 0) -> Tensor:
        """Return refined images (N, C, size, size) of latents (N, latent_size)."""
        refined: Tensor = self.refiner(self.autoencoder.decode(latents), self.noise(latents), domain)
        return refined

    def forward(self, x: Tensor, noise: Tensor, drawn: Tensor) -> Made:
        """Do all that a training step needs.

        Of drawn latents there are fewer than images: as many of the first images are not refined, to save time. The refiner's
        gradients do not reach the autoencoder, which its game would make restless.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, size, size).
        noise : Tensor
            Shape (N, latent_size), standard normal, of the posterior.
        drawn : Tensor
            Shape (M, latent_size), latents of the prior.
        """
        mean, log_variance = self.encode(x)
        latents = drawn_latents(mean, log_variance, noise)
        decoded = self.autoencoder.decode(latents)
        with torch.no_grad():
            blurred = torch.cat((decoded[len(drawn) :], self.autoencoder.decode(drawn)))
            fine = self.noise(torch.cat((latents[len(drawn) :], drawn)))
        refined = [self.refiner(blurred, fine, domain) for domain in range(self.domains)]
        back = self.refiner(refined[1], fine, 0) if self.domains == 2 else None
        return Made(decoded, mean, log_variance, blurred, refined, back)
