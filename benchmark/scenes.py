"""The images that are measured on, clean and noisy, always the same ones; intensities are 0 to 255."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from benchmark.metrics import WHITE
from napari_synth.core.errors import ImageFileError

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

SIX = ("camera", "astronaut", "coins", "moon", "cell", "immunohistochemistry")
TEXTURES = ("chelsea", "immunohistochemistry", "page", "retina")
_QUICK_EDGE = 160
_TEXTURE_EDGE = 288


@dataclass(frozen=True)
class Scene:
    """One clean image.

    Attributes
    ----------
    name : str
    clean : numpy.ndarray, (Y, X), float64
        Intensities of 0 to 255.
    """

    name: str
    clean: Doubles

    def cropped(self, edge: int) -> Scene:
        """Return the middle of the image."""
        corner = [max(0, (size - edge) // 2) for size in self.clean.shape]
        return replace(self, clean=self.clean[corner[0] : corner[0] + edge, corner[1] : corner[1] + edge])


def six_images(*, quick: bool = False) -> list[Scene]:
    """Return scikit-image's six gray images; the middles of two of them where it has to be quick."""
    found = [_scene(name) for name in (("camera", "moon") if quick else SIX)]
    return [scene.cropped(_QUICK_EDGE) for scene in found] if quick else found


def textures() -> list[Scene]:
    """Return the middles of images that are textured all over, where texture is easily taken for noise; none was trained on."""
    return [_scene(name).cropped(_TEXTURE_EDGE) for name in TEXTURES]


def _scene(name: str) -> Scene:
    from skimage import data
    from skimage.color import rgb2gray
    from skimage.util import img_as_float

    pixels = getattr(data, name)()
    gray = rgb2gray(pixels) if pixels.ndim == 3 else img_as_float(pixels)
    return Scene(name, gray.astype(np.float64) * WHITE)


def folder_images(folder: Path, *, quick: bool = False) -> list[Scene]:
    """Return the gray PNG images of a folder, e.g. of Set12, by name.

    Raises
    ------
    ImageFileError
        There is none.
    """
    import imageio.v3 as imageio

    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise ImageFileError(
            f"There is no PNG image in {str(folder)!r}: give the folder that holds 01.png, 02.png and so on."
        )
    found = [Scene(path.stem, np.asarray(imageio.imread(path), dtype=np.float64)) for path in paths]
    for scene in found:
        if scene.clean.ndim != 2:
            raise ImageFileError(
                f"The image {scene.name!r} in {str(folder)!r} is not gray: give a folder of gray images."
            )
    return [scene.cropped(_QUICK_EDGE) for scene in found[:1]] if quick else found


@dataclass(frozen=True)
class Noise:
    """One kind of noise.

    Attributes
    ----------
    title : str
    sigma : float
        Standard deviation of the part that does not depend on the signal, of 255.
    photons : float
        Electrons at an intensity of 255; 0 for no photon noise.
    blur : float
        Standard deviation in pixels of the Gaussian that correlates the noise of neighbours; it keeps its strength.
    """

    title: str
    sigma: float
    photons: float = 0.0
    blur: float = 0.0

    def added(self, clean: Doubles, seed: int) -> Floats:
        """Return the noisy image; nothing is clipped or rounded."""
        rng = np.random.default_rng(seed)
        signal = clean
        if self.photons:
            signal = rng.poisson(clean / WHITE * self.photons) / self.photons * WHITE
        noise = rng.normal(0.0, 1.0, clean.shape)
        if self.blur:
            noise = gaussian_filter(noise, self.blur, mode="wrap")
            noise /= noise.std()
        return (signal + self.sigma * noise).astype(np.float32)


GAUSSIAN_25 = Noise("Gaussian, 25 of 255", 25.0)
PHOTONS_30 = Noise("30 photons at the peak, read noise of 1 electron", WHITE / 30.0, photons=30.0)
CORRELATED = Noise("Gaussian, 25 of 255, blurred by 1 pixel", 25.0, blur=1.0)


def gaussian(sigmas: tuple[float, ...]) -> Iterator[Noise]:
    """Return Gaussian noise of several strengths."""
    for sigma in sigmas:
        yield Noise(f"Gaussian, {sigma:g} of 255", sigma)
