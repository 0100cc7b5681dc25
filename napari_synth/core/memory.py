"""Tells that the memory was short from every other failure: libraries say so with many types, and in their own words."""

from __future__ import annotations

_SAID = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad allocation",
    "bad_alloc",
    "unable to allocate",
    "alloc_failed",
)


def is_memory_short(error: BaseException) -> bool:
    """Return whether an error says that there was not enough memory, of a device or of the computer.

    torch raises a type of its own on GPUs, and a plain ``RuntimeError`` ("can't allocate memory") on the CPU, as do the libraries
    that it calls ("CUBLAS_STATUS_ALLOC_FAILED"); numpy raises ``MemoryError``.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, (RuntimeError, OSError)):
        return False
    said = str(error).lower()
    return any(words in said for words in _SAID)
