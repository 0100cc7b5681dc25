"""Measures what a network does to sizes: its scale, the grid it works on, and how far it looks.

A tile equals the whole where the halo covers what the network sees. The theoretical receptive field of a deep network
is a hundred pixels and more, of which it hardly uses any; and windows of attention or strides make the result depend on
where a tile begins. Neither is written in a model file, so both are measured on a probe image: the network runs on the
whole of it and on parts, and the results are compared in a small core::

    0         start      core      stop       size
    |-----------[~halo~~|####|~~halo~]-----------|

"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from napari_synth.core.errors import ModelFileError, SynthError
from napari_synth.core.progress import Reporter
from napari_synth.models._sniffing import in_brief
from napari_synth.models.file_network import FileNetwork

SAME = 1e-5
"""Difference, of a range of 1, that rounding explains."""
TOLERATED = 1e-3
"""Difference of a tile from the whole that the user is told of."""
LARGEST_HALO = 48
_HALOS = (4, 8, 12, 16, 24, 32, LARGEST_HALO)
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
_CORE = 16
_MARGIN = 32
_LEAST_BYTES = 64
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Behaviour:
    """What was measured.

    Attributes
    ----------
    scale : int
    output_channels : int
    multiple : int
        Blocks must begin at multiples of this, in pixels.
    halo : int
        In pixels, at most `LARGEST_HALO` unless the multiple is larger.
    error : float
        Largest difference of a tile with this halo from the whole, of a range of 1.
    is_global : bool
        Whether the difference comes from all over the image, so that no halo helps.
    bytes_per_pixel : int
        Working memory for a pixel of the image.
    """

    scale: int
    output_channels: int
    multiple: int
    halo: int
    error: float
    is_global: bool
    bytes_per_pixel: int


def measure(network: FileNetwork, channels: int, *, multiple: int = 1, report: Reporter | None = None) -> Behaviour:
    """Run a network on a probe image and on parts of it.

    Parameters
    ----------
    network : FileNetwork
        On the CPU.
    channels : int
        Of its input.
    multiple : int
        What sizes must be a multiple of, as far as that is known, in pixels.
    report : Reporter, optional
        Told of every run of the network.

    Raises
    ------
    ModelFileError
        It fails, or does not return an image that is a whole number of times finer.
    Cancelled
        The user wishes to stop.
    """
    if channels not in _CHANNELS:
        raise ModelFileError(f"The network takes {channels} channels, and can be given 1 or 3: choose another model.")
    report = report or Reporter()
    try:
        with torch.inference_mode():
            comparison = _first_comparison(network, channels, multiple, report)
            found = comparison.find_multiple(multiple)
            if found > comparison.multiple:
                comparison = _Comparison.of(network, channels, found, report)
            halo, difference = list(comparison.errors_by_halo(found).items())[-1]
            is_global = difference > TOLERATED and comparison.is_global()
    except SynthError:
        raise
    except Exception as error:  # a network is somebody's program
        raise ModelFileError(
            f"The network in the file fails on an image ({in_brief(error)}): choose another model."
        ) from error
    return Behaviour(
        scale=comparison.scale,
        output_channels=comparison.whole.shape[1],
        multiple=found,
        halo=halo,
        error=difference,
        is_global=is_global,
        bytes_per_pixel=comparison.bytes_per_pixel,
    )


def measure_filler(network: FileNetwork, channels: int, *, multiple: int = 1) -> Behaviour:
    """Let a network fill a hole of a small image; it is taken for one that looks at the whole image.

    Parameters and exceptions are those of `measure`.
    """
    if channels not in _CHANNELS[:2]:
        raise ModelFileError(f"The network takes {channels} channels, and can be given 1 or 3: choose another model.")
    size = _up(2 * _MARGIN, multiple)
    image = torch.cat((_probe(size, channels), torch.zeros(1, 1, size, size)), 1)
    image[:, -1, :_CORE, :_CORE] = 1.0
    try:
        with torch.inference_mode(), _LargestResult() as largest:
            answer = network(image)
    except Exception as error:  # a network is somebody's program
        raise ModelFileError(
            f"The network in the file fails on an image with a hole ({in_brief(error)}): choose another model."
        ) from error
    if _scale(image, answer) != 1:
        raise ModelFileError("The network in the file does not return an image of the same size: choose another model.")
    bytes_per_pixel = max(_LEAST_BYTES, 4 * largest.bytes // image[0, 0].numel())
    return Behaviour(1, answer.shape[1], multiple, 0, 0.0, True, bytes_per_pixel)


def _first_comparison(network: FileNetwork, channels: int, multiple: int, report: Reporter) -> _Comparison:
    """Compare on a small probe image; on a larger one where the network does not take the size of the small one."""
    try:
        return _Comparison.of(network, channels, multiple, report)
    except SynthError:
        raise
    except Exception:  # noqa: BLE001 - a network is somebody's program; what it says of the second size is told
        return _Comparison.of(network, channels, math.lcm(multiple, _MULTIPLES[-1]), report)


@dataclass(frozen=True)
class _Comparison:
    """A network, and what it makes of the whole probe image.

    Attributes
    ----------
    network : FileNetwork
    report : Reporter
    multiple : int
        Of which the probe image leaves room for halos that are no smaller than `LARGEST_HALO`.
    core : int
        Where the core begins along both axes, in pixels.
    image, whole : Tensor
        The probe image and the network's answer.
    scale : int
    bytes_per_pixel : int
    """

    network: FileNetwork
    report: Reporter
    multiple: int
    core: int
    image: Tensor
    whole: Tensor
    scale: int
    bytes_per_pixel: int

    @classmethod
    def of(cls, network: FileNetwork, channels: int, multiple: int, report: Reporter) -> Self:
        """Run the network on the probe image."""
        halo = _up(LARGEST_HALO, multiple)
        core = halo + max(_MARGIN, multiple)
        image = _probe(_up(core + _CORE + halo + max(_MARGIN // 2, multiple), multiple), channels)
        report.advance()
        with _LargestResult() as largest:
            whole = network(image)
        scale = _scale(image, whole)
        # The largest operation's input, output and what it works with, and as much for those around it.
        bytes_per_pixel = max(_LEAST_BYTES, 4 * largest.bytes // image[0, 0].numel())
        return cls(network, report, multiple, core, image, whole, scale, bytes_per_pixel)

    def find_multiple(self, known: int) -> int:
        """Return the smallest step by which the image can be shifted and the result only shifts with it.

        Raises
        ------
        ModelFileError
            The network fails on all parts of the image.
        """
        errors = {known: math.inf}
        for step in _MULTIPLES:
            multiple = step * known
            if multiple > max(known, _MULTIPLES[-1]):
                break
            try:
                errors[multiple] = self._difference(multiple, self.image.shape[-1])
            except SynthError:
                raise
            except Exception:  # noqa: BLE001 - networks with strides fail on most sizes
                continue
            if errors[multiple] <= SAME:
                break
        best = min(errors.values())
        if math.isinf(best):
            raise ModelFileError("The network in the file takes images of one size only: choose another model.")
        return min(multiple for multiple, error in errors.items() if error <= max(SAME, 3 * best))

    def errors_by_halo(self, multiple: int) -> dict[int, float]:
        """Return the difference of a tile from the whole by halo, up to the halo from which on there is none."""
        errors = {}
        for halo in dict.fromkeys(_up(wanted, multiple) for wanted in _HALOS):
            start = (self.core - halo) // multiple * multiple
            errors[halo] = self._difference(start, _up(self.core + _CORE + halo, multiple))
            if errors[halo] <= SAME:
                break
        return errors

    def is_global(self) -> bool:
        """Return whether what is far counts nearly as much as what is near, as it does for a mean over all pixels."""
        near, far = (self._influence(distance) for distance in (LARGEST_HALO // 2, LARGEST_HALO))
        return far > max(TOLERATED, near / 2)

    def _influence(self, distance: int) -> float:
        """Return how much the core changes where everything further away than ``distance`` is made half as bright."""
        changed = self.image / 2
        kept = slice(self.core - distance, self.core + _CORE + distance)
        changed[..., kept, kept] = self.image[..., kept, kept]
        return self._change(changed, 0)

    def _difference(self, start: int, stop: int) -> float:
        """Return how much the core changes where the network sees only ``[start, stop)`` along both axes."""
        return self._change(self.image[..., start:stop, start:stop].contiguous(), start)

    def _change(self, seen: Tensor, start: int) -> float:
        """Return how much the core changes where the network sees another image, which begins at ``start``."""
        self.report.advance()
        answer = self.network(seen)
        core = slice(self.scale * self.core, self.scale * (self.core + _CORE))
        there = slice(core.start - self.scale * start, core.stop - self.scale * start)
        return float((answer[..., there, there] - self.whole[..., core, core]).abs().max())


def _up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is no smaller."""
    return -(-size // multiple) * multiple


def _scale(image: Tensor, result: object) -> int:
    """Return how many times finer a result is; raises `ModelFileError` where it is no image of one or three channels."""
    if not isinstance(result, Tensor) or result.dim() != 4:
        raise ModelFileError("The network in the file does not return one image: choose another model.")
    scale = result.shape[-1] // image.shape[-1]
    outputs = result.shape[1]
    if scale < 1 or result.shape[-2:] != (image.shape[-2] * scale, image.shape[-1] * scale):
        raise ModelFileError(
            f"The network in the file turns {image.shape[-1]} pixels into {result.shape[-1]}, which is no whole number of times"
            " as many: choose another model."
        )
    if outputs not in _CHANNELS:
        raise ModelFileError(f"The network returns {outputs} channels, not an image of 1 or 3: choose another model.")
    if not bool(torch.isfinite(result).all()):
        raise ModelFileError("The network in the file returns NaN: download the file again.")
    return scale


def _probe(size: int, channels: int) -> Tensor:
    """Return an image with structure of every size and noise, 0 to 1, the same at every call."""
    random = np.random.default_rng(0)
    image = 0.2 * random.random((channels, size, size))
    for cell in (2, 5, 13, 40):
        coarse = random.random((1, size // cell + 1, size // cell + 1))
        image += 0.2 * coarse.repeat(cell, 1).repeat(cell, 2)[:, :size, :size]
    return torch.from_numpy(image[None].astype(np.float32))


class _LargestResult(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size in bytes of the largest result of any operation, those inside a script among them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes = max(self.bytes, result.untyped_storage().nbytes())
        return result
