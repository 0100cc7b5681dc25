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

from napari_synth.contract.trainable import Lesson, TrainContext
from napari_synth.core.errors import TrainingDataError
from napari_synth.methods.synthesize.catalogue import RefinedTrainParams
from napari_synth.methods.synthesize.crops import JUDGED, Crops, Judge, in_parts, learnt_crops, narrowed
from napari_synth.methods.synthesize.vae import PSNR, divergence, negative_evidence, posterior, psnr, usage, warmed
from napari_synth.networks.domain_discriminator import DomainDiscriminator
from napari_synth.networks.refined_autoencoder import Made, RefinedAutoencoder
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.losses import BOUNDED_EVERY, adversarial_optimizer, held, relative_loss, steepness
from napari_synth.training.optim import FitSettings
from napari_synth.training.training_module import Networks, Trainee, Validation, Work

_MAKER, _CRITIC = "maker", "critic"
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


def learn_to_refine(images: TrainingImages, params: RefinedTrainParams, context: TrainContext) -> Lesson:
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
    maker = RefinedAutoencoder(
        channels, size, params.latent_size, narrow, params.width, domains=domains, generator=generator
    )
    critic = DomainDiscriminator(channels, params.width, halvings=3, domains=domains, generator=generator)
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
    return Lesson(
        Refining(maker, critic, source, target, settings, params),
        settings,
        maker,
        "refined-autoencoder",
        normalisation=made.normalisation(),
        extras=extras,
        notes=tuple(dict.fromkeys((*source.notes, *made.notes))),
        limits=("Its fine structure is invented: it looks real, and measures nothing.",),
    )


class Refining(Trainee):
    """An autoencoder and a refiner, and one who judges.

    Parameters
    ----------
    maker : RefinedAutoencoder
    critic : DomainDiscriminator
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
        maker: RefinedAutoencoder,
        critic: DomainDiscriminator,
        source: Crops,
        target: Crops | None,
        settings: FitSettings,
        params: RefinedTrainParams,
    ) -> None:
        self.networks: Networks = {_MAKER: maker, _CRITIC: critic}
        self.source, self.target, self.settings, self.params = source, target, settings, params
        self.pool = source.pool
        self.judge = Judge(target or source)

    @property
    def averaged(self) -> Sequence[str]:
        """Names of the networks of which a running average is kept."""
        return (_MAKER,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `Trainee.optimizers`."""
        maker, rate = _maker(self.networks[_MAKER]), self.settings.learning_rate
        return {
            _MAKER: [
                torch.optim.Adam(maker.autoencoder.parameters(), lr=rate, betas=(0.9, 0.99)),
                adversarial_optimizer(maker.refiner, rate=rate * _REFINER_SHARE, memory=0.0),
            ],
            _CRITIC: [adversarial_optimizer(self.networks[_CRITIC], rate=rate * _CRITIC_SHARE, memory=0.0)],
        }

    def step(self, work: Work) -> Mapping[str, Tensor]:
        """See `Trainee.step`."""
        images = self.source.sample(work.batch_size, work.generator)
        others = None if self.target is None else work.share(self.target.sample(work.batch_size, work.generator))
        size = (len(images), self.params.latent_size)
        images = work.share(images)
        noise = work.share(torch.randn(size, generator=work.generator, device=images.device))
        drawn = work.share(torch.randn(size, generator=work.generator, device=images.device))
        made: Made = work.networks[_MAKER](images, noise, drawn[: len(drawn) // 2])
        real = [images] if others is None else [images, others]
        judging, steep = self._judging(work, made, real)
        work.update(_CRITIC, judging + steep)
        losses = self._maker_losses(work, made, real)
        work.update(_MAKER, losses["bound"] + losses["convincing"] + losses["content"])
        return losses | {"judging": judging}

    def validate(self, networks: Networks) -> Validation:
        """See `Trainee.validate`."""
        maker, images = _maker(networks[_MAKER]), self.source.held_out
        mean, log_variance = posterior(maker, images)
        found = psnr(in_parts(maker.autoencoder.decode, self.source.spec.size, mean), images)
        judged = self.judge.judge(self._samples(maker, JUDGED))
        metrics = dict(judged.metrics) | {PSNR: found} | usage(divergence(mean, log_variance))
        return replace(judged, metrics=metrics)

    def baselines(self) -> Mapping[str, Figures]:
        """See `Trainee.baselines`; those of the images whose manner is learnt."""
        return self.judge.baselines()

    def preview(self, networks: Networks) -> Preview:
        """Return held-out crops, the same found again and refined, and new images."""
        maker = _maker(networks[_MAKER])
        images = self.source.held_out[:_SHOWN]
        mean = maker.encode(images)[0]
        refined = maker.decode(mean, maker.domains - 1)
        rows = (images, maker.autoencoder.decode(mean), refined, self._samples(maker, _SHOWN))
        return (self.target or self.source).preview(torch.cat(rows))

    def state(self) -> dict[str, object]:
        """See `Trainee.state`."""
        return self.judge.state()

    def restore(self, state: dict[str, object]) -> None:
        """See `Trainee.restore`."""
        self.judge.restore(state)

    def _maker_losses(self, work: Work, made: Made, real: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return what the autoencoder and the refiner are trained for, the bound first."""
        images = real[0]
        critic, count = work.networks[_CRITIC], len(images)
        skipped = count // 2
        with held(self.networks[_CRITIC]):
            with torch.no_grad():
                true, shown = critic(torch.cat(tuple(real)))
            judged, features = critic(torch.cat((*made.refined, made.decoded)))
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

    def _judging(self, work: Work, made: Made, real: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the one who judges is trained for, and the penalty on being steep."""
        is_bounded = work.step % BOUNDED_EVERY == 0
        shown = torch.cat((*real, *(part.detach() for part in made.refined))).requires_grad_(is_bounded)
        judged = work.networks[_CRITIC](shown)[0]
        own = [part[:, number % len(real)] for number, part in enumerate(judged.split(len(real[0])))]
        pairs = zip(own[: len(real)], own[len(real) :], strict=True)
        loss = sum((relative_loss(true, false) for true, false in pairs), judged.new_zeros(()))
        if not is_bounded:
            return loss, torch.zeros_like(loss)
        # Real and made images alike: the mean over both is half of the sum of their means.
        return loss, BOUNDED_EVERY * _SMOOTHNESS * steepness(torch.cat(own), shown)

    def _samples(self, maker: RefinedAutoencoder, count: int) -> Tensor:
        latents = torch.randn((count, self.params.latent_size), generator=torch.Generator().manual_seed(1))
        domain = maker.domains - 1
        size = self.source.spec.size
        return in_parts(lambda part: maker.decode(part, domain), size, latents.to(self.source.held_out.device))


def _difference(some: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return how much features differ, as a share of how large they are, the mean over layers."""
    shares = [
        functional.l1_loss(one, other) / other.abs().mean().clamp_min(1e-6)
        for one, other in zip(some, others, strict=True)
    ]
    return torch.stack(shares).mean()


def _smoothed(images: Tensor) -> Tensor:
    return functional.avg_pool2d(images, _SMOOTHED)


def _maker(network: nn.Module) -> RefinedAutoencoder:
    assert isinstance(network, RefinedAutoencoder)
    return network
