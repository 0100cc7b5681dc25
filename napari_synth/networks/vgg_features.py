"""The convolutions of the VGG networks, whose answers tell content from style.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES: dict[str, tuple[int, ...]] = {"VGG-16": (2, 2, 3, 3, 3), "VGG-19": (2, 2, 4, 4, 4)}
"""Convolutions of each stage, by the name of the network."""
_WIDTHS = (64, 128, 256, 512, 512)
# Of the photographs that the published weights were trained on.
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VggFeatures(nn.Module):
    """The network up to its last stage's first convolution.

    Parameters
    ----------
    variant : str
        A key of `STAGES`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.stages = STAGES[variant]
        self.convolutions = nn.ModuleList()
        before = 3
        for width, count in zip(_WIDTHS, self._used, strict=True):
            for _ in range(count):
                self.convolutions.append(nn.Conv2d(before, width, 3, padding=1))
                before = width
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1))
        self.register_buffer("spread", torch.tensor(_SPREAD).view(3, 1, 1))

    @property
    def _used(self) -> tuple[int, ...]:
        return (*self.stages[:-1], 1)

    def take_published(self, weights: Mapping[str, Any]) -> None:
        """Take up weights under the names of the published files: ``features.0.weight`` and so on.

        Raises
        ------
        KeyError, RuntimeError
            They are not there, or of another shape.
        """
        number, names = 0, []
        for count, used in zip(self.stages, self._used, strict=True):
            names += [number + 2 * index for index in range(used)]
            # Each convolution is followed by a rectifier, each stage by its pooling.
            number += 2 * count + 1
        for convolution, name in zip(self.convolutions, names, strict=True):
            convolution.load_state_dict({part: weights[f"features.{name}.{part}"] for part in ("weight", "bias")})

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Look at images.

        Parameters
        ----------
        image : Tensor, (N, 3, H, W)
            0 to 1, at least 16 pixels high and wide.

        Returns
        -------
        content : Tensor, (N, 512, H / 8, W / 8)
            The answers of the second convolution of the fourth stage.
        style : list of Tensor
            Those of the first one of each stage.
        """
        answer = (image - self.mean) / self.spread
        layers = iter(self.convolutions)
        content, style = answer, []
        for stage, count in enumerate(self._used):
            if stage:
                # The mean keeps gradients smooth, where the maximum of the original makes grids.
                answer = functional.avg_pool2d(answer, 2)
            for index in range(count):
                answer = next(layers)(answer).relu()
                if index == 0:
                    style.append(answer)
                if (stage, index) == (3, 1):
                    content = answer
        return content, style
