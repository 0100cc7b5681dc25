"""A network that was read from a file of others, and what the file says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class FileNetwork:
    """A network that turns images into images.

    Attributes
    ----------
    module : nn.Module
        Holds the weights.
    call : callable
        Takes (N, input channels, H, W), returns (N, output channels, H * scale, W * scale). A network that fills holes takes one
        channel more: 1 where a pixel is missing, else 0.
    """

    module: nn.Module
    call: Callable[[Tensor], Tensor]

    def __call__(self, image: Tensor) -> Tensor:
        """Return the network's answer."""
        return self.call(image)

    def to(self, torch_name: str) -> Self:
        """Move the weights to a device."""
        self.module.to(torch_name)
        return self


@dataclass(frozen=True)
class Facts:
    """What a model file says of its network; what it does not say is measured.

    Attributes
    ----------
    architecture : str
    input_channels : int
    task : str or None
        None where the file does not say.
    multiple : int
        What sizes must be a multiple of, in pixels.
    whole : bool
        Whether it must see the whole plane.
    half : bool
        Whether it may compute in float16.
    title, reference, licence : str
        "" where the file does not say.
    preprocessing, postprocessing : tuple of dict
        As for `ModelDescription`.
    """

    architecture: str
    input_channels: int
    task: str | None = None
    multiple: int = 1
    whole: bool = False
    half: bool = False
    title: str = ""
    reference: str = ""
    licence: str = ""
    preprocessing: tuple[dict[str, Any], ...] | None = None
    postprocessing: tuple[dict[str, Any], ...] = ()


def padded(call: Callable[[Tensor], Tensor], *, multiple: int, minimum: int) -> Callable[[Tensor], Tensor]:
    """Return a network that takes any size: what it is given is mirrored at the far ends up to a size that it can take.

    Parameters
    ----------
    call : callable
        The network.
    multiple : int
        What its sizes must be multiples of.
    minimum : int
        The smallest size that it takes.
    """

    def with_padding(image: Tensor) -> Tensor:
        sizes = image.shape[-2:]
        wanted = [-(-max(size, minimum) // multiple) * multiple for size in sizes]
        for axis, (size, enough) in enumerate(zip(sizes, wanted, strict=True)):
            # A mirror shows all pixels but the last one.
            mirrored = min(enough - size, size - 1)
            for mode, amount in (("reflect", mirrored), ("replicate", enough - size - mirrored)):
                if amount:
                    image = functional.pad(image, (0, 0, 0, amount) if axis == 0 else (0, amount, 0, 0), mode=mode)
        answer = call(image)
        scale = [round(found / given) for found, given in zip(answer.shape[-2:], image.shape[-2:], strict=True)]
        return answer[..., : sizes[0] * scale[0], : sizes[1] * scale[1]]

    return with_padding if multiple > 1 or minimum > 1 else call


def masked(call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a network that takes an image and a mask as one that takes the mask as its last channel."""
    return lambda image: call(image[:, :-1], image[:, -1:])
