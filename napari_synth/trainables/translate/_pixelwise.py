"""The best guess of a target from one pixel of its source: what a network must beat to have learnt more than a colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.training.pools import Field

Doubles = npt.NDArray[np.float64]

MOST_PIXELS = 2**18
_BINS = 128
_RIDGE = 1e-6
_FEW_CHANNELS = 4


class PixelRegression:
    """Least squares from the channels of a pixel to those of another image there.

    One channel is looked up in a table of means over as many pixels each, between which it is interpolated; several go through a
    polynomial of third degree (of second degree where they are more than four).

    Parameters
    ----------
    source : array, (pixels, channels)
        Normalised to about 0 to 1; what lies outside the range of these pixels is cut off there.
    target : array, (pixels, results)

    Attributes
    ----------
    mean : array, (results,)
        Of the target.
    """

    def __init__(self, source: Doubles, target: Doubles) -> None:
        self.mean: Doubles = target.mean(axis=0)
        self._low, self._high = source.min(axis=0), source.max(axis=0)
        self._degree = 3 if source.shape[1] <= _FEW_CHANNELS else 2
        self._knots: Doubles | None = None
        self._values: Doubles
        if source.shape[1] == 1:
            order = np.argsort(source[:, 0], kind="stable")
            bins = [part for part in np.array_split(order, min(_BINS, len(order))) if len(part)]
            knots = np.array([source[part, 0].mean() for part in bins], np.float64)
            means = np.array([target[part].mean(axis=0) for part in bins])
            # Where many pixels are alike, they fill several bins.
            self._knots, inverse = np.unique(knots, return_inverse=True)
            counts = np.bincount(inverse)
            self._values = np.stack([np.bincount(inverse, column) / counts for column in means.T], axis=1)
        else:
            terms = self._terms(source)
            square = terms.T @ terms + _RIDGE * len(terms) * np.eye(terms.shape[1])
            self._values = np.linalg.solve(square, terms.T @ target).astype(np.float64)

    def __call__(self, blocks: Tensor) -> Tensor:
        """Return the guess for blocks (N, channels, *spatial), as (N, results, *spatial)."""
        pixels = blocks.movedim(1, -1).reshape(-1, blocks.shape[1]).cpu().numpy().astype(np.float64)
        if self._knots is None:
            guessed = self._terms(pixels) @ self._values
        else:
            guessed = np.stack([np.interp(pixels[:, 0], self._knots, column) for column in self._values.T], axis=1)
        shape = (blocks.shape[0], *blocks.shape[2:], guessed.shape[1])
        return torch.from_numpy(guessed.astype(np.float32)).reshape(shape).movedim(-1, 1).to(blocks.device)

    def _terms(self, source: Doubles) -> Doubles:
        inside = np.clip(source, self._low, self._high)
        count = inside.shape[1]
        columns = [np.ones(len(inside))]
        for degree in range(1, self._degree + 1):
            columns += [
                inside[:, chosen].prod(axis=1) for chosen in combinations_with_replacement(range(count), degree)
            ]
        return np.stack(columns, axis=1)


def some_pixels(fields: Sequence[Field], channels: int) -> tuple[Doubles, Doubles]:
    """Return evenly spread pixels of fields whose first channels are the source's: (pixels, channels) of both."""
    flat = []
    for field in fields:
        pixels = field.pixels.reshape(len(field.pixels), -1)
        flat.append(pixels if field.inside is None else pixels[:, field.inside.ravel()])
    step = max(1, sum(pixels.shape[1] for pixels in flat) // MOST_PIXELS)
    chosen = np.concatenate([pixels[:, ::step] for pixels in flat], axis=1).T.astype(np.float64)
    return chosen[:, :channels], chosen[:, channels:]


def linear_mix(source: Doubles, target: Doubles) -> tuple[Doubles, Doubles]:
    """Return weights (results, channels) and offsets (results,) of the least squares without powers."""
    means = source.mean(axis=0), target.mean(axis=0)
    centred = source - means[0]
    square = centred.T @ centred + _RIDGE * len(source) * np.eye(source.shape[1])
    weights = np.linalg.solve(square, centred.T @ (target - means[1])).T
    return weights, means[1] - weights @ means[0]
