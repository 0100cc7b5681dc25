"""Every signal that asks a program to stop is heeded as Ctrl-C is."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_synth.cli.app import main
from napari_synth.cli.progress import exit_code, interrupting, stopping
from napari_synth.core.progress import CancelToken
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name) and os.name == "posix"
]


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> Iterator[None]:
    # Whoever started the tests may have had some of them ignored.
    outside = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    after = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in outside.items():
        signal.signal(number, handler)
    assert set(after.values()) == {signal.default_int_handler}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_a_wish_and_the_second_an_interrupt(number: int) -> None:
    token = CancelToken()
    with interrupting(), stopping(token.cancel):
        os.kill(os.getpid(), number)
        assert token.is_cancelled
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert exit_code() == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_a_run_it_interrupts_at_once(number: int) -> None:
    with interrupting(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signal")
def test_a_closed_terminal_is_not_heeded_where_it_was_ignored_at_the_start() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        token = CancelToken()
        with interrupting(), stopping(token.cancel):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not token.is_cancelled
            os.kill(os.getpid(), signal.SIGTERM)
            assert token.is_cancelled
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_is_stopped_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    write_image(tmp_path / "a.tif", Image(np.arange(4096, dtype=np.uint16).reshape(64, 64), "YX"))

    def read(path: Path, axes: str | None = None, **options: Any) -> Image:
        os.kill(os.getpid(), number)
        return read_image(path, axes, **options)

    monkeypatch.setattr("napari_synth.batches.jobs.read_image", read)
    words = ["denoise", str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), "--generator", "median", "--tile", "16"]
    assert main(words) == 128 + number
    assert "Cancelled: nothing is left" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
