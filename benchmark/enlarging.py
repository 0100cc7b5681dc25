"""``bench super-resolution``: PSNR and SSIM of the luminance beside interpolation, and what the network's result costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

import napari_synth
from benchmark.metrics import WHITE, psnr, ssim
from benchmark.report import Report, Table, load, mean
from benchmark.scenes import six_images, textures
from napari_synth.core.device import resolve_device
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.resampling import resized
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

SCALES = (2, 3, 4)
METHODS = ("bicubic", "lanczos", "network")
TOLERATED = 0.1
"""dB below Lanczos from which on an image is named."""
_NETWORK = "super-resolution/network"
_REPEATS = 5
# Rec. 601, as the field measures it.
_LUMINANCE = np.array([65.481, 128.553, 24.966]) / 255.0

Pixels = npt.NDArray[Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """A fine image and the coarse one it is to be made from, both 0 to 255, (Y, X) or (Y, X, S)."""

    name: str
    fine: Pixels
    coarse: Pixels


@dataclass(frozen=True)
class Degradation:
    """How a coarse image is made; its name, the blur of the fine image in coarse pixels, and the noise of the coarse one."""

    title: str
    blur: float = 0.0
    sigma: float = 0.0

    def pair(self, name: str, fine: Pixels, scale: int, seed: int) -> Pair:
        """Return a fine gray image, cut to a multiple of ``scale``, with its coarse one, reduced with a cubic kernel to 8 bits."""
        import torch

        height, width = (size // scale * scale for size in fine.shape)
        fine = gaussian_filter(fine[:height, :width].astype(np.float64), self.blur * scale)
        coarse = resized(torch.from_numpy(fine), (height // scale, width // scale)).numpy()
        coarse = coarse + np.random.default_rng(seed).normal(0.0, self.sigma, coarse.shape)
        return Pair(name, fine, coarse.round().clip(0.0, WHITE).astype(np.uint8))


DEGRADATIONS = (
    Degradation("clean"),
    Degradation("oversampled: blurred by 1 coarse pixel", blur=1.0),
    Degradation("noisy: Gaussian, 10 of 255", sigma=10.0),
    Degradation("noisy: Gaussian, 25 of 255", sigma=25.0),
)


def bench_super_resolution(
    *, set5: Path | None = None, quick: bool = False, device: str = "auto", say: Say = lambda _: None
) -> Report:
    """Measure the quality and the speed of super-resolution.

    Parameters
    ----------
    set5 : pathlib.Path, optional
        Folder with pairs named ``NAME_x2_HR.png`` and ``NAME_x2_LR.png``; left out where not given.
    quick : bool
        Parts of two images, and one degradation.
    device : str
    say : callable
        Told of every image.

    Raises
    ------
    ImageFileError
        ``set5`` holds no pairs.
    """
    report = Report("Super-resolution")
    for scale in SCALES:
        if set5 is not None:
            _add(report, f"Set5, x{scale}", _pairs(set5, scale), scale, device, say)
        for degradation in DEGRADATIONS[: 1 if quick else None]:
            scenes = six_images(quick=quick)
            pairs = [degradation.pair(s.name, s.clean, scale, seed) for seed, s in enumerate(scenes)]
            _add(report, f"Six images, x{scale}, {degradation.title}", pairs, scale, device, say)
        if not quick:
            pairs = [DEGRADATIONS[0].pair(s.name, s.clean, scale, seed) for seed, s in enumerate(textures())]
            _add(report, f"Textures, x{scale}, clean", pairs, scale, device, say)
    _add_speed(report, 128 if quick else 512, device, say)
    report.machine["load at the end"] = load()
    return report


def _pairs(folder: Path, scale: int) -> list[Pair]:
    found = sorted(folder.glob(f"*_x{scale}_HR.png"))
    if not found:
        raise ImageFileError(f"There are no pairs such as NAME_x{scale}_HR.png in {str(folder)!r}: check the folder.")
    coarse = [path.with_name(path.name.replace("_HR", "_LR")) for path in found]
    for path in coarse:
        if not path.is_file():
            raise ImageFileError(f"There is no {path.name} beside its _HR in {str(folder)!r}: check the folder.")
    return [
        Pair(fine.name.split("_x")[0], iio.imread(fine), iio.imread(small))
        for fine, small in zip(found, coarse, strict=True)
    ]


def _luminance(image: Pixels) -> npt.NDArray[np.float64]:
    clipped = np.clip(image.astype(np.float64), 0.0, WHITE)
    return clipped if image.ndim == 2 else np.asarray(16.0 + clipped[..., :3] @ _LUMINANCE)


def _add(report: Report, title: str, pairs: Sequence[Pair], scale: int, device: str, say: Say) -> None:
    """Add a table of PSNR by image and method with SSIM in the last rows, and name the images that lost."""
    values: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
    rows: list[tuple[str | float | None, ...]] = []
    inner = (slice(scale, -scale),) * 2
    for pair in pairs:
        truth = _luminance(pair.fine)
        for method in METHODS:
            made = napari_synth.upscale(pair.coarse, scale, method, axes="YXS"[: pair.coarse.ndim], device=device)
            height, width = truth.shape
            shown = _luminance(made)[:height, :width]
            values[method].append((psnr(truth[inner], shown[inner]), ssim(truth[inner], shown[inner])))
        rows.append((pair.name, *(values[method][-1][0] for method in METHODS)))
        ours, lanczos = values["network"][-1][0], values["lanczos"][-1][0]
        say(f"{title}, {pair.name}: Lanczos {lanczos:.2f}, network {ours:.2f}")
        if ours < lanczos - TOLERATED:
            report.remarks.append(f"{title}: the network is {lanczos - ours:.2f} dB below Lanczos on {pair.name}.")
    rows.append(("mean", *(mean([p for p, _ in values[method]]) for method in METHODS)))
    rows.append(("SSIM", *(mean([s for _, s in values[method]]) for method in METHODS)))
    report.tables.append(Table(f"{title}: PSNR of the luminance in dB", ("image", *METHODS), tuple(rows), digits=3))


def _add_speed(report: Report, edge: int, device: str, say: Say) -> None:
    """Time the runner, the bare network and torch's own bicubic on one plane, the best of several."""
    import torch
    from torch.nn.functional import interpolate

    place = resolve_device(device)
    image = np.random.default_rng(0).integers(0, 255, (edge, edge)).astype(np.uint8)
    block = torch.rand(1, 1, edge, edge, device=place.torch_name)
    rows: list[tuple[str | float | None, ...]] = []
    for scale in SCALES:
        run = prepare(_NETWORK, Image.from_array(image), {"factor": scale, "denoise": False}, device=device)
        assert isinstance(run, PreparedImage)
        cubic = _best(partial(interpolate, block, scale_factor=float(scale), mode="bicubic"), place.kind)
        bare = _best(partial(_apply, run, block), place.kind)
        whole = _best(run.compute, place.kind)
        rows.append((f"x{scale}", cubic, bare, whole, bare / cubic, whole / bare))
        say(f"x{scale}: bicubic {cubic:.4f} s, network {bare:.3f} s, runner {whole:.3f} s")
    columns = ("scale", "bicubic, s", "network, s", "runner, s", "network / bicubic", "runner / network")
    report.tables.append(Table(f"Time for {edge} x {edge} pixels on {place.title}", columns, tuple(rows), digits=3))


def _apply(run: PreparedImage, block: Any) -> Any:
    import torch

    with torch.inference_mode():
        return run.channels[0].prepared.apply(block)


def _best(work: Callable[[], Any], kind: str) -> float:
    """Return the shortest wall time of several calls, after one that does not count."""
    import torch

    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        work()
        if kind == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
