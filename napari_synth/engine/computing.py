"""What holds while the device computes: one run at a time, the precision, cancelling, finite answers, errors in plain words."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from napari_synth.contract.generator import Method
from napari_synth.core.device import Device
from napari_synth.core.errors import Cancelled, GeneratorError, InvalidImageError, SynthError, is_memory_short
from napari_synth.core.progress import CancelToken, cancellable, check_cancelled

if TYPE_CHECKING:
    import torch

ONE_AT_A_TIME = threading.RLock()
"""Held while the device computes."""

_PATIENCE = 0.1


class MemoryShortError(Exception):
    """The device's memory is short; blocks are made smaller."""


@contextmanager
def computing(method: Method[Any], device: Device, cancel: CancelToken) -> Iterator[None]:
    """Compute on the device: when it is free, without gradients, in the precision that was asked for, and until a cancel.

    Every call of torch in this thread looks at the token first, so that a cancel takes effect inside a block.

    Parameters
    ----------
    method : Method
        Named where it fails.
    device : Device
    cancel : CancelToken

    Raises
    ------
    Cancelled
        The token was set.
    MemoryShortError
        The memory is short.
    GeneratorError
        The method failed.
    """
    import torch

    with cancellable(cancel), _turn(), translated_errors(method, device), torch.inference_mode(), _stoppable():
        yield


@contextmanager
def translated_errors(method: Method[Any], device: Device) -> Iterator[None]:
    """Let no error of torch reach the user raw."""
    try:
        yield
    except (SynthError, MemoryShortError):
        raise
    except OverflowError as error:
        raise InvalidImageError(
            "The intensities are beyond what 32-bit floats hold: divide them by a number that brings them below 1e38."
        ) from error
    except Exception as error:
        if is_memory_short(error):
            raise MemoryShortError from error
        raise GeneratorError(
            f"{method.info.title} failed on {device.title} ({type(error).__name__}: {error}):"
            " please report it with the recipe, or choose another generator."
        ) from error


@contextmanager
def releasing(device: Device) -> Iterator[None]:
    """Leave no memory behind where a run is cancelled: what its frames still hold goes at once."""
    try:
        yield
    except Cancelled as error:
        traceback.clear_frames(error.__traceback__)
        device.release_memory()
        raise


def arithmetic(device: Device) -> AbstractContextManager[object]:
    """Return the context in which networks compute in the precision that was asked for."""
    import torch

    if device.precision != "float32":
        return torch.autocast(device.kind, getattr(torch, device.precision))
    if device.kind != "cuda":
        return nullcontext()
    # By default cuDNN rounds float32 to ten bits, too few for images of 16.
    usual = torch.backends.cudnn
    return usual.flags(
        enabled=usual.enabled,
        benchmark=usual.benchmark,
        benchmark_limit=usual.benchmark_limit,
        deterministic=usual.deterministic,
        allow_tf32=False,
    )


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until no other run computes, or until this one is cancelled."""
    while not ONE_AT_A_TIME.acquire(timeout=_PATIENCE):
        check_cancelled()
    try:
        yield
    finally:
        ONE_AT_A_TIME.release()


def _stoppable() -> AbstractContextManager[object]:
    """Return a context in which every call of torch in this thread looks for a cancel first."""
    from torch.overrides import TorchFunctionMode

    class Stoppable(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            check_cancelled()
            return func(*args, **(kwargs or {}))

    return Stoppable()


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
