"""How good made images are: held against real ones they were learnt from, each figure beside what real crops themselves reach.

References
----------
Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017 (how well a fresh network tells them apart); Kynkäänniemi
et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019; Durall et al., "Watch
your up-convolution: CNN based generative deep neural networks are failing to reproduce spectral distributions", CVPR 2020 (the
radial power spectrum).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import fftconvolve
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.trainable import TrainContext
from napari_synth.core.device import Device
from napari_synth.core.errors import InvalidImageError
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.methods.synthesize.catalogue import SynthesisTrainParams
from napari_synth.methods.synthesize.crops import JUDGED, REAL, TOLD, VARIETY, Crops, Judge, as_seen, learnt_crops
from napari_synth.methods.synthesize.form_features import FormFeatures
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.losses import FeatureScale, kernel_distance
from napari_synth.training.two_sample import ToldApart

MADE = "made images"
DISTANCE, PRECISION, RECALL = "Distance of forms", "Precision", "Recall"
SPECTRUM, DIRECTION, HISTOGRAM = "Spectrum (dB)", "Spectrum by direction (dB)", "Histogram (%)"
MEMORY = "Nearest crop (%)"
_FEWEST = 8
_GRID = 16
_NEIGHBOURS = 3
_BINS = 64
_PAIRS = 16
_COARSER = 4
# Of the distance of the best so far: what is farther on the coarse grid is not looked at in full.
_PERHAPS = 1.5
# Waves longer than an edge over this have no direction that could be told; and directions that are told apart.
_COARSEST, _SECTORS = 4.0, 12
_HELD_OUT = "held out"
# In percent; below these the user is told.
_COPIED, _MONOTONOUS = 60.0, 50.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """A report on made images.

    Attributes
    ----------
    figures : mapping of str to mapping of str to float
        For the made images, for real crops of another part of the images, for those blurred, and for noise: how well a fresh
        network tells them from real crops that it never saw, the variety, the distance to real crops in features that see form,
        precision and recall in the same, the mean difference of the spectra, and that of the spectra by direction, the distance
        of the histograms in percent of the spread of real intensities, and how far the nearest real crop is, in percent of how far
        it is from other real crops.
    frequency : numpy.ndarray, (F,)
        Cycles a pixel.
    spectra : mapping of str to numpy.ndarray, (F,)
        Mean power at those frequencies in decibels.
    counts : numpy.ndarray, (B,)
        Middles of the bins of the histograms.
    histograms : mapping of str to numpy.ndarray, (B,)
        Share of the pixels.
    pairs : Image
        Made images, each beside the part of the real images that is most like it, in counts, stacked along T.
    notes : tuple of str
        What the figures say, a plain sentence each.
    """

    figures: Mapping[str, Mapping[str, float]]
    frequency: Array
    spectra: Mapping[str, Array]
    counts: Array
    histograms: Mapping[str, Array]
    pairs: Image
    notes: tuple[str, ...]


def report_quality(
    made: Image, real: Sequence[Image], device: Device, *, turns: bool = True, report: Reporter | None = None
) -> Quality:
    """Hold made images against real ones.

    Parameters
    ----------
    made : Image
        At least 8 images along axes other than Y, X and those of the channels; the middle of each is looked at.
    real : sequence of Image
        What was learnt from, or more of its kind, with as many channels or colours.
    device : Device
    turns : bool
        Whether real crops are turned and flipped as well, as they are in training unless that was switched off.
    report : Reporter, optional
        Told of the steps; raises `Cancelled`.

    Raises
    ------
    InvalidImageError
        There are too few made images, they are too small, or have other channels.
    TrainingDataError
        The real images are too small to be split.
    """
    report = report or Reporter()
    edge = min(made.sizes["Y"], made.sizes["X"]) // _GRID * _GRID
    if edge < _GRID:
        raise InvalidImageError(f"Images smaller than {_GRID} pixels cannot be judged: make larger ones.")
    real = tuple(without_alpha(image) for image in real)
    params = SynthesisTrainParams(patch=edge, flips_and_rotations=turns)
    crops = learnt_crops(TrainingImages(real, (), "one"), params, TrainContext(device, 0, report))
    images = _made(without_alpha(made), crops).to(device.torch_name)
    measures = Measures(Judge(crops))
    kinds = {MADE: images, **measures.judge.compared()}
    report.start("Comparing with real crops", len(kinds) + 2)
    figures: dict[str, dict[str, float]] = {}
    for name, one in kinds.items():
        figures[name] = measures.of(one, measures.judge.told_apart(one, runs=2, check=report.cancel.check))
        report.advance()
    frequency, spectra = _spectra({name: kinds[name] for name in (MADE, REAL)})
    counts, histograms = _histograms({MADE: images, REAL: kinds[REAL], _HELD_OUT: crops.held_out}, crops)
    report.advance()
    pairs, figures[MADE][MEMORY] = nearest_crops(images, crops, report)
    report.advance()
    return Quality(
        figures,
        frequency,
        spectra,
        counts,
        {name: histograms[name] for name in (MADE, REAL)},
        pairs,
        _notes(figures),
    )


class Measures:
    """What is measured of images, beside crops that are held out.

    Parameters
    ----------
    judge : Judge
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._held_out = judge.crops.held_out
        self._of_form = FormFeatures(str(self._held_out.device))
        self._scale = FeatureScale(self._of_form(torch.cat((self._held_out, judge.learnt))))
        self._form = self._scale(self._of_form(self._held_out))

    def of(self, images: Tensor, told: ToldApart) -> dict[str, float]:
        """Measure images; for what the figures say see `Quality`.

        Parameters
        ----------
        images : Tensor, (N, C, Y, X)
            As networks see them.
        told : ToldApart
            How well a fresh network tells them from real ones.
        """
        both = {MADE: images, _HELD_OUT: self._held_out}
        form = self._scale(self._of_form(images))
        precision, recall = _precision_and_recall(form, self._form)
        _, spectra = _spectra(both)
        counts, histograms = _histograms(both, self.judge.crops)
        return {
            **self.judge.shown(images, told),
            DISTANCE: kernel_distance(form, self._form),
            PRECISION: precision,
            RECALL: recall,
            SPECTRUM: float(np.abs(spectra[MADE] - spectra[_HELD_OUT]).mean()),
            DIRECTION: float(np.abs(_by_direction(images) - _by_direction(self._held_out)).mean()),
            HISTOGRAM: _histogram_distance(histograms[MADE], histograms[_HELD_OUT], counts),
        }


def _made(made: Image, crops: Crops) -> Tensor:
    """Return the middles of some of the made images as networks see them, (N, C, Y, X)."""
    spec = crops.spec
    channels = made.sizes.get(spec.axis, 1) if spec.axis else 1
    if channels != spec.channels or ("S" in made.axes) != (spec.axis == "S"):
        raise InvalidImageError(
            f"The made images have {made.axes} with {channels} channels, the real ones {spec.channels}: choose the images that the"
            " model was trained on."
        )
    edge = spec.size[0]
    parts = {axis: slice((made.sizes[axis] - edge) // 2, (made.sizes[axis] + edge) // 2) for axis in "YX"}
    order = [axis for axis in made.axes if axis not in spec.axes]
    order += [spec.axis] if spec.axis else []
    pixels = made.read(**parts).transpose([made.axes.index(axis) for axis in (*order, "Y", "X")])
    pixels = pixels.reshape(-1, spec.channels, edge, edge)
    if len(pixels) < _FEWEST:
        raise InvalidImageError(f"{len(pixels)} images are too few to be judged: make at least {_FEWEST}.")
    some = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), JUDGED)).round().astype(int)]
    seen = np.stack([one.forward(some[:, i]) for i, one in enumerate(crops.transforms)], axis=1)
    return as_seen(torch.from_numpy(np.nan_to_num(seen).astype(np.float32)))


def _precision_and_recall(made: Tensor, real: Tensor) -> tuple[float, float]:
    """Return the share of made images that lie among real ones, and the share of those that lie among made ones."""
    found = []
    for some, others in ((made, real), (real, made)):
        radius = torch.cdist(others, others).kthvalue(min(_NEIGHBOURS + 1, len(others)), dim=1).values
        found.append(float((torch.cdist(some, others) <= radius).any(1).float().mean()))
    return found[0], found[1]


def _spectra(kinds: Mapping[str, Tensor]) -> tuple[Array, dict[str, Array]]:
    """Return frequencies, and the mean power at each of them in decibels, over images and channels."""
    like = kinds[MADE]
    edge = like.shape[-1]
    window = torch.hann_window(edge, periodic=False, device=like.device)
    across = torch.fft.fftfreq(edge, device=like.device)
    ring = ((across[:, None].square() + across.square()).sqrt() * edge).round().long()
    rings = edge // 2
    inside = (ring > 0) & (ring <= rings)
    found = {}
    for name, images in kinds.items():
        flat = images - images.mean((-2, -1), keepdim=True)
        power = torch.fft.fft2(flat * window[:, None] * window).abs().square().mean((0, 1))
        total = torch.zeros(rings + 1, device=power.device).index_add_(0, ring[inside], power[inside])
        count = torch.bincount(ring[inside], minlength=rings + 1)
        found[name] = (10.0 * (total[1:] / count[1:] + 1e-12).log10()).double().cpu().numpy()
    return np.arange(1, rings + 1) / edge, found


def _by_direction(images: Tensor) -> Array:
    """Return by how much the power of each direction of waves is above the mean of all directions, in decibels; streaks have one.

    Of real crops that are turned and flipped no direction stands out.
    """
    edge = images.shape[-1]
    window = torch.hann_window(edge, periodic=False, device=images.device)
    across = torch.fft.fftfreq(edge, device=images.device)
    y, x = torch.meshgrid(across, across, indexing="ij")
    distance = (y.square() + x.square()).sqrt() * edge
    inside = (distance >= _COARSEST) & (distance <= edge / 2)
    sector = (torch.atan2(y, x).remainder(torch.pi) / torch.pi * _SECTORS).long().clamp_max(_SECTORS - 1)[inside]
    flat = images - images.mean((-2, -1), keepdim=True)
    power = torch.fft.fft2(flat * window[:, None] * window).abs().square().mean((0, 1))
    # Every frequency counts alike: else the lowest ones would speak for all.
    ring = distance.round().long()[inside]
    total = torch.zeros(int(ring.max()) + 1, device=power.device).index_add_(0, ring, power[inside])
    usual = total / torch.bincount(ring, minlength=len(total)).clamp_min(1)
    relative = power[inside] / (usual[ring] + 1e-12)
    summed = torch.zeros(_SECTORS, device=power.device).index_add_(0, sector, relative)
    mean = summed / torch.bincount(sector, minlength=_SECTORS)
    found: Array = (10.0 * (mean + 1e-12).log10()).double().cpu().numpy()
    return found


def _histograms(kinds: Mapping[str, Tensor], crops: Crops) -> tuple[Array, dict[str, Array]]:
    """Return middles of bins in counts, and the share of the pixels in each, over images and channels."""
    every = {name: crops.as_counts(images) for name, images in kinds.items()}
    low, high = float(every[_HELD_OUT].min()), float(every[_HELD_OUT].max())
    edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    found = {}
    for name, counts in every.items():
        # What lies beyond belongs to the outermost bins: the distance must not lose it.
        within, _ = np.histogram(np.clip(counts, edges[0], edges[-1]), edges)
        found[name] = within / within.sum()
    return 0.5 * (edges[1:] + edges[:-1]), found


def _histogram_distance(some: Array, others: Array, counts: Array) -> float:
    """Return how far the pixels of one histogram have to move to become the other, in percent of the other's spread."""
    moved = np.abs(np.cumsum(some - others)).sum() * (counts[1] - counts[0])
    spread = np.sqrt((others * (counts - (others * counts).sum()) ** 2).sum())
    return float(100.0 * moved / max(spread, 1e-12))


def nearest_crops(made: Tensor, crops: Crops, report: Reporter) -> tuple[Image, float]:
    """Return made images beside what is most like them, and how near that is beside what is nearest to held-out crops.

    Parameters
    ----------
    made : Tensor, (N, C, Y, X)
        As networks see them.
    crops : Crops
        Among which it is looked for.
    report : Reporter
        Its cancel is looked at.

    Returns
    -------
    (Image, float)
        The pairs, in counts, and the mean distance in percent of that of held-out crops.
    """
    fields = [as_seen(torch.from_numpy(field.pixels)) for field in crops.fields]
    some, others = (one[:: max(1, len(one) // _PAIRS)][:_PAIRS].cpu() for one in (made, crops.held_out))
    found, apart = zip(*(_nearest(image, fields, report) for image in some), strict=True)
    usual = [_nearest(image, fields, report)[1] for image in others]
    beside = crops.as_counts(torch.cat((some, torch.stack(found)), -1))
    shown = {"": beside[:, 0], "C": beside, "S": np.moveaxis(beside, 1, -1)}[crops.spec.axis]
    dtype = np.dtype(crops.spec.dtype)
    pixels: Any = np.rint(shown).astype(dtype) if dtype.kind != "f" else shown.astype(dtype)
    image = Image(pixels, f"T{crops.spec.axes}", dict(crops.spec.spacing), dict(crops.spec.units), name="nearest")
    return image, 100.0 * float(np.mean(apart) / max(np.mean(usual), 1e-12))


def _nearest(image: Tensor, fields: Sequence[Tensor], report: Reporter) -> tuple[Tensor, float]:
    """Return the part of fields (C, Y, X) that is most like an image (C, Y, X) in any orientation, and how far it is.

    Images are compared at a quarter of the resolution, at which noise does not hide a copy.
    """
    best: tuple[float, Tensor] = (float("inf"), image)
    for turn, flip in product(range(4), (False, True)):
        turned = torch.rot90(image.flip(-1) if flip else image, turn, (-2, -1))
        wanted = functional.avg_pool2d(turned, _COARSER).double().numpy()
        for field in fields:
            report.cancel.check()
            coarse = functional.avg_pool2d(field, _COARSER).double().numpy()
            # The sum of the squared differences at every place, by way of the Fourier transform.
            apart = fftconvolve((coarse**2).sum(0), np.ones(wanted.shape[1:]), "valid") + (wanted**2).sum()
            for plane, own in zip(coarse, wanted, strict=True):
                apart -= 2.0 * fftconvolve(plane, own[::-1, ::-1], "valid")
            place = np.unravel_index(int(apart.argmin()), apart.shape)
            distance = float(np.sqrt(max(apart[place], 0.0) / wanted.size))
            # The nearest place may lie up to two pixels beside: only there is a copy alike in full.
            if distance < _PERHAPS * best[0]:
                part = _most_alike(field, turned, [int(at) * _COARSER for at in place])
                distance = float(
                    (functional.avg_pool2d(part, _COARSER).double() - torch.from_numpy(wanted)).square().mean().sqrt()
                )
                if distance < best[0]:
                    part = torch.rot90(part, -turn, (-2, -1))
                    best = distance, part.flip(-1) if flip else part
    return best[1], best[0]


def _most_alike(field: Tensor, image: Tensor, near: Sequence[int]) -> Tensor:
    """Return the part of a field (C, Y, X) that is most like an image (C, Y, X), a few pixels around a place."""
    edge = image.shape[-1]
    starts = [
        range(max(0, at - _COARSER + 1), min(at + _COARSER, size - edge + 1))
        for at, size in zip(near, field.shape[1:], strict=True)
    ]
    parts = (field[:, y : y + edge, x : x + edge] for y, x in product(*starts))
    return min(parts, key=lambda part: float((part - image).square().sum()))


def _notes(figures: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Say what the figures mean."""
    made, real, blurred = (figures[name] for name in (MADE, REAL, f"{REAL}, blurred"))
    notes = [
        f"A fresh network tells the made images from real ones in {made[TOLD]:.0f} % of all cases, where guessing is right in 50 %:"
        f" other real crops in {real[TOLD]:.0f} %, blurred ones in {blurred[TOLD]:.0f} %, noise in {figures['noise'][TOLD]:.0f} %.",
        f"{made[PRECISION]:.0%} of the images lie among real ones (of real crops {real[PRECISION]:.0%}), and"
        f" {made[RECALL]:.0%} of what real ones show is covered (by real crops {real[RECALL]:.0%}).",
    ]
    if made[MEMORY] < _COPIED:
        notes.append(
            f"The nearest training crop is only {made[MEMORY]:.0f} % as far as it is from new real crops: the model may repeat what"
            " it learnt from. Look at the pairs."
        )
    if made[VARIETY] < _MONOTONOUS:
        notes.append(f"The images vary {made[VARIETY]:.0f} % as much as real crops: many are alike.")
    return tuple(notes)
