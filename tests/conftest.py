"""A display for tests with windows, a check that no test leaves a widget behind, and a library of models of the tests' own."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

_OWN_MARKERS = ("gui", "gpu")
_PATIENCE_MS = 200_000
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the models that whoever runs the tests has added out of them, before tests are made from the list of generators."""
    if _is_worker():
        # Workers share the processors: read when torch and numpy are loaded, which is later.
        for variable in _THREADS:
            os.environ.setdefault(variable, "1")
    folder = tempfile.TemporaryDirectory(prefix="napari-synth-models-")
    os.environ["NAPARI_SYNTH_MODELS"] = folder.name
    os.environ["NAPARI_SYNTH_SETTINGS"] = f"{folder.name}/settings"
    # Workers end without the clean-up of their configuration.
    atexit.register(folder.cleanup)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what is in the folder of a marker, and every test that opens windows."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if folder in _OWN_MARKERS:
        item.add_marker(folder)
    elif "display" in getattr(item, "fixturenames", ()):
        item.add_marker("gui")


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(autouse=True)
def _models_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no test see the models that another one made."""
    from napari_synth import registry

    monkeypatch.setattr(registry, "_of_session", {})
    yield
    if registry._lasting.cache_info().currsize and any(one.model is not None for one in registry._lasting().values()):
        registry.refresh()


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """Start an X server where there is no display, and for every one of several workers, whose windows would share the focus."""
    server = shutil.which("Xvfb")
    shown = bool(os.environ.get("DISPLAY"))
    if sys.platform != "linux" or (shown and (server is None or not _is_worker())):
        yield
        return
    if server is None:
        pytest.fail(
            "Tests of the panel need a display: install Xvfb (Debian: apt install xvfb), or set DISPLAY.", pytrace=False
        )
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [server, "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "+extension", "GLX", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    if not number:
        pytest.fail("Xvfb did not start: run it by hand to see why.", pytrace=False)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DISPLAY", f":{number}")
        environment.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
        environment.setenv("QT_QPA_PLATFORM", "xcb")
        yield
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def qapp_cls(display: None) -> type[Any]:
    """Let pytest-qt make its application on our display."""
    from qtpy.QtWidgets import QApplication

    return QApplication


class PatientBot(QtBot):
    """Waits as long as a busy machine may take; what never comes still fails."""

    def waitUntil(self, callback: Callable[[], Any], *, timeout: int = _PATIENCE_MS) -> None:
        super().waitUntil(callback, timeout=max(timeout, _PATIENCE_MS))

    def waitSignal(self, signal: Any, *, timeout: int = _PATIENCE_MS, **options: Any) -> Any:
        return super().waitSignal(signal, timeout=max(timeout, _PATIENCE_MS), **options)


@pytest.fixture
def qtbot(qapp: Any, request: pytest.FixtureRequest) -> QtBot:
    """Give a robot whose patience does not depend on what else the machine does."""
    return PatientBot(request)


@pytest.fixture(autouse=True)
def no_widget_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which there are more windows than before."""
    if "qapp" not in request.fixturenames:
        yield
        return
    application = request.getfixturevalue("qapp")
    before = set(application.topLevelWidgets())
    yield
    left: list[Any] = []
    for attempt in range(4):
        # Looking through all objects of napari and torch takes longer than most tests.
        if attempt:
            gc.collect()
        application.sendPostedEvents(None, 52)  # DeferredDelete
        application.processEvents()
        left = [widget for widget in application.topLevelWidgets() if widget not in before and _counts(widget)]
        if not left:
            return
    pytest.fail(f"The test left widgets behind: {[repr(widget) for widget in left]}")


def _counts(widget: Any) -> bool:
    # vispy lets go of its canvas when the next one is made.
    return type(widget).__name__ != "CanvasBackendDesktop"
