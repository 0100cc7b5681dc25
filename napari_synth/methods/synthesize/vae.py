"""Trains a variational autoencoder on crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Protocol

import torch
from torch import Tensor, nn

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.methods.synthesize.catalogue import AutoencoderTrainParams
from napari_synth.methods.synthesize.crops import JUDGED, Crops, Judge, in_parts, learnt_crops
from napari_synth.networks.variational_autoencoder import VariationalAutoencoder, drawn_latents
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

_NAME = "autoencoder"
_RATE = 2e-3
# Crops that the linear baseline learns from.
_LINEAR = 1024
_SHOWN = 4


def learn_latents(images: TrainingImages, params: AutoencoderTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    crops = learnt_crops(images, params, context)
    generator = torch.Generator().manual_seed(context.seed)
    network = VariationalAutoencoder(
        crops.spec.channels, crops.spec.size[0], params.latent_size, params.width, generator
    )
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or batch_of(context),
        averaging=0.998,
        validations=10,
    )
    return TrainingSetup(
        Autoencoding(network, crops, settings, params),
        settings,
        network,
        "variational-autoencoder",
        normalisation=crops.normalisation(),
        extras=crops.extras(),
        notes=crops.notes,
        limits=("Its images are blurred: what cannot be told by the latents is averaged.",),
    )


def batch_of(context: TrainContext) -> int:
    """Return how many crops a step usually has."""
    return 16 if context.device.kind == "cpu" else 64


class Autoencoding(TrainingModule):
    """Learns latents, and what images to make of them.

    Parameters
    ----------
    network : VariationalAutoencoder
    crops : Crops
    settings : FitSettings
    params : AutoencoderTrainParams
    """

    def __init__(
        self, network: VariationalAutoencoder, crops: Crops, settings: FitSettings, params: AutoencoderTrainParams
    ) -> None:
        self.networks: Networks = {_NAME: network}
        self.crops, self.pool, self.settings, self.params = crops, crops.pool, settings, params
        self.judge = Judge(crops)

    @property
    def loss_in_words(self) -> str:
        """See `TrainingModule.loss_in_words`."""
        return (
            "Squared error of images that are found again, and divergence of their latents; the bound weighs both and is what is"
            " trained for: lower is better, below 0 as well as above."
        )

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        images = self.crops.sample(work.batch_size, work.generator)
        noise = torch.randn((len(images), self.params.latent_size), generator=work.generator, device=images.device)
        images, noise = work.share(images), work.share(noise)
        decoded, mean, log_variance = work.networks[_NAME](images, noise)
        apart = divergence(mean, log_variance)
        weight = warmed(self.params.beta, work.step, self.params.warm_up)
        loss = negative_evidence(decoded, images, apart, weight)
        work.update(_NAME, loss)
        # The whole bound falls and rises with the weight: what is watched is what does not.
        return {"squared error": (decoded.detach() - images).square().mean(), "divergence": apart.sum(), "bound": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        network, images = _autoencoder(networks[_NAME]), self.crops.held_out
        mean, log_variance = posterior(network, images)
        drawn = drawn_latents(mean, log_variance, self._normal(len(images), 1))
        apart = divergence(mean, log_variance)
        bound = negative_evidence(self._decoded(network, drawn), images, apart, self.params.beta)
        found = psnr(self._decoded(network, mean), images)
        samples = self._decoded(network, self._normal(JUDGED, 2))
        return Validation(float(bound), {PSNR: found} | self.judge.figures(samples) | usage(apart))

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        images = self.crops.held_out
        learnt = self.crops.sample(_LINEAR, torch.Generator(images.device).manual_seed(3))
        linear = principal_psnr(learnt, images, self.params.latent_size)
        return {"principal components": {PSNR: linear}} | dict(self.judge.baselines())

    def preview(self, networks: Networks) -> Preview:
        """Return held-out crops, the same found again, and new images."""
        network = _autoencoder(networks[_NAME])
        images = self.crops.held_out[:_SHOWN]
        found = network.decode(network.encode(images)[0])
        return self.crops.preview(torch.cat((images, found, network.decode(self._normal(2 * _SHOWN, 2)))))

    def _decoded(self, network: VariationalAutoencoder, latents: Tensor) -> Tensor:
        return in_parts(network.decode, self.crops.spec.size, latents)

    def _normal(self, count: int, seed: int) -> Tensor:
        device = self.crops.held_out.device
        drawn = torch.randn(count, self.params.latent_size, generator=torch.Generator().manual_seed(seed))
        return drawn.to(device)


def _autoencoder(network: nn.Module) -> VariationalAutoencoder:
    assert isinstance(network, VariationalAutoencoder)
    return network


PSNR = "PSNR of images found again (dB)"
_DIVERGENCE = "Divergence of the latents (nats)"
_STRONGEST, _TYPICAL = "of the strongest latent (nats)", "of the median latent (nats)"
# A latent whose posterior tells less than this of the image is out of use.
_IN_USE = 0.05
# Images are about -1 to 1.
_PEAK = 4.0
_LEAST_SQUARE = 1e-6


class Encoder(Protocol):
    """What finds the posterior of images."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance (N, L) of images (N, C, Y, X)."""


def posterior(encoder: Encoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and logarithm of the variance (N, L) of many images (N, C, Y, X)."""
    size = (images.shape[2], images.shape[3])
    mean, log_variance = in_parts(lambda part: torch.stack(encoder.encode(part), 1), size, images).unbind(1)
    return mean, log_variance


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return how far posteriors (N, L) diverge from normal numbers, in nats: the mean over the images, for each latent (L,)."""
    apart = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
    return apart.mean(0)


def negative_evidence(decoded: Tensor, images: Tensor, apart: Tensor, weight: float) -> Tensor:
    """Return the bound on the negative logarithm of the likelihood, in nats a pixel and channel but for a constant.

    Parameters
    ----------
    decoded, images : Tensor
        Shape (N, C, Y, X).
    apart : Tensor
        See `divergence`.
    weight : float
        Of the divergence.
    """
    square = (decoded - images).square().mean()
    return 0.5 * square.clamp_min(_LEAST_SQUARE).log() + weight * apart.sum() / images[0].numel()


def warmed(beta: float, step: int, warm_up: int) -> float:
    """Return the weight of the divergence at a step: it rises from 0, so that latents come into use first.

    Bowman et al., "Generating sentences from a continuous space", CoNLL 2016.

    Parameters
    ----------
    beta : float
        The weight that is reached.
    step : int
    warm_up : int
        Steps after which it is reached.
    """
    return beta * min(1.0, step / warm_up) if warm_up else beta


def psnr(found: Tensor, images: Tensor) -> float:
    """Return the peak signal-to-noise ratio of images (N, C, Y, X) of about -1 to 1, in dB."""
    return 10.0 * log10(_PEAK / max(float((found - images).square().mean()), 1e-12))


def usage(apart: Tensor) -> dict[str, float]:
    """Return what the user is shown of a divergence (L,): how many latents are in use, and how much they tell of the image.

    Where none is in use, the decoder makes the same image of all of them: the posterior has collapsed.
    """
    return {
        f"Latents in use (of {len(apart)})": float((apart > _IN_USE).sum()),
        _DIVERGENCE: float(apart.sum()),
        _STRONGEST: float(apart.max()),
        _TYPICAL: float(apart.median()),
    }


def principal_psnr(learnt: Tensor, held_out: Tensor, count: int) -> float:
    """Return how well held-out crops are found again from principal components of crops that are learnt from.

    That is the best linear autoencoder: the baseline of others. At most as many components as crops are taken.

    Parameters
    ----------
    learnt, held_out : Tensor, (N, C, Y, X)
        Crops in one unit.
    count : int
        Of the components.
    """
    flat, mean = learnt.flatten(1), learnt.flatten(1).mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False).Vh[: min(count, len(flat) - 1)]
    apart = held_out.flatten(1) - mean
    return psnr(apart @ axes.T @ axes, apart)
