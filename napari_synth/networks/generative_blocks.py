"""What the networks that make images are made of: residual blocks with group normalisation, which may be told of a vector."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_GROUP = 8


class GroupNorm(nn.GroupNorm):
    """Group normalisation of about eight channels a group (Wu and He, "Group normalization", ECCV 2018).

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width // _GROUP if width % _GROUP == 0 else 1, width)


class ConditionedBlock(nn.Module):
    """``x + conv(silu(norm(conv(silu(norm(x))))))``; the second norm is scaled and shifted by what it is told.

    Perez et al., "FiLM: visual reasoning with a general conditioning layer", AAAI 2018.

    Parameters
    ----------
    width : int
        Channels.
    told : int
        Length of the vector that it is told of; 0 for none.
    padding : {"zeros", "replicate"}
        What its convolutions see beyond the borders.
    """

    def __init__(self, width: int, told: int = 0, padding: Literal["zeros", "replicate"] = "zeros") -> None:
        super().__init__()
        self.first_norm, self.second_norm = GroupNorm(width), GroupNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1, padding_mode=padding)
        self.second = nn.Conv2d(width, width, 3, padding=1, padding_mode=padding)
        self.telling = nn.Linear(told, 2 * width) if told else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return a tensor of the same shape (N, C, Y, X); the vector is (N, told)."""
        y = self.second_norm(self.first(functional.silu(self.first_norm(x))))
        if self.telling is not None:
            scale, shift = self.telling(condition)[..., None, None].chunk(2, dim=1)
            y = y * (1.0 + scale) + shift
        change: Tensor = self.second(functional.silu(y))
        return x + change


class LatentNoise(nn.Module):
    """White noise that belongs to latents: the same for the same, little changed where they are little turned.

    What is fine and without order, convolutions of few latents can hardly draw; from noise they can (Karras et al., "A style-based
    generator architecture for generative adversarial networks", CVPR 2019). Here the noise is a fixed random projection of the
    latents' direction, and not drawn anew for each image. It is not part of the weights: torch draws it again from a fixed seed.

    Parameters
    ----------
    latent_size : int
    size : int
        Edge of an image. 4 bytes of memory are needed for each pixel and latent.
    """

    def __init__(self, latent_size: int, size: int) -> None:
        super().__init__()
        self.latent_size, self.size = latent_size, size

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_size) to standard normal pixels (N, 1, size, size)."""
        fields = _drawn_fields(self.latent_size, self.size, latents.device)
        return (functional.normalize(latents, dim=1) @ fields.to(latents.dtype)).view(-1, 1, self.size, self.size)


@lru_cache(maxsize=2)
def _drawn_fields(latent_size: int, size: int, device: torch.device) -> Tensor:
    """Return what latents are projected with, (latent_size, size * size): one for all networks, which are copied and averaged."""
    # What is drawn first in an inference may be trained with next.
    with torch.inference_mode(False):
        return torch.randn((latent_size, size * size), generator=torch.Generator().manual_seed(0)).to(device)


def enlarged(x: Tensor) -> Tensor:
    """Double the resolution, linearly: where pixels are repeated, a convolution behind may leave a checkerboard."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def initialise(network: nn.Module, generator: torch.Generator | None, *last: Any) -> None:
    """Draw fresh weights; blocks, and the layers named last, add little at first, and what is told changes nothing.

    Parameters
    ----------
    network : torch.nn.Module
    generator : torch.Generator or None
        Draws the weights; torch's own where left out.
    *last : torch.nn.Module
        Layers that add little at first.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ConditionedBlock):
                module.second.weight.mul_(0.1)
                if module.telling is not None:
                    module.telling.weight.mul_(0.1)
        for layer in last:
            layer.weight.mul_(0.1)
