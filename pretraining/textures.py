"""Textures for generated images: power-law noise, gratings, weaves, bricks; zero mean, unit standard deviation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Texture = NDArray[np.float32]


def _normalised(field: NDArray[np.floating]) -> Texture:
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def power_law(size: int, rng: np.random.Generator) -> Texture:
    """Return noise whose amplitude falls as frequency^-k, k of 0.6 to 2, at times stretched along one direction."""
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None, :]
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 1.6)) if rng.random() < 0.4 else 1.0
    u = (fx * np.cos(angle) + fy * np.sin(angle)) * stretch
    v = -fx * np.sin(angle) + fy * np.cos(angle)
    amplitude = (np.hypot(u, v) + 1.0 / size) ** -rng.uniform(0.6, 2.0)
    amplitude[0, 0] = 0.0
    spectrum = amplitude * np.fft.rfft2(rng.standard_normal((size, size)))
    return _normalised(np.fft.irfft2(spectrum, s=(size, size)))


def _coordinates(size: int, rng: np.random.Generator) -> tuple[Texture, Texture]:
    """Return rotated, gently warped coordinates."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if rng.random() < 0.6:
        bend = rng.uniform(1.0, 12.0)
        coarse = rng.standard_normal((2, 6, 6)).astype(np.float32)
        zoomed = [ndimage.zoom(plane, size / 6, order=3)[:size, :size] for plane in coarse]
        u, v = u + bend * zoomed[0], v + bend * zoomed[1]
    return u, v


def grating(size: int, rng: np.random.Generator) -> Texture:
    """Return stripes of 5 to 40 pixels, from sinusoidal to nearly square."""
    u, _ = _coordinates(size, rng)
    wave = np.sin(2 * np.pi * u / np.exp(rng.uniform(np.log(5), np.log(40))))
    return _normalised(np.tanh(wave * rng.uniform(0.3, 5.0)))


def weave(size: int, rng: np.random.Generator) -> Texture:
    """Return threads over and under each other, as in a cloth."""
    u, v = _coordinates(size, rng)
    period = np.exp(rng.uniform(np.log(6), np.log(24)))
    across = u / period * (1 if rng.random() < 0.5 else rng.uniform(0.6, 1.6))
    down = v / period
    over = (np.floor(across) + np.floor(down) * int(rng.integers(1, 3))) % 2 < 1
    thread = np.where(over, np.abs(np.sin(np.pi * down)), np.abs(np.sin(np.pi * across)))
    return _normalised(thread + rng.uniform(0, 0.4) * over + rng.uniform(0, 0.15) * power_law(size, rng))


def bricks(size: int, rng: np.random.Generator) -> Texture:
    """Return rows of bricks or tiles of different gray with joints between them."""
    u, v = _coordinates(size, rng)
    height = np.exp(rng.uniform(np.log(10), np.log(48)))
    width = height * rng.uniform(1.0, 3.0)
    row = np.floor(v / height)
    across = u / width + 0.5 * (row % 2)
    column = np.floor(across)
    shade = (np.sin(row * 127.1 + column * 311.7) * 43758.5453) % 1.0
    joint = np.minimum((v / height) % 1.0 * height, across % 1.0 * width) < rng.uniform(1.5, 4.0)
    surface = rng.uniform(0.0, 0.2) * power_law(size, rng)
    return _normalised(np.where(joint, rng.uniform(-1.0, 1.5), rng.uniform(0.1, 0.8) * shade + surface))


def lattice(size: int, rng: np.random.Generator) -> Texture:
    """Return a sum of two or three waves in different directions: dots, hexagons, moire."""
    total = np.zeros((size, size), np.float32)
    period = np.exp(rng.uniform(np.log(5), np.log(30)))
    for _ in range(int(rng.integers(2, 4))):
        u, _ = _coordinates(size, rng)
        total += np.cos(2 * np.pi * u / (period * rng.uniform(0.8, 1.25)))
    return _normalised(np.tanh(rng.uniform(0.3, 2.0) * total))


def random_texture(size: int, rng: np.random.Generator, *, periodic_share: float = 0.45) -> Texture:
    """Return one texture of shape (size, size): power-law noise, or a periodic one in `periodic_share` of the cases."""
    periodic: tuple[Callable[[int, np.random.Generator], Texture], ...] = (grating, weave, bricks, lattice)
    if rng.random() < periodic_share:
        return periodic[int(rng.integers(len(periodic)))](size, rng)
    return power_law(size, rng)
