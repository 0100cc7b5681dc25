"""Looks at many images without holding the features of all of them at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_AT_ONCE = 2**19


def in_parts(made: Callable[..., Tensor], size: tuple[int, int], *given: Tensor) -> Tensor:
    """Return what a function makes of tensors (N, ...), in parts.

    Parameters
    ----------
    made : callable
        Maps as many tensors to one (N, ...).
    size : (int, int)
        Height and width of the images, of which a part may have about half a million pixels.
    """
    count = max(1, _AT_ONCE // (size[0] * size[1]))
    parts = zip(*(torch.split(one, count) for one in given), strict=True)
    return torch.cat([made(*part) for part in parts])
