"""Trains two networks, there and back, against one who judges each kind of images.

Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.methods.translate.catalogue import CycleTrainParams
from napari_synth.methods.translate.unpaired import (
    CRITIC_RATE,
    Unpaired,
    UnpairedModule,
    network_generator,
    with_channels,
)
from napari_synth.networks.discriminators import PatchDiscriminator
from napari_synth.networks.residual_translator import CycleTranslator
from napari_synth.training.adversarial import ImagePool
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures
from napari_synth.training.losses import adversarial_optimizer, discriminator_loss, frozen, generator_loss
from napari_synth.training.training_module import Networks, StepContext

_TRANSLATOR, _OF_SOURCE, _OF_TARGET = "translator", "discriminator of the source", "discriminator of the target"
_ERROR = "cycle error (% of range)"


def learn_both_ways(images: TrainingImages, params: CycleTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    data = Unpaired.read(images, params, context, CycleTranslator.multiple)
    random, dims = network_generator(context), len(data.axes)
    translator = CycleTranslator(
        dims,
        data.source.channels,
        data.target.channels,
        params.width,
        params.blocks,
        params.normalisation,
        data.curve,
        random,
    )
    discriminators = [
        PatchDiscriminator(dims, domain.channels, params.width, generator=random)
        for domain in (data.source, data.target)
    ]
    module = CycleGANModule(data, translator, discriminators[0], discriminators[1], params)
    return TrainingSetup(module, data.settings, translator, "cycle-translator", **data.setup())


class CycleGANModule(UnpairedModule):
    """Learns the ways there and back.

    Parameters
    ----------
    data : Unpaired
    translator : CycleTranslator
    of_source, of_target : PatchDiscriminator
        Those who judge.
    params : CycleTrainParams
    """

    def __init__(
        self,
        data: Unpaired,
        translator: CycleTranslator,
        of_source: PatchDiscriminator,
        of_target: PatchDiscriminator,
        params: CycleTrainParams,
    ) -> None:
        super().__init__(data)
        self.networks: Networks = {_TRANSLATOR: translator, _OF_SOURCE: of_source, _OF_TARGET: of_target}
        self.params = params
        self.has_identity = params.identity_weight > 0 and data.source.channels == data.target.channels
        self._transports = data.transports(params.seed)
        self._made = {_OF_SOURCE: ImagePool(params.pool), _OF_TARGET: ImagePool(params.pool)}

    @property
    def averaged(self) -> Collection[str]:
        """See `TrainingModule.averaged`."""
        return (_TRANSLATOR,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        rate = self.data.settings.learning_rate
        return {
            "translator": [adversarial_optimizer(self.networks[_TRANSLATOR], rate=rate)],
            "discriminators": [
                adversarial_optimizer(self.networks[_OF_SOURCE], self.networks[_OF_TARGET], rate=CRITIC_RATE * rate)
            ],
        }

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        source, target = (work.share(pool.sample(work.batch_size, work.generator)) for pool in self.data.pools)
        translate, params = partial(work.networks[_TRANSLATOR], matched=True), self.params
        discriminators = {name: work.networks[name] for name in (_OF_SOURCE, _OF_TARGET)}
        losses: dict[str, Tensor] = {}
        with frozen(*discriminators.values()):
            # Both kinds go through each network together where both have its channels: one large batch is quicker than two.
            if self.has_identity:
                made_target, same_target = translate(torch.cat((source, target))).split((len(source), len(target)))
                made_source, same_source = translate(torch.cat((target, source)), back=True).split(
                    (len(target), len(source))
                )
                losses["identity"] = _distance(same_target, target) + _distance(same_source, source)
            else:
                made_target, made_source = translate(source), translate(target, back=True)
            home = _distance(translate(made_target, back=True), source), _distance(translate(made_source), target)
            losses["cycle"] = home[0] + home[1]
            losses["adversarial"] = generator_loss(
                params.gan_loss, discriminators[_OF_TARGET](made_target)
            ) + generator_loss(params.gan_loss, discriminators[_OF_SOURCE](made_source))
            total = losses["adversarial"] + params.cycle_weight * losses["cycle"]
            if params.patches:
                there, back = self._transports
                losses["patches"] = there.loss(
                    with_channels(source, target.shape[1]), made_target, work.generator
                ) + back.loss(with_channels(target, source.shape[1]), made_source, work.generator)
                total = total + params.patches * losses["patches"]
            if self.has_identity:
                total = total + params.cycle_weight * params.identity_weight * losses["identity"]
        work.update("translator", total)
        judging = torch.zeros_like(total)
        for name, real, made in ((_OF_TARGET, target, made_target), (_OF_SOURCE, source, made_source)):
            shown = self._made[name].exchanged(made.detach(), work.generator)
            judging = judging + discriminator_loss(
                params.gan_loss, discriminators[name](real), discriminators[name](shown)
            )
        work.update("discriminators", judging)
        return {"translator": total, **losses, "discriminators": judging}

    def translated(self, networks: Networks, source: Tensor) -> Tensor:
        """See `UnpairedModule.translated`."""
        result: Tensor = networks[_TRANSLATOR](source)
        return result

    def further(self, networks: Networks) -> Figures:
        """Return how far the way there and back leads from home."""
        translate = networks[_TRANSLATOR]
        errors = [
            _distance(translate(translate(block.pixels), back=True).float(), block.pixels)
            for block in self.data.held_out[0]
        ]
        return {_ERROR: 100.0 * float(torch.stack(errors).mean())}

    def state(self) -> dict[str, Any]:
        """See `TrainingModule.state`."""
        return {name: pool.state() for name, pool in self._made.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `TrainingModule.restore`."""
        device = str(next(self.networks[_TRANSLATOR].parameters()).device)
        for name, pool in self._made.items():
            pool.restore(state[name], device)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().mean()
