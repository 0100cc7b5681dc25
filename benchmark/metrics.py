"""How near a restored image is to the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Doubles = npt.NDArray[np.float64]

WHITE = 255.0


def psnr(clean: npt.NDArray[Any], restored: npt.NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB of images in 0 to 255, after what lies outside is clipped."""
    return float(peak_signal_noise_ratio(_clipped(clean), _clipped(restored), data_range=WHITE))


def ssim(clean: npt.NDArray[Any], restored: npt.NDArray[Any]) -> float:
    """Return the structural similarity (Wang et al. 2004, Gaussian window) of images in 0 to 255, clipped likewise."""
    return float(
        structural_similarity(
            _clipped(clean),
            _clipped(restored),
            data_range=WHITE,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _clipped(image: npt.NDArray[Any]) -> Doubles:
    return np.clip(image.astype(np.float64), 0.0, WHITE)
