"""Images that a network made before, so that who judges it does not forget them.

Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training", CVPR 2017.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
