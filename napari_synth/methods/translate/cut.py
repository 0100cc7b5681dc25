"""Trains one network against one who judges; what a result shows is held by contrast with the source.

Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.methods.translate.catalogue import CutTrainParams
from napari_synth.methods.translate.unpaired import (
    CRITIC_RATE,
    Unpaired,
    UnpairedModule,
    network_generator,
    with_channels,
)
from napari_synth.networks.discriminators import PatchDiscriminator, PatchProjector
from napari_synth.networks.residual_translator import ResidualTranslator
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.losses import adversarial_optimizer, discriminator_loss, frozen, generator_loss
from napari_synth.training.training_module import Networks, StepContext

_TRANSLATOR, _DISCRIMINATOR, _PROJECTOR = "translator", "discriminator", "projector"
_WEIGHTS = {"CUT": 1.0, "FastCUT": 10.0}


def learn_one_way(images: TrainingImages, params: CutTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    data = Unpaired.read(images, params, context, ResidualTranslator.multiple)
    random, dims = network_generator(context), len(data.axes)
    translator = ResidualTranslator(
        dims,
        data.source.channels,
        data.target.channels,
        params.width,
        params.blocks,
        params.normalisation,
        data.curve,
        random,
    )
    discriminator = PatchDiscriminator(dims, data.target.channels, params.width, generator=random)
    module = CUTModule(
        data, translator, discriminator, PatchProjector(translator.feature_widths, generator=random), params
    )
    return TrainingSetup(module, data.settings, translator, "residual-translator", **data.setup())


class CUTModule(UnpairedModule):
    """Learns the way there.

    Parameters
    ----------
    data : Unpaired
    translator : ResidualTranslator
    discriminator : PatchDiscriminator
    projector : PatchProjector
    params : CutTrainParams
    """

    def __init__(
        self,
        data: Unpaired,
        translator: ResidualTranslator,
        discriminator: PatchDiscriminator,
        projector: PatchProjector,
        params: CutTrainParams,
    ) -> None:
        super().__init__(data)
        self.networks: Networks = {_TRANSLATOR: translator, _DISCRIMINATOR: discriminator, _PROJECTOR: projector}
        self.params = params
        self.has_identity = params.variant == "CUT"
        self._transport = data.transports(params.seed)[0]
        self.weight = _WEIGHTS[params.variant] if params.contrastive_weight is None else params.contrastive_weight

    @property
    def averaged(self) -> Collection[str]:
        """See `TrainingModule.averaged`."""
        return (_TRANSLATOR,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        rate = self.data.settings.learning_rate
        return {
            "translator": [adversarial_optimizer(self.networks[_TRANSLATOR], self.networks[_PROJECTOR], rate=rate)],
            "discriminator": [adversarial_optimizer(self.networks[_DISCRIMINATOR], rate=CRITIC_RATE * rate)],
        }

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        source, target = (work.share(pool.sample(work.batch_size, work.generator)) for pool in self.data.pools)
        discriminator, game = work.networks[_DISCRIMINATOR], self.params.gan_loss
        losses: dict[str, Tensor] = {}
        # What looks like the target already must show the same as before, too.
        given = torch.cat((source, with_channels(target, self.data.source.channels))) if self.has_identity else source
        results = work.networks[_TRANSLATOR](given, matched=True)
        made = results[: len(source)]
        with frozen(discriminator):
            losses["adversarial"] = generator_loss(game, discriminator(made))
        losses["contrast"] = self._contrast(work, given, results)
        total = losses["adversarial"] + self.weight * losses["contrast"]
        if self.params.patches:
            losses["patches"] = self._transport.loss(with_channels(source, made.shape[1]), made, work.generator)
            total = total + self.params.patches * losses["patches"]
        work.update("translator", total)
        judging = discriminator_loss(game, discriminator(target), discriminator(made.detach()))
        work.update("discriminator", judging)
        return {"translator": total, **losses, "discriminator": judging}

    def translated(self, networks: Networks, source: Tensor) -> Tensor:
        """See `UnpairedModule.translated`."""
        result: Tensor = networks[_TRANSLATOR](source)
        return result

    def _contrast(self, work: StepContext, given: Tensor, results: Tensor) -> Tensor:
        encode = partial(work.networks[_TRANSLATOR], features=True, matched=True)
        project = work.networks[_PROJECTOR]
        with torch.no_grad():
            seen = encode(given)
        places = draw_places(seen, self.params.num_patches, work.generator)
        with torch.no_grad():
            keys = project(features_at(seen, places))
        shown = encode(with_channels(results, given.shape[1]))
        return patch_contrast(project(features_at(shown, places)), keys)


def draw_places(features: Sequence[Tensor], count: int, generator: torch.Generator) -> list[Tensor]:
    """Draw different places in the features of each depth, (N, C, *spatial): their numbers, at most ``count`` each.

    Parameters
    ----------
    features : sequence of Tensor, (N, C, *spatial)
        Of each depth.
    count : int
        At most so many of each depth.
    generator : torch.Generator
    """
    return [
        torch.randperm(x[0, 0].numel(), generator=generator, device=generator.device)[:count].to(x.device)
        for x in features
    ]


def features_at(features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
    """Return features of each depth, (N, C, *spatial), at places: (N, places, C)."""
    return [x.flatten(2)[:, :, at].transpose(1, 2) for x, at in zip(features, places, strict=True)]


def patch_contrast(asked: Sequence[Tensor], keys: Sequence[Tensor], temperature: float = 0.07) -> Tensor:
    """Return how hard it is to find, for each patch of a result, that of the source at the same place among all of its image.

    Parameters
    ----------
    asked, keys : sequence of Tensor
        For each depth, the patches of result and source, (N, patches, size), vectors of length 1. No gradient goes to the keys.
    temperature : float

    Returns
    -------
    Tensor
        The cross-entropy, the mean over all patches and depths; log(patches) where they cannot be told apart.
    """
    losses = []
    for query, key in zip(asked, keys, strict=True):
        alike = query @ key.detach().transpose(1, 2) / temperature
        wanted = torch.arange(alike.shape[1], device=alike.device).expand(alike.shape[:2])
        losses.append(functional.cross_entropy(alike.flatten(0, 1), wanted.flatten()))
    return torch.stack(losses).mean()
