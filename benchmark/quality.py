"""``bench denoise``: PSNR, SSIM and seconds on one CPU thread, with everything estimated from the noisy image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.metrics import psnr, ssim
from benchmark.peers import (
    BLIND,
    BM3D,
    BM3D_TOLD,
    CLASSICAL,
    NO_BM3D,
    SKIMAGE,
    SKIMAGE_NLM,
    Method,
    has_bm3d,
    own,
)
from benchmark.report import Report, Table, load, mean
from benchmark.scenes import (
    CORRELATED,
    GAUSSIAN_25,
    PHOTONS_30,
    Noise,
    Scene,
    folder_images,
    gaussian,
    six_images,
)

SET12_SIGMAS = (15.0, 25.0, 50.0)
_NOISY = "noisy"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """How a method did on an image.

    Attributes
    ----------
    psnr : float
        In dB.
    ssim : float
    seconds : float
        Of processor time, with everything that the method does once it has the image.
    """

    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The scores of several methods on several images under one kind of noise.

    Attributes
    ----------
    title : str
    scores : dict
        By name of the image, then by name of the method; the noisy image itself is one.
    """

    title: str
    scores: dict[str, dict[str, Score]]

    def mean_psnr(self, method: str) -> float:
        """Return the mean PSNR of a method over all images, in dB."""
        return mean([scores[method].psnr for scores in self.scores.values()])

    def per_image(self) -> Table:
        """Return PSNR by image and method, means last."""
        methods = list(next(iter(self.scores.values())))
        rows: list[tuple[str | float | None, ...]]
        rows = [(name, *(scores[m].psnr for m in methods)) for name, scores in self.scores.items()]
        rows.append(("mean", *(self.mean_psnr(m) for m in methods)))
        return Table(f"{self.title}: PSNR in dB", ("image", *methods), tuple(rows))

    def summary(self) -> Table:
        """Return the means of each method."""
        rows: list[tuple[str | float | None, ...]] = []
        for method in next(iter(self.scores.values())):
            scores = [of_image[method] for of_image in self.scores.values()]
            seconds = None if method == _NOISY else mean([s.seconds for s in scores])
            rows.append((method, self.mean_psnr(method), mean([s.ssim for s in scores]), seconds))
        columns = ("method", "PSNR, dB", "SSIM", "seconds an image")
        return Table(f"{self.title}: means", columns, tuple(rows), digits=3)

    def losses_against(self, peer: str, method: str = BLIND.name) -> list[str]:
        """Say on which images a method is below a peer."""
        return [
            f"{self.title}: {method} is {scores[peer].psnr - scores[method].psnr:.2f} dB below {peer} on {name}."
            for name, scores in self.scores.items()
            if peer in scores and scores[method].psnr < scores[peer].psnr
        ]


def compare(title: str, scenes: Sequence[Scene], noise: Noise, methods: Sequence[Method], say: Say) -> Comparison:
    """Run all methods on all images with one kind of noise."""
    scores: dict[str, dict[str, Score]] = {}
    for seed, scene in enumerate(scenes):
        noisy = noise.added(scene.clean, seed)
        of_image = {_NOISY: Score(psnr(scene.clean, noisy), ssim(scene.clean, noisy), 0.0)}
        for method in methods:
            start = time.process_time()
            restored = method.restore(noisy, noise)
            seconds = time.process_time() - start
            of_image[method.name] = Score(psnr(scene.clean, restored), ssim(scene.clean, restored), seconds)
        scores[scene.name] = of_image
        figures = ", ".join(f"{name} {score.psnr:.2f}" for name, score in of_image.items())
        say(f"{title}, {scene.name}: {figures}")
    return Comparison(title, scores)


def bench_denoise(
    *,
    set12: Path | None = None,
    quick: bool = False,
    with_bm3d: bool = True,
    told: bool = False,
    say: Say = lambda _: None,
) -> Report:
    """Measure the quality and the speed of denoising.

    Parameters
    ----------
    set12 : pathlib.Path, optional
        Folder with the twelve gray images; left out where not given.
    quick : bool
        Parts of two images, and no BM3D.
    with_bm3d : bool
        BM3D takes most of the time.
    told : bool
        Whether BM3D behind a variance-stabilising transform with the true noise is measured too.
    say : callable
        Told of every image.

    Raises
    ------
    ImageFileError
        ``set12`` holds no gray PNG images.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        report = Report("Denoising, one thread, nothing told but the noisy image")
        methods, remark = _methods(quick=quick, with_bm3d=with_bm3d)
        report.remarks += remark
        wanted = folder_images(set12, quick=quick) if set12 is not None else []
        # What is loaded once is no part of an image's time.
        methods[0].restore(six_images(quick=True)[0].clean.astype("float32"), GAUSSIAN_25)
        photons = [*methods, BM3D_TOLD] if told and BM3D in methods else methods
        images = six_images(quick=quick)
        comparisons = [
            compare(f"Six images, {GAUSSIAN_25.title}", images, GAUSSIAN_25, methods, say),
            compare(f"Six images, {PHOTONS_30.title}", images, PHOTONS_30, photons, say),
        ]
        comparisons += [
            compare(f"Set12, {noise.title}", wanted, noise, methods, say)
            for noise in (gaussian(SET12_SIGMAS) if wanted else ())
        ]
        for comparison in comparisons:
            report.tables += [comparison.per_image(), comparison.summary()]
            report.remarks += comparison.losses_against(SKIMAGE_NLM.name)
        _add_correlated(report, images, say)
        _add_speed(report, images, say)
    finally:
        torch.set_num_threads(threads)
    report.machine["load at the end"] = load()
    return report


def _methods(*, quick: bool, with_bm3d: bool) -> tuple[list[Method], list[str]]:
    methods = [BLIND, *CLASSICAL, *SKIMAGE]
    if quick or not with_bm3d:
        return methods, ["BM3D was not asked for."]
    return ([*methods, BM3D], []) if has_bm3d() else (methods, [NO_BM3D])


def _add_correlated(report: Report, images: Sequence[Scene], say: Say) -> None:
    """Compare the network with and without its treatment of correlated noise."""
    gated = own("blind", "blind, correlation measured")
    ungated = own("blind", "blind, taken as independent", noise="independent")
    comparison = compare(f"Six images, {CORRELATED.title}", images, CORRELATED, [gated, ungated, *CLASSICAL[:3]], say)
    report.tables += [comparison.per_image(), comparison.summary()]
    gain = comparison.mean_psnr(gated.name) - comparison.mean_psnr(ungated.name)
    report.remarks.append(f"Correlated noise: measuring the correlation brings {gain:.2f} dB.")


def _add_speed(report: Report, images: Sequence[Scene], say: Say, repeats: int = 5) -> None:
    """Time the default on one image, best of several: the machine may have other work."""
    scene = images[0]
    noisy = GAUSSIAN_25.added(scene.clean, 0)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        BLIND.restore(noisy, GAUSSIAN_25)
        seconds.append(time.process_time() - start)
    size = " x ".join(str(edge) for edge in scene.clean.shape)
    remark = f"denoise/blind, {size}, noise measured in it: {min(seconds):.3f} s of one thread, best of {repeats}."
    report.remarks.append(remark)
    say(remark)
