"""Makes images for labels with the networks that learnt it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.core.image import Image
from napari_synth.core.synthesis import SynthesisParams
from napari_synth.generators.synthesize._label_channels import LabelChannels
from napari_synth.generators.synthesize._networks import NetworkSampler
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card

_NAMED = 8


class PaintedSampler(NetworkSampler):
    """A `LabelPainter`, for one plane of labels; the card's extras say how it sees them: ``"labels"``.

    Parameters
    ----------
    network, card, weights, params, source
        See `NetworkSampler`; a source is given.

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
        super().__init__(network, card, weights, params, source)
        assert source is not None
        with reading_card(card.name):
            channels = LabelChannels.from_record(card.extras["labels"])
        plane = np.asarray(source.read(), np.int64)
        height, width = plane.shape
        self.spec = replace(self.spec, size=(height, width), grid=None)
        self._beyond = tuple(-edge % network.multiple for edge in (height, width))
        padded = np.pad(plane, [(0, beyond) for beyond in self._beyond], mode="edge")
        device = next(network.parameters()).device
        self._labels = torch.from_numpy(channels.encode(padded))[None].to(device)
        if unknown := channels.unknown(plane):
            named = ", ".join(map(str, unknown[:_NAMED])) + (" and others" if len(unknown) > _NAMED else "")
            self.notes = (
                *self.notes,
                f"The model knows the labels {', '.join(map(str, channels.ids))}: {named} are taken for {channels.ids[0]}.",
            )

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the noise; see `Sampler.latent_shape`."""
        return (int(self.network.noises), *size)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        height, width = size
        noise = functional.pad(latents, (0, self._beyond[1], 0, self._beyond[0]))
        labels = self._labels.expand(len(latents), -1, -1, -1)
        images: Tensor = self.network(labels, noise)[..., :height, :width]
        # The network works on 0 to 1.
        return 2.0 * images.float() - 1.0
