from __future__ import annotations

import threading
import time

import pytest
import torch
from qtpy.QtCore import QObject, QThread

from napari_synth.core.errors import DeviceError, GeneratorError, OutOfMemoryError, SynthError
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.gui.jobs import worker
from napari_synth.gui.jobs.worker import Job


class Listener(QObject):
    """Collects what a job says, and in which thread it heard it."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.heard: list[tuple[str, object]] = []
        self.threads: set[object] = set()
        job.progressed.connect(self.on_progress)
        job.returned.connect(self.on_return)
        job.failed.connect(self.on_failure)
        job.cancelled.connect(self.on_cancel)
        job.finished.connect(self.on_finish)

    def on_progress(self, progress: object) -> None:
        self._hear("progressed", progress)

    def on_return(self, result: object) -> None:
        self._hear("returned", result)

    def on_failure(self, error: object) -> None:
        self._hear("failed", error)

    def on_cancel(self) -> None:
        self._hear("cancelled", None)

    def on_finish(self) -> None:
        self._hear("finished", None)

    def _hear(self, what: str, value: object) -> None:
        self.threads.add(QThread.currentThread())
        self.heard.append((what, value))

    @property
    def order(self) -> list[str]:
        return [what for what, _ in self.heard if what != "progressed"]


def run(qtbot, work) -> Listener:
    job = Job(work, "The work")
    listener = Listener(job)
    with qtbot.waitSignal(job.finished, timeout=5000):
        job.start()
    qtbot.waitUntil(lambda: "finished" in listener.order)
    return listener


def test_result_arrives_in_the_main_thread(qtbot) -> None:
    listener = run(qtbot, lambda progress, cancel: threading.get_ident())
    assert listener.order == ["returned", "finished"]
    assert listener.heard[0][1] != threading.get_ident()
    assert listener.threads == {QThread.currentThread()}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        RuntimeError("CUDA error"),
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        KeyboardInterrupt(),
        SystemExit(3),
        StopIteration(),
        AssertionError(),
        DeviceError("No such device: use cpu."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_exception_arrives_as_an_error_of_ours_and_then_the_end(qtbot, error: BaseException) -> None:
    def work(progress: ProgressCallback, cancel: CancelToken) -> None:
        raise error

    listener = run(qtbot, work)
    assert listener.order == ["failed", "finished"]
    shown = listener.heard[0][1]
    assert isinstance(shown, SynthError)
    assert not isinstance(shown, RuntimeError)
    assert shown is error or shown.__cause__ is error


def test_memory_errors_say_what_to_do(qtbot) -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")):
        shown = worker.as_user_error(error, "Denoising")
        assert isinstance(shown, OutOfMemoryError)
        assert "cpu" in str(shown)
        assert "CUDA out" not in str(shown)


def test_an_unforeseen_error_is_one_line(qtbot) -> None:
    shown = worker.as_user_error(ValueError("first\nsecond"), "Denoising")
    assert isinstance(shown, GeneratorError)
    assert str(shown) == "Denoising failed (ValueError: first): please report it, or choose another method."


def test_cancel_ends_the_work_at_its_next_step(qtbot) -> None:
    def work(progress: ProgressCallback, cancel: CancelToken) -> None:
        reporter = Reporter(progress, cancel)
        reporter.start("Working", 10**6)
        while True:
            reporter.advance()
            time.sleep(0.002)

    job = Job(work, "The work")
    listener = Listener(job)
    job.start()
    qtbot.waitUntil(lambda: any(what == "progressed" for what, _ in listener.heard))
    job.cancel()
    qtbot.waitUntil(lambda: "finished" in listener.order, timeout=1000)
    assert listener.order == ["cancelled", "finished"]


def test_a_result_that_came_too_late_does_not_appear(qtbot) -> None:
    gate = threading.Event()
    job = Job(lambda progress, cancel: gate.wait(200), "The work")
    listener = Listener(job)
    job.start()
    job.cancel()
    gate.set()
    qtbot.waitUntil(lambda: "finished" in listener.order)
    assert listener.order == ["cancelled", "finished"]


def test_an_error_after_a_cancel_is_no_error(qtbot) -> None:
    def work(progress: ProgressCallback, cancel: CancelToken) -> None:
        while not cancel.is_cancelled:
            time.sleep(0.002)
        raise RuntimeError("torn down")

    job = Job(work, "The work")
    listener = Listener(job)
    job.start()
    job.cancel()
    qtbot.waitUntil(lambda: "finished" in listener.order)
    assert listener.order == ["cancelled", "finished"]


def test_reports_are_thinned_but_messages_and_ends_are_not(qtbot) -> None:
    def work(progress: ProgressCallback, cancel: CancelToken) -> None:
        for done in range(1000):
            progress(Progress("Working", done, 1000, 0.1))
        progress(Progress("Working", 999, 1000, 0.1, "The memory is short."))
        progress(Progress("Working", 1000, 1000, 0.1))

    listener = run(qtbot, work)
    heard = [value for what, value in listener.heard if what == "progressed"]
    assert len(heard) < 500
    assert [value.message for value in heard if value.message] == ["The memory is short."]
    assert heard[-1].done == 1000


def test_a_listener_that_died_meanwhile_does_no_harm(qtbot) -> None:
    gate = threading.Event()
    job = Job(lambda progress, cancel: gate.wait(200), "The work")
    listener = Listener(job)
    job.start()
    listener.deleteLater()
    qtbot.wait(20)
    with qtbot.waitSignal(job.finished, timeout=2000):
        gate.set()
    assert listener.heard == []


def test_no_job_is_kept_after_its_end(qtbot) -> None:
    run(qtbot, lambda progress, cancel: None)
    qtbot.waitUntil(lambda: not worker._running)
