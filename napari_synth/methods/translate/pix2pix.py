"""Trains a network to come near to the target, and to look like it to one who judges patches of pairs.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.methods.translate.catalogue import Pix2PixTrainParams, RegressionTrainParams
from napari_synth.methods.translate.figures import PatchTarget, planes_of
from napari_synth.methods.translate.paired import NETWORK, Paired, PairedModule
from napari_synth.networks.discriminators import PatchDiscriminator
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures
from napari_synth.training.losses import adversarial_optimizer, discriminator_loss, frozen, generator_loss
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.training_module import Networks, StepContext

CRITIC = "discriminator"
DISTANCE = "patch distance to the target (% of range)"
_RATE = 1e-3
_AVERAGING = 0.995


def learn_pix2pix(images: TrainingImages, params: Pix2PixTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    data = Paired.read(images, params, context)
    network = data.network(params, context)
    random = torch.Generator().manual_seed(context.seed + 1)
    discriminator = PatchDiscriminator(
        len(data.axes), data.pool.channels, params.width, params.discriminator_layers, random
    )
    if params.spectral:
        _bound(discriminator)
    settings = data.settings(params, context, _RATE, averaging=_AVERAGING, held_flat=0.5)
    return data.setup(Pix2PixModule(data, network, discriminator, params, settings), settings, network)


class Pix2PixModule(PairedModule):
    """Two networks: one makes the target's channels, one judges whether they go with the source.

    Parameters
    ----------
    data : Paired
    network : TranslationUNet
    discriminator : PatchDiscriminator
        Of the channels of both.
    params : Pix2PixTrainParams
    settings : FitSettings
    """

    settles = False
    params: Pix2PixTrainParams

    def __init__(
        self,
        data: Paired,
        network: nn.Module,
        discriminator: nn.Module,
        params: Pix2PixTrainParams,
        settings: FitSettings,
    ) -> None:
        super().__init__(data, network, params, settings)
        self.networks: Networks = {NETWORK: network, CRITIC: discriminator}

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        rate = self.settings.learning_rate
        return {name: [adversarial_optimizer(self.networks[name], rate=rate)] for name in (NETWORK, CRITIC)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        pixels = work.share(self.pool.sample(work.batch_size, work.generator))
        source, truth = self.source_of(pixels), self.target_of(pixels)
        discriminator, params = work.networks[CRITIC], self.params
        made = work.networks[NETWORK](source)
        losses = {"error": (made - truth).abs().mean()}
        with frozen(discriminator):
            losses["adversarial"] = generator_loss(params.gan_loss, discriminator(torch.cat((source, made), 1)))
            total = losses["adversarial"] + params.l1_weight * losses["error"]
            if params.ssim_weight:
                losses["dissimilarity"] = self.dissimilarity(made, truth)
                total = total + params.l1_weight * params.ssim_weight * losses["dissimilarity"]
        work.update(NETWORK, total)
        real = pixels.detach().requires_grad_(params.r1_weight > 0)
        judged = discriminator(real)
        judging = discriminator_loss(params.gan_loss, judged, discriminator(torch.cat((source, made.detach()), 1)))
        if params.r1_weight:
            losses["penalty"] = _steepness(judged, real)
            judging = judging + 0.5 * params.r1_weight * losses["penalty"]
        work.update(CRITIC, judging)
        return {"translator": total, **losses, "discriminator": judging}

    def score(self, results: Sequence[Tensor]) -> float:
        """Return error and patch distance together, each as a share of that of the per-pixel regression.

        By the error alone, results that are blurred would be the best.
        """
        error, distance = self._of_pixels
        return self.mean_error(results) / error + self._distance(results) / distance

    def validate_further(self, results: Sequence[Tensor]) -> Figures:
        """See `PairedModule.validate_further`."""
        return {DISTANCE: self._distance(results)}

    @cached_property
    def _of_pixels(self) -> tuple[float, float]:
        guessed = self.guesses_by_pixel()
        return max(self.mean_error(guessed), 1e-6), max(self._distance(guessed), 1e-6)

    @cached_property
    def _patches(self) -> PatchTarget:
        return PatchTarget(self.target_planes)

    def _distance(self, results: Sequence[Tensor]) -> float:
        return self._patches.distance([plane for block in results for plane in planes_of(block)])


def _bound(discriminator: nn.Module) -> None:
    """Divide the weights of every layer by their largest singular value (Miyato et al., ICLR 2018)."""
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            parametrizations.spectral_norm(layer)


def _steepness(judged: Tensor, real: Tensor) -> Tensor:
    """Return the squared gradient of a judgement at real images (Mescheder et al., ICML 2018)."""
    (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()


_REGRESSION_RATE = 5e-3


def learn_regression(images: TrainingImages, params: RegressionTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    data = Paired.read(images, params, context)
    network = data.network(params, context)
    settings = data.settings(params, context, _REGRESSION_RATE, averaging=_AVERAGING, optimizer="muon")
    return data.setup(RegressionModule(data, network, params, settings), settings, network)


class RegressionModule(PairedModule):
    """Minimises the error of each pixel, and the structural dissimilarity where that has a weight."""

    params: RegressionTrainParams

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {NETWORK: usual_optimizers(self.networks[NETWORK], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        pixels = work.share(self.pool.sample(work.batch_size, work.generator))
        made, truth = work.networks[NETWORK](self.source_of(pixels)), self.target_of(pixels)
        error = made - truth
        loss = error.square().mean() if self.params.error == "squared" else error.abs().mean()
        losses = {"error": loss}
        if self.params.ssim_weight:
            losses["dissimilarity"] = self.dissimilarity(made, truth)
            loss = loss + self.params.ssim_weight * losses["dissimilarity"]
        work.update(NETWORK, loss)
        return {"loss": loss, **losses}

    def score(self, results: Sequence[Tensor]) -> float:
        """Return the error that is minimised, on held-out blocks."""
        return self.mean_error(results, squared=self.params.error == "squared")
