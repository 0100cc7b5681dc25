"""Makes images with networks from model files: what they see is brought to counts, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisParams
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.synthesize.catalogue import FlowParams, RefinedParams
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card
from napari_synth.networks.velocity_unet import flow


class NetworkSampler(Sampler):
    """A network from a model file.

    Parameters
    ----------
    network : nn.Module
        On the device, in evaluation mode.
    card : ModelCard
        Its normalisation has, as ``"source"``, offset and scale of every channel: ``(counts - offset) / scale`` is about 0 to 1.
        Its extras have, as ``"sample"``, the record of a `SampleSpec`.
    weights : mapping of str to str
    params : SynthesisParams
    source : Image or None
        As `Synthesizer.open` is given it.

    Raises
    ------
    ModelFileError
        The card lacks something.
    """

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: SynthesisParams,
        source: Image | None = None,
    ) -> None:
        self.network, self.params, self.source = network, params, source
        self.weights, self.notes = weights, card.limits
        with reading_card(card.name):
            self.spec = SampleSpec.from_record(card.extras["sample"])
            self.intensity = tuple(IntensityTransform(**one) for one in card.normalisation["source"])
            if len(self.intensity) not in {1, self.spec.channels}:
                raise ValueError("not a range for each channel")

    @abstractmethod
    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images (N, C, Y, X) as the network sees them, about -1 to 1; see `Sampler.decode`."""

    def decode(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Make images; see `Sampler.decode`."""
        return self.as_counts(self.made(latents, size))

    def as_counts(self, seen: Tensor) -> Tensor:
        """Return the counts of images (N, C, Y, X) as the network sees them, about -1 to 1."""
        offset, scale = self._line(seen)
        return (0.5 * seen.float() + 0.5) * scale + offset

    def as_seen(self, counts: Tensor, intensity: Sequence[IntensityTransform] | None = None) -> Tensor:
        """Return images (N, C, Y, X) as the network sees them, about -1 to 1; of other counts than it makes where told so."""
        offset, scale = self._line(counts, intensity)
        return 2.0 * ((counts.float() - offset) / scale) - 1.0

    def _line(self, beside: Tensor, intensity: Sequence[IntensityTransform] | None = None) -> tuple[Tensor, Tensor]:
        """Return offset and scale, (1, C, 1, 1)."""
        rows = torch.tensor([[one.offset, one.scale] for one in intensity or self.intensity], device=beside.device)
        offset, scale = rows.float().T.reshape(2, 1, -1, 1, 1)
        return offset, scale


class VectorSampler(NetworkSampler):
    """A network that maps vectors of normal numbers, ``latent_size`` long, to images of one size."""

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the length of the vector; see `Sampler.latent_shape`."""
        return (int(self.network.latent_size),)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network(latents)
        return images

    def directions(self, count: int) -> Tensor:
        """Return the directions to which the first layer of the network answers most (Shen and Zhou, CVPR 2021)."""
        weight = self.network.first_weight.detach().float().cpu()
        found: Tensor = torch.linalg.svd(weight, full_matrices=False).Vh[:count].contiguous()
        return found


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


STEPS = "steps"
"""Of a card's extras: how many steps of Heun's are enough, as it was found when the model was trained."""
_USUAL_STEPS = 20


def steps_of(params: FlowParams, card: ModelCard) -> int:
    """Return in how many steps a flow is followed: as is asked for, else as was found to be enough when the model was trained.

    Raises
    ------
    ModelFileError
        What the card says is no number.
    """
    with reading_card(card.name):
        return params.steps or max(1, int(card.extras.get(STEPS, _USUAL_STEPS)))


class FlowSampler(NetworkSampler):
    """A `VelocityUNet`; the card's extras may say how many steps are enough: `STEPS`.

    Parameters
    ----------
    network, card, weights, params, source
        See `NetworkSampler`.

    Raises
    ------
    ModelFileError
        The card lacks something.
    """

    can_encode = True
    bytes_per_pixel = 2048

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: SynthesisParams,
        source: Image | None = None,
    ) -> None:
        super().__init__(network, card, weights, params, source)
        assert isinstance(params, FlowParams)
        self._steps, self._solver = steps_of(params, card), params.solver
        # On the way back, what is lost by long steps is not found again.
        self._steps_back = params.steps or max(self._steps, _USUAL_STEPS)

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
        steps = self._steps_back if back else self._steps
        return flow(self.network, x, steps, self._solver, back=back, check=check_cancelled)
