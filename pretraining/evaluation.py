"""Validation on six images of scikit-image that no training ever sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import color, data
from torch import Tensor, nn
from torch.nn import functional

from benchmark.inpainting import CORNERS, EDGE, draw_holes, judged
from napari_synth.networks.sigma_map import sigma_map
from pretraining.enlarging import reduced

VALIDATION = ("camera", "astronaut", "coins", "moon", "cell", "immunohistochemistry")
"""Names in `skimage.data`."""

HOLES = {
    "scratches": "scratches of 3 pixels",
    "discs": "discs of radius 8 to 16",
    "box": "a box of 56 x 56",
}
"""Kinds of holes that the inpainting network is measured in."""

Figures = dict[str, dict[str, float]]


@cache
def validation_image(name: str) -> NDArray[np.float32]:
    """Return a validation image in gray, 0..1."""
    image = getattr(data, name)()
    gray = color.rgb2gray(image[..., :3]) if image.ndim == 3 else image / 255.0
    return np.asarray(gray, np.float32)


def psnr(clean: Tensor, result: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB for a peak of 1."""
    return float(-10.0 * torch.log10((clean - result).square().mean()))


def denoise(network: nn.Module, image: Tensor, sigma: Tensor, correlation: Tensor | None = None) -> Tensor:
    """Run the network on one image (1, 1, H, W) of any size, padded to a multiple of 8 by reflection."""
    height, width = image.shape[-2:]
    pad = (0, -width % 8, 0, -height % 8)
    full = functional.pad(image, pad, mode="reflect")
    spread = functional.pad(sigma.expand_as(image), pad, mode="reflect")
    with torch.inference_mode():
        result: Tensor = network(full, spread, correlation)[..., :height, :width]
    return result


def _gaussian(clean: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    std = 25.0 / 255.0
    noise = torch.from_numpy(rng.normal(0.0, std, clean.shape).astype(np.float32))
    return clean + noise, torch.full_like(clean, std)


def _photons(clean: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    peak = 30.0
    counts = rng.poisson(np.clip(clean.numpy(), 0.0, None) * peak) + rng.normal(0.0, 1.0, clean.shape)
    noisy = torch.from_numpy((counts / peak).astype(np.float32))
    return noisy, sigma_map(noisy, 1.0 / peak, 1.0 / peak**2)


def evaluate_denoiser(network: nn.Module, device: torch.device | None = None) -> Figures:
    """Return the PSNR in dB of every validation image, and their mean, under two kinds of noise.

    ``gaussian 25``: Gaussian, standard deviation 25/255, known. ``photons 30``: 30 photons at the peak, read noise of
    one electron, the true gain given through the map made from the noisy image.
    """
    kinds: dict[str, Callable[[Tensor, np.random.Generator], tuple[Tensor, Tensor]]] = {
        "gaussian 25": _gaussian,
        "photons 30": _photons,
    }
    figures: Figures = {}
    training = network.training
    network.eval()
    for kind, degrade in kinds.items():
        row: dict[str, float] = {}
        for name in VALIDATION:
            clean = torch.from_numpy(validation_image(name))[None, None]
            noisy, spread = degrade(clean, np.random.default_rng(0))
            row[name] = psnr(clean, denoise(network, noisy.to(device), spread.to(device)).float().cpu())
        row["mean"] = sum(row.values()) / len(row)
        figures[kind] = row
    network.train(training)
    return figures


def evaluate_enlarger(network: nn.Module, device: torch.device | None = None) -> Figures:
    """Return the PSNR in dB of every validation image, and their mean, after reduction by 2, 3 and 4 with a cubic kernel.

    The coarse image has 8 bits; a border as wide as the scale does not count.
    """
    figures: Figures = {}
    training = network.training
    network.eval()
    for scale in (2, 3, 4):
        row: dict[str, float] = {}
        for name in VALIDATION:
            clean = torch.from_numpy(validation_image(name))[None, None]
            height, width = (size // (2 * scale) * 2 * scale for size in clean.shape[-2:])
            clean = clean[..., :height, :width]
            coarse = ((reduced(clean, scale, "cubic") * 255.0).round() / 255.0).to(device)
            pad = (0, -coarse.shape[-1] % 8, 0, -coarse.shape[-2] % 8)
            full = functional.pad(coarse, pad, mode="reflect")
            with torch.inference_mode():
                fine = network(full, torch.zeros_like(full), None, scale)[..., :height, :width].float().cpu()
            inner = (..., slice(scale, -scale), slice(scale, -scale))
            row[name] = psnr(clean[inner], fine[inner])
        row["mean"] = sum(row.values()) / len(row)
        figures[f"x{scale}"] = row
    network.train(training)
    return figures


def evaluate_inpainter(network: nn.Module, device: torch.device | None = None) -> Figures:
    """Return PSNR in dB and the energy of fine detail over the truth's, in the holes of a crop of every validation image.

    Crops and holes are those of the bench, in gray.
    """
    figures: Figures = {}
    training = network.training
    network.eval()
    for kind in HOLES:
        rows: tuple[dict[str, float], dict[str, float]] = ({}, {})
        for seed, (name, (top, left)) in enumerate(CORNERS.items()):
            if name not in VALIDATION:
                continue
            truth = validation_image(name)[top : top + EDGE, left : left + EDGE]
            holes = draw_holes(kind, seed)
            given, missing = (torch.from_numpy(plane)[None, None].to(device) for plane in (truth, holes))
            with torch.inference_mode():
                found = network(given * ~missing, missing.float()).float().cpu()[0, 0].numpy()
            score = judged(255.0 * truth[..., None], 255.0 * found[..., None], holes)
            rows[0][name], rows[1][name] = score[0], score[2]
        for label, row in zip((kind, f"{kind}, fine"), rows, strict=True):
            figures[label] = row | {"mean": sum(row.values()) / len(row)}
    network.train(training)
    return figures
