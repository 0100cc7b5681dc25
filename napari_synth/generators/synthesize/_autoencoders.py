"""Makes images with the decoders of variational autoencoders, and finds the latents of images with their encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_synth.core.image import Image
from napari_synth.core.intensity import IntensityTransform
from napari_synth.core.synthesis import SampleSpec
from napari_synth.generators.synthesize._networks import VectorSampler
from napari_synth.generators.synthesize._options import RefinedParams
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card


class AutoencoderSampler(VectorSampler):
    """A `VariationalAutoencoder`."""

    can_encode = True

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network.decode(latents)
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the means of the posterior; see `Sampler.encode`."""
        mean: Tensor = self.network.encode(self.as_seen(pixels))[0]
        return mean


class RefinedSampler(AutoencoderSampler):
    """A `RefinedAutoencoder`; where it learnt two kinds of images, the card's extras say of those that it encodes: ``"encoded"``.

    Parameters
    ----------
    network, card, weights, params, source
        See `NetworkSampler`.

    Raises
    ------
    ModelFileError
        The card lacks something.
    """

    params: RefinedParams

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: RefinedParams,
        source: Image | None = None,
    ) -> None:
        super().__init__(network, card, weights, params, source)
        self._encoded, spec = self.intensity, self.spec
        if (told := card.extras.get("encoded")) is not None:
            with reading_card(card.name):
                spec = SampleSpec.from_record(told["sample"])
                self._encoded = tuple(IntensityTransform(**one) for one in told["intensity"])
        if params.manner != "auto":
            self.spec, self.intensity = spec, self._encoded

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        if self.params.manner == "blurred":
            blurred: Tensor = self.network.autoencoder.decode(latents)
            return blurred
        domain = self.network.domains - 1 if self.params.manner == "auto" else 0
        images: Tensor = self.network.decode(latents, domain)
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the means of the posterior; see `Sampler.encode`."""
        mean: Tensor = self.network.encode(self.as_seen(pixels, self._encoded))[0]
        return mean
