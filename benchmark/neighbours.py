"""``bench neighbours``: movies that drift and volumes, restored plane by plane and with what else shows the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.report import Report, Table
from benchmark.scenes import six_images
from napari_synth import samples
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

Doubles = npt.NDArray[np.float64]

MOVIES = ("camera", "astronaut", "cell")
SPEEDS = (0.0, 1.0, 2.0, 3.0)
_FRAMES, _EDGE, _QUICK_EDGE = 9, 256, 96
_MOVIE_PHOTONS = 10.0
_VOLUME_PHOTONS = (30.0, 8.0)
_LEAST_DB = -0.05


@dataclass(frozen=True)
class Outcome:
    """What came of one movie or volume.

    Attributes
    ----------
    name : str
    off, auto : float
        PSNR in dB, of the range of the truth, plane by plane and as the default does it.
    slower : float
        Times as long as plane by plane, preparing included.
    taken : str
        What was taken for evidence.
    """

    name: str
    off: float
    auto: float
    slower: float
    taken: str


def bench_neighbours(*, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> Report:
    """Compare the default of the blind network on movies and volumes with the same network plane by plane.

    Parameters
    ----------
    quick : bool
        Two small movies and one small volume: whether it works, not how well.
    say : callable
        Told of every result.
    """
    outcomes = []
    for name, truth, axes, photons in [*movies(quick=quick), *volumes(quick=quick)]:
        outcome = _measured(name, truth, axes, photons)
        say(f"{name}: plane by plane {outcome.off:.2f} dB, auto {outcome.auto:.2f} dB ({outcome.taken})")
        outcomes.append(outcome)
    worst = min(one.auto - one.off for one in outcomes)
    rows = tuple((one.name, one.off, one.auto, one.auto - one.off, one.slower, one.taken) for one in outcomes)
    columns = ("scene", "plane by plane", "auto", "gain", "times as long", "evidence")
    reached = "was never" if worst >= _LEAST_DB else "was once"
    return Report(
        "Movies and volumes",
        tables=[Table("PSNR in dB; Poisson noise, and read noise of 1 electron", columns, rows)],
        remarks=[f"The default {reached} worse than plane by plane by more than {-_LEAST_DB} dB."],
    )


def movies(*, quick: bool = False) -> Iterator[tuple[str, Doubles, str, float]]:
    """Yield scenes that move by a constant number of pixels a frame along X, with their axes and photons at the peak.

    Parameters
    ----------
    quick : bool
        Small, and only two of them.
    """
    from scipy.ndimage import shift

    scenes = {scene.name: scene.clean / 255.0 for scene in six_images()}
    edge = _QUICK_EDGE if quick else _EDGE
    for name in MOVIES[:1] if quick else MOVIES:
        clean = scenes[name]
        corner = [(size - edge) // 2 for size in clean.shape]
        part = np.s_[corner[0] : corner[0] + edge, corner[1] : corner[1] + edge]
        for speed in SPEEDS[:2] if quick else SPEEDS:
            steps = speed * (np.arange(_FRAMES) - _FRAMES // 2)
            frames = [shift(clean, (0.0, step), order=3, mode="reflect")[part] for step in steps]
            yield f"{name}, {speed:g} pixels a frame", np.stack(frames).clip(0.0), "TYX", _MOVIE_PHOTONS


def volumes(*, quick: bool = False) -> Iterator[tuple[str, Doubles, str, float]]:
    """Yield the sample brain and a phantom of spheres, shells and filaments, with their axes and photons at the peak.

    Parameters
    ----------
    quick : bool
        A small phantom alone.
    """
    if quick:
        yield "phantom", phantom((16, 48, 48)), "ZYX", _VOLUME_PHOTONS[0]
        return
    brain = samples.load_truth("brain")
    found = {"phantom": phantom()}
    if brain is not None:
        pixels = brain.read().astype(np.float64)
        found["brain"] = pixels / pixels.max()
    for name, truth in found.items():
        for photons in _VOLUME_PHOTONS:
            yield f"{name}, {photons:g} photons", truth, "ZYX", photons


def phantom(shape: tuple[int, int, int] = (32, 96, 96), seed: int = 1) -> Doubles:
    """Return a volume of spheres, shells and filaments, 0 to 1.

    Parameters
    ----------
    shape : (int, int, int)
    seed : int
    """
    rng = np.random.default_rng(seed)
    places = np.indices(shape).astype(np.float64)
    volume = np.full(shape, 0.05)
    for number in range(14):
        centre = rng.uniform(0, shape)
        far = np.sqrt(((places - centre[:, None, None, None]) ** 2).sum(0))
        radius, height = rng.uniform(4, 12), rng.uniform(0.3, 0.9)
        inside = np.clip(radius - far + 0.5, 0, 1)
        volume += height * (inside if number % 2 else np.exp(-((far - radius) ** 2) / 2))
    for _ in range(12):
        offset = places - rng.uniform(0, shape)[:, None, None, None]
        direction = rng.normal(0, 1, 3)
        direction /= np.linalg.norm(direction)
        along = np.tensordot(direction, offset, 1)
        volume += 0.5 * np.exp(-((offset**2).sum(0) - along**2) / 2 / 1.2**2)
    return np.asarray(volume / volume.max())


def _measured(name: str, truth: Doubles, axes: str, photons: float) -> Outcome:
    rng = np.random.default_rng(0)
    noisy = (rng.poisson(truth * photons) + rng.normal(0, 1, truth.shape)).astype(np.float32)
    results, seconds, said = {}, {}, ""
    for setting in ("off", "auto"):
        start = time.process_time()
        run = prepare("denoise/blind", Image(noisy, axes), {"neighbours": setting})
        results[setting] = run.compute() / photons
        seconds[setting] = time.process_time() - start
        said = next((note for note in run.notes if "held-out photons" in note), "")
    psnr = {key: float(-10 * np.log10(((value - truth) ** 2).mean())) for key, value in results.items()}
    taken = next(
        (
            words
            for key, words in (
                ("three orientations", "three orientations"),
                ("after registration", "frames in register"),
                ("neighbouring", "neighbouring planes"),
            )
            if key in said and "restored alone" not in said
        ),
        "none",
    )
    return Outcome(name, psnr["off"], psnr["auto"], seconds["auto"] / max(seconds["off"], 1e-9), taken)
