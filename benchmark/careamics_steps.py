"""Steps per second of CAREamics' training loop with our network, for ``bench train``; run by an interpreter that has CAREamics.

It may be one of another environment, with other versions of torch; of this package it needs no more than the networks.
Beside it runs a plain loop over one batch, which tells what the network itself takes there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_synth.networks.blocks import channels_last
from napari_synth.networks.residual_unet import ResidualUNet

_ROOT = Path(__file__).resolve().parents[1]
# A file that is run by its name would find the module beside it that is called as the package it imports.
_RUN = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
_MOST_SECONDS = 900


@dataclass(frozen=True)
class PeerSpeed:
    """What was measured.

    Attributes
    ----------
    version, torch : str
        Of CAREamics, and of the torch that it runs on.
    seconds, plain_seconds : float
        Of all steps of its loop, and of as many of a plain one there.
    """

    version: str
    torch: str
    seconds: float
    plain_seconds: float


def careamics_speed(
    pair: npt.NDArray[np.float32],
    *,
    steps: int,
    batch: int,
    patch: int,
    device: str,
    rate: float,
    python: str | None = None,
) -> PeerSpeed | None:
    """Measure CAREamics, or return None where it is not installed.

    Parameters
    ----------
    pair : numpy.ndarray, (2, Y, X), float32
        A noisy and a clean image.
    steps, batch, patch : int
    device : {"cpu", "cuda"}
    rate : float
        Learning rate of Adam.
    python : str, optional
        The interpreter of an environment that has CAREamics; this one where it is left out.

    Raises
    ------
    SystemExit
        It is installed and fails.
    """
    if python is None and importlib.util.find_spec("careamics") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, said = Path(folder) / "pair.npy", Path(folder) / "said.json"
        np.save(source, pair)
        command = [python or sys.executable, "-c", _RUN, str(source), str(said), "--steps", str(steps)]
        command += ["--batch", str(batch), "--patch", str(patch), "--device", device, "--rate", str(rate)]
        command += ["--threads", str(torch.get_num_threads())]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        finished = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_MOST_SECONDS,
        )
        if finished.returncode:
            raise SystemExit(f"CAREamics failed: {finished.stderr[-2000:]}")
        return PeerSpeed(**json.loads(said.read_text()))


def main(arguments: list[str] | None = None) -> None:
    """Train CAREamics and a plain loop, and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = np.load(options.pair)
    plain = _plain(pair, options)
    version, seconds = _careamics(pair, options)
    measured = {"version": version, "torch": torch.__version__, "seconds": seconds, "plain_seconds": plain}
    options.out.write_text(json.dumps(measured))


def _clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _network() -> nn.Module:
    return channels_last(ResidualUNet(generator=torch.Generator().manual_seed(0)))


def _plain(pair: npt.NDArray[np.float32], options: argparse.Namespace) -> float:
    network = _network().to(options.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.rate)
    batch = torch.from_numpy(pair[:, None, : options.patch, : options.patch]).to(options.device)
    source, target = (image[None].repeat(options.batch, 1, 1, 1) for image in batch)
    begun = 0.0
    for step in range(options.steps + 1):
        loss = (network(source) - target).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        begun = begun if step else _clock(options.device)
    return _clock(options.device) - begun


def _careamics(pair: npt.NDArray[np.float32], options: argparse.Namespace) -> tuple[str, float]:
    import careamics  # type: ignore[import-not-found]
    from careamics.config.factories import create_advanced_care_config  # type: ignore[import-not-found]
    from lightning.pytorch import Callback

    class Watch(Callback):  # type: ignore[misc]
        """Notes when steps end."""

        def on_train_batch_end(self, *_: Any) -> None:
            ends.append(_clock(options.device))

    ends: list[float] = []
    config = create_advanced_care_config(
        experiment_name="steps",
        data_type="array",
        axes="SYX",
        patch_size=[options.patch, options.patch],
        batch_size=options.batch,
        num_epochs=1,
        num_steps=options.steps + 1,
        num_workers=0,
        optimizer_params={"lr": options.rate},
        trainer_params={"accelerator": "gpu" if options.device == "cuda" else "cpu", "devices": 1},
        seed=1,
    )
    trainer = careamics.CAREamist(config, work_dir=options.pair.parent, callbacks=[Watch()], enable_progress_bar=False)
    trainer.model.model = _network()
    # An epoch is as long as its images have patches that do not overlap, but for those it validates on.
    copies = 2 + (options.steps + 2) * options.batch * options.patch**2 // pair[0].size
    source, target = (np.repeat(image[None], copies, axis=0) for image in pair)
    trainer.train(train_data=source, train_data_target=target)
    return str(careamics.__version__), ends[options.steps] - ends[0]


if __name__ == "__main__":
    main()
