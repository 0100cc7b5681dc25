"""``bench runner``: what the runner costs over the bare network, and how near tiles are to the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from benchmark.report import Report, Table, load
from benchmark.scenes import GAUSSIAN_25, six_images
from napari_synth.contract.generator import Prepared
from napari_synth.core.device import Device
from napari_synth.engine.image_run import PreparedImage
from napari_synth.imaging.image import Image
from napari_synth.models import bundled, load_model
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet
from napari_synth.verbs import prepare

_TARGET_RATIO = 1.10
_EDGE, _QUICK_EDGE = 2048, 512
_PIECE = 512
_FIELD, _QUICK_FIELD = 1024, 448
_TILE, _QUICK_TILE = 256, 128
# The map of noise levels looks at a few pixels around each, before the network does.
_BEYOND_NETWORK = 8


class WithHalo(Prepared):
    """A prepared generator whose blocks get another halo.

    Parameters
    ----------
    prepared : Prepared
    halo : int
        Pixels along Y and X.
    """

    def __init__(self, prepared: Prepared, halo: int) -> None:
        self._prepared = prepared
        self.spec = replace(prepared.spec, halo=(halo,) * len(prepared.spec.halo))

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        """Restore one batch of blocks; see `Prepared.apply`."""
        return self._prepared.apply(block)


def bench_runner(
    *, quick: bool = False, device: str = "auto", repeats: int = 3, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Measure the overhead of the runner and the differences between tiles and the whole.

    Parameters
    ----------
    quick : bool
        A smaller image.
    device : str
        See `napari_synth.core.device.resolve_device`.
    repeats : int
        Both are run in turn so many times; the quickest counts.
    say : callable
        Told of every figure.
    """
    report = Report("The runner")
    edge = _QUICK_EDGE if quick else _EDGE
    noisy = _noisy(edge)
    start = time.perf_counter()
    run = prepare("denoise/blind", Image(noisy, "YX"), device=device)
    assert isinstance(run, PreparedImage)
    preparing = time.perf_counter() - start
    whole, pieces = _bare_network(run, noisy, edge), _bare_network(run, noisy, _PIECE)
    works: dict[str, Callable[[], Any]] = {"whole": whole, "pieces": pieces, "runner": run.compute}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(_timed(work, run))
    best = {name: min(values) for name, values in seconds.items()}
    ratio, harder = best["runner"] / best["whole"], best["runner"] / best["pieces"]
    report.tables.append(
        Table(
            f"{edge} x {edge} pixels on {run.device.title}, {run.device.precision}: seconds, best of {repeats}",
            ("work", "seconds"),
            (
                ("bare network, the whole at once", best["whole"]),
                (f"bare network, pieces of {_PIECE} without halo", best["pieces"]),
                ("runner", best["runner"]),
                ("measuring the noise, once an image", preparing),
            ),
            digits=3,
        )
    )
    reached = "is within" if ratio <= _TARGET_RATIO else "is above"
    report.remarks.append(
        f"Runner over the bare network on the whole: {ratio:.3f}, which {reached} {_TARGET_RATIO:.2f};"
        f" over pieces that fit the caches and have no halo: {harder:.3f}."
    )
    say(report.remarks[-1])
    _add_tiles(report, quick=quick, device=device, say=say)
    report.machine["load at the end"] = load()
    return report


def _noisy(edge: int) -> npt.NDArray[np.float32]:
    """Return the camera image, mirrored until it fills a square, with noise."""
    clean = six_images()[0].clean
    filled = np.pad(clean, [(0, max(0, edge - size)) for size in clean.shape], mode="symmetric")[:edge, :edge]
    return GAUSSIAN_25.added(filled, 0)


def _bare_network(run: PreparedImage, noisy: npt.NDArray[np.float32], edge: int) -> Callable[[], Any]:
    """Return a call of the network alone, on pieces of an image that is on the device already."""
    place = run.device
    loaded, _ = load_model(bundled("denoise-blind"))
    network = cast(NoiseConditionedUNet, loaded).eval()
    network.to(place.torch_name)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    channel = run.channels[0]
    image = torch.from_numpy(channel.intensity[0].forward(noisy))[None, None].to(place.torch_name)
    pieces = [piece.contiguous() for row in _split(image, edge, -2) for piece in _split(row, edge, -1)]
    sigma = torch.tensor(25.0 / channel.intensity[0].scale, device=place.torch_name).reshape(1, 1, 1, 1)
    correlation = torch.zeros(1, 2, device=place.torch_name)

    def call() -> Any:
        with torch.inference_mode(), _precision(place):
            return [network(piece, sigma, correlation) for piece in pieces]

    return call


def _split(image: torch.Tensor, edge: int, axis: int) -> list[torch.Tensor]:
    """Cut a tensor into pieces of at most ``edge`` pixels along an axis."""
    size = image.shape[axis]
    return [image.narrow(axis, start, min(edge, size - start)) for start in range(0, size, edge)]


def _precision(place: Device) -> Any:
    """Return the context in which the runner calls networks too."""
    return torch.autocast(place.kind, getattr(torch, place.precision), enabled=place.precision != "float32")


def _timed(work: Callable[[], Any], run: PreparedImage) -> float:
    """Return the seconds that something takes: of all threads on the CPU, which other work disturbs less, else by the clock."""
    clock = time.process_time if run.device.kind == "cpu" else time.perf_counter
    start = clock()
    work()
    if run.device.kind == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _add_tiles(report: Report, *, quick: bool, device: str, say: Callable[[str], None]) -> None:
    """Compare an image restored in tiles with the same image restored whole."""
    edge, tile = (_QUICK_FIELD, _QUICK_TILE) if quick else (_FIELD, _TILE)
    noisy = _noisy(edge)
    run = prepare("denoise/blind", Image(noisy, "YX"), device=device, precision="float32")
    assert isinstance(run, PreparedImage)
    whole = replace(run, options=replace(run.options, tile=edge)).compute()
    loaded, _ = load_model(bundled("denoise-blind"))
    covering = cast(NoiseConditionedUNet, loaded).receptive_field + _BEYOND_NETWORK
    default = run.channels[0].prepared.spec.halo[-1]
    rows: list[tuple[str | float | None, ...]] = []
    for title, halo, target in (("default", default, 1e-3), ("covers the receptive field", covering, 1e-5)):
        channels = tuple(replace(c, prepared=WithHalo(c.prepared, halo)) for c in run.channels)
        tiled = replace(run, channels=channels, options=replace(run.options, tile=tile)).compute()
        difference = float(np.abs(tiled - whole).max() / np.ptp(noisy))
        rows.append((title, str(halo), f"{difference:.1e}", f"{target:.0e}", "yes" if difference <= target else "no"))
        say(f"Tiles of {tile} with a halo of {halo}: {difference:.1e} of the range from the whole.")
    columns = ("halo", "pixels", "largest difference, of the range", "promised", "kept")
    report.tables.append(Table(f"Tiles of {tile} pixels against the whole of {edge} x {edge}", columns, tuple(rows)))
