"""What a training was started with, and how one that was left goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_images import retina_pair

from napari_synth import registry
from napari_synth.core.errors import Cancelled, CheckpointError
from napari_synth.core.progress import Progress
from napari_synth.models import library
from napari_synth.studio.record import Origin, TrainingRecord, earlier_run, earlier_runs
from napari_synth.studio.train import train_model
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import CurvePoint, Resumed

SMALL = {"initial_weights": "scratch", "width": 8, "patch": 32, "batch": 4}


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()
    yield
    registry.refresh()


def test_a_training_that_is_left_is_listed_and_goes_on_where_it_was() -> None:
    noisy, clean = retina_pair()
    control = TrainingControl()
    told: list[int] = []

    def leave_after_three(progress: Progress) -> None:
        if isinstance(progress.event, CurvePoint):
            told.append(progress.event.step)
            if progress.event.step == 3:
                control.leave()

    params = {**SMALL, "steps": 6}
    with pytest.raises(Cancelled):
        train_model("denoise/supervised", noisy, clean, params, progress=leave_after_three, cancel=control)
    (run,) = earlier_runs(library.folder() / "runs")
    assert told == [1, 2, 3]
    assert (run.record.method, run.is_finished) == ("denoise/supervised", False)
    assert run.record.source == Origin(names=(noisy.name,))
    assert run.record.target == Origin(names=(clean.name,))
    assert not registry.is_taken(f"denoise/{run.record.model}")

    again: list[object] = []
    trained = train_model(
        run.record.method,
        noisy,
        clean,
        run.record.params,
        out=run.folder,
        resume=True,
        progress=lambda progress: again.append(progress.event),
    )
    (resumed,) = [news for news in again if isinstance(news, Resumed)]
    assert [point.step for point in resumed.points] == [1, 2, 3]
    assert [point.step for point in trained.result.curve] == [1, 2, 3, 4, 5, 6]
    assert earlier_run(run.folder).is_finished


def test_a_new_training_does_not_write_over_one_that_was_left() -> None:
    noisy, clean = retina_pair()
    left = library.folder() / "runs" / "retina-supervised"
    left.mkdir(parents=True)
    (left / "checkpoint.pt").write_bytes(b"left")
    trained = train_model("denoise/supervised", noisy, clean, {**SMALL, "steps": 1})
    assert trained.card.name == "retina-supervised-2"
    assert (left / "checkpoint.pt").read_bytes() == b"left"


def test_a_pause_is_not_counted() -> None:
    control = TrainingControl()
    control.pause()
    threading.Timer(0.2, control.proceed).start()
    control.wait()
    assert 0.1 < control.waited < 5


def test_files_are_recorded_by_their_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Origin.of("day*/*.tif") == Origin(names=(str(tmp_path / "day*/*.tif"),), are_files=True)
    assert Origin.of(None) == Origin()


def test_folders_without_a_record_are_left_out(tmp_path: Path) -> None:
    for name in ("no-record", "damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.pt").touch()
    (tmp_path / "damaged" / "training.json").write_text("{", encoding="utf-8")
    TrainingRecord(method="denoise/noise2void", model="new").write(tmp_path / "new")
    assert earlier_runs(tmp_path) == []
    with pytest.raises(CheckpointError, match="no training in"):
        earlier_run(tmp_path / "new")
