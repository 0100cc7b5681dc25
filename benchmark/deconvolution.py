"""``bench deconvolve``: what is sharpened beside the truth, and beside scikit-image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import napari_synth
from benchmark.report import Report, Table, load, mean

Doubles = npt.NDArray[np.float64]
Say = Callable[[str], None]
Restore = Callable[["Blurred"], Doubles]

OWN = ("network", "richardson-lucy", "gradient-consensus", "total-variation", "wiener")
ROWS = ((1.5, 100), (1.5, 1000), (2.5, 100), (2.5, 30))
"""Standard deviation of the blur in pixels, and photons where a scene is brightest."""
VOLUME_PHOTONS = (200, 50)
_CORNERS = {"camera": (280, 160), "cell": (280, 280), "immunohistochemistry": (40, 100), "filaments": (150, 150)}
_EDGE, _MARGIN, _STRIP = 192, 40, 12
_READ_NOISE = 1.0
_MOST = 60


@dataclass(frozen=True)
class Blurred:
    """A scene, and what a camera counted of it.

    Attributes
    ----------
    name : str
    truth, counts : numpy.ndarray
        In photons.
    psf : numpy.ndarray
    photons : float
        Where the scene is brightest.
    """

    name: str
    truth: Doubles
    counts: Doubles
    psf: Doubles
    photons: float

    def psnr(self, found: Doubles, part: tuple[slice, ...] | None = None) -> float:
        """Return the peak signal-to-noise ratio of a result in dB."""
        error = (found - self.truth)[part or ...]
        return float(10.0 * np.log10(self.photons**2 / np.mean(error**2)))


def bench_deconvolve(
    *, quick: bool = False, volumes: bool = True, device: str = "auto", say: Say = lambda _: None
) -> Report:
    """Measure deconvolution on four planes, and on a volume, with nothing told but the point spread function.

    Parameters
    ----------
    quick : bool
        One plane of each row, and no volume.
    volumes : bool
    device : str
    say : callable
        Told of every image.
    """
    report = Report("Deconvolution")
    own = {name: _own(name, device) for name in OWN}
    peers = {"the denoiser alone": _denoised(device), "RL, 10 iterations (scikit-image)": _richardson_lucy(10)}
    peers |= {"RL, 30 iterations (scikit-image)": _richardson_lucy(30), "unsupervised Wiener (scikit-image)": _wiener}
    methods: dict[str, Restore] = {"blurred": lambda one: one.counts, **peers, "RL at its best stop": _best, **own}
    rows: list[tuple[str | float | None, ...]] = []
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    strips: dict[str, list[float]] = {name: [] for name in OWN}
    for sigma, photons in ROWS:
        found: dict[str, list[float]] = {name: [] for name in methods}
        for one in planes(sigma, photons, count=1 if quick else None):
            for name, restore in methods.items():
                start = time.perf_counter()
                result = restore(one)
                seconds[name].append(time.perf_counter() - start)
                found[name].append(one.psnr(result))
                if name in strips:
                    strips[name].append(_lost_at_the_border(one, result))
            say(f"{one.name}, {sigma:g} px, {photons} photons: network {found['network'][-1]:.2f} dB")
        rows.append((f"{sigma:g} px, {photons} photons", *(mean(values) for values in found.values())))
    report.tables.append(Table("Planes: PSNR in dB, mean of four scenes", ("blur and light", *methods), tuple(rows)))
    unit = mean(seconds["RL, 30 iterations (scikit-image)"])
    times = tuple((name, mean(values) / unit) for name, values in seconds.items())
    report.tables.append(Table("Time over that of 30 iterations of scikit-image's", ("method", "ratio"), times))
    if volumes and not quick:
        report.tables.append(_volumes(device, own, say))
    worst = max(strips["network"])
    report.remarks.append(
        f"A strip of {_STRIP} pixels at the border is at most {worst:.2f} dB worse than the rest (network)."
    )
    report.machine["load at the end"] = load()
    return report


def _volumes(device: str, own: dict[str, Restore], say: Say) -> Table:
    chosen = {name: own[name] for name in ("network", "richardson-lucy")}
    methods: dict[str, Restore] = {
        "blurred": lambda one: one.counts,
        "RL, 30 iterations (scikit-image)": _richardson_lucy(30),
        "RL at its best stop": _best,
        **chosen,
    }
    rows: list[tuple[str | float | None, ...]] = []
    for photons in VOLUME_PHOTONS:
        one = volume(photons)
        values = [one.psnr(restore(one)) for restore in methods.values()]
        say(
            f"volume, {photons} photons: "
            + ", ".join(f"{name} {v:.2f}" for name, v in zip(methods, values, strict=True))
        )
        rows.append((f"{photons} photons", *values))
    return Table("A volume behind a wide-field microscope: PSNR in dB", ("light", *methods), tuple(rows))


def planes(sigma: float, photons: float, count: int | None = None) -> Iterator[Blurred]:
    """Yield fields cut from larger scenes, so that light comes in over their borders.

    Parameters
    ----------
    sigma : float
        Of the Gaussian blur, in pixels.
    photons : float
        Where a scene is brightest.
    count : int, optional
        How many; all four where it is left out.
    """
    reach = int(np.ceil(4 * sigma))
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    psf = np.outer(line, line) / line.sum() ** 2
    for seed, (name, (y, x)) in enumerate(list(_CORNERS.items())[:count]):
        wide = _scene(name)[y - _MARGIN : y + _EDGE + _MARGIN, x - _MARGIN : x + _EDGE + _MARGIN] * photons
        middle = (slice(_MARGIN, -_MARGIN),) * 2
        yield _counted(name, wide[middle], gaussian_filter(wide, sigma)[middle], psf, photons, seed)


def volume(photons: float) -> Blurred:
    """Return a phantom of spheres, shells and filaments, 32 by 96 by 96 and dark outside, behind a wide-field microscope.

    The pixels are 0.1 µm and the planes 0.2 µm apart; NA 1.3, 520 nm, oil.
    """
    from napari_synth.methods.deconvolve.psf import Microscope

    scene = _phantom() * photons
    wide = Microscope(1.3, 1.515, 0.52, (0.2, 0.1, 0.1)).wide_field(32).astype(np.float64)
    part = tuple(slice(size // 2 - 15, size // 2 + 16) for size in wide.shape)
    psf = wide[part] / wide[part].sum()
    return _counted("phantom", scene, fftconvolve(scene, psf, mode="same"), psf, photons, 5)


def _phantom() -> Doubles:
    """Return overlapping spheres and shells of different brightness, and filaments between them, at most 1."""
    random, shape = np.random.default_rng(0), (32, 96, 96)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    scene, lines = np.zeros(shape), np.zeros(shape)
    for kind in ("sphere",) * 23 + ("shell",) * 12:
        at, radius = random.uniform((0, 0, 0), shape), random.uniform(4.0, 10.0)
        distance = np.sqrt((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2)
        inside = np.clip(radius - distance + 0.5, 0.0, 1.0)
        if kind == "shell":
            inside = np.clip(1.5 - abs(distance - radius), 0.0, 1.0)
        scene = np.maximum(scene, inside * random.uniform(0.3, 1.0))
    for _ in range(12):
        place, heading = random.uniform((0, 0, 0), shape), random.normal(size=3) * (0.6, 1.0, 1.0)
        for _ in range(150):
            heading = heading + random.normal(0.0, 0.08, 3) * (0.6, 1.0, 1.0)
            heading /= np.linalg.norm(heading)
            place = place + 0.7 * heading
            pixel = tuple(int(p) for p in place)
            if all(0 <= p < size for p, size in zip(pixel, shape, strict=True)):
                lines[pixel] = 1.0
    lines = gaussian_filter(lines, 0.9)
    lines /= np.quantile(lines[lines > 0.2 * lines.max()], 0.9)
    scene = np.maximum(gaussian_filter(scene, 0.5), 0.9 * np.clip(lines, 0.0, 1.0))
    return np.asarray(scene / scene.max())


def _counted(name: str, truth: Doubles, blurred: Doubles, psf: Doubles, photons: float, seed: int) -> Blurred:
    random = np.random.default_rng(seed)
    counts = random.poisson(np.clip(blurred, 0.0, None)) + random.normal(0.0, _READ_NOISE, blurred.shape)
    return Blurred(name, truth, counts, psf, photons)


def _scene(name: str) -> Doubles:
    from skimage import data
    from skimage.color import rgb2gray

    if name == "filaments":
        return _filaments()
    image = np.asarray(getattr(data, name)(), np.float64)
    image = rgb2gray(image / 255.0) if image.ndim == 3 else image / 255.0
    return np.asarray(image)


def _filaments() -> Doubles:
    random, scene = np.random.default_rng(3), np.zeros((512, 512))
    for _ in range(60):
        place, angle = random.uniform(0, 512, 2), random.uniform(0, 2 * np.pi)
        for _ in range(500):
            angle += random.normal(0, 0.06)
            place = place + np.asarray((np.sin(angle), np.cos(angle)))
            if not (0 <= place[0] < 512 and 0 <= place[1] < 512):
                break
            scene[int(place[0]), int(place[1])] += 1.0
    scene = gaussian_filter(scene, 0.7)
    return np.asarray(np.clip(scene / np.quantile(scene, 0.999), 0.0, 1.0))


def _lost_at_the_border(one: Blurred, found: Doubles) -> float:
    """Return by how many dB the error in a strip at the border exceeds that of the blurred image, against the rest of the field."""
    strip = np.ones(one.truth.shape, bool)
    strip[_STRIP:-_STRIP, _STRIP:-_STRIP] = False
    gains = []
    for part in (strip, ~strip):
        error, before = ((image - one.truth)[part] for image in (found, one.counts))
        gains.append(10.0 * np.log10(np.mean(before**2) / np.mean(error**2)))
    return float(gains[1] - gains[0])


def _own(generator: str, device: str) -> Restore:
    def restore(one: Blurred) -> Doubles:
        axes = "ZYX"[-one.counts.ndim :]
        found = napari_synth.deconvolve(one.counts, one.psf, generator, axes=axes, device=device)
        return np.asarray(found, np.float64)

    return restore


def _denoised(device: str) -> Restore:
    return lambda one: np.asarray(napari_synth.denoise(one.counts, device=device), np.float64)


def _richardson_lucy(iterations: int) -> Restore:
    def restore(one: Blurred) -> Doubles:
        from skimage.restoration import richardson_lucy

        # It takes what is outside for dark, which rings: so it is given the mirrored image around.
        around = [(size // 2, size // 2) for size in one.psf.shape]
        wide = np.pad(np.clip(one.counts, 0.0, None) + 1e-6, around, mode="symmetric")
        found = richardson_lucy(wide, one.psf, num_iter=iterations, clip=False)
        middle = tuple(slice(before, -before) for before, _ in around)
        return np.asarray(found[middle], np.float64)

    return restore


def _wiener(one: Blurred) -> Doubles:
    from skimage.restoration import unsupervised_wiener

    found, _ = unsupervised_wiener(one.counts / one.photons, one.psf, clip=False, rng=0)
    return np.asarray(found, np.float64) * one.photons


def _best(one: Blurred) -> Doubles:
    """Return the iteration of Richardson-Lucy, with everything told, that is nearest to the truth."""
    import torch

    from napari_synth.methods.deconvolve.solvers import Light, Optics, richardson_lucy

    optics = Optics(torch.from_numpy(one.psf).float(), one.counts.shape)
    counts = torch.from_numpy(one.counts + _READ_NOISE**2).float().clamp_min(0.0)[None, None]
    steps = richardson_lucy(optics, Light(counts, _READ_NOISE**2, float(one.truth.mean())))
    found = (optics.crop(next(steps))[0, 0].double().numpy() for _ in range(_MOST))
    best: Doubles = max(found, key=one.psnr)
    return best
