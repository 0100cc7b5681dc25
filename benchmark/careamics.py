"""Compares ``denoise/noise2void`` with CAREamics' Noise2Void: same image, same minutes, same threads, one after the other.

CAREamics lives in an environment of its own, because it brings other versions of torch::

    python -m venv careamics-env && careamics-env/bin/pip install careamics
    python -m benchmark.careamics careamics-env/bin/python --minutes 1 5

The minutes are those of training; preparing and predicting come on top for both. On a machine that is busy with other work, count
them in processor time (``--processor-time``), which neither loses to the others. CAREamics trains with its defaults for patches of
64 pixels in batches of 16; the image is given to it several times over, so that its epochs are not only four steps long.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_COPIES = 16
_PILOT = 40


def main(arguments: list[str] | None = None) -> None:
    """Train both in turn and write a table of PSNR to the standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="interpreter of an environment with CAREamics")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 5.0])
    parser.add_argument("--sigma", type=float, default=25.0, help="standard deviation of the noise, of 255")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor-time", action="store_true", help="minutes of the processor, not of the clock")
    parser.add_argument("--peer", nargs=2, metavar=("IN", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.peer:
        _train_peer(Path(options.peer[0]), Path(options.peer[1]), options)
        return
    clean, noisy = _camera(options.sigma)
    _say("method", "minutes", "steps", "CPU s", "load", "PSNR")
    _say("noisy", "", "", "", "", f"{_psnr(noisy, clean):.2f}")
    for minutes in options.minutes:
        for name, run in (("CAREamics", _run_peer), ("napari-synth", _run_own)):
            restored, steps, seconds = run(noisy, minutes, options)
            load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"
            _say(name, f"{minutes:g}", str(steps), f"{seconds:.0f}", load, f"{_psnr(restored, clean):.2f}")


def _camera(sigma: float) -> tuple[Doubles, npt.NDArray[np.float32]]:
    from skimage import data

    clean = np.asarray(data.camera()) / 255.0
    noise = np.random.default_rng(0).normal(0.0, sigma / 255.0, clean.shape)
    return clean, (clean + noise).astype(np.float32)


def _run_own(noisy: npt.NDArray[np.float32], minutes: float, options: argparse.Namespace) -> tuple[Any, int, float]:
    import torch

    from napari_synth import verbs
    from napari_synth.core.progress import Progress
    from napari_synth.imaging.image import Image

    steps = 0

    def count(progress: Progress) -> None:
        nonlocal steps
        steps = progress.done if progress.stage == "Training" else steps

    torch.set_num_threads(options.threads)
    image, params = Image(noisy, "YX"), {"minutes": minutes}
    if options.processor_time:
        verbs.prepare("denoise/noise2void", image, {"steps": 10}, device="cpu")
        start = time.process_time()
        verbs.prepare("denoise/noise2void", image, {"steps": _PILOT}, device="cpu")
        params = {"steps": round(60.0 * minutes * _PILOT / (time.process_time() - start))}
    start = time.process_time()
    run = verbs.prepare("denoise/noise2void", image, params, device="cpu", progress=count)
    restored = run.compute()
    return restored, steps, time.process_time() - start


def _run_peer(noisy: npt.NDArray[np.float32], minutes: float, options: argparse.Namespace) -> tuple[Any, int, float]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "noisy.npy", Path(folder) / "restored.npy"
        np.save(source, noisy)
        # Isolated, because this file has the name of the package that it imports there.
        command = [options.python, "-I", __file__, options.python, "--minutes", str(minutes)]
        command += ["--threads", str(options.threads), "--peer", str(source), str(target)]
        command += ["--processor-time"] if options.processor_time else []
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise SystemExit(f"CAREamics failed: {finished.stderr[-2000:]}")
        said = json.loads(target.with_suffix(".json").read_text())
        return np.load(target), said["steps"], said["seconds"]


def _train_peer(source: Path, target: Path, options: argparse.Namespace) -> None:
    """Train CAREamics, in its own environment."""
    import torch
    from careamics import CAREamist  # type: ignore[import-not-found]
    from careamics.config.factories import create_advanced_n2v_config  # type: ignore[import-not-found]
    from pytorch_lightning import Callback  # type: ignore[import-not-found]

    budget = 60.0 * options.minutes[0]

    class ProcessorTime(Callback):  # type: ignore[misc]
        """Ends the training when the processor has worked on it for so long."""

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            trainer.should_stop = trainer.should_stop or time.process_time() - start > budget

    torch.set_num_threads(options.threads)
    noisy = np.load(source)
    config = create_advanced_n2v_config(
        experiment_name="camera",
        data_type="array",
        axes="SYX",
        patch_size=[64, 64],
        batch_size=16,
        num_epochs=100_000,
        num_workers=0,
        trainer_params={"accelerator": "cpu"} | ({} if options.processor_time else {"max_time": {"seconds": budget}}),
        seed=1,
    )
    start = time.process_time()
    callbacks = [ProcessorTime()] if options.processor_time else []
    trainer = CAREamist(config, work_dir=source.parent, callbacks=callbacks, enable_progress_bar=False)
    trainer.train(train_data=np.repeat(noisy[None], _COPIES, axis=0))
    predictions, _ = trainer.predict(noisy, axes="YX", batch_size=1)
    seconds = time.process_time() - start
    np.save(target, np.asarray(predictions[0], dtype=np.float32).reshape(noisy.shape))
    target.with_suffix(".json").write_text(json.dumps({"steps": int(trainer.trainer.global_step), "seconds": seconds}))


def _psnr(image: npt.ArrayLike, clean: Doubles) -> float:
    error = np.mean((np.clip(np.asarray(image, dtype=np.float64), 0.0, 1.0) - clean) ** 2)
    return float(10.0 * np.log10(1.0 / error))


def _say(*cells: str) -> None:
    sys.stdout.write("  ".join(f"{cell:>12}" for cell in cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
