"""``bench translate``: how near stains, colours, intensities and texture come to those of a reference."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from skimage import color, data
from skimage.exposure import match_histograms
from skimage.transform import resize

import napari_synth
from benchmark.metrics import WHITE, ssim
from benchmark.paired import MINUTES, bench_pairs
from benchmark.report import Report, Table, load
from benchmark.unpaired import bench_unpaired
from napari_synth.engine.recipe import Recipe
from napari_synth.imaging.image import Image
from napari_synth.samples import load as sample
from napari_synth.verbs import prepare

Pixels = npt.NDArray[np.uint8]
Say = Callable[[str], None]
Normalise = Callable[[Pixels], Any]

STAINS = ("macenko", "vahadane", "reinhard")
EDGES = (224, 1120)
NO_TORCHSTAIN = "torchstain is left out: it comes with the extra `bench` (pip install 'napari-synth[bench]')."
_REPEATS = 5
_EMPTY = 0.86
_DIRECTIONS, _SHARES = 60, np.linspace(0.0, 1.0, 501)
# Another laboratory: its stains mix into the colours otherwise, are stronger where they are weak, and its lamp is yellowish.
_MIX = np.array([[0.95, 0.25, -0.05], [0.10, 0.95, 0.20], [0.00, 0.05, 0.85]])
_STRENGTH, _POWER, _LAMP = 1.2, 0.9, np.array([250.0, 246.0, 236.0])


def restained(slide: Pixels, white: float = 241.0) -> Pixels:
    """Return a slide (Y, X, 3) as another laboratory would show it: the same tissue, other stains and another lamp."""
    density = -np.log(np.clip(slide / white, 1e-3, 1.0))
    other = _LAMP * np.exp(-_STRENGTH * np.maximum(density**_POWER @ _MIX.T, 0.0))
    changed: Pixels = other.round().clip(0, WHITE).astype(np.uint8)
    return changed


def bench_translate(
    *,
    quick: bool = False,
    device: str = "auto",
    mosaic: Path | None = None,
    minutes: float = MINUTES,
    pictures: Path | None = None,
    say: Say = lambda _: None,
) -> Report:
    """Measure how near results come to their references, what they keep of the image, and how long they take.

    Parameters
    ----------
    quick : bool
        Small images: whether it works, not how well.
    device : str
    mosaic : pathlib.Path, optional
        Where a picture of all results goes, as PNG.
    minutes : float
        Of each training.
    pictures : pathlib.Path, optional
        A folder for pictures of what was learnt.
    say : callable
        Told of every result.
    """
    report = Report("Translate")
    rows = [
        _bench_stains(report, quick, device, say),
        _bench_colours(report, quick, device, say),
        _bench_style(report, quick, device, say),
    ]
    _bench_speed(report, (64,) if quick else EDGES, device, say)
    bench_pairs(report, quick=quick, minutes=minutes, device=device, pictures=pictures, say=say)
    bench_unpaired(report, quick=quick, minutes=minutes, device=device, pictures=pictures, say=say)
    if mosaic is not None:
        iio.imwrite(mosaic, _mosaic(rows))
    report.machine["load at the end"] = load()
    return report


def _bench_stains(report: Report, quick: bool, device: str, say: Say) -> list[Pixels]:
    """Bring the left half of a slide, restained, to the stains of the right half; how it looked before is known."""
    slide = data.immunohistochemistry()[: 96 if quick else None]
    truth, reference = slide[:, :256], slide[:, 256:]
    source = restained(truth)
    methods: dict[str, Normalise] = {
        f"{name} (ours)": partial(napari_synth.translate, reference=reference, generator=name, device=device)
        for name in STAINS
    }
    methods |= {f"{name} (torchstain)": normalise for name, normalise in _torchstain(reference).items()}
    if not has_torchstain():
        report.remarks.append(NO_TORCHSTAIN)
    results = {"restained": source} | {name: np.asarray(work(source)) for name, work in methods.items()}
    rows: list[tuple[str | float | None, ...]] = []
    for name, result in results.items():
        to_truth = float(np.abs(color.deltaE_ciede2000(_lab(result), _lab(truth))).mean())
        empty = truth.min(axis=-1) > 0.97 * 241
        rows.append(
            (
                name,
                float(np.linalg.norm(_tissue(result).mean(0) - _tissue(reference).mean(0))),
                sliced_distance(_tissue(result), _tissue(reference)),
                to_truth,
                ssim(_luminance(truth), _luminance(result)),
                float(np.abs(result.astype(float) - source)[empty].mean()) if empty.any() else None,
            )
        )
        say(f"{name}: {rows[-1][1]:.2f} from the reference's mean colour, {to_truth:.2f} from the truth")
    columns = (
        "method",
        "mean colour of tissue to reference's, ΔE76",
        "colours of tissue to reference's, sliced Lab",
        "to the truth, ΔE2000",
        "SSIM of luminance with the truth",
        "change of the empty slide, levels",
    )
    report.tables.append(
        Table("Stains: half a slide, restained, brought to the other half", columns, tuple(rows), digits=3)
    )
    return [truth, reference, *results.values()]


def _bench_colours(report: Report, quick: bool, device: str, say: Say) -> list[Pixels]:
    """Bring photographs and gray images to the colours and intensities of others."""
    step = 4 if quick else 1
    image, reference = data.astronaut()[::step, ::step], data.coffee()[::step, ::step]
    gray, gray_reference = data.camera()[::step, ::step], data.coins()[::step, ::step]
    made = {
        "colour-transfer": (
            image,
            reference,
            napari_synth.translate(image, reference, "colour-transfer", device=device),
        ),
        "quantile-matching, RGB": (
            image,
            reference,
            napari_synth.translate(image, reference, "quantile-matching", device=device),
        ),
        "match_histograms (scikit-image), RGB": (
            image,
            reference,
            match_histograms(image, reference, channel_axis=-1),
        ),
        "quantile-matching, gray": (
            gray,
            gray_reference,
            napari_synth.translate(gray, gray_reference, "quantile-matching", device=device),
        ),
        "match_histograms (scikit-image), gray": (gray, gray_reference, match_histograms(gray, gray_reference)),
    }
    rows = [
        (
            name,
            sliced_distance(_flat(before), _flat(target)),
            sliced_distance(_flat(np.asarray(after)), _flat(target)),
            ssim(_luminance(before), _luminance(np.asarray(after))),
        )
        for name, (before, target, after) in made.items()
    ]
    for row in rows:
        say(f"{row[0]}: {row[1]:.2f} levels before, {row[2]:.2f} after")
    columns = ("method", "distance before, levels", "after", "SSIM of luminance with the image")
    report.tables.append(Table("Colours and intensities: sliced distance to the reference's", columns, tuple(rows), 3))
    return [image, reference, *(np.asarray(after).astype(np.uint8) for _, _, after in made.values())]


def _bench_style(report: Report, quick: bool, device: str, say: Say) -> list[Pixels]:
    """Carry textures over to a fluorescence image."""
    import torch

    from napari_synth.methods.patch_distributions import example_plane, patch_distance

    edge = 64 if quick else 256
    content = sample("actin").read()[:edge, :edge]
    rows: list[tuple[str | float | None, ...]] = []
    shown = [_shown(content)]
    for name in ("brick", "grass", "gravel"):
        style = getattr(data, name)()[: 2 * edge, : 2 * edge]
        start = time.perf_counter()
        result = np.asarray(napari_synth.translate(content, style, "patch-style", device=device))
        seconds = time.perf_counter() - start
        plane, planes = (
            example_plane(Image.from_array(style))[0],
            [example_plane(Image.from_array(i))[0] for i in (content, result)],
        )
        before, after = (patch_distance(p, plane, 7, torch.Generator().manual_seed(1)) for p in planes)
        kept = float(np.corrcoef(content.ravel(), result.ravel())[0, 1])
        rows.append((name, before, after, before / after, kept, seconds))
        shown.append(_shown(result))
        say(f"{name}: patch distance {before:.4f} before, {after:.4f} after, {seconds:.1f} s")
    columns = ("style", "patch distance before", "after", "before / after", "correlation with the content", "seconds")
    report.tables.append(Table(f"Patch style: {edge} x {edge} pixels of actin", columns, tuple(rows), digits=4))
    return shown


def _bench_speed(report: Report, edges: tuple[int, ...], device: str, say: Say) -> None:
    """Time the normalisation of one image with a reference that was fitted before, the best of several."""
    slide = data.immunohistochemistry()
    rows: list[tuple[str | float | None, ...]] = []
    works: dict[str, Normalise] = {}
    for name in STAINS:
        fitted = prepare(f"translate/{name}", Image.from_array(slide[:, 256:]), reference=Image.from_array(slide))
        recipe = Recipe(generator=fitted.recipe.generator, params=fitted.recipe.params, device=device)
        works[f"{name} (ours)"] = partial(napari_synth.run, recipe)
    works |= {f"{name} (torchstain)": work for name, work in _torchstain(slide[:, 256:]).items()}
    for name, work in works.items():
        times = []
        for edge in edges:
            image = (resize(slide, (edge, edge)) * WHITE).astype(np.uint8)
            times.append(1000 * _best(partial(work, image)))
        rows.append((name, *times))
        say(f"{name}: {', '.join(f'{t:.0f} ms' for t in times)}")
    columns = ("method", *(f"{edge} x {edge}, ms" for edge in edges))
    report.tables.append(
        Table("Stains: time for one image, the reference fitted before", columns, tuple(rows), digits=1)
    )


def has_torchstain() -> bool:
    """Return whether the package torchstain is installed."""
    return importlib.util.find_spec("torchstain") is not None


def _torchstain(reference: Pixels) -> dict[str, Normalise]:
    """Return torchstain's methods, fitted to a reference; none where it is not installed."""
    if not has_torchstain():
        return {}
    import torch
    from torchstain.torch.normalizers.macenko import TorchMacenkoNormalizer
    from torchstain.torch.normalizers.reinhard import TorchReinhardNormalizer

    def tensor(image: Pixels) -> Any:
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

    found: dict[str, Normalise] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macenko, reinhard = TorchMacenkoNormalizer(), TorchReinhardNormalizer()
        macenko.fit(tensor(reference))
        reinhard.fit(tensor(reference))
    found["macenko"] = lambda image: macenko.normalize(tensor(image), stains=False)[0].numpy().clip(0, 255)
    found["reinhard"] = lambda image: _rows_last(reinhard.normalize(tensor(image)).numpy())
    return {name: partial(_quietly, work) for name, work in found.items()}


def _quietly(work: Normalise, image: Pixels) -> Pixels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Pixels = work(image).astype(np.uint8)
    return made


def _rows_last(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return image if image.shape[-1] == 3 else image.transpose(1, 2, 0)


def sliced_distance(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Return the mean distance of the quantiles of two sets of points (points, dimensions), over random directions."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_DIRECTIONS if first.shape[1] > 1 else 1):
        axis: npt.NDArray[np.float64] = rng.normal(size=(first.shape[1],))
        axis /= np.linalg.norm(axis)
        levels = [np.quantile(points @ axis, _SHARES) for points in (first, second)]
        found.append(float(np.abs(levels[0] - levels[1]).mean()))
    return float(np.mean(found))


def _lab(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(color.rgb2lab(image.clip(0, 255).astype(np.uint8)))


def _tissue(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the colours in CIELAB of what is darker than an empty slide, (pixels, 3)."""
    brightness = image.mean(axis=-1)
    return np.asarray(_lab(image)[brightness < _EMPTY * np.percentile(brightness, 99)])


def _flat(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(image.reshape(-1, image.shape[-1] if image.ndim == 3 else 1), dtype=np.float64)


def _luminance(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    clipped = np.clip(image.astype(np.float64), 0.0, WHITE)
    return clipped if image.ndim == 2 else np.asarray(WHITE * color.rgb2gray(clipped / WHITE))


def _shown(image: npt.NDArray[Any]) -> Pixels:
    low, high = np.percentile(image, [0.5, 99.5])
    shown: Pixels = (WHITE * np.clip((image - low) / (high - low), 0.0, 1.0)).astype(np.uint8)
    return shown


def _mosaic(rows: list[list[Pixels]], edge: int = 256) -> Pixels:
    """Return pictures side by side, each cut to its middle and brought to one size."""
    lines = []
    for row in rows:
        cells = []
        for picture in row:
            rgb = picture if picture.ndim == 3 else picture[..., None].repeat(3, axis=-1)
            side = min(rgb.shape[:2])
            top, left = ((size - side) // 2 for size in rgb.shape[:2])
            square = resize(rgb[top : top + side, left : left + side], (edge, edge), anti_aliasing=True)
            cells.append((WHITE * square).astype(np.uint8))
        lines.append(cells)
    width = max(len(line) for line in lines)
    blank = np.full((edge, edge, 3), 255, np.uint8)
    return np.concatenate([np.concatenate(line + [blank] * (width - len(line)), axis=1) for line in lines])


def _best(work: Callable[[], Any]) -> float:
    """Return the shortest wall time of several calls in seconds, after one that does not count."""
    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
