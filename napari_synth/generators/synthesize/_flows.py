"""Makes images by following velocities from noise; the noise is what stands for an image."""

from __future__ import annotations

from torch import Tensor

from napari_synth.core.progress import check_cancelled
from napari_synth.generators.synthesize._networks import NetworkSampler
from napari_synth.generators.synthesize._options import FlowParams
from napari_synth.networks.velocity_unet import flow


class FlowSampler(NetworkSampler):
    """A `VelocityUNet`."""

    can_encode = True
    bytes_per_pixel = 2048

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the noise; see `Sampler.latent_shape`."""
        return (int(self.network.channels), *size)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network.unstandardised(self._flow(latents))
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the noise that images come from; see `Sampler.encode`."""
        return self._flow(self.network.standardised(self.as_seen(pixels)), back=True)

    def _flow(self, x: Tensor, *, back: bool = False) -> Tensor:
        assert isinstance(self.params, FlowParams)
        return flow(self.network, x, self.params.steps, self.params.solver, back=back, check=check_cancelled)
