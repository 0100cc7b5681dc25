"""What JPEG leaves of a gray image, computed in batches on any device.

Wallace, "The JPEG still picture compression standard", IEEE Transactions on Consumer Electronics 1992; the table is that of the
standard's annex K, scaled with the quality as libjpeg does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def _cosines() -> Tensor:
    """Return the orthonormal discrete cosine transform of eight samples, one frequency a row."""
    k, i = torch.arange(_BLOCK)[:, None], torch.arange(_BLOCK)[None]
    rows = torch.cos(math.pi * (2 * i + 1) * k / (2 * _BLOCK)) * math.sqrt(2.0 / _BLOCK)
    rows[0] /= math.sqrt(2.0)
    return rows


def compress(images: Tensor, quality: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (N, 1, H, W), 0..1, as their JPEG files would show them; values are neither clipped nor rounded.

    Parameters
    ----------
    images : Tensor
        On the device of the generator; H and W are multiples of 8.
    quality : Tensor, (N, 1, 1, 1)
        1 to 100.
    generator : torch.Generator
        Decides where the grid of blocks begins, as a patch may begin anywhere in its image.
    """
    n, _, height, width = images.shape
    top, left = torch.randint(_BLOCK, (2,), generator=generator, device=generator.device).tolist()
    padded = functional.pad(images, (_BLOCK,) * 4, mode="reflect")
    shifted = padded[..., top : top + height + _BLOCK, left : left + width + _BLOCK]
    rows, columns = height // _BLOCK + 1, width // _BLOCK + 1
    blocks = (255.0 * shifted - 128.0).reshape(n, rows, _BLOCK, columns, _BLOCK).transpose(2, 3)
    transform = _cosines().to(images)
    scale = torch.where(quality < 50.0, 5000.0 / quality, 200.0 - 2.0 * quality)
    table = ((torch.tensor(_LUMINANCE).to(images) * scale + 50.0) / 100.0).floor().clamp(1.0, 255.0)[:, :, None]
    kept = (transform @ blocks @ transform.mT / table).round() * table
    decoded = (transform.mT @ kept @ transform).transpose(2, 3).reshape(shifted[:, 0].shape)[:, None]
    return (decoded[..., _BLOCK - top :, _BLOCK - left :][..., :height, :width] + 128.0) / 255.0
