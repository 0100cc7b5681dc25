"""Measures what a network does to sizes: its scale, the grid it works on, and how far it looks.

A tile equals the whole where the halo covers what the network sees. The theoretical receptive field of a deep network
is a hundred pixels and more, of which it hardly uses any; and windows of attention or strides make the result depend on
where a tile begins. Neither is written in a model file, so both are measured on a probe image: the network runs on the
whole of it and on parts, and the results are compared in a small core::

    0         start      core      stop        160
    |-----------[~halo~~|####|~~halo~]-----------|

"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_synth.core.errors import ModelFileError
from napari_synth.models._network import FileNetwork

SAME = 1e-5
"""Difference, of a range of 1, that rounding explains."""
TOLERATED = 1e-3
"""Difference of a tile from the whole that the user is told of."""
LARGEST_HALO = 48
_HALOS = (4, 8, 12, 16, 24, 32, LARGEST_HALO)
_MULTIPLES = (1, 2, 4, 8, 16, 32)
_SIZE = 160
_CORE = slice(80, 96)
_GUESS = 1024
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


def measure(network: FileNetwork, channels: int, *, multiple: int = 1, minimum: int = 0) -> Behaviour:
    """Run a network on a probe image and on parts of it.

    Parameters
    ----------
    network : FileNetwork
        On the CPU.
    channels : int
        Of its input.
    multiple, minimum : int
        What is known of the sizes that it takes, in pixels.

    Raises
    ------
    ModelFileError
        It fails, or does not return an image that is a whole number of times finer.
    """
    if channels not in _CHANNELS:
        raise ModelFileError(f"The network takes {channels} channels, and can be given 1 or 3: choose another model.")
    image = _probe(-(-_SIZE // multiple) * multiple, channels)
    try:
        with torch.inference_mode(), _largest_layer(network) as largest:
            whole = network(image)
        scale, outputs = _geometry(image, whole)
        with torch.inference_mode():
            comparison = _Comparison(network, image, whole, scale)
            multiple = comparison.find_multiple(multiple)
            errors = comparison.errors_by_halo(multiple, minimum)
            halo, difference = list(errors.items())[-1]
            is_global = difference > TOLERATED and comparison.is_global()
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFileError(f"The network in the file fails on an image ({error}): choose another model.") from error
    return Behaviour(
        scale=scale,
        output_channels=outputs,
        multiple=multiple,
        halo=halo,
        error=difference,
        is_global=is_global,
        # The largest layer's input, output and what it works with, and as much for the layers around it.
        bytes_per_pixel=max(64, 4 * largest[0] // image[0, 0].numel()) if largest[0] else _GUESS * scale**2,
    )


@dataclass(frozen=True)
class _Comparison:
    network: FileNetwork
    image: Tensor
    whole: Tensor
    scale: int

    def find_multiple(self, known: int) -> int:
        """Return the smallest step by which the image can be shifted and the result only shifts with it."""
        errors = {}
        for step in _MULTIPLES:
            multiple = step * known
            if multiple > max(_MULTIPLES):
                break
            errors[multiple] = self._difference(multiple, self.image.shape[-1])
            if errors[multiple] <= SAME:
                break
        best = min(errors.values(), default=0.0)
        return min((multiple for multiple, error in errors.items() if error <= max(SAME, 3 * best)), default=known)

    def errors_by_halo(self, multiple: int, minimum: int) -> dict[int, float]:
        """Return the difference of a tile from the whole by halo, up to the halo from which on there is none."""
        errors = {}
        for wanted in _HALOS:
            # A tile has its halo on one side at least: with that much, it is never smaller than the network takes.
            halo = -(-max(wanted, minimum) // multiple) * multiple
            start = max(0, (_CORE.start - halo) // multiple * multiple)
            stop = min(self.image.shape[-1], -(-(_CORE.stop + halo) // multiple) * multiple)
            errors[halo] = self._difference(start, stop)
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
        kept = slice(_CORE.start - distance, _CORE.stop + distance)
        changed[..., kept, kept] = self.image[..., kept, kept]
        core = slice(self.scale * _CORE.start, self.scale * _CORE.stop)
        return float((self.network(changed)[..., core, core] - self.whole[..., core, core]).abs().max())

    def _difference(self, start: int, stop: int) -> float:
        """Return how much the core changes where the network sees only ``[start, stop)`` along both axes."""
        part = self.network(self.image[..., start:stop, start:stop].contiguous())
        core, shifted = (slice(self.scale * a, self.scale * b) for a, b in self._bounds(start))
        return float((part[..., shifted, shifted] - self.whole[..., core, core]).abs().max())

    @staticmethod
    def _bounds(start: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (_CORE.start, _CORE.stop), (_CORE.start - start, _CORE.stop - start)


def _geometry(image: Tensor, result: object) -> tuple[int, int]:
    """Return the scale and the channels of a result."""
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
    return scale, outputs


def _probe(size: int, channels: int) -> Tensor:
    """Return an image with structure of every size and noise, 0 to 1, the same at every call."""
    random = np.random.default_rng(0)
    image = 0.2 * random.random((channels, size, size))
    for cell in (2, 5, 13, 40):
        coarse = random.random((1, size // cell + 1, size // cell + 1))
        image += 0.2 * coarse.repeat(cell, 1).repeat(cell, 2)[:, :size, :size]
    return torch.from_numpy(image[None].astype(np.float32))


@contextmanager
def _largest_layer(network: FileNetwork) -> Iterator[list[int]]:
    """Give a list whose only item is the size in bytes of the largest result of any layer."""
    largest = [0]

    def watch(module: object, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            largest[0] = max(largest[0], output.numel() * output.element_size())

    # A script has no hooks: its memory is guessed.
    watched = [module for module in network.module.modules() if not isinstance(module, torch.jit.ScriptModule)]
    handles = [module.register_forward_hook(watch) for module in watched]
    try:
        yield largest
    finally:
        for handle in handles:
            handle.remove()
