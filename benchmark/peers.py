"""The methods that are compared: ours, and those of scikit-image and of the package bm3d."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.scenes import Noise

Floats = npt.NDArray[np.float32]
Restore = Callable[[Floats, Noise], npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Method:
    """One method in the tables.

    Attributes
    ----------
    name : str
        Of its column.
    restore : callable
        Restores a noisy image. The noise is for methods that are told the truth; all others estimate it.
    ours : bool
        Whether it is one of this package's generators.
    """

    name: str
    restore: Restore
    ours: bool


def own(name: str, title: str | None = None, **params: object) -> Method:
    """Return one of this package's denoisers."""

    def restore(noisy: Floats, _: Noise) -> npt.NDArray[np.floating]:
        from napari_synth.imaging.image import Image
        from napari_synth.verbs import prepare

        run = prepare(f"denoise/{name}", Image(noisy, "YX"), params, device="cpu", precision="float32")
        return np.asarray(run.compute())

    return Method(title or name, restore, ours=True)


def _non_local_means(noisy: Floats, _: Noise) -> npt.NDArray[np.floating]:
    from skimage.restoration import denoise_nl_means, estimate_sigma

    sigma = float(estimate_sigma(noisy))
    return np.asarray(
        denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True)
    )


def _total_variation(noisy: Floats, _: Noise) -> npt.NDArray[np.floating]:
    from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle, estimate_sigma

    sigma = float(estimate_sigma(noisy))
    weights = {"weight": [sigma * factor for factor in (0.5, 0.7, 1.0, 1.4, 2.0)]}
    return np.asarray(calibrate_denoiser(noisy, denoise_tv_chambolle, weights)(noisy))


def _wavelet(noisy: Floats, _: Noise) -> npt.NDArray[np.floating]:
    from skimage.restoration import denoise_wavelet

    return np.asarray(denoise_wavelet(noisy))


def _bm3d(noisy: Floats, _: Noise) -> npt.NDArray[np.floating]:
    from bm3d import bm3d
    from skimage.restoration import estimate_sigma

    return np.asarray(bm3d(noisy, float(estimate_sigma(noisy))))


def _bm3d_told(noisy: Floats, noise: Noise) -> npt.NDArray[np.floating]:
    """BM3D behind a variance-stabilising transform with the true noise."""
    import torch
    from bm3d import bm3d

    from napari_synth.imaging.noise import NoiseModel
    from napari_synth.methods.denoise.classical import VarianceStabilisation

    gain = 255.0 / noise.photons if noise.photons else 0.0
    stabilisation = VarianceStabilisation.of(NoiseModel(gain, 0.0, noise.sigma))
    stabilised = stabilisation.forward(torch.from_numpy(noisy)).numpy()
    restored = bm3d(stabilised.astype(np.float64), 1.0)
    return np.asarray(stabilisation.inverse(torch.from_numpy(restored)).numpy())


BLIND = own("blind")
SKIMAGE_NLM = Method("NLM (scikit-image)", _non_local_means, ours=False)
BM3D = Method("BM3D", _bm3d, ours=False)
BM3D_TOLD = Method("BM3D, told the noise", _bm3d_told, ours=False)
CLASSICAL = (own("non-local-means"), own("total-variation"), own("wavelet"), own("median"))
SKIMAGE = (
    SKIMAGE_NLM,
    Method("TV (scikit-image)", _total_variation, ours=False),
    Method("wavelet (scikit-image)", _wavelet, ours=False),
)
NO_BM3D = "BM3D is left out: it comes with the extra `bench` (pip install 'napari-synth[bench]')."


def has_bm3d() -> bool:
    """Return whether the package bm3d is installed."""
    return importlib.util.find_spec("bm3d") is not None
