"""What trainings against a critic share: the same changes of real and made images, and a pool of images made before.

Zhao et al., "Differentiable augmentation for data-efficient GAN training", NeurIPS 2020. Gradients go through all of it. In place
of a brightness that is added, a curve is bent that keeps the ends of the range: what is dark stays dark.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DRAWN = 5
"""Random numbers that each image takes."""
_SHIFT, _CUT, _BEND = 0.125, 0.5, 0.4


def changed(images: Tensor, drawn: Tensor, limit: float) -> Tensor:
    """Return images that are shifted, have a square cut out, and have their brightness bent.

    Parameters
    ----------
    images : Tensor, (N, C, Y, X)
        Between plus and minus the limit.
    drawn : Tensor, (N, DRAWN)
        Uniform from 0 to 1.
    limit : float
    """
    height, width = images.shape[2:]
    level = images / limit
    bend = _BEND * (2.0 * drawn[:, 0] - 1.0).view(-1, 1, 1, 1)
    bent = limit * (level + bend * (1.0 - level.square()))
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    shown = _inside(y, drawn[:, 1], height) & _inside(x, drawn[:, 2], width)
    down, right = (_shift(one, size) for one, size in ((drawn[:, 1], height), (drawn[:, 2], width)))
    rows = (y - down).remainder(height).expand(len(images), images.shape[1], height, width)
    columns = (x - right).remainder(width).expand_as(rows)
    moved = bent.gather(2, rows).gather(3, columns)
    cut = _cut(y, drawn[:, 3], height) & _cut(x, drawn[:, 4], width)
    return moved * (shown & ~cut).to(moved.dtype)


def _shift(drawn: Tensor, size: int) -> Tensor:
    """Return by how many pixels images are moved, (N, 1, 1, 1)."""
    most = round(_SHIFT * size)
    return ((2 * most + 1) * drawn).long().clamp_max(2 * most).sub(most).view(-1, 1, 1, 1)


def _inside(index: Tensor, drawn: Tensor, size: int) -> Tensor:
    """Return where a moved image shows what was in it."""
    shift = _shift(drawn, size)
    return (index - shift >= 0) & (index - shift < size)


def _cut(index: Tensor, drawn: Tensor, size: int) -> Tensor:
    """Return where, along one axis, the square lies that is cut out; part of it may lie beyond the image."""
    edge = round(_CUT * size)
    start = ((size + 1) * drawn).long().clamp_max(size).sub(edge // 2).view(-1, 1, 1, 1)
    return (index >= start) & (index < start + edge)


class ImagePool:
    """Keeps some of the images that it is given.

    Parameters
    ----------
    size : int
        How many it holds at most; 0 for none.
    """

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self._kept: list[Tensor] = []

    def exchanged(self, made: Tensor, generator: torch.Generator) -> Tensor:
        """Keep images, and return as many: about half of them as they are, and for the others ones that were kept before.

        Parameters
        ----------
        made : Tensor
            Shape (N, ...), without gradients.
        generator : torch.Generator
        """
        if not self.size:
            return made
        draws = torch.rand(2, len(made), generator=generator, device=generator.device).tolist()
        returned = []
        for image, coin, place in zip(made, *draws, strict=True):
            if len(self._kept) < self.size:
                self._kept.append(image.clone())
                returned.append(image)
            elif coin < 0.5:
                index = int(place * self.size)
                returned.append(self._kept[index])
                self._kept[index] = image.clone()
            else:
                returned.append(image)
        return torch.stack(returned)

    def state(self) -> dict[str, Any]:
        """Return the images as tensors."""
        return {"kept": list(self._kept)}

    def restore(self, state: dict[str, Any], device: str) -> None:
        """Take up what `state` returned."""
        self._kept = [image.to(device) for image in state["kept"]]
