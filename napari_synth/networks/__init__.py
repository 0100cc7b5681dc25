"""Network architectures: ``torch.nn.Module`` classes and nothing else; this package imports torch."""

from __future__ import annotations

from napari_synth.networks.enlargers import SuperResolutionUNet
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet
from napari_synth.networks.sigma_map import gaussian_blur, sigma_map

__all__ = ["NoiseConditionedUNet", "SuperResolutionUNet", "gaussian_blur", "sigma_map"]
