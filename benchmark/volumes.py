"""Volumes with cubic voxels whose truth is known, and what a microscope with distant slices would have measured of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_synth import samples
from napari_synth.core.errors import InvalidImageError

Floats = npt.NDArray[np.float32]
Slices = Literal["thick", "thin"]

_PSF = 1.0
_GROUND = 100.0


@dataclass(frozen=True)
class Volume:
    """A volume with cubic voxels.

    Attributes
    ----------
    name : str
    truth : numpy.ndarray, (Z, Y, X), float32
    """

    name: str
    truth: Floats


@dataclass(frozen=True)
class Subsampling:
    """Every so many planes are kept of a volume.

    Attributes
    ----------
    factor : int
        Planes for each slice.
    slices : {"thick", "thin"}
        A slice is the mean of its planes, or the one at its middle (behind it, where there are two).
    """

    factor: int
    slices: Slices

    def measured(self, truth: Floats) -> Floats:
        """Return the slices of a volume."""
        if self.slices == "thick":
            return np.asarray(truth.reshape(-1, self.factor, *truth.shape[1:]).mean(1))
        return np.ascontiguousarray(truth[self.factor // 2 :: self.factor])

    def cut(self, truth: Floats) -> Floats:
        """Return the volume without the planes at its end that make no whole slice."""
        return truth[: len(truth) // self.factor * self.factor]

    def at_truth(self, result: npt.NDArray[Any]) -> npt.NDArray[np.floating]:
        """Return a result, whose edges are those of its slices, at the positions of the true planes.

        Of an even factor the middle of a thin slice is a plane of the truth, and lies between two of the result: that is moved by
        half a plane, with Fourier's shift, which smooths nothing and so favours nobody.
        """
        return moved(result, -0.5) if self.slices == "thin" and self.factor % 2 == 0 else result

    def unmeasured(self, planes: int) -> npt.NDArray[np.intp]:
        """Return the true planes that no slice is, without those before the first and behind the last slice."""
        inner = np.arange(self.factor, planes - self.factor)
        return inner if self.slices == "thick" else inner[inner % self.factor != self.factor // 2]


def moved(volume: npt.NDArray[Any], planes: float) -> Floats:
    """Return a volume sampled ``planes`` farther along its first axis, mirrored at its ends."""
    size = len(volume)
    spectrum = np.fft.rfft(np.concatenate([volume, volume[::-1]]), axis=0)
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(2 * size) * planes)
    return np.fft.irfft(spectrum * turn.reshape(-1, *(1,) * (volume.ndim - 1)), 2 * size, axis=0)[:size].astype(
        np.float32
    )


def volumes(edge: int, extra: Path | None = None) -> Iterator[Volume]:
    """Yield the drawn cells, the sample brain, and the user's own volume.

    Parameters
    ----------
    edge : int
        Of the drawn volume, in voxels.
    extra : Path, optional
        A file with a volume of cubic voxels.

    Raises
    ------
    InvalidImageError
        The file holds no volume.
    """
    yield Volume(f"drawn cells, {edge}³", drawn_cells(edge))
    brain = samples.load_truth("brain")
    if brain is not None:
        # Along Y it has most planes.
        yield Volume("brain MRI (sample), along Y", brain.read().astype(np.float32).transpose(1, 0, 2))
    if extra is not None:
        from napari_synth.files import read_image

        image = read_image(extra)
        if image.axes != "ZYX":
            raise InvalidImageError(
                f"The file {extra.name!r} has the axes {image.axes}: give a volume with the axes ZYX."
            )
        yield Volume(extra.stem, image.read().astype(np.float32))


def drawn_cells(edge: int, seed: int = 0) -> Floats:
    """Return nuclei with texture, filaments between them and small spots, blurred alike in all directions.

    Parameters
    ----------
    edge : int
        Size along each axis.
    seed : int

    Returns
    -------
    numpy.ndarray, (edge, edge, edge), float32
        In counts, from 100 to some thousands.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    volume = np.zeros((edge,) * 3, np.float32)
    texture = gaussian_filter(rng.standard_normal(volume.shape, np.float32), 1.5, mode="wrap")
    texture /= texture.std()
    for _ in range(max(4, edge**3 // 30_000)):
        _add_nucleus(volume, texture, rng)
    for _ in range(max(8, edge**3 // 15_000)):
        _add_filament(volume, rng)
    for _ in range(max(20, edge**3 // 4_000)):
        volume[tuple(rng.integers(0, edge, 3))] += rng.exponential(8_000.0)
    return np.asarray(_GROUND + gaussian_filter(volume, _PSF), np.float32)


def _add_nucleus(volume: Floats, texture: Floats, rng: np.random.Generator) -> None:
    """Add an ellipsoid in any direction, with soft chromatin."""
    edge = len(volume)
    centre, radii = rng.uniform(0, edge, 3), rng.uniform(5.0, 13.0, 3)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    start = np.maximum(centre - radii.max(), 0).astype(int)
    stop = np.minimum(centre + radii.max() + 1, edge).astype(int)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(start, stop, strict=True)), indexing="ij"), -1)
    inside = (((grid - centre) @ turn / radii) ** 2).sum(-1) < 1.0
    volume[box] += inside * (rng.uniform(300, 1500) * (1.0 + 0.25 * texture[box]))


def _add_filament(volume: Floats, rng: np.random.Generator) -> None:
    """Add a thread that bends at random."""
    edge, steps = len(volume), int(rng.integers(40, 160))
    bends = np.cumsum(rng.normal(0.0, 0.12, (steps, 3)), 0) + rng.standard_normal(3)
    path = rng.uniform(0, edge, 3) + np.cumsum(0.7 * bends / np.linalg.norm(bends, axis=1, keepdims=True), 0)
    voxels = np.round(path).astype(int)
    voxels = voxels[((voxels >= 0) & (voxels < edge)).all(1)]
    np.add.at(volume, tuple(voxels.T), np.float32(rng.uniform(1_000, 4_000)))
