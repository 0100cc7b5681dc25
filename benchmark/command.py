"""Reads the command line of ``napari-synth bench``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from benchmark.report import Report, load
from napari_synth.core.errors import InvalidParameterError

Out = Annotated[Path | None, Parameter(name="--out", help="Write the report there too: .md or .json.")]
Quick = Annotated[bool, Parameter(name="--quick", negative=(), help="Small images: whether it works, not how well.")]
_MODULES_TAKING_THE_REST = {"gui": "benchmark.gui", "careamics": "benchmark.careamics"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark, say its report, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = _build_app()(words or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
    return int(code or 0)


def _build_app() -> App:
    app = App(name="napari-synth bench", help="Measure quality and speed beside the peers.", help_format="plaintext")
    app.command(_denoise, name="denoise")
    app.command(_neighbours, name="neighbours")
    app.command(_deconvolve, name="deconvolve")
    app.command(_correct, name="correct")
    app.command(_super_resolution, name="super-resolution")
    app.command(_isotropic, name="isotropic")
    app.command(_inpaint, name="inpaint")
    app.command(_translate, name="translate")
    app.command(_predict_frames, name="predict-frames")
    app.command(_synthesize, name="synthesize")
    app.command(_ladder, name="ladder")
    app.command(_augment, name="augment")
    app.command(_runner, name="runner")
    app.command(_large, name="large")
    app.command(_batch, name="batch")
    app.command(_assess, name="assess")
    app.command(_curate, name="curate")
    app.command(_start, name="start")
    app.command(_train, name="train")
    for name, sentence in (
        ("gui", "napari's start with and without the plugin, and the longest block of its main thread."),
        ("careamics", "Training on the image itself against CAREamics, which needs an environment of its own."),
    ):
        app.command(App(name=name, help=sentence, help_flags=[], version_flags=[]))
    app["gui"].default(_gui)
    app["careamics"].default(_careamics)
    return app


def _denoise(
    *,
    set12: Annotated[Path | None, Parameter(help="Folder with the twelve gray images of Set12.")] = None,
    quick: Quick = False,
    bm3d: Annotated[bool, Parameter(help="Compare with BM3D too, which takes most of the time.")] = True,
    told: Annotated[
        bool, Parameter(negative=(), help="Compare with BM3D that is told the true noise as well.")
    ] = False,
    out: Out = None,
) -> int:
    """Compare PSNR, SSIM and seconds of all methods, everything estimated from the noisy image."""
    from benchmark.quality import bench_denoise

    _check(out)
    return _finish(bench_denoise(set12=set12, quick=quick, with_bm3d=bm3d, told=told, say=_say), out)


def _neighbours(*, quick: Quick = False, out: Out = None) -> int:
    """Compare movies that drift and volumes, restored plane by plane and with what else shows the same."""
    from benchmark.neighbours import bench_neighbours

    _check(out)
    return _finish(bench_neighbours(quick=quick, say=_say), out)


def _deconvolve(
    *,
    quick: Quick = False,
    volumes: Annotated[bool, Parameter(help="Measure a volume too, which takes most of the time.")] = True,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    out: Out = None,
) -> int:
    """Compare deconvolution with scikit-image: PSNR on planes and on a volume, time, and what is lost at the borders."""
    from benchmark.deconvolution import bench_deconvolve

    _check(out)
    return _finish(bench_deconvolve(quick=quick, volumes=volumes, device=device, say=_say), out)


def _correct(
    *,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    out: Out = None,
) -> int:
    """Measure flat field, stripes, bleaching and chromatic shift against known truths."""
    from benchmark.correction import bench_correct

    _check(out)
    return _finish(bench_correct(quick=quick, device=device, say=_say), out)


def _super_resolution(
    *,
    set5: Annotated[
        Path | None, Parameter(help="Folder with the pairs of Set5, NAME_x2_HR.png and NAME_x2_LR.png.")
    ] = None,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    out: Out = None,
) -> int:
    """Compare super-resolution with interpolation: PSNR, SSIM and seconds."""
    from benchmark.enlarging import bench_super_resolution

    _check(out)
    return _finish(bench_super_resolution(set5=set5, quick=quick, device=device, say=_say), out)


def _isotropic(
    *,
    edge: Annotated[int | None, Parameter(help="Of the drawn volume in voxels; 256 where left out.")] = None,
    volume: Annotated[Path | None, Parameter(help="A file with a volume of cubic voxels, to be measured too.")] = None,
    minutes: Annotated[float | None, Parameter(help="How long to train; 1 where left out.")] = None,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    out: Out = None,
) -> int:
    """Compare volumes made isotropic with interpolation, on the planes that were not measured."""
    from benchmark.isotropic import bench_isotropic

    _check(out)
    if edge is not None and edge < 32:
        raise InvalidParameterError(f"A volume of {edge} voxels cannot be: give an edge of at least 32.")
    report = bench_isotropic(edge=edge, volume=volume, minutes=minutes, quick=quick, device=device, say=_say)
    return _finish(report, out)


def _inpaint(
    *,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    mosaic: Annotated[
        Path | None, Parameter(help="Write what every method made of the crops there, as PNG: one file a kind of hole.")
    ] = None,
    out: Out = None,
) -> int:
    """Compare inpainting with scikit-image and OpenCV: PSNR, SSIM, texture and seconds inside the holes."""
    from benchmark.inpainting import bench_inpaint

    _check(out)
    if mosaic is not None and not (mosaic.suffix == ".png" and mosaic.resolve().parent.is_dir()):
        raise InvalidParameterError(
            f"Pictures cannot be written to {str(mosaic)!r}: name it .png, in a folder that exists."
        )
    return _finish(bench_inpaint(quick=quick, device=device, mosaic=mosaic, say=_say), out)


def _translate(
    *,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    mosaic: Annotated[Path | None, Parameter(help="Write a picture of all results there, as PNG.")] = None,
    minutes: Annotated[float | None, Parameter(help="Of each training; 3 where left out.")] = None,
    pictures: Annotated[Path | None, Parameter(help="Write PNGs of what was learnt into this folder.")] = None,
    out: Out = None,
) -> int:
    """Compare stains, colours, intensities and texture with those of references, and what is learnt with the truth."""
    from benchmark.paired import MINUTES
    from benchmark.translation import bench_translate

    _check(out)
    if mosaic is not None and not (mosaic.suffix == ".png" and mosaic.resolve().parent.is_dir()):
        raise InvalidParameterError(
            f"A picture cannot be written to {str(mosaic)!r}: name it .png, in a folder that is there."
        )
    if minutes is not None and minutes <= 0:
        raise InvalidParameterError(f"{minutes:g} minutes of training cannot be: give more than 0.")
    if pictures is not None and not pictures.is_dir():
        raise InvalidParameterError(f"Pictures cannot be written to {str(pictures)!r}: name a folder that is there.")
    report = bench_translate(
        quick=quick, device=device, mosaic=mosaic, minutes=minutes or MINUTES, pictures=pictures, say=_say
    )
    return _finish(report, out)


def _predict_frames(
    *,
    minutes: Annotated[
        float | None, Parameter(help="How long each network is trained on each kind of movie; 3 where left out.")
    ] = None,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    pictures: Annotated[Path | None, Parameter(help="Folder for a picture of each kind of movie.")] = None,
    out: Out = None,
) -> int:
    """Compare networks trained on movies with copies, lines and optical flow: next, tenth and missing frames."""
    from benchmark.sequences import bench_predict_frames

    _check(out)
    if minutes is not None and not minutes > 0:
        raise InvalidParameterError(f"{minutes:g} minutes of training cannot be: give a number above 0.")
    report = bench_predict_frames(minutes=minutes, quick=quick, device=device, pictures=pictures, say=_say)
    return _finish(report, out)


def _synthesize(
    *,
    minutes: Annotated[float | None, Parameter(help="How long each model is trained; 3 where left out.")] = None,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    pictures: Annotated[Path | None, Parameter(help="Folder for a picture of each kind of images.")] = None,
    out: Out = None,
) -> int:
    """Compare images of DCGAN, FastGAN, VAE, VAE-GAN and flow matching with real crops: distance, precision, spectrum."""
    from benchmark.synthesis import bench_synthesize

    _check(out)
    _check_training(minutes, pictures)
    report = bench_synthesize(minutes=minutes, quick=quick, device=device, pictures=pictures, say=_say)
    return _finish(report, out)


def _ladder(
    *,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    out: Out = None,
) -> int:
    """Hold every measure of made images to crops that are spoilt in known ways."""
    from benchmark.ladder import bench_ladder

    _check(out)
    return _finish(bench_ladder(quick=quick, device=device, say=_say), out)


def _augment(
    *,
    rounds: Annotated[int | None, Parameter(help="Turns of each library; 15 where left out.")] = None,
    quick: Quick = False,
    out: Out = None,
) -> int:
    """Check that image, labels and points move together, and compare images per second with kornia and others."""
    from benchmark.augmentation import bench_augment

    _check(out)
    if rounds is not None and rounds < 1:
        raise InvalidParameterError(f"{rounds} turns cannot be: give at least 1.")
    return _finish(bench_augment(quick=quick, rounds=rounds, say=_say), out)


def _runner(
    *,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    out: Out = None,
) -> int:
    """Compare the runner with the bare network, and tiles with the whole."""
    from benchmark.overhead import bench_runner

    _check(out)
    return _finish(bench_runner(quick=quick, device=device, say=_say), out)


def _large(
    *,
    size: Annotated[list[int] | None, Parameter(help="Edges in pixels; 5000 and 10000 where left out.")] = None,
    quick: Quick = False,
    folder: Annotated[Path | None, Parameter(help="Where the images lie meanwhile: 4 bytes a pixel.")] = None,
    out: Out = None,
) -> int:
    """Restore large OME-Zarrs on the CPU: peak memory, and time by size."""
    from benchmark.large import QUICK_SIZES, SIZES, bench_large

    _check(out)
    if size and min(size) < 1:
        raise InvalidParameterError(f"An image of {min(size)} pixels cannot be: give sizes of at least 1.")
    return _finish(bench_large(size or (QUICK_SIZES if quick else SIZES), folder=folder, say=_say), out)


def _start(
    *,
    repeats: Annotated[int, Parameter(help="How often each is started.")] = 5,
    quick: Quick = False,
    out: Out = None,
) -> int:
    """Measure what the first commands cost before an image is read: processor time, and the libraries they load."""
    from benchmark.starting import bench_start

    _check(out)
    if repeats < 1:
        raise InvalidParameterError(f"{repeats} starts cannot be measured: give a number of at least 1.")
    return _finish(bench_start(1 if quick else repeats, say=_say), out)


def _batch(
    *,
    kills: Annotated[int | None, Parameter(help="Of the run over blocks; 10 where left out.")] = None,
    files: Annotated[int | None, Parameter(help="Of the batch with three bad ones; 300 where left out.")] = None,
    soak: Annotated[
        int | None, Parameter(help="Small images in one process; 1000 where left out, 20000 to be sure.")
    ] = None,
    only: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="A part that alone is measured, given again for each: kills, workers (needs the extra cluster), shards, files,"
            " cost, plan, soak.",
        ),
    ] = None,
    quick: Quick = False,
    out: Out = None,
) -> int:
    """Kill batches at random moments, tear files, lose workers, and go through many small images."""
    from dataclasses import replace

    from benchmark.batches import PARTS, QUICK, Size, bench_batch

    _check(out)
    for name, value, least in (("kills", kills, 1), ("files", files, 6), ("soak", soak, 10)):
        if value is not None and value < least:
            raise InvalidParameterError(f"--{name} {value} cannot be: give at least {least}.")
    if unknown := next((part for part in only or () if part not in PARTS), None):
        raise InvalidParameterError(f"There is no part {unknown!r}: take of {', '.join(PARTS)}.")
    given = {name: value for name, value in (("kills", kills), ("files", files), ("soak", soak)) if value is not None}
    return _finish(bench_batch(replace(QUICK if quick else Size(), **given), parts=only or (), say=_say), out)


def _assess(*, quick: Quick = False, out: Out = None) -> int:
    """Measure how well sharp is told from blurred at unknown noise, and duplicates under shift and noise."""
    from benchmark.assessing import bench_assess

    _check(out)
    return _finish(bench_assess(quick=quick, say=_say), out)


def _curate(
    *,
    rows: Annotated[int | None, Parameter(help="Images on the board; 10000 where left out.")] = None,
    quick: Quick = False,
    out: Out = None,
) -> int:
    """Measure the time to the next image of the board and the memory of many rows; needs a display."""
    from benchmark.board import bench_curate

    _check(out)
    if rows is not None and rows < 100:
        raise InvalidParameterError(f"A board of {rows} images cannot be measured: give at least 100.")
    return _finish(bench_curate(rows or (200 if quick else 10_000), steps=8 if quick else 40, say=_say), out)


def _gui(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> int:
    return _hand_over("gui", arguments)


def _train(
    *,
    quick: Quick = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    careamics: Annotated[
        str | None, Parameter(help="Interpreter of an environment that has CAREamics; this one where left out.")
    ] = None,
    part: Annotated[
        Literal["all", "loop", "synthesize", "predict-frames"],
        Parameter(help="Speed of the loop, makers of images, predictors of frames (each a bench of its own), or all."),
    ] = "all",
    minutes: Annotated[float | None, Parameter(help="How long each model is trained; 3 where left out.")] = None,
    pictures: Annotated[Path | None, Parameter(help="Folder for pictures of what models make.")] = None,
    out: Out = None,
) -> int:
    """Compare our training loop with plain PyTorch and CAREamics, and what is made by models with real images and frames."""
    from benchmark.sequences import bench_predict_frames
    from benchmark.synthesis import bench_synthesize
    from benchmark.training import bench_training

    _check(out)
    _check_training(minutes, pictures)
    report = Report("Training")
    if part in {"all", "loop"}:
        report.add(bench_training(quick=quick, device=device, careamics=careamics, say=_say))
    for name, bench in (("synthesize", bench_synthesize), ("predict-frames", bench_predict_frames)):
        if part in {"all", name}:
            report.add(bench(minutes=minutes, quick=quick, device=device, pictures=pictures, say=_say))
    report.machine["load at the end"] = load()
    return _finish(report, out)


def _careamics(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> int:
    return _hand_over("careamics", arguments)


def _hand_over(name: str, arguments: Sequence[str]) -> int:
    """Let a module that reads its own command line do the work."""
    from importlib import import_module

    return int(import_module(_MODULES_TAKING_THE_REST[name]).main(list(arguments)) or 0)


def _check(out: Path | None) -> None:
    """Say before the work begins that its report will have no place."""
    if out is not None and not out.resolve().parent.is_dir():
        raise InvalidParameterError(f"The folder of the report {str(out)!r} does not exist: make it first.")
    if out is not None and out.suffix not in {".md", ".json"}:
        raise InvalidParameterError(f"A report cannot be written as {out.suffix or str(out)!r}: name it .md or .json.")


def _check_training(minutes: float | None, pictures: Path | None) -> None:
    """Say before hours of training what would spoil them."""
    if minutes is not None and not minutes > 0:
        raise InvalidParameterError(f"{minutes:g} minutes of training cannot be: give a number above 0.")
    if pictures is not None and not pictures.is_dir():
        raise InvalidParameterError(f"Pictures cannot be written to {str(pictures)!r}: name a folder that is there.")


def _finish(report: Report, out: Path | None) -> int:
    sys.stdout.write("\n" + report.to_markdown())
    if out is not None:
        report.write(out)
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
