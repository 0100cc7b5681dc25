"""Makes images with networks from model files: what they see is brought to counts, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_synth.core.image import Image
from napari_synth.core.intensity import IntensityTransform
from napari_synth.core.synthesis import Sampler, SampleSpec, SynthesisParams
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card


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
