"""Trains an autoencoder, a refiner behind it, and one who judges what is refined.

The autoencoder learns by its likelihood, of pixels and of what the judge sees in them. The refiner learns to convince the judge,
and to keep the content: what is refined in the manner of the source must show the judge what the encoded image shows it, and be
what the decoder knows where it is smoothed. Where there is a target, the same refiner is told to draw in its manner too; the
content is kept then by the way back to the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import TrainingDataError
from napari_synth.methods.synthesize.catalogue import RefinedTrainParams
from napari_synth.methods.synthesize.crops import JUDGED, Crops, Judge, in_parts, learnt_crops, narrowed
from napari_synth.methods.synthesize.vae import PSNR, divergence, negative_evidence, posterior, psnr, usage, warmed
from napari_synth.networks.discriminators import DomainDiscriminator
from napari_synth.networks.refined_autoencoder import Made, RefinedAutoencoder
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.losses import BOUNDED_EVERY, adversarial_optimizer, frozen, relative_loss, steepness
from napari_synth.training.optim import FitSettings
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

_GENERATOR, _DISCRIMINATOR = "generator", "discriminator"
_RATE = 2e-3
# Of the refiner and of the one who judges, beside the autoencoder's.
_REFINER_SHARE, _CRITIC_SHARE = 0.5, 0.5
# Of the likelihood in what the judge sees, of what the decoder knows, and of the way back.
_SIMILARITY, _KNOWN, _CYCLE = 0.1, 2.0, 10.0
# Edge of the squares over which an image is smoothed to what a blurred one knows of it.
_SMOOTHED = 8
# How far the one who judges is kept from being steep.
_SMOOTHNESS = 0.1
# Of the width, for what is blurred anyway.
_AUTOENCODER_WIDTH = 2 / 3
_SHOWN = 4


def learn_to_refine(images: TrainingImages, params: RefinedTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training; with a target where there is one.

    For its parameters see `Trainable.prepare`.

    Raises
    ------
    TrainingDataError
        Source and target have different numbers of channels, or there is too little of them.
    """
    source = learnt_crops(replace(images, target=()), params, context)
    target = None
    if images.target:
        other = replace(images, source=images.target, target=())
        target = learnt_crops(other, params.model_copy(update={"patch": source.spec.size[0]}), context)
        if target.spec.size < source.spec.size:
            smaller = params.model_copy(update={"patch": target.spec.size[0]})
            source = learnt_crops(replace(images, target=()), smaller, context)
        if target.spec.channels != source.spec.channels:
            raise TrainingDataError(
                f"The source has {source.spec.channels} channels and the target {target.spec.channels}: give images with as many."
            )
    channels, size = source.spec.channels, source.spec.size[0]
    domains = 1 if target is None else 2
    narrow = narrowed(params.width, _AUTOENCODER_WIDTH)
    generator = torch.Generator().manual_seed(context.seed)
    generator_network = RefinedAutoencoder(
        channels, size, params.latent_size, narrow, params.width, domains=domains, generator=generator
    )
    discriminator = DomainDiscriminator(channels, params.width, halvings=3, domains=domains, generator=generator)
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 32),
        averaging=0.998,
        validations=8,
    )
    made = target or source
    extras = made.extras()
    if target is not None:
        extras["encoded"] = {"sample": source.spec.record(), "intensity": source.normalisation()["source"]}
    return TrainingSetup(
        Refining(generator_network, discriminator, source, target, settings, params),
        settings,
        generator_network,
        "refined-autoencoder",
        normalisation=made.normalisation(),
        extras=extras,
        notes=tuple(dict.fromkeys((*source.notes, *made.notes))),
        limits=("Its fine structure is invented: it looks real, and measures nothing.",),
    )


class Refining(TrainingModule):
    """An autoencoder and a refiner, and one who judges.

    Parameters
    ----------
    generator_network : RefinedAutoencoder
    discriminator : DomainDiscriminator
        With as many domains.
    source : Crops
    target : Crops or None
        Of the second domain, where there is one.
    settings : FitSettings
    params : RefinedTrainParams
    """

    settles = False

    def __init__(
        self,
        generator_network: RefinedAutoencoder,
        discriminator: DomainDiscriminator,
        source: Crops,
        target: Crops | None,
        settings: FitSettings,
        params: RefinedTrainParams,
    ) -> None:
        self.networks: Networks = {_GENERATOR: generator_network, _DISCRIMINATOR: discriminator}
        self.source, self.target, self.settings, self.params = source, target, settings, params
        self.pool = source.pool
        self.judge = Judge(target or source)

    @property
    def averaged(self) -> Sequence[str]:
        """Names of the networks of which a running average is kept."""
        return (_GENERATOR,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        generator_network, rate = _generator_network(self.networks[_GENERATOR]), self.settings.learning_rate
        return {
            _GENERATOR: [
                torch.optim.Adam(generator_network.autoencoder.parameters(), lr=rate, betas=(0.9, 0.99)),
                adversarial_optimizer(generator_network.refiner, rate=rate * _REFINER_SHARE, memory=0.0),
            ],
            _DISCRIMINATOR: [
                adversarial_optimizer(self.networks[_DISCRIMINATOR], rate=rate * _CRITIC_SHARE, memory=0.0)
            ],
        }

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        images = self.source.sample(work.batch_size, work.generator)
        others = None if self.target is None else work.share(self.target.sample(work.batch_size, work.generator))
        size = (len(images), self.params.latent_size)
        images = work.share(images)
        noise = work.share(torch.randn(size, generator=work.generator, device=images.device))
        drawn = work.share(torch.randn(size, generator=work.generator, device=images.device))
        made: Made = work.networks[_GENERATOR](images, noise, drawn[: len(drawn) // 2])
        real = [images] if others is None else [images, others]
        judging, steep = self._judging(work, made, real)
        work.update(_DISCRIMINATOR, judging + steep)
        losses = self._maker_losses(work, made, real)
        work.update(_GENERATOR, losses["bound"] + losses["convincing"] + losses["content"])
        return losses | {"judging": judging}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        generator_network, images = _generator_network(networks[_GENERATOR]), self.source.held_out
        mean, log_variance = posterior(generator_network, images)
        found = psnr(in_parts(generator_network.autoencoder.decode, self.source.spec.size, mean), images)
        judged = self.judge.judge(self._samples(generator_network, JUDGED))
        metrics = dict(judged.metrics) | {PSNR: found} | usage(divergence(mean, log_variance))
        return replace(judged, metrics=metrics)

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`; those of the images whose manner is learnt."""
        return self.judge.baselines()

    def preview(self, networks: Networks) -> Preview:
        """Return held-out crops, the same found again and refined, and new images."""
        generator_network = _generator_network(networks[_GENERATOR])
        images = self.source.held_out[:_SHOWN]
        mean = generator_network.encode(images)[0]
        refined = generator_network.decode(mean, generator_network.domains - 1)
        rows = (images, generator_network.autoencoder.decode(mean), refined, self._samples(generator_network, _SHOWN))
        return (self.target or self.source).preview(torch.cat(rows))

    def state(self) -> dict[str, object]:
        """See `TrainingModule.state`."""
        return self.judge.state()

    def restore(self, state: dict[str, object]) -> None:
        """See `TrainingModule.restore`."""
        self.judge.restore(state)

    def _maker_losses(self, work: StepContext, made: Made, real: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return what the autoencoder and the refiner are trained for, the bound first."""
        images = real[0]
        discriminator, count = work.networks[_DISCRIMINATOR], len(images)
        skipped = count // 2
        with frozen(self.networks[_DISCRIMINATOR]):
            with torch.no_grad():
                true, shown = discriminator(torch.cat(tuple(real)))
            judged, features = discriminator(torch.cat((*made.refined, made.decoded)))
        pairs = enumerate(zip(judged.split(count)[:-1], true.split(count), strict=True))
        convincing = sum(
            (relative_loss(one[:, domain], other[:, domain]) for domain, (one, other) in pairs), judged.new_zeros(())
        )
        of_source = [part[:count] for part in shown]
        alike = _difference([part[: count - skipped] for part in features], [part[skipped:] for part in of_source])
        seen = _difference([part[-count:] for part in features], of_source)
        known = functional.l1_loss(_smoothed(made.refined[0]), _smoothed(made.blurred))
        content = self.params.fidelity * alike + _KNOWN * known
        if made.back is not None:
            home = torch.cat((images[skipped:], made.refined[0][count - skipped :].detach()))
            content = content + _CYCLE * functional.l1_loss(made.back, home)
        apart = divergence(made.mean, made.log_variance)
        weight = warmed(self.params.beta, work.step, self.params.warm_up)
        bound = negative_evidence(made.decoded, images, apart, weight) + _SIMILARITY * seen
        # There is nothing to refine until the decoder knows something.
        eager = warmed(1.0, work.step, self.params.warm_up)
        return {"bound": bound, "convincing": eager * convincing, "content": content}

    def _judging(self, work: StepContext, made: Made, real: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the one who judges is trained for, and the penalty on being steep."""
        is_bounded = work.step % BOUNDED_EVERY == 0
        shown = torch.cat((*real, *(part.detach() for part in made.refined))).requires_grad_(is_bounded)
        judged = work.networks[_DISCRIMINATOR](shown)[0]
        own = [part[:, number % len(real)] for number, part in enumerate(judged.split(len(real[0])))]
        pairs = zip(own[: len(real)], own[len(real) :], strict=True)
        loss = sum((relative_loss(true, false) for true, false in pairs), judged.new_zeros(()))
        if not is_bounded:
            return loss, torch.zeros_like(loss)
        # Real and made images alike: the mean over both is half of the sum of their means.
        return loss, BOUNDED_EVERY * _SMOOTHNESS * steepness(torch.cat(own), shown)

    def _samples(self, generator_network: RefinedAutoencoder, count: int) -> Tensor:
        latents = torch.randn((count, self.params.latent_size), generator=torch.Generator().manual_seed(1))
        domain = generator_network.domains - 1
        size = self.source.spec.size
        return in_parts(
            lambda part: generator_network.decode(part, domain), size, latents.to(self.source.held_out.device)
        )


def _difference(some: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return how much features differ, as a share of how large they are, the mean over layers."""
    shares = [
        functional.l1_loss(one, other) / other.abs().mean().clamp_min(1e-6)
        for one, other in zip(some, others, strict=True)
    ]
    return torch.stack(shares).mean()


def _smoothed(images: Tensor) -> Tensor:
    return functional.avg_pool2d(images, _SMOOTHED)


def _generator_network(network: nn.Module) -> RefinedAutoencoder:
    assert isinstance(network, RefinedAutoencoder)
    return network
