"""Keeps what a program has set for itself out of our computations, and what we set out of the program."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

_NUMPY_USUAL = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@contextmanager
def undisturbed(*, keeps_gradients: bool = False) -> Iterator[None]:
    """Compute as in a program that has just begun; usable as a decorator too.

    A caller may have set another default dtype or device of torch, may not want gradients, may compute in half precision, or may
    want numpy to raise where it warns. None of it changes a result here, and all of it is as it was afterwards.

    Parameters
    ----------
    keeps_gradients : bool
        Whether what the caller said of gradients and of precision holds here as well, for what works on the caller's own tensors.
    """
    import torch

    with ExitStack() as stack:
        stack.enter_context(np.errstate(**_NUMPY_USUAL))  # type: ignore[arg-type]
        stack.enter_context(_usual_dtype())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if not keeps_gradients:
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(_no_autocast())
        yield


@contextmanager
def _no_autocast() -> Iterator[None]:
    """Compute in full precision, and let what computes in a lower one in here be the outermost of its kind.

    Only where the outermost one ends, torch forgets the weights that it has rounded: inside one of the caller, a network that
    learns would go on with those of its first step.
    """
    import torch

    enabled = [kind for kind in ("cpu", "cuda", "mps") if torch.is_autocast_enabled(kind)]
    depth = 0
    while torch.autocast_decrement_nesting() >= 0:  # type: ignore[no-untyped-call]
        depth += 1
    torch.autocast_increment_nesting()  # type: ignore[no-untyped-call]
    for kind in enabled:
        torch.set_autocast_enabled(kind, False)  # type: ignore[no-untyped-call]
    if depth:
        torch.clear_autocast_cache()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for kind in enabled:
            torch.set_autocast_enabled(kind, True)  # type: ignore[no-untyped-call]
        for _ in range(depth):
            torch.autocast_increment_nesting()  # type: ignore[no-untyped-call]


@contextmanager
def random_states_kept(*, cuda: bool = False) -> Iterator[None]:
    """Give the random generators of torch, numpy and Python their states back; for what seeds them or draws from them.

    Parameters
    ----------
    cuda : bool
        Whether GPUs are about to be used, so that their generators count although nobody has drawn from them yet.
    """
    import torch

    counts = torch.cuda.is_available() and (cuda or torch.cuda.is_initialized())
    devices = list(range(torch.cuda.device_count())) if counts else []
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - others draw from it
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002 - as above
        random.setstate(of_python)


_dtype_lock = threading.Lock()
_dtype_users = 0
_dtype_of_program: object = None


@contextmanager
def _usual_dtype() -> Iterator[None]:
    """Let new tensors be float32. The setting is one for all threads: it is given back when the last one is done."""
    global _dtype_users, _dtype_of_program
    import torch

    with _dtype_lock:
        if _dtype_users == 0:
            _dtype_of_program = torch.get_default_dtype()
        _dtype_users += 1
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _dtype_lock:
            _dtype_users -= 1
            if _dtype_users == 0 and torch.get_default_dtype() != _dtype_of_program:
                assert isinstance(_dtype_of_program, torch.dtype)
                torch.set_default_dtype(_dtype_of_program)
