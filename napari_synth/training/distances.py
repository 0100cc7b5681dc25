"""How far made images are from real ones, as a whole: features of fixed random filters, and a distance between two sets of them.

Features that were learnt from photographs are not needed to tell textures apart: those of random filters at several scales do too
(Ustyuzhaninov et al., "What does it take to generate natural textures?", ICLR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

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
