"""What networks that play against each other are trained for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Game = Literal["lsgan", "vanilla", "hinge"]
"""Squares (Mao et al., ICCV 2017), logarithms (Goodfellow et al., NeurIPS 2014), or hinges (Lim and Ye 2017)."""
BOUNDED_EVERY = 4
"""`steepness` is slow: it is penalised in one of so many steps, and weighs so many times more there."""


def discriminator_loss(game: Game, real: Tensor, made: Tensor) -> Tensor:
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


def generator_loss(game: Game, made: Tensor) -> Tensor:
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
def frozen(*networks: nn.Module) -> Iterator[None]:
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


_FILTERS, _LEVELS, _BINS = 24, 3, 8
_AT_ONCE = 2**19


class RandomFeatures(nn.Module):
    """Means and spreads of the answers of random filters at three scales, and the histogram of every channel.

    The filters are the same wherever they are drawn.

    Parameters
    ----------
    channels : int
        Of the images.
    seed : int
        Of the filters.
    """

    first: Tensor
    second: Tensor
    centres: Tensor

    def __init__(self, channels: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shapes = ((_FILTERS, channels, 5, 5), (_FILTERS, _FILTERS, 3, 3))
        for name, shape in zip(("first", "second"), shapes, strict=True):
            filters = torch.randn(shape, generator=generator)
            # Without a mean, they answer to structure and not to brightness, of which the histogram tells.
            filters -= filters.mean(dim=(1, 2, 3), keepdim=True)
            self.register_buffer(name, filters / filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
        self.register_buffer("centres", torch.linspace(-1.0, 1.0, _BINS))
        self.channels = channels

    @property
    def size(self) -> int:
        """Number of features of an image."""
        return 4 * _FILTERS * _LEVELS + _BINS * self.channels

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the features (N, size) of images (N, C, Y, X) of about -1 to 1, at least 16 pixels high and wide."""
        parts = -(-images[:, 0].numel() // _AT_ONCE)
        return torch.cat([self._of(part) for part in images.float().chunk(parts)])

    def _of(self, images: Tensor) -> Tensor:
        width = 2.0 / (_BINS - 1)
        shares = (1.0 - (images.unsqueeze(2) - self.centres.view(-1, 1, 1)).abs() / width).clamp_min(0.0)
        found = [shares.mean(dim=(3, 4)).flatten(1)]
        for level in range(_LEVELS):
            scaled = functional.avg_pool2d(images, 2**level) if level else images
            # The smallest images are smaller than a filter at the coarsest scale.
            beyond = 2 if min(scaled.shape[-2:]) <= self.first.shape[-1] else 0
            answer = functional.conv2d(scaled, self.first, padding=beyond).relu()
            deeper = functional.conv2d(functional.avg_pool2d(answer, 2), self.second, padding=1).relu()
            for each in (answer, deeper):
                found += [each.mean(dim=(2, 3)), each.std(dim=(2, 3))]
        return torch.cat(found, 1)


class FeatureScale:
    """Brings features to the mean 0 and the spread 1 that they have for real images.

    Parameters
    ----------
    real : Tensor
        Shape (N, features).
    """

    def __init__(self, real: Tensor) -> None:
        self.mean, spread = real.mean(0), real.std(0)
        # What hardly varies among real images may not outweigh everything else.
        self.spread = spread.clamp_min(0.1 * float(spread.median()) + 1e-6)

    def __call__(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return (features - self.mean) / self.spread


def kernel_distance(some: Tensor, others: Tensor) -> float:
    """Return how far apart two sets of features are: 0 in the mean for two draws of the same, which may come out below.

    It is the energy distance, the kernel distance whose kernel is the negative distance: it needs no width, and grows steadily with
    what is wrong. Its unit is the spread of one feature. Without bias, however few images there are.

    Parameters
    ----------
    some, others : Tensor
        Shape (N, features) and (M, features), scaled; at least 2 each.

    References
    ----------
    Székely and Rizzo, "Energy statistics", J. Stat. Plan. Inference 2013; Bińkowski et al., "Demystifying MMD GANs", ICLR 2018 (the
    kernel distance of images).
    """
    across = torch.cdist(some, others).mean()
    within = [torch.cdist(each, each).sum() / (len(each) * (len(each) - 1)) for each in (some, others)]
    return float(2.0 * across - within[0] - within[1]) / sqrt(some.shape[1])


def variety(images: Tensor) -> float:
    """Return how different images (N, C, Y, X) are from each other: the mean distance of pairs, a pixel, smoothed a little."""
    smooth = functional.avg_pool2d(images.float(), 4).flatten(1)
    count = len(smooth)
    return float(torch.cdist(smooth, smooth).sum() / (count * (count - 1))) / sqrt(smooth.shape[1])


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Return images (N, C, Y, X) smoothed by a Gaussian, in pixels."""
    reach = max(1, round(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / sigma) ** 2)
    line = (line / line.sum()).to(images.dtype)
    channels = images.shape[1]
    shapes: Sequence[tuple[int, ...]] = ((1, 1, 1, -1), (1, 1, -1, 1))
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    for shape in shapes:
        padded = functional.conv2d(padded, line.view(shape).expand(channels, -1, -1, -1), groups=channels)
    return padded


_PATCH, _SCALES, _DIRECTIONS = 5, (1, 2), 32
_SHARES = 257
_DRAWN = 1024
_MOST = 2**15


class PatchTransport:
    """Knows how patches of the source and of the target are distributed.

    Parameters
    ----------
    sources, targets : sequence of Tensor
        Planes (1, C, H, W) with as many channels, at least 10 pixels high and wide.
    seed : int
        The directions come from it.
    """

    def __init__(self, sources: Sequence[Tensor], targets: Sequence[Tensor], seed: int = 0) -> None:
        self._kernels = _directions(targets[0].shape[1], seed).to(targets[0])
        self._source, self._target = ([self._levels(planes, s) for s in _SCALES] for planes in (sources, targets))

    def loss(self, sources: Tensor, results: Tensor, generator: torch.Generator) -> Tensor:
        """Return how far patches of results lie from those of the same rank in the target, in the unit of the images.

        Parameters
        ----------
        sources, results : Tensor
            Shape (N, C, [Z,] Y, X) each.
        generator : torch.Generator
        """
        losses = []
        for number, scale in enumerate(_SCALES):
            along, own = (self._along(_planes(images), scale) for images in (results, sources.detach()))
            drawn = torch.randint(along.shape[1], (_DRAWN,), generator=generator, device=generator.device)
            along, own = along[:, drawn.to(along.device)], own[:, drawn.to(along.device)]
            made = along.detach()
            spread = made.std(1, keepdim=True).clamp_min(1e-6)
            alike = (made - made.mean(1, keepdim=True)) / spread * own.std(1, keepdim=True) + own.mean(1, keepdim=True)
            wanted = _at_rank_of(alike, self._source[number], self._target[number])
            losses.append((along - wanted).abs().mean() / _PATCH)
        return torch.stack(losses).mean()

    def _levels(self, planes: Sequence[Tensor], scale: int) -> Tensor:
        """Return evenly spread quantiles of patches along each direction, (directions, shares)."""
        along = torch.cat([self._along(plane, scale) for plane in planes], dim=1)
        shares = torch.linspace(0.0, 1.0, _SHARES).to(along)
        return torch.quantile(along[:, :: max(1, along.shape[1] // _MOST)], shares, dim=1).T.contiguous()

    def _along(self, planes: Tensor, scale: int) -> Tensor:
        """Return the patches of planes (N, C, H, W) along each direction, (directions, patches)."""
        smaller = functional.avg_pool2d(planes, scale) if scale > 1 else planes
        return functional.conv2d(smaller, self._kernels).transpose(0, 1).flatten(1)


def _at_rank_of(values: Tensor, own: Tensor, target: Tensor) -> Tensor:
    """Return where values (directions, patches) go when levels of one distribution go to those of another."""
    right = torch.searchsorted(own, values.contiguous()).clamp(1, _SHARES - 1)
    low, high = own.gather(1, right - 1), own.gather(1, right)
    share = ((values - low) / (high - low).clamp_min(1e-6)).clamp(0.0, 1.0)
    return torch.lerp(target.gather(1, right - 1), target.gather(1, right), share)


def _planes(images: Tensor) -> Tensor:
    return images if images.dim() == 4 else images.transpose(1, 2).flatten(0, 1)


def _directions(channels: int, seed: int) -> Tensor:
    """Return directions of length 1 in the space of patches, (directions, C, patch, patch): first the means of the channels."""
    size = channels * _PATCH**2
    drawn = torch.randn(size, _DIRECTIONS, generator=torch.Generator().manual_seed(seed))
    for channel in range(min(channels, _DIRECTIONS)):
        drawn[:, channel] = 0.0
        drawn[channel * _PATCH**2 : (channel + 1) * _PATCH**2, channel] = 1.0
    return functional.normalize(drawn, dim=0).T.reshape(-1, channels, _PATCH, _PATCH).contiguous()
