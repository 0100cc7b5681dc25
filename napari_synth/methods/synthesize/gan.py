"""Trains a generator against a discriminator on crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.methods.synthesize.catalogue import GanTrainParams
from napari_synth.methods.synthesize.crops import JUDGED, LIMIT, Crops, Judge, in_parts, learnt_crops, narrowed
from napari_synth.networks.image_gans import DcganDiscriminator, DcganGenerator, FastganDiscriminator, FastganGenerator
from napari_synth.networks.latent_generator import LatentGenerator
from napari_synth.training.adversarial import DRAWN, changed
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.losses import BOUNDED_EVERY, adversarial_optimizer, frozen, relative_loss, steepness
from napari_synth.training.optim import FitSettings
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

_GENERATOR, _DISCRIMINATOR = "generator", "discriminator"
_PAIRS: dict[str, tuple[type[LatentGenerator], type[DcganDiscriminator | FastganDiscriminator]]] = {
    "dcgan": (DcganGenerator, DcganDiscriminator),
    "fastgan": (FastganGenerator, FastganDiscriminator),
}
# Of the width: gates take twice as many channels as come out.
_SHARES = {"dcgan": 1.0, "fastgan": 2 / 3}
_RATE = 1e-3


def set_up_gan(images: TrainingImages, params: GanTrainParams, context: TrainContext, name: str) -> TrainingSetup:
    """Set up the training of a pair of networks: ``"dcgan"`` or ``"fastgan"``.

    Parameters
    ----------
    images, params, context
        As for `Trainable.prepare`.
    name : {"dcgan", "fastgan"}
        Which pair of networks.
    """
    crops = learnt_crops(images, params, context)
    generator = torch.Generator().manual_seed(context.seed)
    make_generator_network, make_discriminator = _PAIRS[name]
    size, channels = crops.spec.size[0], crops.spec.channels
    width = narrowed(params.width, _SHARES[name])
    generator_network = make_generator_network(size, channels, width, params.latent_size, LIMIT, generator)
    discriminator = make_discriminator(size, channels, width, generator)
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 64),
        held_flat=0.6,
        clip=10.0,
        averaging=0.995,
        validations=16,
    )
    return TrainingSetup(
        Adversaries(generator_network, discriminator, crops, settings, params),
        settings,
        generator_network,
        f"{name}-generator",
        normalisation=crops.normalisation(),
        extras=crops.extras(),
        notes=crops.notes,
        limits=("Its images are invented: they look like what it was trained on, and show nothing that was measured.",),
    )


class Adversaries(TrainingModule):
    """A generator learns to make images that a discriminator takes for real, which learns to tell them.

    Parameters
    ----------
    generator_network : LatentGenerator
    discriminator : nn.Module
        `DcganDiscriminator` or `FastganDiscriminator`.
    crops : Crops
    settings : FitSettings
    params : GanTrainParams
    """

    settles = False

    def __init__(
        self,
        generator_network: LatentGenerator,
        discriminator: nn.Module,
        crops: Crops,
        settings: FitSettings,
        params: GanTrainParams,
    ) -> None:
        self.networks: Networks = {_GENERATOR: generator_network, _DISCRIMINATOR: discriminator}
        self.crops, self.pool, self.settings, self.params = crops, crops.pool, settings, params
        self.judge = Judge(crops)
        self._draws_again = isinstance(discriminator, FastganDiscriminator)

    @property
    def averaged(self) -> Sequence[str]:
        """See `TrainingModule.averaged`."""
        return (_GENERATOR,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        rate = self.settings.learning_rate
        return {
            name: [adversarial_optimizer(network, rate=rate, memory=0.0)] for name, network in self.networks.items()
        }

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        generator_network, discriminator = work.networks[_GENERATOR], work.networks[_DISCRIMINATOR]
        drawn = self._drawn(work)
        made = generator_network(self._latents(work))
        real = self._changed(work.share(self.crops.sample(work.batch_size, work.generator)), self._drawn(work))
        false = self._changed(made, drawn).detach()
        is_bounded = self.params.r1_weight > 0 and work.step % BOUNDED_EVERY == 0
        real.requires_grad_(is_bounded)
        false.requires_grad_(is_bounded)
        losses: dict[str, Tensor] = {}
        if self._draws_again:
            quarter = torch.randint(2, (2,), generator=work.generator, device=real.device).tolist()
            true, losses["drawn again"] = discriminator(real, (quarter[0], quarter[1]))
        else:
            true = discriminator(real)
        judged = discriminator(false)
        losses["discriminator"] = relative_loss(true, judged)
        total = sum(losses.values(), true.new_zeros(()))
        if is_bounded:
            slopes = steepness(true, real) + steepness(judged, false)
            total = total + 0.5 * BOUNDED_EVERY * self.params.r1_weight * slopes
        work.update(_DISCRIMINATOR, total)
        with frozen(self.networks[_DISCRIMINATOR]):
            # The real ones were judged before this update, which spares to look at them again.
            loss = relative_loss(discriminator(self._changed(made, drawn)), true.detach())
            work.update(_GENERATOR, loss)
        return {"generator": loss} | losses

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        _measure_norms(networks[_GENERATOR], self._drawn_before(JUDGED), self.crops.spec.size)
        return self.judge.judge(self._samples(networks, JUDGED))

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        return self.judge.baselines()

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        return self.crops.preview(self._samples(networks, 16))

    def state(self) -> dict[str, Any]:
        """See `TrainingModule.state`."""
        return self.judge.state()

    def restore(self, state: dict[str, Any]) -> None:
        """See `TrainingModule.restore`."""
        self.judge.restore(state)

    def _latents(self, work: StepContext) -> Tensor:
        device = self.crops.held_out.device
        shape = (work.batch_size, self.params.latent_size)
        return work.share(torch.randn(shape, generator=work.generator, device=device))

    def _drawn(self, work: StepContext) -> Tensor:
        shape = (work.batch_size, DRAWN)
        return work.share(torch.rand(shape, generator=work.generator, device=self.crops.held_out.device))

    def _changed(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Return images as they are judged."""
        return changed(images, drawn, LIMIT) if self.params.discriminator_augmentation else images

    def _samples(self, networks: Networks, count: int) -> Tensor:
        return in_parts(networks[_GENERATOR], self.crops.spec.size, self._drawn_before(count))

    def _drawn_before(self, count: int) -> Tensor:
        """Return the same latents at every call."""
        drawn = torch.randn(count, self.params.latent_size, generator=torch.Generator().manual_seed(0))
        return drawn.to(self.crops.held_out.device)


def _measure_norms(generator_network: nn.Module, latents: Tensor, size: tuple[int, int]) -> None:
    """Take the statistics of batch norms anew: averaged weights have others than the average of those of all steps."""
    norms = [module for module in generator_network.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None is the plain mean over what is seen from here on.
        norm.momentum = None
        norm.train()
    in_parts(generator_network, size, latents)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.eval()


def set_up_dcgan(images: TrainingImages, params: GanTrainParams, context: TrainContext) -> TrainingSetup:
    """Read the crops.

    For its parameters see `Trainable.prepare`.
    """
    return set_up_gan(images, params, context, "dcgan")


def set_up_fastgan(images: TrainingImages, params: GanTrainParams, context: TrainContext) -> TrainingSetup:
    """Read the crops.

    For its parameters see `Trainable.prepare`.
    """
    return set_up_gan(images, params, context, "fastgan")
