"""Reads what is shown next in threads of its own, the most urgent first, and keeps what was read last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_synth.core.errors import SynthError
from napari_synth.gui.jobs.worker import as_user_error

_MOST_WAITING = 400


class BackgroundReader(QObject):
    """Gives what was read at once, and tells when more was.

    Parameters
    ----------
    read : callable
        Called in a thread with a key (hashable); returns what belongs to it, or raises.
    keep : int
        How many are kept; those that were not asked for longest go first.
    parent : QObject, optional
    threads : int
        That read at the same time.
    """

    ready = Signal(object)
    """The key of something that can be had with `get` now."""

    def __init__(self, read: Callable[[Any], Any], keep: int, parent: QObject | None = None, threads: int = 1) -> None:
        super().__init__(parent)
        self._read, self._keep, self._count = read, keep, threads
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._waiting: list[Any] = []
        self._under_way: set[Any] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def get(self, key: Any) -> Any:
        """Return what was read, or the `SynthError` that came instead; None where it was not read yet."""
        with self._changed:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def want(self, keys: Iterable[Any]) -> None:
        """Read these, the first first, and forget what was wanted before and is not begun."""
        with self._changed:
            self._waiting = [key for key in keys if self._is_missing(key)][::-1]
            self._wake()

    def ask(self, key: Any) -> None:
        """Read this before what was wanted earlier."""
        with self._changed:
            if self._is_missing(key):
                self._waiting = [*(one for one in self._waiting if one != key), key][-_MOST_WAITING:]
                self._wake()

    def forget(self) -> None:
        """Drop all that was read and all that waits."""
        with self._changed:
            self._kept.clear()
            self._waiting.clear()

    def stop(self) -> None:
        """Read nothing any more; what is being read at this moment is let go."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._kept.clear()
            self._changed.notify_all()

    def _is_missing(self, key: Any) -> bool:
        return key not in self._kept and key not in self._under_way

    def _wake(self) -> None:
        if self._stopped or not self._waiting:
            return
        while len(self._threads) < self._count:
            # A program that ends does not wait for a picture.
            thread = threading.Thread(target=self._work, name="napari-synth: reading ahead", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                key = self._waiting.pop()
                self._under_way.add(key)
            found = self._found(key)
            with self._changed:
                self._under_way.discard(key)
                if self._stopped:
                    return
                self._kept[key] = found
                while len(self._kept) > self._keep:
                    self._kept.popitem(last=False)
            # The panel may be gone by now, and Qt's object with it.
            with suppress(RuntimeError):
                self.ready.emit(key)

    def _found(self, key: Any) -> Any:
        try:
            return self._read(key)
        except SynthError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is told beside the image
            return as_user_error(error, "Reading the image")
