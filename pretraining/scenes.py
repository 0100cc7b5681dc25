"""Generated training images: textured dead leaves and drawn microscopy, 256 x 256 in 0..1.

Dead leaves: Achddou, Gousseau and Ladjal, "Fully synthetic training for image restoration tasks", CVIU 2023.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from pretraining.crops import CROP, Plane
from pretraining.textures import Texture, power_law, random_texture

_FINE = 2 * CROP


def _shrunk(fine: NDArray[np.floating]) -> Plane:
    """Return the mean of every 2 x 2 pixels."""
    return np.asarray(fine.reshape(CROP, 2, CROP, 2).mean(axis=(1, 3)), np.float32)


def _stretched(image: NDArray[np.floating], rng: np.random.Generator) -> Plane:
    """Map an image to a random part of 0..1 so that bright, dark and pale images all occur."""
    low, high = np.percentile(image, (0.5, 99.5))
    bottom = rng.uniform(0.0, 0.25) * (rng.random() < 0.6)
    top = rng.uniform(0.55, 1.0)
    scaled = bottom + (top - bottom) * (image - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0.0, 1.0), np.float32)


def _leaf(radius: float, kind: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the mask of one shape that fits a circle of `radius`: disc, ellipse, rectangle, polygon or stroke."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if kind < 0.3:
        mask = u**2 + v**2 <= radius**2
    elif kind < 0.5:
        mask = u**2 + (v / rng.uniform(0.25, 0.9)) ** 2 <= radius**2
    elif kind < 0.7:
        mask = (np.abs(u) <= radius * 0.8) & (np.abs(v) <= radius * rng.uniform(0.15, 0.6))
    elif kind < 0.92:
        corners = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        mask = np.ones_like(u, bool)
        for a in corners:
            mask &= u * np.cos(a) + v * np.sin(a) <= radius * rng.uniform(0.4, 0.9)
        mask &= u**2 + v**2 <= radius**2
    else:
        mask = (np.abs(v + u**2 / (radius * rng.uniform(2, 6))) <= max(1.0, 0.06 * radius)) & (np.abs(u) <= radius)
    return np.asarray(mask, bool)


def _radii(count: int, smallest: float, largest: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return radii with a density falling as r^-3 between two bounds."""
    share = rng.random(count)
    return np.asarray((smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5)


def _paint_leaves(
    canvas: Texture, depth: Texture, radii: NDArray[np.float64], bank: list[Texture], rng: np.random.Generator
) -> None:
    palette = rng.random(int(rng.integers(3, 12)))
    rounded = rng.random() < 0.2
    for order, radius in enumerate(radii):
        mask = _leaf(radius, 0.0 if rounded else rng.random(), rng)
        side = mask.shape[0]
        top, left = (int(rng.integers(-side // 2, _FINE - side // 2)) for _ in range(2))
        rows = slice(max(top, 0), min(top + side, _FINE))
        columns = slice(max(left, 0), min(left + side, _FINE))
        inside = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        if inside.size == 0:
            continue
        texture = bank[int(rng.integers(len(bank)))]
        sy, sx = rng.integers(0, _FINE - np.array(inside.shape) + 1)
        patch = texture[sy : sy + inside.shape[0], sx : sx + inside.shape[1]]
        level = rng.choice(palette) + 0.06 * rng.standard_normal()
        strength = rng.exponential(0.07) if rng.random() < 0.8 else 0.0
        slope = rng.normal(0, 0.15) * np.linspace(-1, 1, inside.shape[1], dtype=np.float32)[None, :]
        np.copyto(canvas[rows, columns], level + strength * patch + slope, where=inside, casting="unsafe")
        np.copyto(depth[rows, columns], order / len(radii), where=inside, casting="unsafe")


def dead_leaves(rng: np.random.Generator) -> Plane:
    """Return leaves that hide each other, with textures, drawn at twice the size; at times what lies deep is blurred."""
    bank = [random_texture(_FINE, rng) for _ in range(6)]
    canvas = (0.5 + 0.15 * bank[0]).astype(np.float32)
    depth = np.zeros_like(canvas)
    smallest = rng.uniform(2.5, 10.0)
    radii = _radii(int(rng.integers(300, 2600)), smallest, 160.0, rng)
    large = rng.uniform(80, 260, int(rng.integers(0, 14)))
    everything = np.concatenate((large, radii))
    rng.shuffle(everything[len(large) // 2 :])
    _paint_leaves(canvas, depth, everything, bank, rng)
    if rng.random() < 0.25:
        blurred = ndimage.gaussian_filter(canvas, rng.uniform(1.0, 5.0))
        near = ndimage.gaussian_filter((depth > rng.uniform(0.2, 0.8)).astype(np.float32), 2.0)
        canvas = near * canvas + (1 - near) * blurred
    canvas = ndimage.gaussian_filter(canvas, rng.uniform(0.3, 1.2))
    return _stretched(_shrunk(canvas), rng)


def surface(rng: np.random.Generator) -> Plane:
    """Return one texture over the whole image, modulated by a coarser one and lit unevenly."""
    coarse = ndimage.gaussian_filter(power_law(_FINE, rng), 12.0)
    periodic = 0.75
    fine = random_texture(_FINE, rng, periodic_share=periodic)
    other = random_texture(_FINE, rng, periodic_share=periodic)
    parts = np.clip(coarse / coarse.std() * rng.uniform(1, 20) + rng.normal(), 0, 1)
    mixed = parts * fine + (1 - parts) * other * rng.uniform(0, 1)
    light = ndimage.gaussian_filter(power_law(_FINE, rng), 40.0)
    image = mixed * (1 + 0.3 * light / light.std()) + rng.uniform(0, 1) * light / light.std()
    return _stretched(_shrunk(ndimage.gaussian_filter(image, rng.uniform(0.4, 1.2))), rng)


def _exposed(signal: NDArray[np.floating], rng: np.random.Generator) -> Plane:
    """Turn a fluorescence signal into 0..1 on a dark, faintly uneven background."""
    haze = ndimage.gaussian_filter(power_law(CROP, rng), 25.0)
    background = rng.uniform(0.0, 0.12) * (1 + 0.3 * haze / max(float(haze.std()), 1e-6))
    out_of_focus = rng.uniform(0.0, 0.4) * ndimage.gaussian_filter(signal, rng.uniform(3, 10))
    image = signal + out_of_focus
    image = image / max(float(np.percentile(image, 99.9)), 1e-6)
    return np.asarray(np.clip(background + rng.uniform(0.5, 1.0) * image, 0, 1), np.float32)


def spots(rng: np.random.Generator) -> Plane:
    """Return point-like emitters and vesicles of different brightness, blurred as a microscope does."""
    canvas = np.zeros((CROP, CROP), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        layer = np.zeros_like(canvas)
        count = int(np.exp(rng.uniform(np.log(20), np.log(1200))))
        where = rng.integers(0, CROP, (2, count))
        np.add.at(layer, (where[0], where[1]), rng.gamma(1.5, 1.0, count).astype(np.float32))
        std = rng.uniform(0.7, 3.0)
        canvas += ndimage.gaussian_filter(layer, std) * std**2
    if rng.random() < 0.5:
        region = ndimage.gaussian_filter(power_law(CROP, rng), 8.0)
        canvas *= np.clip(region / region.std() + 0.5, 0.05, 1.5)
    return _exposed(canvas, rng)


def filaments(rng: np.random.Generator) -> Plane:
    """Return winding fibres, from a few thick ones to a dense mesh."""
    canvas = np.zeros((_FINE, _FINE), np.float32)
    stiffness = rng.uniform(0.01, 0.08)
    aligned = rng.random() < 0.4
    main = rng.uniform(0, 2 * np.pi)
    for _ in range(int(np.exp(rng.uniform(np.log(8), np.log(160))))):
        steps = int(rng.integers(100, 900))
        start = main + 0.3 * rng.standard_normal() if aligned else rng.uniform(0, 2 * np.pi)
        heading = start + np.cumsum(stiffness * rng.standard_normal(steps))
        y = rng.uniform(0, _FINE) + np.cumsum(np.sin(heading))
        x = rng.uniform(0, _FINE) + np.cumsum(np.cos(heading))
        iy, ix = np.rint(y).astype(int), np.rint(x).astype(int)
        inside = (iy >= 0) & (iy < _FINE) & (ix >= 0) & (ix < _FINE)
        canvas[iy[inside], ix[inside]] += rng.gamma(3.0, 0.3)
    fine = ndimage.gaussian_filter(canvas, rng.uniform(1.2, 4.0))
    return _exposed(_shrunk(fine), rng)


def _tessellation(count: int, rng: np.random.Generator) -> tuple[Texture, NDArray[np.int64]]:
    """Return, for warped Voronoi cells, the distance to the border and the index of the cell, on the fine grid."""
    y, x = np.mgrid[:_FINE, :_FINE].astype(np.float32)
    warp = [ndimage.gaussian_filter(power_law(_FINE, rng), 6.0) for _ in range(2)]
    bend = rng.uniform(0.0, 10.0)
    points = np.stack((y + bend * warp[0] / warp[0].std(), x + bend * warp[1] / warp[1].std()), -1)
    seeds = rng.uniform(-30, _FINE + 30, (count, 2))
    distance, index = cKDTree(seeds).query(points.reshape(-1, 2), k=2)
    border = (distance[:, 1] - distance[:, 0]).reshape(_FINE, _FINE)
    return np.asarray(border, np.float32), index[:, 0].reshape(_FINE, _FINE)


def membranes(rng: np.random.Generator) -> Plane:
    """Return a tissue of cells: bright borders, bodies of different brightness, at times with a texture."""
    border, index = _tessellation(int(np.exp(rng.uniform(np.log(20), np.log(500)))), rng)
    width = rng.uniform(1.5, 5.0)
    bodies = rng.gamma(2.0, 0.5, int(index.max()) + 1).astype(np.float32)[index] * rng.uniform(0, 0.6)
    texture = 1 + rng.uniform(0, 0.4) * random_texture(_FINE, rng, periodic_share=0.1)
    patchy = np.clip(1 + rng.uniform(0, 0.6) * power_law(_FINE, rng), 0.1, None)
    signal = np.exp(-border / width) * patchy + bodies * np.clip(texture, 0, None)
    fine = ndimage.gaussian_filter(signal, rng.uniform(0.8, 3.0))
    return _exposed(_shrunk(fine), rng)


def nuclei(rng: np.random.Generator) -> Plane:
    """Return blobs with chromatin-like texture, touching or apart, from large nuclei to bacteria."""
    canvas = np.zeros((_FINE, _FINE), np.float32)
    radius = np.exp(rng.uniform(np.log(8), np.log(70)))
    flat = rng.uniform(0.3, 1.0)
    texture = np.clip(1 + rng.uniform(0.1, 0.5) * power_law(_FINE, rng), 0.1, None)
    for _ in range(int(np.clip(_FINE**2 * rng.uniform(0.1, 0.7) / (np.pi * radius**2 * flat), 2, 400))):
        r = radius * rng.uniform(0.7, 1.3)
        reach = int(r) + 1
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        a, ripple, phase = rng.uniform(0, np.pi), rng.uniform(0, 0.12), rng.uniform(0, 6)
        u, v = x * np.cos(a) + y * np.sin(a), (y * np.cos(a) - x * np.sin(a)) / flat
        edge = np.hypot(u, v) - r * (0.88 + ripple * np.cos(3 * np.arctan2(v, u) + phase))
        body = np.clip(0.5 - edge / rng.uniform(2, 6), 0, 1) * rng.uniform(0.3, 1.0)
        top, left = rng.integers(-reach, _FINE - reach, 2)
        rows, columns = (slice(max(o, 0), min(o + 2 * reach + 1, _FINE)) for o in (top, left))
        part = body[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        canvas[rows, columns] = np.maximum(canvas[rows, columns], part)
    fine = ndimage.gaussian_filter(canvas * texture, rng.uniform(0.8, 3.0))
    image = _exposed(_shrunk(fine), rng)
    return np.asarray(1.0 - 0.8 * image, np.float32) if rng.random() < 0.15 else image


SCENES: tuple[tuple[Callable[[np.random.Generator], Plane], float], ...] = (
    (dead_leaves, 0.5),
    (surface, 0.16),
    (spots, 0.07),
    (filaments, 0.09),
    (membranes, 0.08),
    (nuclei, 0.1),
)
"""What is drawn, and how often."""


def scene(seed: int) -> Plane:
    """Return the generated image of this seed: shape (256, 256), 0..1; the same seed gives the same image."""
    rng = np.random.default_rng(seed)
    makers = [maker for maker, _ in SCENES]
    shares = np.array([share for _, share in SCENES])
    return makers[int(rng.choice(len(makers), p=shares / shares.sum()))](rng)
