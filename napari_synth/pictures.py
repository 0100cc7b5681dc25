"""Pictures of what the methods do on the samples, each panel beside the truth where it is known; the documentation shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth import samples
from napari_synth.core.errors import ImageFileError

Pixels = npt.NDArray[Any]

_COARSER = 3
_LARGER = 3
_ENLARGED = slice(144, 384)


@dataclass(frozen=True)
class Strip:
    """Panels of one size that are shown side by side.

    Attributes
    ----------
    panels : dict of str to numpy.ndarray, (Y, X) or (Y, X, S)
        What they show, in the order from left to right.
    truth : str or None
        The panel that holds the truth.
    """

    panels: dict[str, Pixels]
    truth: str | None = None

    def said(self) -> str:
        """Return what the panels show, with the peak signal-to-noise ratios where the truth is known."""
        if self.truth is None:
            return ", ".join(self.panels)
        from skimage.metrics import peak_signal_noise_ratio

        truth = self.panels[self.truth]
        span = float(truth.max()) - float(truth.min())
        decibels = {
            name: f" ({peak_signal_noise_ratio(truth, panel, data_range=span):.1f} dB)"
            for name, panel in self.panels.items()
            if name != self.truth
        }
        return ", ".join(name + decibels.get(name, "") for name in self.panels)

    def write(self, path: Path) -> None:
        """Save the panels as one PNG, all with the contrast of the last."""
        import imageio.v3 as iio

        last = list(self.panels.values())[-1]
        low, high = (0.0, 255.0) if last.dtype == np.uint8 else np.percentile(last, [0.5, 99.8])
        row = np.concatenate([_shown(panel, low, high) for panel in self.panels.values()], axis=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(path, row)


def denoised(sample: str = "actin") -> Strip:
    """Denoise a plane of a sample with the default method."""
    from napari_synth import denoise

    image, truth = samples.load(sample), samples.load_truth(sample)
    at = {axis: size // 2 for axis, size in image.sizes.items() if axis in "TCZ"}
    panels = {"before": image.read(**at), "after": denoise(image).read(**at)}
    if truth is None:
        return Strip(panels)
    return Strip(panels | {"truth": truth.read(**at)}, "truth")


def deconvolved(sample: str = "wide_field") -> Strip:
    """Deconvolve a volume with its point spread function: a plane of it, of two methods, and of the truth."""
    from napari_synth import deconvolve

    image, truth, psf = samples.load(sample), samples.load_truth(sample), samples.load_psf(sample)
    if truth is None or psf is None:
        raise ImageFileError(f"The sample {sample!r} has no point spread function or no truth: choose another.")
    middle = image.sizes["Z"] // 2
    panels = {"blurred": image.read(Z=middle)}
    for generator in ("richardson-lucy", "network"):
        panels[generator] = deconvolve(image, psf, generator, dtype="float32").read(Z=middle)
    panels["truth"] = truth.read(Z=middle)
    return Strip(
        {name: np.kron(panel, np.ones((_LARGER, _LARGER), panel.dtype)) for name, panel in panels.items()}, "truth"
    )


def upscaled(sample: str = "actin") -> Strip:
    """Make a part of a sample coarse by averaging, and fine again: as coarse pixels, by Lanczos' method, by the bundled network."""
    from napari_synth import upscale

    image = samples.load_truth(sample) or samples.load(sample)
    at = {axis: size // 2 for axis, size in image.sizes.items() if axis in "TCZ"}
    fine = image.read(**at, Y=_ENLARGED, X=_ENLARGED)
    height, width = (size // _COARSER * _COARSER for size in fine.shape[:2])
    fine = fine[:height, :width]
    cells = fine.reshape(height // _COARSER, _COARSER, width // _COARSER, _COARSER, -1)
    coarse = cells.mean(axis=(1, 3)).round().astype(fine.dtype).reshape(cells.shape[0], cells.shape[2], *fine.shape[2:])
    panels = {
        f"{_COARSER} times coarser": coarse.repeat(_COARSER, 0).repeat(_COARSER, 1),
        "Lanczos": upscale(coarse, _COARSER, "lanczos"),
        "network": upscale(coarse, _COARSER),
        "truth": fine,
    }
    return Strip(panels, "truth")


def inpainted(sample: str = "damaged") -> Strip:
    """Fill what the mask of a sample marks."""
    from napari_synth import inpaint

    image, mask, truth = samples.load(sample), samples.load_mask(sample), samples.load_truth(sample)
    if mask is None or truth is None:
        raise ImageFileError(f"The sample {sample!r} has no mask or no truth: choose another.")
    filled = inpaint(image.data, mask.data)
    middle = tuple(slice(size // 4, 3 * size // 4) for size in filled.shape)
    panels = {"damaged": image.data, "inpainted": filled, "truth": truth.data}
    return Strip({name: np.asarray(panel)[middle] for name, panel in panels.items()}, "truth")


def translated(sample: str = "restained", reference: str = "tissue") -> Strip:
    """Give a slide the stains of another: the slide, the result, the reference."""
    from napari_synth import translate

    image = samples.load(sample)
    target = samples.load_truth(reference) or samples.load(reference)
    height, width, _ = image.shape
    panels = {
        "slide": image.data,
        "translated": translate(image.data, target),
        "reference": target.data[:height, :width],
    }
    return Strip({name: np.asarray(panel) for name, panel in panels.items()})


def corrected(sample: str = "retina", strength: float = 0.08) -> Strip:
    """Take stripes out of a photograph: with stripes, corrected, the truth."""
    from napari_synth import correct

    truth = samples.load_truth(sample)
    if truth is None:
        raise ImageFileError(f"The sample {sample!r} has no truth: choose another.")
    middle = tuple(slice(size // 4, 3 * size // 4) for size in truth.shape)
    clean = np.asarray(truth.data)[middle].astype(np.float32)
    striped = clean * np.exp(np.random.default_rng(0).normal(0, strength, clean.shape[1])).astype(np.float32)
    return Strip({"striped": striped, "corrected": np.asarray(correct(striped, "stripes")), "truth": clean}, "truth")


def aligned(sample: str = "tissue", shift: tuple[float, float] = (2.4, -3.1), larger: float = 0.006) -> Strip:
    """Displace the green of a slide and bring it back: the slide with coloured edges, corrected, the truth.

    Parameters
    ----------
    sample : str
        A slide.
    shift : (float, float)
        Of green along Y and X, in pixels.
    larger : float
        By how much green is larger.
    """
    from scipy.ndimage import affine_transform

    from napari_synth import correct

    image = samples.load_truth(sample) or samples.load(sample)
    clean = np.asarray(image.data)[:360, :480]
    matrix = np.eye(2) / (1 + larger)
    middle = (np.array(clean.shape[:2]) - 1) / 2
    offset = middle - matrix @ (middle + shift)
    green = affine_transform(clean[..., 1].astype(np.float64), matrix, offset, order=3, mode="nearest")
    fringed = clean.copy()
    fringed[..., 1] = np.clip(np.rint(green), 0, 255)
    found = np.asarray(correct(fringed, "chromatic-shift", axes="YXS"))
    return Strip({"coloured edges": fringed, "corrected": found, "truth": clean}, "truth")


def chained(sample: str = "retina", photons: float = 30.0, tiles: int = 12) -> Strip:
    """Even out the light of a noisy field and denoise it: the field, in two runs, as one chain, the truth.

    Parameters
    ----------
    sample : str
        One that has a truth.
    photons : float
        Of the brightest pixel, were the light even.
    tiles : int
        How many the light is learnt from.
    """
    from napari_synth import run

    truth = samples.load_truth(sample)
    if truth is None:
        raise ImageFileError(f"The sample {sample!r} has no truth: choose another.")
    middle = tuple(slice(size // 4, 3 * size // 4) for size in truth.shape)
    clean = np.asarray(truth.data)[middle].astype(np.float64)
    clean = photons * (0.2 + (clean - clean.min()) / np.ptp(clean))
    y, x = (np.linspace(-0.5, 0.5, size) for size in clean.shape)
    light = 1.25 - 2.0 * (y[:, None] ** 2 + x[None] ** 2)
    draws = np.random.default_rng(0)
    field = draws.poisson(clean * light).astype(np.float32)
    empty = [draws.poisson(photons * level * light) for level in draws.uniform(0.7, 1.3, tiles)]
    reference = np.stack(empty).astype(np.float32)
    flat = run("correct/flat-field", field, reference=reference, axes="YX")
    panels = {
        "field": field,
        "two runs": np.asarray(run("denoise/blind", flat, axes="YX")),
        "one chain": np.asarray(run(["correct/flat-field", "denoise/blind"], field, reference=reference, axes="YX")),
        "truth": (clean * light.mean()).astype(np.float32),
    }
    return Strip(panels, "truth")


def registered(sample: str = "drift") -> Strip:
    """Denoise a frame of a movie that drifts: the frame, restored alone, restored with its neighbours in register, the truth."""
    from napari_synth import denoise

    image, truth = samples.load(sample), samples.load_truth(sample)
    if truth is None:
        raise ImageFileError(f"The sample {sample!r} has no truth: choose another.")
    middle = image.sizes["T"] // 2
    panels = {
        "frame": image.read(T=middle),
        "alone": denoise(image, neighbours="off").read(T=middle),
        "with its neighbours in register": denoise(image).read(T=middle),
        "truth": truth.read(T=middle),
    }
    return Strip(panels, "truth")


def augmented(sample: str = "tissue", draws: int = 3) -> Strip:
    """Draw a slide several times anew, with the preset for histology."""
    from napari_synth import augment

    image = samples.load_truth(sample) or samples.load(sample)
    panels = {"slide": np.asarray(image.data)}
    for seed in range(draws):
        panels[f"draw {seed + 1}"] = np.asarray(augment(image.data, transforms="histology", axes=image.axes, seed=seed))
    return Strip(panels)


STRIPS: dict[str, Callable[[], Strip]] = {
    "denoise": denoised,
    "deconvolve": deconvolved,
    "correct": corrected,
    "chain": chained,
    "chromatic-shift": aligned,
    "upscale": upscaled,
    "inpaint": inpainted,
    "translate": translated,
    "movies": registered,
    "augment": augmented,
}
"""The picture of each verb, on its usual sample."""


def _shown(pixels: Pixels, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map intensities to 8 bits for a screen."""
    scaled = (pixels.astype(np.float64) - low) / max(high - low, 1e-12)
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
