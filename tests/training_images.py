"""Small images with structure and known noise, and what a generator makes of them, without the runner."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_synth import samples
from napari_synth.contract.generator import Context, Generator, Prepared
from napari_synth.core.device import Device
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics

Floats = npt.NDArray[np.float32]


def rings(size: int = 64) -> Floats:
    """Rings of 0 and 100 counts, finer outwards."""
    y, x = np.mgrid[:size, :size]
    return (50.0 + 50.0 * np.cos(((y - size / 3) ** 2 + (x - size / 2) ** 2) / size / 2)).astype(np.float32)


def noisy(clean: Floats, sigma: float = 20.0, seed: int = 0) -> Floats:
    """Add independent Gaussian noise."""
    return (clean + np.random.default_rng(seed).normal(0.0, sigma, clean.shape)).astype(np.float32)


def gain_db(restored: npt.ArrayLike, source: Floats, clean: Floats) -> float:
    """How much nearer the truth the result is than the source."""
    before, after = (np.mean((np.asarray(image, dtype=np.float64) - clean) ** 2) for image in (source, restored))
    return float(10.0 * np.log10(before / after))


def prepare(
    generator: Generator[Any],
    image: Floats,
    axes: str = "YX",
    *,
    seed: int = 0,
    report: Reporter | None = None,
    **params: Any,
) -> tuple[Prepared, Context]:
    """Prepare a generator for an image on the CPU."""
    wrapped = Image(image, axes)
    statistics = measure_statistics(wrapped)
    intensity = IntensityTransform.from_statistics(statistics)
    context = Context(Device("cpu", "CPU", "for the test"), intensity, statistics, seed, report or Reporter())
    return generator.prepare(wrapped, generator.params_type(**params), context), context


def restore(prepared: Prepared, context: Context, image: Floats) -> Floats:
    """Apply to the whole image as one block."""
    block = torch.from_numpy(context.intensity.forward(image))[None, None]
    with torch.inference_mode():
        return context.intensity.inverse(prepared.apply(block)[0, 0].numpy()).astype(np.float32)


def retina_pair(edge: int = 96) -> tuple[Image, Image]:
    """Return a piece of the retina, noisy and clean."""
    noisy_image, clean = samples.load("retina"), samples.load_truth("retina")
    assert clean is not None
    part = {"Y": slice(200, 200 + edge), "X": slice(200, 200 + edge)}
    return noisy_image.select(**part), clean.select(**part)
