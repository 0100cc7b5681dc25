"""Paths between latents. Loads torch where one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PARALLEL = 1e-4


def between(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Return the latents at a share of the way from one to another, along a great circle, lengths changing evenly.

    Normal numbers of many dimensions lie near a sphere, and what lies inside it was never seen in training. Shoemake, "Animating
    rotation with quaternion curves", SIGGRAPH 1985.

    Parameters
    ----------
    first, second : torch.Tensor
        Of one shape; the whole of each is one vector.
    share : float
        0 for the first, 1 for the second.
    """
    import torch

    lengths = [one.norm() for one in (first, second)]
    along = [one / length.clamp_min(1e-12) for one, length in zip((first, second), lengths, strict=True)]
    cosine = (along[0] * along[1]).sum().clamp(-1.0, 1.0)
    angle = torch.arccos(cosine)
    if float(torch.sin(angle)) < _PARALLEL:
        return torch.lerp(first, second, share)
    direction = (torch.sin((1 - share) * angle) * along[0] + torch.sin(share * angle) * along[1]) / torch.sin(angle)
    found: torch.Tensor = direction * torch.lerp(lengths[0], lengths[1], share)
    return found


def path(first: torch.Tensor, second: torch.Tensor, count: int) -> torch.Tensor:
    """Return evenly spread latents (count, *shape) from one to another, both among them."""
    import torch

    shares = torch.linspace(0.0, 1.0, count).tolist()
    return torch.stack([between(first, second, share) for share in shares])
