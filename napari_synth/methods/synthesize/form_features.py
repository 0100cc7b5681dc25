"""Features that see form, for what can be said of sets of images besides whether a fresh network tells them apart.

They are those of the encoders of the bundled denoiser and of the bundled super-resolution network, at several depths: networks
that learnt what edges, grains, fibres and cells look like. Their first layers see fine grain, their last ones what is tens of
pixels large.

References
----------
Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018 (features of networks that were
trained for something else); Bińkowski et al., "Demystifying MMD GANs", ICLR 2018 (the kernel distance on them).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.models import bundled, load_model
from napari_synth.networks.enlargers import SuperResolutionUNet
from napari_synth.networks.local_mean import local_mean
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet

# What the networks are told of the noise, where images are about -1 to 1: little, so that fine structure is still seen as one.
_NOISE = 0.05
_AT_ONCE = 2**18
_MULTIPLE = 16


class FormFeatures:
    """Means and spreads of what two trained encoders answer at each of their depths.

    Parameters
    ----------
    device : str
        As torch calls it.
    """

    def __init__(self, device: str) -> None:
        denoiser, enlarger = (load_model(bundled(name))[0] for name in ("denoise-blind", "super-resolution"))
        assert isinstance(denoiser, NoiseConditionedUNet)
        assert isinstance(enlarger, SuperResolutionUNet)
        self._denoiser, self._enlarger = denoiser.to(device), enlarger.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the features (N, F) of images (N, C, Y, X) of about -1 to 1, each channel by itself, one behind the other."""
        parts = torch.split(images.float(), max(1, _AT_ONCE // images[0].numel()))
        return torch.cat([torch.cat([self._of(plane) for plane in torch.split(part, 1, 1)], 1) for part in parts])

    def _of(self, planes: Tensor) -> Tensor:
        """Return the features of planes (N, 1, Y, X)."""
        beyond = [-size % _MULTIPLE for size in planes.shape[-2:]]
        planes = functional.pad(planes, (0, beyond[1], 0, beyond[0]), mode="replicate")
        # The second one sees the plane at half of its resolution, and so what is larger.
        answers = [*self._in_denoiser(planes), *self._in_enlarger(functional.avg_pool2d(planes, 2))]
        return torch.cat([torch.cat((one.mean((2, 3)), one.std((2, 3))), 1) for one in answers], 1)

    def _in_denoiser(self, planes: Tensor) -> list[Tensor]:
        network = self._denoiser
        seen = functional.pixel_unshuffle(_without_mean(planes, network.mean_spread), 2)
        x = network.head(_with_noise(seen))
        found = []
        for encoder, down in zip(network.encoders, network.downs, strict=True):
            x = encoder(x)
            found.append(x)
            x = down(x)
        bottom: nn.Module = network.bottom
        return [*found, bottom(x)]

    def _in_enlarger(self, planes: Tensor) -> list[Tensor]:
        network = self._enlarger
        x = network.encoder(network.head(_with_noise(_without_mean(planes, network.mean_spread))))
        return [x, network.bottom(network.down(x))]


def _without_mean(planes: Tensor, spread: float) -> Tensor:
    return planes - local_mean(planes, spread) if spread else planes


def _with_noise(planes: Tensor) -> Tensor:
    """Return planes (N, C, Y, X) with those that tell a network of white noise: its deviation, and no correlation along Y and X."""
    n, _, height, width = planes.shape
    told = planes.new_zeros(n, 3, height, width)
    told[:, 0] = _NOISE
    return torch.cat((planes, told), 1).contiguous(memory_format=torch.channels_last)
