"""What variational autoencoders are trained for, and what is said of how they use their latents.

The deviation of the decoder's pixels is taken as what it is, so that the likelihood and the divergence of the latents have their
right weights without a choice: Rybkin et al., "Simple and effective VAE training with calibrated decoders", ICML 2021.
"""

from __future__ import annotations

from math import log10
from typing import Protocol

import torch
from torch import Tensor

from napari_synth.trainables.synthesize._parts import in_parts

PSNR = "PSNR of images found again (dB)"
_DIVERGENCE = "Divergence of the latents (nats)"
_STRONGEST, _TYPICAL = "of the strongest latent (nats)", "of the median latent (nats)"
# A latent whose posterior tells less than this of the image is out of use.
_IN_USE = 0.05
# Images are about -1 to 1.
_PEAK = 4.0
_LEAST_SQUARE = 1e-6


class Encoder(Protocol):
    """What finds the posterior of images."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance (N, L) of images (N, C, Y, X)."""


def posterior(encoder: Encoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and logarithm of the variance (N, L) of many images (N, C, Y, X)."""
    size = (images.shape[2], images.shape[3])
    mean, log_variance = in_parts(lambda part: torch.stack(encoder.encode(part), 1), size, images).unbind(1)
    return mean, log_variance


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return how far posteriors (N, L) diverge from normal numbers, in nats: the mean over the images, for each latent (L,)."""
    apart = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
    return apart.mean(0)


def negative_evidence(decoded: Tensor, images: Tensor, apart: Tensor, weight: float) -> Tensor:
    """Return the bound on the negative logarithm of the likelihood, in nats a pixel and channel but for a constant.

    Parameters
    ----------
    decoded, images : Tensor
        Shape (N, C, Y, X).
    apart : Tensor
        See `divergence`.
    weight : float
        Of the divergence.
    """
    square = (decoded - images).square().mean()
    return 0.5 * square.clamp_min(_LEAST_SQUARE).log() + weight * apart.sum() / images[0].numel()


def warmed(beta: float, step: int, warm_up: int) -> float:
    """Return the weight of the divergence at a step: it rises from 0, so that latents come into use first.

    Bowman et al., "Generating sentences from a continuous space", CoNLL 2016.
    """
    return beta * min(1.0, step / warm_up) if warm_up else beta


def psnr(found: Tensor, images: Tensor) -> float:
    """Return the peak signal-to-noise ratio of images (N, C, Y, X) of about -1 to 1, in dB."""
    return 10.0 * log10(_PEAK / max(float((found - images).square().mean()), 1e-12))


def usage(apart: Tensor) -> dict[str, float]:
    """Return what the user is shown of a divergence (L,): how many latents are in use, and how much they tell of the image.

    Where none is in use, the decoder makes the same image of all of them: the posterior has collapsed.
    """
    return {
        f"Latents in use (of {len(apart)})": float((apart > _IN_USE).sum()),
        _DIVERGENCE: float(apart.sum()),
        _STRONGEST: float(apart.max()),
        _TYPICAL: float(apart.median()),
    }


def principal_psnr(learnt: Tensor, held_out: Tensor, count: int) -> float:
    """Return how well held-out crops are found again from principal components of crops that are learnt from.

    That is the best linear autoencoder: the baseline of others. At most as many components as crops are taken.
    """
    flat, mean = learnt.flatten(1), learnt.flatten(1).mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False).Vh[: min(count, len(flat) - 1)]
    apart = held_out.flatten(1) - mean
    return psnr(apart @ axes.T @ axes, apart)
