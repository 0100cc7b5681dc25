"""Time-lapses that are drawn, so that every frame is known: blobs that drift, digits that bounce."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# A digit as a display of seven bars shows it: ends of the bars in a box of 1 x 2, and which ones are lit.
_BARS = (
    ((0.0, 0.0), (0.0, 1.0)),
    ((0.0, 1.0), (1.0, 1.0)),
    ((1.0, 1.0), (2.0, 1.0)),
    ((2.0, 0.0), (2.0, 1.0)),
    ((1.0, 0.0), (2.0, 0.0)),
    ((0.0, 0.0), (1.0, 0.0)),
    ((1.0, 0.0), (1.0, 1.0)),
)
_LIT = ("012345", "12", "01346", "01236", "1256", "02356", "023456", "012", "0123456", "012356")


def moving_blobs(
    frames: int, edge: int, *, blobs: int = 6, noise: float = 0.0, seed: int = 0
) -> npt.NDArray[np.uint16]:
    """Draw round spots of several sizes, each with a speed of its own and a brightness that swings, reflected at the border.

    Parameters
    ----------
    frames, edge : int
        Size of the movie.
    blobs : int
    noise : float
        Standard deviation in counts; the brightest spots have about 3000 above 200.
    seed : int

    Returns
    -------
    numpy.ndarray, (frames, edge, edge), uint16
    """
    random = np.random.default_rng(seed)
    radius = random.uniform(2.0, 5.0, blobs)
    bright = random.uniform(1000, 3000, blobs)
    swing, period, phase = (
        random.uniform(0, 0.3, blobs),
        random.uniform(8, 20, blobs),
        random.uniform(0, 2 * np.pi, blobs),
    )
    places = _bouncing(random, blobs, frames, edge, radius[:, None])
    rows, columns = np.mgrid[:edge, :edge]
    movie = np.full((frames, edge, edge), 200.0)
    for number in range(blobs):
        angle = np.arange(frames) * 2 * np.pi / period[number] + phase[number]
        level = bright[number] * (1 + swing[number] * np.sin(angle))
        y, x = places[number][:, :, None, None].swapaxes(0, 1)
        movie += level[:, None, None] * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * radius[number] ** 2))
    movie += random.normal(0, noise, movie.shape) if noise else 0
    return np.asarray(np.clip(movie.round(), 0, 65535), np.uint16)


def bouncing_digits(frames: int, edge: int, *, digits: int = 2, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Draw digits that move in straight lines, pass through each other and are reflected at the border.

    Returns
    -------
    numpy.ndarray, (frames, edge, edge), uint8
    """
    random = np.random.default_rng(seed)
    size = edge / 7
    half = np.array([[1.2 * size, 0.8 * size]] * digits)
    places = _bouncing(random, digits, frames, edge, half)
    rows, columns = np.mgrid[:edge, :edge].astype(np.float64)
    movie = np.zeros((frames, edge, edge))
    for number in range(digits):
        lit = _LIT[random.integers(10)]
        for frame in range(frames):
            near = np.full((edge, edge), np.inf)
            for bar in lit:
                ends = (np.array(_BARS[int(bar)]) - (1.0, 0.5)) * size + places[number][frame]
                near = np.minimum(near, _distance(rows, columns, ends))
            movie[frame] = np.maximum(movie[frame], np.clip(size / 5 + 0.5 - near, 0, 1))
    return np.asarray((movie * 255).round(), np.uint8)


def _bouncing(
    random: np.random.Generator, count: int, frames: int, edge: int, margin: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return places (count, frames, 2) of points that move straight and are reflected ``margin`` from the border."""
    margin = np.broadcast_to(margin, (count, 2))[:, None]
    room = edge - 1 - 2 * margin
    angle, speed = random.uniform(0, 2 * np.pi, (count, 1)), random.uniform(0.015, 0.045, (count, 1)) * edge
    velocity = np.concatenate((np.sin(angle) * speed, np.cos(angle) * speed), axis=1)[:, None]
    straight = random.uniform(0, 1, (count, 1, 2)) * room + velocity * np.arange(frames)[None, :, None]
    folded = straight % (2 * room)
    return margin + np.where(folded > room, 2 * room - folded, folded)


def _distance(
    rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return how far each pixel is from the line between two points."""
    (y, x), (dy, dx) = ends[0], ends[1] - ends[0]
    along = np.clip(((rows - y) * dy + (columns - x) * dx) / (dy * dy + dx * dx), 0, 1)
    return np.asarray(np.hypot(rows - y - along * dy, columns - x - along * dx))
