"""Every control of every panel has a name that can be said, and a tooltip."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QAbstractButton, QApplication, QWidget

from napari_synth.contract.generator import Generator, Task
from napari_synth.gui import commands
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.widgets.accessible import is_control, spoken_name
from napari_synth.gui.widgets.form_rows import FoldButton
from napari_synth.gui.widgets.help import HelpDialog, card, page_of

PANELS = sorted(name for name in commands.__all__ if name.endswith("Panel"))


@pytest.fixture
def viewer() -> ViewerModel:
    made = ViewerModel()
    made.add_image(np.zeros((4, 5, 32, 32), np.uint16), name="movie")
    made.add_labels(np.ones((32, 32), np.uint8), name="labels")
    made.add_image(np.zeros((32, 32), np.uint16), name="cells")
    return made


def show_all(panel: QWidget) -> None:
    """Unfold and show everything that a panel can hold."""
    for fold in panel.findChildren(FoldButton):
        fold.setChecked(True)
    for widget in panel.findChildren(QWidget):
        if is_control(widget):
            above = widget
            while above is not panel:
                above.setVisible(True)
                above = above.parentWidget()
    for _ in range(3):
        QApplication.processEvents()


@pytest.mark.parametrize("name", PANELS)
def test_every_control_has_a_name_and_a_tooltip(name, viewer, qtbot) -> None:
    panel = getattr(commands, name)(viewer)
    qtbot.addWidget(panel)
    panel.resize(300, 600)
    panel.show()
    show_all(panel)
    controls = [widget for widget in panel.findChildren(QWidget) if is_control(widget)]
    assert len(controls) >= 10
    nameless = [(type(one).__name__, one.toolTip()) for one in controls if len(spoken_name(one)) < 2]
    assert nameless == []
    silent = [spoken_name(one) for one in controls if isinstance(one, QAbstractButton) and not one.toolTip()]
    assert silent == []
    panel.stop()


def test_settings_are_named_by_their_titles_also_those_of_a_method_that_is_chosen_later(viewer, qtbot) -> None:
    panel = commands.DenoisePanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    panel.choose_method("denoise/median")
    show_all(panel)
    names = {spoken_name(one) for one in panel.form.findChildren(QWidget) if is_control(one)}
    assert {"Radius", "Radius: automatic"} <= names


def test_help_shows_what_a_method_says_where_the_site_is_not_at_hand(control, qtbot, monkeypatch, tmp_path) -> None:
    from napari_synth import registry
    from napari_synth.gui.widgets import help as helping

    panel = RestorePanel(ViewerModel(), Task.DENOISE)
    qtbot.addWidget(panel)
    panel.show()
    opened: list[str] = []
    monkeypatch.setattr(helping.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    monkeypatch.setattr(helping.napari_synth, "__file__", str(tmp_path / "napari_synth" / "__init__.py"))
    method = registry.found(Generator, "denoise/fake")
    assert page_of(method) is None
    panel.help_button.click()
    dialog = panel.findChild(HelpDialog)
    assert dialog.isVisible()
    assert "Multiplies every pixel" in dialog.text.toPlainText()
    assert "Gain" in dialog.text.toPlainText()
    dialog.reject()
    assert "usually 0.5" in card(method)
    page = tmp_path / "build" / "docs" / "methods" / "denoise-fake.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html></html>", encoding="utf-8")
    panel.help_button.click()
    assert opened == [str(page)]
