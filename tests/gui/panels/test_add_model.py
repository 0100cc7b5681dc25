from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_models import lama_file, script_file
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_synth import registry
from napari_synth.contract.generator import Task
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.models import bundled, library


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "shelf"))
    registry.refresh()
    yield tmp_path / "shelf"
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture
def panel(qtbot: Any) -> RestorePanel:
    made = RestorePanel(ViewerModel(), Task.DENOISE)
    qtbot.addWidget(made)
    return made


def choose(monkeypatch: pytest.MonkeyPatch, path: Path | None, *, trust: bool = False) -> list[str]:
    """Answer the dialogs; return what the second one asks."""
    asked: list[str] = []

    def answer(_parent: Any, _title: str, text: str, *_: Any) -> Any:
        asked.append(text)
        return QMessageBox.StandardButton.Yes if trust else QMessageBox.StandardButton.Cancel

    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path or ""), ""))
    monkeypatch.setattr(QMessageBox, "warning", answer)
    return asked


def finish(panel: RestorePanel, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=30_000)


def test_a_model_that_is_opened_is_the_chosen_method(panel, qtbot, monkeypatch, tmp_path) -> None:
    copy = tmp_path / "my-denoiser.safetensors"
    copy.write_bytes(bundled("denoise-blind").read_bytes())
    before = panel.methods.count()
    choose(monkeypatch, copy)
    panel.open_model.click()
    finish(panel, qtbot)
    assert panel.methods.count() == before + 1
    assert panel.method.info.id == "denoise/my-denoiser"
    assert panel.summary.text() == panel.method.info.summary


@pytest.mark.parametrize("trust", [True, False])
def test_a_file_that_executes_code_is_asked_about(panel, qtbot, monkeypatch, tmp_path, trust) -> None:
    script = script_file(tmp_path / "half.pt", lambda image: image * 0.5)
    asked = choose(monkeypatch, script, trust=trust)
    panel.open_model.click()
    qtbot.waitUntil(lambda: bool(asked) and panel._job is None, timeout=30_000)
    qtbot.wait(50)
    finish(panel, qtbot)
    assert "half.pt" in asked[0]
    assert "--trust" not in asked[0]
    assert (panel.method.info.id == "denoise/half") == trust


def test_a_corrupt_file_is_told_of_and_the_method_stays(panel, qtbot, monkeypatch, tmp_path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no model at all")
    choose(monkeypatch, broken)
    before = panel.method.info.id
    panel.open_model.click()
    finish(panel, qtbot)
    assert "broken.pth" in panel.messages.error.text()
    assert panel.method.info.id == before


def test_a_model_of_another_task_is_told_of(panel, qtbot, monkeypatch, tmp_path) -> None:
    copy = tmp_path / "finer.safetensors"
    copy.write_bytes(bundled("super-resolution").read_bytes())
    choose(monkeypatch, copy)
    panel.open_model.click()
    finish(panel, qtbot)
    assert "super-resolution" in panel.messages.error.text()


def test_nothing_happens_where_no_file_is_chosen(panel, monkeypatch) -> None:
    choose(monkeypatch, None)
    panel.open_model.click()
    assert panel._job is None


def test_lama_is_opened_in_the_panel_that_inpaints(qtbot, monkeypatch, tmp_path) -> None:
    panel = RestorePanel(ViewerModel(), Task.INPAINT)
    qtbot.addWidget(panel)
    choose(monkeypatch, lama_file(tmp_path, monkeypatch))
    panel.open_model.click()
    finish(panel, qtbot)
    assert panel.method.info.id == "inpaint/lama"
    assert "Fills holes" in panel.summary.text()
