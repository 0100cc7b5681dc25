"""What networks that play against each other are trained for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Game = Literal["lsgan", "vanilla", "hinge"]
"""Squares (Mao et al., ICCV 2017), logarithms (Goodfellow et al., NeurIPS 2014), or hinges (Lim and Ye 2017)."""
BOUNDED_EVERY = 4
"""`steepness` is slow: it is penalised in one of so many steps, and weighs so many times more there."""


def critic_loss(game: Game, real: Tensor, made: Tensor) -> Tensor:
    """Return what the one who judges is trained for.

    Parameters
    ----------
    game : {"lsgan", "vanilla", "hinge"}
    real, made : Tensor
        Its judgement of real images and of those that were made, any shapes.
    """
    if game == "lsgan":
        return 0.5 * ((real - 1.0).square().mean() + made.square().mean())
    if game == "vanilla":
        return 0.5 * (functional.softplus(-real).mean() + functional.softplus(made).mean())
    return 0.5 * (functional.relu(1.0 - real).mean() + functional.relu(1.0 + made).mean())


def maker_loss(game: Game, made: Tensor) -> Tensor:
    """Return what the one who makes images is trained for, by the judgement of those that it made, any shape."""
    if game == "lsgan":
        return (made - 1.0).square().mean()
    return functional.softplus(-made).mean() if game == "vanilla" else -made.mean()


def relative_loss(more: Tensor, less: Tensor) -> Tensor:
    """Return what makes one judgement rise above another, pair by pair: real above made for the critic, for the maker vice versa.

    Images that are judged against each other must be as varied as each other: whoever makes but one convinces of one only.

    Parameters
    ----------
    more, less : Tensor
        Judgements of as many images of either kind, of the same shape.

    References
    ----------
    Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019; Huang et al., "The GAN is dead; long live the GAN! A modern
    baseline GAN", NeurIPS 2024.
    """
    return functional.softplus(less - more).mean()


def steepness(judged: Tensor, images: Tensor) -> Tensor:
    """Return how fast judgements change with the images, squared: the mean over the images (N, C, Y, X), which need gradients.

    Mescheder et al., "Which training methods for GANs do actually converge?", ICML 2018.
    """
    (slope,) = torch.autograd.grad(judged.flatten(1).mean(1).sum(), images, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()


@contextmanager
def held(*networks: nn.Module) -> Iterator[None]:
    """Let gradients through networks, but none to their weights: less is computed."""
    weights = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def adversarial_optimizer(*networks: nn.Module, rate: float, memory: float = 0.5) -> torch.optim.Optimizer:
    """Return Adam with the short memory that games need.

    Parameters
    ----------
    *networks : torch.nn.Module
        Whose weights it moves.
    rate : float
        The learning rate.
    memory : float
        The first of Adam's two decay rates, 0 to 1.
    """
    return torch.optim.Adam((w for network in networks for w in network.parameters()), lr=rate, betas=(memory, 0.99))
