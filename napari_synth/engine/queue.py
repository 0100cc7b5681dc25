"""The one queue of work: items in batches that fit, read ahead, and halved where the memory is short."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

from napari_synth.core.device import Device
from napari_synth.core.errors import Cancelled, OutOfMemoryError
from napari_synth.core.progress import CancelToken, Reporter, cancellable
from napari_synth.engine.computing import MemoryShortError, releasing

MOST_BATCH_PIXELS = {"cpu": 2**18, "cuda": 2**24, "mps": 2**22}
"""Of the items of a batch, by the kind of the device."""
MEMORY_SHORT = "The device's memory is short: going on with smaller blocks."
_PATIENCE = 0.1

I = TypeVar("I")  # noqa: E741 - an item of work
R = TypeVar("R")


class Work(Protocol[I, R]):
    """What a run does with the items of its work; the queue does the rest.

    Attributes
    ----------
    device : Device
    budget : int
        Bytes that a batch may take.
    most_batch_pixels : int
        More pixels in a batch are no faster.
    """

    device: Device
    budget: int
    most_batch_pixels: int

    def read(self, item: I, /) -> R:
        """Load what an item needs; called in a thread of its own, while the device computes what was read before."""

    def group(self, item: I, /) -> Hashable:
        """Return what items must have in common to be in one batch."""

    def pixels(self, item: I, /) -> int:
        """Return how many pixels an item gives the device."""

    def bytes(self, item: I, /) -> int:
        """Return the working memory of an item."""

    def halves(self, item: I, /) -> list[I]:
        """Return the same work in two smaller items, or the item alone where it cannot be made smaller."""

    def apply(self, items: list[I], read: list[R], /) -> Iterable[npt.NDArray[Any]]:
        """Return the result of each item of a batch; raises `MemoryShortError` where the memory is short."""

    def too_large(self, item: I, /) -> str:
        """Say that an item which cannot be made smaller does not fit."""


def completed(work: Work[I, R], items: Iterable[I], report: Reporter) -> Iterator[tuple[I, npt.NDArray[Any]]]:
    """Do the items of a work, and yield each with its result.

    Parameters
    ----------
    work : Work
    items : iterable
        Taken one by one as they are needed.
    report : Reporter
        Told of every item that is done; its stage must have begun.

    Raises
    ------
    Cancelled
        The user wishes to stop.
    OutOfMemoryError
        The memory is short, and there is nothing smaller.
    GeneratorError
        The method failed.
    """
    queue = _Queue(work, iter(items), report)
    reader = ThreadPoolExecutor(1, thread_name_prefix="synth-read")
    try:
        with releasing(work.device):
            batch = queue.batch()
            reading = reader.submit(_read, work, batch, report.cancel)
            while batch:
                upcoming: list[I] = []
                results: Iterable[npt.NDArray[Any]] | None = None
                with suppress(MemoryShortError, MemoryError):
                    pixels = _awaited(reading, report.cancel)
                    upcoming = queue.batch()
                    reading = reader.submit(_read, work, upcoming, report.cancel)
                    results = work.apply(batch, pixels)
                if results is None:
                    work.device.release_memory()
                    queue.take_back(upcoming)
                    queue.shrink(batch)
                    upcoming = queue.batch()
                    reading = reader.submit(_read, work, upcoming, report.cancel)
                else:
                    yield from zip(batch, results, strict=True)
                    report.advance(len(batch))
                batch = upcoming
            report.cancel.check()
    except Cancelled:
        # What is being read is not waited for.
        reader.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        reader.shutdown(wait=not report.cancel.is_cancelled, cancel_futures=True)


class _Queue:
    """Items that wait, in batches that fit; only those that were put back are held in memory."""

    def __init__(self, work: Work[Any, Any], items: Iterator[Any], report: Reporter) -> None:
        self._work, self._items, self._report = work, items, report
        self._front: deque[Any] = deque()
        self._most = work.most_batch_pixels
        self._largest = 2**62

    def batch(self) -> list[Any]:
        """Take items of one group that fit together, at least one where there is any."""
        first = self._next()
        if first is None:
            return []
        batch, work = [first], self._work
        group, pixels, needed = work.group(first), work.pixels(first), work.bytes(first)
        while (item := self._next()) is not None:
            many = len(batch) + 1
            if work.group(item) != group or pixels * many > self._most or needed * many > work.budget:
                self._front.appendleft(item)
                break
            batch.append(item)
        return batch

    def take_back(self, items: list[Any]) -> None:
        """Put items back to where they were taken from."""
        self._front.extendleft(reversed(items))

    def shrink(self, batch: list[Any]) -> None:
        """Put a batch that did not fit back, to be taken in halves."""
        pixels = self._work.pixels(batch[0])
        self._most = pixels * len(batch) // 2
        if len(batch) == 1:
            # What follows is no smaller, and need not be tried.
            self._largest = pixels - 1
        pieces = batch if len(batch) > 1 else self._work.halves(batch[0])
        if len(pieces) == 1:
            raise OutOfMemoryError(self._work.too_large(batch[0]))
        self._report.extend(len(pieces) - len(batch))
        self._report.message(MEMORY_SHORT)
        self.take_back(pieces)

    def _next(self) -> Any:
        """Return the next item, halved as long as it is larger than what fits; None where there is none."""
        item, work = self._front.popleft() if self._front else next(self._items, None), self._work
        while item is not None and (work.bytes(item) > work.budget or work.pixels(item) > self._largest):
            first, *others = work.halves(item)
            if not others:
                break
            self._report.extend(len(others))
            self.take_back(others)
            item = first
        return item


def _read(work: Work[I, R], batch: list[I], cancel: CancelToken) -> list[R]:
    read = []
    with cancellable(cancel):
        for item in batch:
            cancel.check()
            read.append(work.read(item))
    return read


def _awaited(reading: Future[list[R]], cancel: CancelToken) -> list[R]:
    """Return what was read, or stop waiting where the user wishes to."""
    while not reading.done():
        cancel.check()
        wait([reading], timeout=_PATIENCE)
    return reading.result()
