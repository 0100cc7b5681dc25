"""``bench inpaint``: what is filled in beside the truth, and beside scikit-image and OpenCV."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

import napari_synth
from benchmark.metrics import WHITE
from benchmark.report import Report, Table, load, mean
from napari_synth.core.errors import ImageFileError

Pixels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Fill = Callable[[Pixels, Bools], npt.NDArray[Any]]
Say = Callable[[str], None]

EDGE = 192
CORNERS = {
    "camera": (150, 150),
    "astronaut": (20, 150),
    "coins": (60, 90),
    "moon": (100, 220),
    "cell": (200, 180),
    "immunohistochemistry": (150, 150),
    "chelsea": (50, 100),
    "coffee": (150, 150),
    "brick": (100, 100),
    "grass": (100, 100),
    "gravel": (100, 100),
    "retina": (500, 500),
}
"""Where a crop of each of scikit-image's images begins."""
KINDS = ("scratches", "discs", "box")
OWN = ("auto", "biharmonic", "patches", "network")
_FINE = 1.5
_TITLES = {
    "scratches": "Scratches of 3 pixels",
    "discs": "Discs of radius 8 to 16",
    "box": "A box of 56 x 56",
}
_NO_OPENCV = "OpenCV is left out: it comes with the extra `bench` (pip install 'napari-synth[bench]')."


def bench_inpaint(
    *, quick: bool = False, device: str = "auto", mosaic: Path | None = None, say: Say = lambda _: None
) -> Report:
    """Measure what is filled in, inside the holes of 12 crops.

    Parameters
    ----------
    quick : bool
        Two crops.
    device : str
    mosaic : pathlib.Path, optional
        A PNG of the crops, their holes and what every method makes of them; one file a kind of hole, named ``STEM-KIND.png``.
    say : callable
        Told of every crop.

    Raises
    ------
    ImageFileError
        A mosaic cannot be written.
    """
    report = Report("Inpainting")
    methods = _methods(device)
    if len(methods) == len(OWN) + 1:
        report.remarks.append(_NO_OPENCV)
    for kind in KINDS:
        scores: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in methods}
        rows: list[tuple[str | float | None, ...]] = []
        tiles = []
        for seed, (name, truth) in enumerate(crops(2 if quick else None)):
            holes = draw_holes(kind, seed)
            damaged = np.where(holes[..., None], 0, truth).astype(np.uint8)
            row = [truth, damaged]
            for method, fill in methods.items():
                start = time.perf_counter()
                found = np.where(holes[..., None], np.rint(np.clip(fill(damaged, holes), 0, WHITE)), truth)
                seconds = time.perf_counter() - start
                scores[method].append((*judged(truth, found, holes), seconds))
                row.append(found.astype(np.uint8))
            rows.append((name, *(scores[method][-1][0] for method in methods)))
            say(f"{kind}, {name}: " + ", ".join(f"{method} {scores[method][-1][0]:.2f}" for method in methods))
            tiles.append(np.hstack([np.broadcast_to(tile, (*tile.shape[:2], 3)) for tile in row]))
        rows.append(("mean", *_means(scores, 0)))
        title = f"{_TITLES[kind]}: PSNR in the holes in dB"
        report.tables.append(Table(title, ("crop", *methods), tuple(rows)))
        summary: tuple[tuple[str | float | None, ...], ...] = tuple(
            (what, *_means(scores, index))
            for index, what in enumerate(("PSNR, dB", "SSIM", "high-frequency energy over the truth's", "seconds"))
        )
        report.tables.append(Table(f"{_TITLES[kind]}: means", ("", *methods), summary, digits=3))
        if mosaic is not None:
            _write(mosaic.with_name(f"{mosaic.stem}-{kind}.png"), np.vstack(tiles))
    report.machine["load at the end"] = load()
    return report


def crops(count: int | None = None) -> list[tuple[str, Pixels]]:
    """Return the names and pixels (Y, X, S) of the crops, gray ones with one sample."""
    from skimage import data

    found = []
    for name, (y, x) in list(CORNERS.items())[:count]:
        pixels = getattr(data, name)()[y : y + EDGE, x : x + EDGE]
        found.append((name, pixels.reshape(EDGE, EDGE, -1)))
    return found


def draw_holes(kind: str, seed: int, edge: int = EDGE) -> Bools:
    """Return the holes (Y, X) of one kind: five scratches or discs at random, or a box in the middle."""
    random = np.random.default_rng(seed)
    holes = np.zeros((edge, edge), bool)
    y, x = np.ogrid[:edge, :edge]
    if kind == "box":
        half = slice(edge // 2 - 28, edge // 2 + 28)
        holes[half, half] = True
    for _ in range(5 if kind == "scratches" else 0):
        (left, top), angle, length = random.uniform(0, edge, 2), random.uniform(0, np.pi), random.uniform(60, 180)
        along = (x - left) * np.cos(angle) + (y - top) * np.sin(angle)
        across = (x - left) * np.sin(angle) - (y - top) * np.cos(angle)
        holes |= (abs(across) < 1.5) & (abs(along) < length / 2)
    for _ in range(5 if kind == "discs" else 0):
        (top, left), radius = random.uniform(20, edge - 20, 2), random.uniform(8, 16)
        holes |= (y - top) ** 2 + (x - left) ** 2 < radius**2
    return holes


def judged(truth: npt.NDArray[Any], found: npt.NDArray[Any], holes: Bools) -> tuple[float, float, float]:
    """Return PSNR in dB, SSIM, and the energy of high frequencies over that of the truth, all inside the holes.

    High frequencies are what a Gaussian of 1.5 pixels takes away.

    Parameters
    ----------
    truth, found : numpy.ndarray, (Y, X, S)
        Intensities of 0 to 255.
    holes : numpy.ndarray of bool, (Y, X)
    """
    clean, filled = truth.astype(np.float64), found.astype(np.float64)
    error = float(((clean - filled)[holes] ** 2).mean())
    similar = [
        structural_similarity(
            clean[..., sample],
            filled[..., sample],
            data_range=WHITE,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )[1][holes].mean()
        for sample in range(clean.shape[2])
    ]
    energy, wanted = (float((_fine(image)[holes] ** 2).sum()) for image in (filled, clean))
    psnr = 10.0 * np.log10(WHITE**2 / error) if error else np.inf
    return float(psnr), float(np.mean(similar)), energy / wanted if wanted else 1.0


def _fine(image: Doubles) -> Doubles:
    return np.asarray(image - gaussian_filter(image, (_FINE, _FINE, 0.0)))


def _methods(device: str) -> dict[str, Fill]:
    """Return what is compared: scikit-image, OpenCV where it is installed, and ours."""
    methods: dict[str, Fill] = {"biharmonic (scikit-image)": _scikit_image}
    if importlib.util.find_spec("cv2") is not None:
        methods |= {"Telea (OpenCV)": _telea, "Navier-Stokes (OpenCV)": _navier_stokes}

    def own(generator: str) -> Fill:
        return lambda image, holes: np.asarray(napari_synth.inpaint(image, holes, generator, axes="YXS", device=device))

    return methods | {name: own(name) for name in OWN}


def _scikit_image(image: Pixels, holes: Bools) -> npt.NDArray[Any]:
    from skimage.restoration import inpaint_biharmonic

    return np.asarray(inpaint_biharmonic(image / WHITE, holes, channel_axis=2) * WHITE)


def _telea(image: Pixels, holes: Bools) -> npt.NDArray[Any]:
    import cv2

    return _opencv(image, holes, cv2.INPAINT_TELEA)


def _navier_stokes(image: Pixels, holes: Bools) -> npt.NDArray[Any]:
    import cv2

    return _opencv(image, holes, cv2.INPAINT_NS)


def _opencv(image: Pixels, holes: Bools, method: int) -> npt.NDArray[Any]:
    import cv2

    planes = image if image.shape[2] == 3 else np.ascontiguousarray(image[..., 0])
    return np.asarray(cv2.inpaint(planes, holes.astype(np.uint8), 3, method)).reshape(image.shape)


def _means(scores: dict[str, list[tuple[float, float, float, float]]], index: int) -> list[float]:
    return [mean([score[index] for score in found]) for found in scores.values()]


def _write(path: Path, picture: Pixels) -> None:
    try:
        iio.imwrite(path, picture)
    except OSError as error:
        raise ImageFileError(f"The mosaic {str(path)!r} cannot be written: {error.strerror}.") from error
