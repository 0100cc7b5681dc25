"""Whether a fresh network tells made images from real ones: the classifier two-sample test.

Statistics that are written down beforehand can be met by images that no one takes for real. A network that is trained on nothing
but the difference finds the one that is there, as an eye does: where it cannot tell the two apart on images that it never saw, they
are alike in all that it can see.

References
----------
Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (16, 32, 64)
_KERNEL, _SLOPE = 5, 0.2
_RATE, _BATCH = 2e-3, 16
# Steps after which it is judged: often at first, where what is far from real is told apart already.
_LOOKS = (5, 10, 20, 40, 60, 80, 100)
# Of what is measured, the last ones are averaged: a single one is as restless as the weights.
_LAST = 3
_LOOKED_AT = 64
# Pixels: it sees nothing larger than its field, so that windows of larger images tell it as much in less time.
_WINDOW = 64
# What is told this well needs no further steps.
_CERTAIN = 0.998
_FEWEST = 4
# In units of the spread of real intensities: hides how a dtype rounds, and nothing that can be seen.
_DITHER = 0.05
# A spread is at least so much of the deviation: the ground of a fluorescence image may be of one value.
_LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class ToldApart:
    """How well a fresh network tells made images from real ones, on images that it never saw.

    Attributes
    ----------
    accuracy : float
        Share of images that it takes for what they are, real and made ones weighing the same: 0.5 where it guesses, 1 where it
        always knows.
    auc : float
        Area under the curve of the receiver: the probability that of a made and a real image it takes the made one for the made
        one; 0.5 where it guesses.
    course : float
        Mean area under the curve from its first steps on. It goes on telling better from worse among images that it always knows in
        the end, since what is far from real is learnt sooner.
    """

    accuracy: float
    auc: float
    course: float


def told_apart(
    real: Tensor,
    made: Tensor,
    unseen: Tensor,
    *,
    runs: Literal[1, 2] = 2,
    seed: int = 0,
    check: Callable[[], None] | None = None,
) -> ToldApart:
    """Train a small convolutional network to tell made images from real ones, and see how well it does on others.

    It sees the signed logarithm of intensities about their median, so that the grain of a dark ground counts as well as what is
    bright, turned and flipped at random, and with a little noise that hides how either kind was rounded. One half of the made
    images is learnt from, and the other half judged; in the second run it is the other way round.

    Parameters
    ----------
    real : Tensor
        Shape (N, C, Y, X): real crops to learn from, of the part of the images that the model learnt from.
    made : Tensor
        Shape (M, C, Y, X): what the model made, in the same unit, clipped and rounded as real crops are; at least 8.
    unseen : Tensor
        Shape (K, C, Y, X): real crops of a part that neither the model nor the network has seen.
    runs : {1, 2}
        The second makes the figures steadier, and takes as long again: about five seconds of one processor core at 64 x 64 pixels,
        less where the two are told apart at once.
    seed : int
        Of the network and its draws: the same for what is to be compared.
    check : callable, optional
        Called before every step; may raise.

    Raises
    ------
    ValueError
        There are fewer than 8 made images.

    References
    ----------
    Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
    """
    if len(made) < 2 * _FEWEST:
        raise ValueError(f"{len(made)} made images are too few to be told from real ones.")
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
        scale = _Scale(real)
        real, made, unseen = (scale(part) for part in (real, made, unseen))
        halves = made[::2], made[1::2]
        pairs = (halves, halves[::-1])[:runs]
        found = [_one_run(real, *pair, unseen, seed + number, check) for number, pair in enumerate(pairs)]
    return ToldApart(*(sum(figures) / len(found) for figures in zip(*found, strict=True)))


class _Scale:
    """Brings intensities to their signed logarithm about the median of real ones, in units of their spread.

    Parameters
    ----------
    real : Tensor
        Shape (N, C, Y, X).
    """

    def __init__(self, real: Tensor) -> None:
        flat = real.float().transpose(0, 1).flatten(1)
        flat = flat[:, :: max(1, flat.shape[1] // 2**18)]
        quarters = flat.new_tensor([0.25, 0.5, 0.75])
        low, middle, high = torch.quantile(flat, quarters, dim=1).view(3, 1, -1, 1, 1)
        deviation = flat.std(1).view(1, -1, 1, 1)
        self.middle = middle
        self.spread = torch.maximum((high - low) / 1.35, _LEAST_SPREAD * deviation).clamp_min(1e-6)

    def __call__(self, images: Tensor) -> Tensor:
        """Return images of the same shape."""
        apart = (images.float() - self.middle) / self.spread
        generator = torch.Generator().manual_seed(len(images))
        apart = apart + _DITHER * torch.randn(apart.shape, generator=generator).to(apart.device)
        scaled: Tensor = apart.sign() * apart.abs().log1p()
        return scaled


class _Teller(nn.Module):
    """Three strided convolutions and the mean of what they answer."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = (channels, *_WIDTHS)
        # The usual way to begin would draw from the generator that the whole program shares.
        with torch.random.fork_rng(devices=()):
            layers = [nn.Conv2d(a, b, _KERNEL, stride=2, padding=_KERNEL // 2) for a, b in pairwise(widths)]
            self.tail = nn.Linear(2 * widths[-1], 1)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, _SLOPE, generator=generator)
            nn.init.constant_(cast(Tensor, layer.bias), 0.0)
        self.layers = nn.ModuleList(layers)
        nn.init.normal_(self.tail.weight, std=0.02, generator=generator)
        nn.init.constant_(self.tail.bias, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return how sure it is that images (N, C, Y, X) are made: (N,)."""
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), _SLOPE)
        told: Tensor = self.tail(torch.cat((x.mean((-2, -1)), x.amax((-2, -1))), 1))
        return told[:, 0]


def _one_run(
    real: Tensor, learnt: Tensor, judged: Tensor, unseen: Tensor, seed: int, check: Callable[[], None] | None
) -> tuple[float, float, float]:
    """Return accuracy, area under the curve and its mean over the course."""
    generator = torch.Generator().manual_seed(seed)
    network = _Teller(real.shape[1], generator).to(real.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE, betas=(0.8, 0.99))
    answers: list[tuple[Tensor, Tensor]] = []
    course: list[float] = []
    for step in range(1, _LOOKS[-1] + 1):
        if check is not None:
            check()
        told = network(torch.cat((_drawn(real, generator), _drawn(learnt, generator))))
        is_made = torch.arange(2 * _BATCH, device=told.device) >= _BATCH
        loss = functional.binary_cross_entropy_with_logits(told, is_made.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in _LOOKS:
            with torch.no_grad():
                # Where it is undecided is seen on what it learnt from, since a few steps leave it with a leaning to one side.
                even = 0.5 * sum(_told(network, part[:_LOOKED_AT]).median() for part in (real, learnt))
                answers.append((_told(network, unseen) - even, _told(network, judged) - even))
            course.append(area_under_curve(*answers[-1]))
            if course[-1] >= _CERTAIN:
                break
    true, false = (torch.stack(part).mean(0) for part in zip(*answers[-_LAST:], strict=True))
    course += [course[-1]] * (len(_LOOKS) - len(course))
    accuracy = 0.5 * float((true < 0).float().mean() + (false > 0).float().mean())
    return accuracy, area_under_curve(true, false), sum(course) / len(course)


def _told(network: nn.Module, images: Tensor) -> Tensor:
    """Return how sure a network is that images (N, C, Y, X) are made, the mean over windows of them: (N,)."""
    edges = [min(_WINDOW, size) for size in images.shape[-2:]]
    windows = images.unfold(2, edges[0], edges[0]).unfold(3, edges[1], edges[1]).permute(2, 3, 0, 1, 4, 5)
    told = [network(window) for row in windows for window in row]
    return torch.stack(told).mean(0)


def _drawn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw windows of images (N, C, Y, X), turned and flipped."""
    chosen = images[torch.randint(len(images), (_BATCH,), generator=generator).to(images.device)]
    top, left, turn, flip = torch.randint(2**31, (4,), generator=generator).tolist()
    height, width = (min(_WINDOW, size) for size in images.shape[-2:])
    top, left = top % (images.shape[-2] - height + 1), left % (images.shape[-1] - width + 1)
    chosen = torch.rot90(chosen[..., top : top + height, left : left + width], turn % 4, (-2, -1))
    return chosen.flip(-1) if flip % 2 else chosen


def area_under_curve(true: Tensor, false: Tensor) -> float:
    """Return the probability that what is false is answered higher than what is true, ties counting half.

    Parameters
    ----------
    true, false : Tensor
        Shape (N,) and (M,).
    """
    apart = false[:, None] - true
    return float(((apart > 0).float() + 0.5 * (apart == 0).float()).mean())
