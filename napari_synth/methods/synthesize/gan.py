"""Trains a generator against a discriminator on crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_synth.contract.trainable import Lesson, TrainContext
from napari_synth.methods.synthesize.catalogue import GanTrainParams
from napari_synth.methods.synthesize.crops import JUDGED, LIMIT, Crops, Judge, in_parts, learnt_crops, narrowed
from napari_synth.networks.dcgan import DcganDiscriminator, DcganGenerator
from napari_synth.networks.fastgan import FastganDiscriminator, FastganGenerator
from napari_synth.networks.latent_generator import LatentGenerator
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.differentiable_augmentation import DRAWN, changed
from napari_synth.training.events import Figures, Preview
from napari_synth.training.losses import BOUNDED_EVERY, adversarial_optimizer, held, relative_loss, steepness
from napari_synth.training.optim import FitSettings
from napari_synth.training.training_module import Networks, Trainee, Validation, Work

_MAKER, _CRITIC = "generator", "discriminator"
_PAIRS: dict[str, tuple[type[LatentGenerator], type[DcganDiscriminator | FastganDiscriminator]]] = {
    "dcgan": (DcganGenerator, DcganDiscriminator),
    "fastgan": (FastganGenerator, FastganDiscriminator),
}
# Of the width: gates take twice as many channels as come out.
_SHARES = {"dcgan": 1.0, "fastgan": 2 / 3}
_RATE = 1e-3


def learn_game(images: TrainingImages, params: GanTrainParams, context: TrainContext, name: str) -> Lesson:
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
    make_maker, make_critic = _PAIRS[name]
    size, channels = crops.spec.size[0], crops.spec.channels
    width = narrowed(params.width, _SHARES[name])
    maker = make_maker(size, channels, width, params.latent_size, LIMIT, generator)
    critic = make_critic(size, channels, width, generator)
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 64),
        held_flat=0.6,
        clip=10.0,
        averaging=0.995,
        validations=16,
    )
    return Lesson(
        Adversaries(maker, critic, crops, settings, params),
        settings,
        maker,
        f"{name}-generator",
        normalisation=crops.normalisation(),
        extras=crops.extras(),
        notes=crops.notes,
        limits=("Its images are invented: they look like what it was trained on, and show nothing that was measured.",),
    )


class Adversaries(Trainee):
    """A generator learns to make images that a discriminator takes for real, which learns to tell them.

    Parameters
    ----------
    maker : LatentGenerator
    critic : nn.Module
        `DcganDiscriminator` or `FastganDiscriminator`.
    crops : Crops
    settings : FitSettings
    params : GanTrainParams
    """

    settles = False

    def __init__(
        self,
        maker: LatentGenerator,
        critic: nn.Module,
        crops: Crops,
        settings: FitSettings,
        params: GanTrainParams,
    ) -> None:
        self.networks: Networks = {_MAKER: maker, _CRITIC: critic}
        self.crops, self.pool, self.settings, self.params = crops, crops.pool, settings, params
        self.judge = Judge(crops)
        self._draws_again = isinstance(critic, FastganDiscriminator)

    @property
    def averaged(self) -> Sequence[str]:
        """See `Trainee.averaged`."""
        return (_MAKER,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `Trainee.optimizers`."""
        rate = self.settings.learning_rate
        return {
            name: [adversarial_optimizer(network, rate=rate, memory=0.0)] for name, network in self.networks.items()
        }

    def step(self, work: Work) -> Mapping[str, Tensor]:
        """See `Trainee.step`."""
        maker, critic = work.networks[_MAKER], work.networks[_CRITIC]
        drawn = self._drawn(work)
        made = maker(self._latents(work))
        real = self._changed(work.share(self.crops.sample(work.batch_size, work.generator)), self._drawn(work))
        false = self._changed(made, drawn).detach()
        is_bounded = self.params.smoothness > 0 and work.step % BOUNDED_EVERY == 0
        real.requires_grad_(is_bounded)
        false.requires_grad_(is_bounded)
        losses: dict[str, Tensor] = {}
        if self._draws_again:
            quarter = torch.randint(2, (2,), generator=work.generator, device=real.device).tolist()
            true, losses["drawn again"] = critic(real, (quarter[0], quarter[1]))
        else:
            true = critic(real)
        judged = critic(false)
        losses["discriminator"] = relative_loss(true, judged)
        total = sum(losses.values(), true.new_zeros(()))
        if is_bounded:
            slopes = steepness(true, real) + steepness(judged, false)
            total = total + 0.5 * BOUNDED_EVERY * self.params.smoothness * slopes
        work.update(_CRITIC, total)
        with held(self.networks[_CRITIC]):
            # The real ones were judged before this update, which spares to look at them again.
            loss = relative_loss(critic(self._changed(made, drawn)), true.detach())
            work.update(_MAKER, loss)
        return {"generator": loss} | losses

    def validate(self, networks: Networks) -> Validation:
        """See `Trainee.validate`."""
        _measure_norms(networks[_MAKER], self._drawn_before(JUDGED), self.crops.spec.size)
        return self.judge.judge(self._samples(networks, JUDGED))

    def baselines(self) -> Mapping[str, Figures]:
        """See `Trainee.baselines`."""
        return self.judge.baselines()

    def preview(self, networks: Networks) -> Preview:
        """See `Trainee.preview`."""
        return self.crops.preview(self._samples(networks, 16))

    def state(self) -> dict[str, Any]:
        """See `Trainee.state`."""
        return self.judge.state()

    def restore(self, state: dict[str, Any]) -> None:
        """See `Trainee.restore`."""
        self.judge.restore(state)

    def _latents(self, work: Work) -> Tensor:
        device = self.crops.held_out.device
        shape = (work.batch_size, self.params.latent_size)
        return work.share(torch.randn(shape, generator=work.generator, device=device))

    def _drawn(self, work: Work) -> Tensor:
        shape = (work.batch_size, DRAWN)
        return work.share(torch.rand(shape, generator=work.generator, device=self.crops.held_out.device))

    def _changed(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Return images as they are judged."""
        return changed(images, drawn, LIMIT) if self.params.little_data else images

    def _samples(self, networks: Networks, count: int) -> Tensor:
        return in_parts(networks[_MAKER], self.crops.spec.size, self._drawn_before(count))

    def _drawn_before(self, count: int) -> Tensor:
        """Return the same latents at every call."""
        drawn = torch.randn(count, self.params.latent_size, generator=torch.Generator().manual_seed(0))
        return drawn.to(self.crops.held_out.device)


def _measure_norms(maker: nn.Module, latents: Tensor, size: tuple[int, int]) -> None:
    """Take the statistics of batch norms anew: averaged weights have others than the average of those of all steps."""
    norms = [module for module in maker.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None is the plain mean over what is seen from here on.
        norm.momentum = None
        norm.train()
    in_parts(maker, size, latents)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.eval()


def set_up_dcgan(images: TrainingImages, params: GanTrainParams, context: TrainContext) -> Lesson:
    """Read the crops.

    For its parameters see `Trainable.prepare`.
    """
    return learn_game(images, params, context, "dcgan")


def set_up_fastgan(images: TrainingImages, params: GanTrainParams, context: TrainContext) -> Lesson:
    """Read the crops.

    For its parameters see `Trainable.prepare`.
    """
    return learn_game(images, params, context, "fastgan")
