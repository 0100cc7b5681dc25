"""Makes the training crops (``python -m pretraining data``) and trains on them (``denoise``, ``super-resolution``, ``inpaint``)."""

from __future__ import annotations

import itertools
import logging
import math
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import torch

from napari_synth.models import load_model
from pretraining.adversarial import AdversarialTrainer
from pretraining.crops import CropStore, write_shard
from pretraining.crops import pack as pack_crops
from pretraining.denoising import Denoising
from pretraining.enlarging import Enlarging
from pretraining.evaluation import Figures, evaluate_denoiser, evaluate_enlarger, evaluate_inpainter
from pretraining.export import DENOISER, ENLARGER, INPAINTER, CardText, export
from pretraining.inpainting import Inpainting
from pretraining.photographs import NOT_IN_BENCHES, SKIMAGE, photograph_crops, track_texture_crops
from pretraining.scenes import scene
from pretraining.training import Settings, Trainer

app = cyclopts.App(name="pretraining", help="Make the bundled weights of napari-synth.")
log = logging.getLogger("pretraining")

_SHARD = 300

What = Literal["denoise", "super-resolution", "inpaint"]


@dataclass(frozen=True)
class Course:
    """All that belongs to the training of one bundled network.

    Parameters
    ----------
    lesson : Lesson
    evaluate : callable
        Measures the network.
    text : CardText
    trainer : type
    without_benches : bool
        Whether it is trained without what the bench of inpainting shows.
    """

    lesson: Any
    evaluate: Callable[..., Figures]
    text: CardText
    trainer: type[Trainer] = Trainer
    without_benches: bool = False


COURSES: dict[What, Course] = {
    "denoise": Course(Denoising(), evaluate_denoiser, DENOISER),
    "super-resolution": Course(Enlarging(), evaluate_enlarger, ENLARGER),
    "inpaint": Course(Inpainting(), evaluate_inpainter, INPAINTER, AdversarialTrainer, without_benches=True),
}


@app.command
def data(*, out: Path, photos: Path | None = None, scenes: int = 1200, without_benches: bool = False) -> None:
    """Make the training crops; shards that exist are kept.

    Parameters
    ----------
    out
        Folder of the crops.
    photos
        Folder into which the Debian packages of PHOTOGRAPHS.md were unpacked.
    scenes
        Number of generated images.
    without_benches
        Leave out what the bench of inpainting shows.
    """
    shipped = NOT_IN_BENCHES if without_benches else SKIMAGE
    if not any(out.glob("photographs*")):
        log.info("%d crops of photographs", write_shard(out, "photographs", photograph_crops(photos, shipped=shipped)))
        if photos is not None:
            textures = write_shard(out, "photographs-of-tracks", track_texture_crops(photos))
            log.info("%d crops of textures of tracks", textures)
    missing = [start for start in range(0, scenes, _SHARD) if not (out / f"generated-{start // _SHARD}.npy").exists()]
    if not missing:
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for start in missing:
            name = f"generated-{start // _SHARD}"
            images = pool.map(scene, range(start, start + _SHARD), chunksize=10)
            log.info("%s: %d images", name, write_shard(out, name, images))


@app.command
def pack(*, crops: Path, out: Path) -> None:
    """Write the photographs among the training crops as 8-bit PNG, small enough to be sent to another machine.

    Parameters
    ----------
    crops
        Folder of the training crops.
    out
        Folder of the files, to be given as --crops on the other machine.
    """
    log.info("%.1f MB of photographs", pack_crops(crops, out) / 1e6)


@app.default
def train(
    what: What,
    /,
    *,
    minutes: float,
    out: Path,
    photos: Path | None = None,
    crops: Path | None = None,
    scenes: int = 1200,
    batch: int | None = None,
    learning_rate: float = 4e-3,
    start: Path | None = None,
    resume: bool = False,
    device: Annotated[str, cyclopts.Parameter(help="auto, cpu or cuda.")] = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    report_minutes: float = 10.0,
    piece_minutes: float = math.inf,
) -> None:
    """Train a bundled network; Ctrl-C or SIGTERM stops it with a checkpoint, and --resume goes on from there.

    Parameters
    ----------
    what
        Which network.
    minutes
        Length of the whole run, pauses not counted.
    out
        Folder of the checkpoint, the learning curve and the exported model.
    photos
        Folder into which the Debian packages of PHOTOGRAPHS.md were unpacked.
    crops
        Folder of the training crops, made where they are missing; by default ``crops`` in `out`.
    scenes
        Number of generated images.
    batch
        Patches a step; where it is left out, what the lesson was tried with.
    learning_rate
        The highest.
    start
        A model file to begin with instead of fresh weights.
    resume
        Go on from the checkpoint in `out`.
    precision
        Of the network's computations; by default bfloat16 on CUDA. On processors with AVX-512 BF16 it is twice as fast, too.
    report_minutes
        Time between validations.
    piece_minutes
        Stop with a checkpoint after so long, to go on with --resume: the learning rate follows the length of the whole run.
    """
    ends = time.monotonic() + 60.0 * piece_minutes
    folder = crops or out / "crops"
    course = COURSES[what]
    data(out=folder, photos=photos, scenes=scenes, without_benches=course.without_benches)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    lesson = course.lesson if batch is None else replace(course.lesson, batch=batch)
    half = chosen == "cuda" if precision == "auto" else precision == "bfloat16"
    settings = Settings(minutes=minutes, learning_rate=learning_rate, report_seconds=60.0 * report_minutes, half=half)
    trainer = course.trainer(out, CropStore.open(folder, chosen), lesson, settings, torch.device(chosen))
    if start is not None:
        trainer.start_from(load_model(start)[0].state_dict())
    if resume:
        trainer.resume()
    command = (
        f"python -m pretraining {what} --minutes {minutes:g} --batch {lesson.batch} --learning-rate {learning_rate:g}"
    )
    if half:
        command += " --precision bfloat16"
    if start is not None:
        command += f" --start {start.name}"
    signals = itertools.count()
    received = {"stop": False}

    def stop(number: int, frame: object) -> None:
        received["stop"] = True
        if next(signals) > 0:
            sys.exit(128 + number)

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)

    def report(state: Trainer) -> None:
        figures = course.evaluate(state.average, state.device)
        means = {kind: round(row["mean"], 3) for kind, row in figures.items()}
        state.note({"psnr": figures})
        export(course.text, state.average, out, figures, command, version=f"1.{state.step}")
        log.info("step %d, %.1f min, loss %.5f, %s", state.step, state.elapsed / 60.0, state.loss, means)

    log.info("%d crops, on %s", len(trainer.store), chosen)
    trainer.run(report, lambda: received["stop"] or time.monotonic() > ends)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    app()
