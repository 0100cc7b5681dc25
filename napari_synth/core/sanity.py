"""Finds out where a method answers finite pixels with NaN: that is an error with a place, never a black image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_synth.core.errors import GeneratorError

if TYPE_CHECKING:
    import torch

    from napari_synth.contract.generator import Method
    from napari_synth.core.device import Device


def check_finite(made: torch.Tensor, method: Method[Any], device: Device, place: Callable[[int], str]) -> None:
    """Raise `GeneratorError` unless everything that was made (N, ...) is finite.

    Parameters
    ----------
    made : torch.Tensor, (N, ...)
        Of pixels that are finite, since others are filled before.
    method : Method
    device : Device
    place : callable
        Says where one of the N lies, as the end of a sentence.
    """
    import torch

    if bool(torch.isfinite(made).all()):
        return
    first = int((~torch.isfinite(made)).flatten(1).any(1).nonzero()[0])
    advice = "take the precision float32" if device.precision != "float32" else "check its weights"
    raise GeneratorError(
        f"{method.info.title} made values that are not finite of finite pixels {place(first)}: {advice}, or choose another"
        " generator."
    )


def said_place(position: tuple[tuple[str, int], ...], axes: str, core: tuple[slice, ...]) -> str:
    """Return where a block lies, as the end of a sentence: ``"at T 3, Y 0 to 255, X 256 to 511"``.

    Parameters
    ----------
    position : tuple of (str, int)
        The axes over which the method is mapped, and the index along each.
    axes : str
        The axes of the block.
    core : tuple of slice
        What the block covers along each of them, without its halo.
    """
    single = [f"{axis} {at}" for axis, at in position]
    spans = [f"{axis} {part.start} to {part.stop - 1}" for axis, part in zip(axes, core, strict=True)]
    return f"at {', '.join((*single, *spans))}"
