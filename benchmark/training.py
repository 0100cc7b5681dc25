"""``bench train``: steps per second of the session beside a plain PyTorch loop and CAREamics', with the same network and batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmark.careamics_steps import careamics_speed
from benchmark.report import Report, Table, load
from benchmark.scenes import GAUSSIAN_25, six_images
from napari_synth.contract.trainable import Augmentation
from napari_synth.core.device import Device, resolve_device
from napari_synth.imaging.image import Image
from napari_synth.networks.blocks import channels_last
from napari_synth.networks.residual_unet import ResidualUNet
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.distributed import training_precision
from napari_synth.training.optim import Budget, FitSettings
from napari_synth.training.patches import PatchRegion, PatchSampler
from napari_synth.training.trainer import Trainer
from napari_synth.training.training_module import Networks, StepContext, TrainingModule

_TARGET = 1.05
_PATCH, _BATCH = 64, 8
_STEPS, _QUICK_STEPS = 60, 4
_RATE = 1e-3


class _Pairs(TrainingModule):
    """The network of the plain loop, in a session."""

    def __init__(self, network: nn.Module, pool: PatchSampler) -> None:
        self.networks: Networks = {"network": network}
        self.pool = pool

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        return {"network": [torch.optim.Adam(self.networks["network"].parameters(), lr=_RATE)]}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        pixels = self.pool.sample(work.batch_size, work.generator)
        loss = (work.networks["network"](pixels[:, :1]) - pixels[:, 1:]).abs().mean()
        work.update("network", loss)
        return {"loss": loss}


def bench_training(
    *,
    quick: bool = False,
    device: str = "auto",
    repeats: int = 3,
    careamics: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure the overhead of the session over a plain loop.

    Both draw from the same pool with the same generator and take the same steps of Adam. The session keeps a running average of the
    weights, clips gradients, and watches the loss besides; a second plain loop does the first two as well, and a second session
    augments its patches. CAREamics trains the same network on patches of the same images, with batches and transforms of its own,
    and is compared with a plain loop in its own environment.

    Parameters
    ----------
    quick : bool
        Few steps.
    device : str
        See `napari_synth.core.device.resolve_device`.
    repeats : int
        All are run in turn so many times; the quickest counts.
    careamics : str, optional
        Interpreter of an environment that has CAREamics; this one where it is left out.
    say : callable
        Told of every figure.
    """
    report = Report("Training")
    place = resolve_device(device)
    steps = _QUICK_STEPS if quick else _STEPS
    pair = _pair()
    pool, augmented = _pool(pair, place, "none"), _pool(pair, place, "light-microscopy")
    loops: dict[str, Callable[[int], None]] = {
        "plain PyTorch": lambda count: _plain(pool, place, count, averages=False),
        "plain PyTorch with average and clipping": lambda count: _plain(pool, place, count, averages=True),
        "session": lambda count: _session(pool, place, count),
        "session, augmented": lambda count: _session(augmented, place, count),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(2)
    for _ in range(repeats):
        for name, loop in loops.items():
            # What comes before the first step is the same for all, and is taken off.
            seconds[name].append(_timed(partial(loop, steps + 1), place) - _timed(partial(loop, 1), place))
    best = {name: min(values) for name, values in seconds.items()}
    rows: list[tuple[str | float | None, ...]] = [
        (name, steps / value, value / best["plain PyTorch"]) for name, value in best.items()
    ]
    peer = careamics_speed(
        pair, steps=steps, batch=_BATCH, patch=_PATCH, device=place.kind, rate=_RATE, python=careamics
    )
    if peer is None:
        rows.append(("CAREamics: not installed", None, None))
    else:
        there = f"torch {peer.torch}, one batch"
        rows.append((f"plain PyTorch ({there})", steps / peer.plain_seconds, None))
        rows.append((f"CAREamics {peer.version} (over that)", steps / peer.seconds, peer.seconds / peer.plain_seconds))
    clock = "seconds of the processor" if place.kind == "cpu" else "seconds"
    report.tables.append(
        Table(
            f"U-Net, {_BATCH} patches of {_PATCH} x {_PATCH} on {place.title}, {training_precision(place)}, in {clock}",
            ("loop", "steps a second", "times the plain loop"),
            tuple(rows),
            digits=3,
        )
    )
    ratio = best["session"] / best["plain PyTorch"]
    reached = "is within" if ratio <= _TARGET else "is above"
    report.remarks.append(
        f"A step of the session over one of the plain loop: {ratio:.3f}, which {reached} {_TARGET:.2f}."
    )
    say(report.remarks[-1])
    report.machine["load at the end"] = load()
    return report


def _pair() -> npt.NDArray[np.float32]:
    """Return a noisy and a clean image, (2, Y, X)."""
    clean = six_images()[0].clean
    return np.stack([GAUSSIAN_25.added(clean, 0), clean]).astype(np.float32) / 255.0


def _pool(pair: npt.NDArray[np.float32], place: Device, augmentation: Augmentation) -> PatchSampler:
    chosen, _ = patch_augmentation(augmentation, [Image(pair[0], "YX")], "YX", sources=1)
    return PatchSampler([PatchRegion(pair)], (_PATCH, _PATCH), place.torch_name, sources=1, augmentation=chosen)


def _network(place: Device) -> nn.Module:
    return channels_last(ResidualUNet(generator=torch.Generator().manual_seed(0)).to(place.torch_name))


def _plain(pool: PatchSampler, place: Device, steps: int, *, averages: bool) -> None:
    """Train as a tutorial would."""
    network = _network(place).train()
    rule: Any = get_ema_multi_avg_fn(0.99)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=rule)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    generator = torch.Generator(place.torch_name).manual_seed(0)
    half = torch.bfloat16 if training_precision(place) == "bf16-mixed" else None
    for _ in range(steps):
        pixels = pool.sample(_BATCH, generator)
        with torch.autocast(place.kind, half, enabled=half is not None):
            restored = network(pixels[:, :1])
        loss = (restored.float() - pixels[:, 1:]).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if averages:
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if averages:
            average.update_parameters(network)


def _session(pool: PatchSampler, place: Device, steps: int) -> None:
    generator = torch.Generator(place.torch_name).manual_seed(0)
    settings = FitSettings(batch_size=_BATCH, validations=0)
    Trainer(_Pairs(_network(place), pool), Budget(steps=steps), place, generator, settings=settings).run()


def _timed(work: Callable[[], None], place: Device) -> float:
    """Return the seconds that something takes: of all threads on the CPU, which other work disturbs less, else by the clock."""
    clock = time.process_time if place.kind == "cpu" else time.perf_counter
    start = clock()
    work()
    if place.kind == "cuda":
        torch.cuda.synchronize()
    return clock() - start
