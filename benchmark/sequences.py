"""``bench predict-frames``: frames of movies predicted by networks trained for minutes, beside what needs no training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmark.movies import bouncing_digits, moving_blobs
from benchmark.report import Report, Table, load
from napari_synth import samples
from napari_synth.contract.frames import PreparedFrames
from napari_synth.contract.trainable import TrainContext
from napari_synth.core.device import Device, resolve_device
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.methods.predict_frames.flow import Copied, Lines, Moved
from napari_synth.methods.predict_frames.trained import LearntFrames
from napari_synth.registry import trainable
from napari_synth.training.dataset import gather
from napari_synth.training.optim import Budget
from napari_synth.training.trainer import Trainer

_MINUTES, _QUICK_STEPS = 3.0, 4
_TRAINABLES = {"SimVP": "predict-frames/simvp", "ConvLSTM": "predict-frames/convlstm"}
_MISSING = 3
_SHOWN = 5
_SCALE = 1000.0


@dataclass(frozen=True)
class Movies:
    """Movies of one kind.

    Attributes
    ----------
    name : str
    training : tuple of Image
        To learn from.
    tested : tuple of numpy.ndarray, each (T, C, Y, X)
        Clips to predict, normalised: the known frames first.
    known : int
        How many frames of a clip are known.
    params : mapping
        Of the trainings.
    """

    name: str
    training: tuple[Image, ...]
    tested: tuple[npt.NDArray[np.float32], ...]
    known: int
    params: Mapping[str, Any]


def bench_predict_frames(
    *,
    minutes: float | None = None,
    quick: bool = False,
    device: str = "auto",
    pictures: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Train on movies, and predict others of the same kind (of the sample, the end of the same).

    Parameters
    ----------
    minutes : float, optional
        How long each network is trained on each kind of movie; 3 where it is left out.
    quick : bool
        A few steps on small movies of one kind.
    device : str
        See `napari_synth.core.device.resolve_device`.
    pictures : Path, optional
        Folder for a picture of each kind: the truth and what every method made of it.
    say : callable
        Told of every figure.
    """
    report = Report("Frames")
    place = resolve_device(device)
    budget = Budget(steps=_QUICK_STEPS) if quick else Budget(minutes=minutes or _MINUTES)
    for movies in _every(quick=quick):
        methods: dict[str, PreparedFrames] = {
            "copy of the last frame": Copied(),
            "lines (blend)": Lines(3),
            "optical flow": Moved("lucas-kanade", 7),
            "optical flow, TV-L1": Moved("tv-l1", 7),
        }
        notes: dict[str, str] = {}
        for name, identifier in _TRAINABLES.items():
            methods[name], notes[name] = _trained(identifier, movies, budget, place)
        rows: list[tuple[Any, ...]] = []
        for name, method in methods.items():
            started = time.perf_counter()
            errors = _errors(method, movies, place)
            seconds = (time.perf_counter() - started) / len(movies.tested)
            rows.append((name, *(_SCALE * error for error in errors), seconds, notes.get(name, "")))
            say(f"{movies.name}, {name}: next {rows[-1][1]:.3f}, all {rows[-1][2]:.3f}, between {rows[-1][4]:.3f}")
        ahead = len(movies.tested[0]) - movies.known
        report.tables.append(
            Table(
                f"{movies.name}: {movies.known} frames known, {ahead} predicted; mean squared error x 1000, the range being 1",
                (
                    "method",
                    "next frame",
                    f"all {ahead} frames",
                    f"frame +{ahead}",
                    f"{_MISSING} missing",
                    "s a clip",
                    "trained",
                ),
                tuple(rows),
                digits=3,
            )
        )
        report.remarks.append(_verdict(movies.name, rows))
        say(report.remarks[-1])
        if pictures is not None:
            _write(pictures / f"{movies.name.replace(' ', '-')}.png", methods, movies, place)
    report.machine["load at the end"] = load()
    return report


def _every(*, quick: bool) -> Iterator[Movies]:
    edge, frames, count = (32, 24, 2) if quick else (64, 60, 8)
    params = {"patch": 32 if quick else 64, "batch": 2} if quick else {}
    yield _drawn("moving blobs", partial(moving_blobs, frames, edge), count, params)
    if quick:
        return
    yield _drawn("bouncing digits", partial(bouncing_digits, frames, edge), count, params)
    movie = samples.load("scratch")
    last = 4
    cut = movie.sizes["T"] - last
    clips = []
    for channel in range(movie.sizes["C"]):
        part = movie.select(C=channel)
        clips.append(_normalised(part.read(), part)[cut - 2 :])
    yield Movies("scratch assay", (movie.select(T=slice(0, cut)),), tuple(clips), 2, {"past": 2, "future": 2})


def _drawn(
    name: str,
    draw: Callable[..., npt.NDArray[Any]],
    count: int,
    params: Mapping[str, Any],
    known: int = 4,
    ahead: int = 10,
) -> Movies:
    training = tuple(Image(draw(seed=100 + seed), "TYX", name=f"{name} {seed}") for seed in range(count))
    clips = []
    for seed in range(max(1, count // 2)):
        movie = draw(seed=900 + seed)
        normalised = _normalised(movie, Image(movie, "TYX"))
        clips += [
            normalised[start : start + known + ahead]
            for start in range(0, len(movie) - known - ahead + 1, known + ahead)
        ]
    return Movies(name, training, tuple(clips), known, params)


def _normalised(frames: npt.NDArray[Any], image: Image) -> npt.NDArray[np.float32]:
    """Return frames (T, C, Y, X)."""
    return IntensityTransform.from_statistics(measure_statistics(image)).forward(frames)[:, None]


def _trained(identifier: str, movies: Movies, budget: Budget, place: Device) -> tuple[PreparedFrames, str]:
    """Train as the studio does, without a model file; return what runs the network, and how long it learnt."""
    chosen = trainable(identifier)
    settings: Any = chosen.params_type.parse(movies.params)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        setup = chosen.prepare(gather(list(movies.training), kind="one"), settings, TrainContext(place))
    generator = torch.Generator(place.torch_name).manual_seed(0)
    fitted = replace(setup.settings, early_validations=True, validations=12)
    result = Trainer(setup.module, budget, place, generator, settings=fitted).run()
    network: Any = setup.network
    return LearntFrames(network, {}, setup.extras), f"{result.steps} steps, {result.seconds:.0f} s"


def _errors(method: PreparedFrames, movies: Movies, place: Device) -> tuple[float, float, float, float]:
    """Return the mean squared errors of the next frame, of all of them, of the last, and of missing ones."""
    ahead, missing = [], []
    for clip in _clips(movies, place):
        ahead.append((_predicted(method, clip, movies.known) - clip[:, movies.known :]).square().mean((0, 2, 3, 4)))
        gap = slice(movies.known, movies.known + _MISSING)
        past = clip[:, : gap.start][:, -method.spec.history :]
        with torch.inference_mode():
            filled = method.fill(past, clip[:, gap.stop :][:, : method.spec.history], _MISSING)
        missing.append((filled - clip[:, gap]).square().mean())
    by_frame = torch.stack(ahead).mean(0)
    return float(by_frame[0]), float(by_frame.mean()), float(by_frame[-1]), float(torch.stack(missing).mean())


def _predicted(method: PreparedFrames, clip: Tensor, known: int) -> Tensor:
    with torch.inference_mode():
        return method.predict(clip[:, :known][:, -method.spec.history :], clip.shape[1] - known)


def _clips(movies: Movies, place: Device) -> Iterator[Tensor]:
    for clip in movies.tested:
        height, width = (size // 4 * 4 for size in clip.shape[-2:])
        yield torch.from_numpy(clip[None, ..., :height, :width].copy()).to(place.torch_name)


def _verdict(name: str, rows: list[tuple[Any, ...]]) -> str:
    learnt = [row for row in rows if row[0] in _TRAINABLES]
    others = [row for row in rows if row[0] not in _TRAINABLES]
    best, other = (min(group, key=lambda row: row[2]) for group in (learnt, others))
    return (
        f"{name}: {best[0]} has {best[2] / other[2]:.2f} times the error of {other[0]}, the best without training, over all frames,"
        f" and {best[2] / rows[0][2]:.2f} times that of a copy."
    )


def _write(path: Path, methods: Mapping[str, PreparedFrames], movies: Movies, place: Device) -> None:
    """Write the truth, and below it what every method made of the frames, as one PNG: the last known frame on the left."""
    import imageio.v3 as iio

    clip = next(_clips(movies, place))
    ahead = clip.shape[1] - movies.known
    chosen = sorted({round(i) for i in np.linspace(0, ahead - 1, min(ahead, _SHOWN))})
    known = clip[0, movies.known - 1, 0]
    rows = [
        clip[0, movies.known :, 0],
        *(_predicted(method, clip, movies.known)[0, :, 0] for method in methods.values()),
    ]
    strips = [torch.cat([known, *(row[index] for index in chosen)], dim=1) for row in rows]
    picture = torch.cat(strips, dim=0).clamp(0, 1).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, np.kron((picture * 255).round().astype(np.uint8), np.ones((2, 2), np.uint8)))
