"""Whether made pairs are of use: a small network learns from them to find objects, and is tried on real images.

Train on synthetic, test on real (Esteban et al., "Real-valued medical time series generation with recurrent conditional GANs",
2017), beside the same network after as many steps on real pairs. Both are tried on the part of the real images that neither saw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.core.device import Device
from napari_synth.core.errors import InvalidImageError
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.translate.paired import Kind
from napari_synth.networks.translation_unet import TranslationUNet
from napari_synth.training.dataset import Normalisation, gather, read_fields, split_fields
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch

DICE = "Segmenter's Dice (%)"
_AS_IT_IS = IntensityTransform(0.0, 1.0)
_PATCH, _BATCH, _STEPS, _RATE, _WIDTH = 64, 8, 160, 5e-3, 8
_JUDGED = 64
# In percent points of Dice.
_ALIKE, _LESS = 3.0, 15.0


@dataclass(frozen=True)
class Usefulness:
    """How well a small U-Net finds objects in real images that it did not learn from.

    Attributes
    ----------
    made, real : float
        The Dice coefficient in percent (twice the common pixels over the pixels of both), after learning from made pairs, and from
        real ones.
    """

    made: float
    real: float

    @property
    def note(self) -> str:
        """What that says, a plain sentence."""
        found = (
            f"A small U-Net that learnt from the made pairs finds real objects with a Dice of {self.made:.0f} %; from the real"
            f" pairs it learns {self.real:.0f} %"
        )
        if self.made > self.real - _ALIKE:
            return f"{found}: for that, made pairs are as good as real ones."
        if self.made > self.real - _LESS:
            return f"{found}: made pairs teach most of it."
        return f"{found}: made pairs lack what it needs. Train longer, or on more."


def report_usefulness(
    made: Image,
    made_labels: Image,
    real: Image,
    real_labels: Image,
    device: Device,
    *,
    steps: int = _STEPS,
    report: Reporter | None = None,
) -> Usefulness:
    """Train on made pairs, train on real ones, and try both on real images.

    Parameters
    ----------
    made, made_labels : Image
        Made images, and the labels that each was made for; what is not 0 is to be found.
    real, real_labels : Image
        Real images that were not made, with theirs. A part of them is held out, by the same rule by which it is in training.
    device : Device
    steps : int
        Of each training.
    report : Reporter, optional
        Told of every step; raises `Cancelled`.

    Raises
    ------
    InvalidImageError
        Made and real images have different channels, or labels hold nothing.
    TrainingDataError
        Images and labels do not fit each other, or there is too little of them.
    """
    report = report or Reporter()
    pairs = [
        gather(labels, without_alpha(image), kind="paired")
        for labels, image in ((made_labels, made), (real_labels, real))
    ]
    kinds = [Kind.of(one.target, "images") for one in pairs]
    if len(kinds[0].transforms) != len(kinds[1].transforms):
        raise InvalidImageError(
            f"The made images have {len(kinds[0].transforms)} channels, the real ones {len(kinds[1].transforms)}: choose the images"
            " that the model was trained on."
        )
    # Both in the units of the real images: that made ones have other counts is part of what is tried.
    made_fields, real_fields = ([_field(field, kinds[1]) for field in _read(one.source, one.target)] for one in pairs)
    training, held_out = split_fields(real_fields)
    if not any(field.pixels[0].any() for field in made_fields) or not any(f.pixels[0].any() for f in training):
        raise InvalidImageError("The labels hold no object: choose labels that have some.")
    grid = (TranslationUNet.multiple,) * 2
    patch = tuple(
        min(edges)
        for edges in zip(
            *(fitting_patch(fields, (_PATCH,) * 2, grid) for fields in (made_fields, training, held_out)), strict=True
        )
    )
    place = device.torch_name
    judged = PatchSampler(held_out, patch, place).sample(_JUDGED, torch.Generator(place).manual_seed(0))
    report.start("Training segmenters", 2 * steps)
    found = [
        _dice(_learnt(PatchSampler(fields, patch, place), device, steps, report), judged)
        for fields in (made_fields, training)
    ]
    return Usefulness(*found)


def _read(labels: tuple[Image, ...], images: tuple[Image, ...]) -> list[PatchRegion]:
    most = max(image.sizes.get("C", 1) for image in images)
    as_it_is = Normalisation(((_AS_IT_IS,) * most,) * len(labels))
    return read_fields(labels, as_it_is, "YX", joint="CS", others=images, other_normalisation=as_it_is)


def _field(field: PatchRegion, kind: Kind) -> PatchRegion:
    """Return a field with the objects as its first channel, and the image as the network sees it."""
    image = [one.forward(pixels) for one, pixels in zip(kind.transforms, field.pixels[1:], strict=True)]
    return replace(field, pixels=np.stack([(field.pixels[0] != 0).astype(np.float32), *image]))


def _learnt(pool: PatchSampler, device: Device, steps: int, report: Reporter) -> TranslationUNet:
    """Train a fresh network: the same start and the same order of draws for whatever is learnt from."""
    network = TranslationUNet(2, pool.channels - 1, 1, _WIDTH, generator=torch.Generator().manual_seed(0))
    network.to(device.torch_name).train()
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=max(steps, 2))
    random = torch.Generator(device.torch_name).manual_seed(1)
    for _ in range(steps):
        report.cancel.check()
        pixels = pool.sample(_BATCH, random)
        found, truth = network(pixels[:, 1:]), pixels[:, :1]
        common = 2.0 * (found.sigmoid() * truth).sum() / (found.sigmoid().sum() + truth.sum() + 1.0)
        # Both: the second one is quick to find what is rare (Milletari et al., "V-Net", 3DV 2016).
        loss = functional.binary_cross_entropy_with_logits(found, truth) + 1.0 - common
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report.advance()
    return network.eval()


@torch.no_grad()
def _dice(network: TranslationUNet, judged: Tensor) -> float:
    """Return the Dice coefficient in percent, over all pixels."""
    found = torch.cat([network(part[:, 1:]) > 0 for part in torch.split(judged, _BATCH)])
    truth = judged[:, :1] > 0.5
    both = float((found & truth).sum())
    return 100.0 * 2.0 * both / max(float(found.sum() + truth.sum()), 1.0)
