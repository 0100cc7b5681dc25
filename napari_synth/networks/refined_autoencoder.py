"""A variational autoencoder whose blurred images a second network refines: what makes the images of a VAE-GAN.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016. There the decoder plays against the
discriminator itself; here it stays what its likelihood makes of it, and a refiner behind it plays.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.generative_blocks import ConditionedBlock, GroupNorm, LatentNoise, enlarged, initialise
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


_MARGIN = 8


class Refiner(nn.Module):
    """U-Net from the pixels down to a quarter of the resolution, told of the domain.

    Pixels are neither unshuffled nor shuffled: what plays against a discriminator would show it as a checkerboard.

    Parameters
    ----------
    channels : int
        Of an image.
    width : int
        Channels at half resolution; twice as many at a quarter, half as many at the whole one.
    blocks : int
        At a quarter of the resolution.
    domains : int
        How many manners of drawing are learnt.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = 4
    """Height and width must be multiples of this."""

    def __init__(
        self,
        channels: int = 1,
        width: int = 24,
        blocks: int = 2,
        domains: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels, width, blocks, domains) < 1:
            raise ValueError("A network needs at least one channel, block and domain.")
        self.channels, self.width, self.domains = channels, width, domains
        told = domains if domains > 1 else 0
        # Of the noise there is one channel, whatever the image has. Zeros around what is seen would show as a frame.
        fine = max(1, width // 2)
        self.head = nn.Conv2d(channels + 1, fine, 3, padding=1, padding_mode="replicate")
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, padding_mode="replicate")
            for a, b in ((fine, width), (width, 2 * width))
        )
        self.encoder = ConditionedBlock(width, told, "replicate")
        self.blocks = nn.ModuleList(ConditionedBlock(2 * width, told, "replicate") for _ in range(blocks))
        self.ups = nn.ModuleList(
            nn.Conv2d(b, a, 3, padding=1, padding_mode="replicate") for a, b in ((width, 2 * width), (fine, width))
        )
        self.decoder = ConditionedBlock(width, told, "replicate")
        self.tail_norm = GroupNorm(fine)
        self.tail = nn.Conv2d(fine, channels, 3, padding=1, padding_mode="replicate")
        initialise(self, generator, self.tail)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "channels": self.channels,
            "width": self.width,
            "blocks": len(self.blocks),
            "domains": self.domains,
        }

    def forward(self, x: Tensor, noise: Tensor, domain: int = 0) -> Tensor:
        """Refine images.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, Y, X), about -1 to 1, Y and X multiples of 4 and larger than 8.
        noise : Tensor
            Shape (N, 1, Y, X), standard normal.
        domain : int

        Returns
        -------
        Tensor
            Shape (N, C, Y, X), float32.
        """
        told = functional.one_hot(torch.full((len(x),), domain, device=x.device), self.domains).to(x.dtype)
        # Beyond the borders it draws as well, and what is drawn there is cut off: who judges hardly sees the outermost pixels.
        seen = functional.pad(torch.cat((x, noise), 1), (_MARGIN,) * 4, mode="reflect")
        fine = self.head(seen.contiguous(memory_format=torch.channels_last))
        half = self.encoder(self.downs[0](fine), told)
        y = self.downs[1](half)
        for block in self.blocks:
            y = block(y, told)
        y = self.decoder(self.ups[0](enlarged(y)) + half, told)
        change: Tensor = self.tail(functional.silu(self.tail_norm(self.ups[1](enlarged(y)) + fine)))
        return x + change[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].float()
