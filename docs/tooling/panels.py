"""Pictures of the panels: every panel on every sample, in both themes and 280 pixels wide, and the windows that the pages show.

``./scripts/panels`` runs it on a virtual screen.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[1] / "pictures"
WIDTH = 280
THEMES = ("dark", "light")
_PLUGIN = "napari-synth"
_WINDOW = (1400, 900)
_PATIENCE = 300.0
_MINUTES, _SHOWN_LEARNING = 2.0, 0.7
"""Of a training, and the share of it after which it is shown."""


def main() -> None:
    """Make what is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of the pictures; it is made")
    parser.add_argument("--only", nargs="*", choices=panels(), default=panels(), help="these panels alone")
    parser.add_argument("--pages", action="store_true", help="make the windows of the documentation anew instead")
    asked = parser.parse_args()
    with _apart():
        if asked.pages:
            show_denoised(PAGES / "panel.png")
            show_training(PAGES / "train.png")
            show_report(PAGES / "report.png")
            show_files(PAGES / "files.png")
            show_grid(PAGES / "curate-grid.png")
            show_folder(PAGES / "made-into-folder.png")
        else:
            every_panel(asked.out, tuple(asked.only))


def panels() -> tuple[str, ...]:
    """Return the panels that there are, as napari's menu names them."""
    from npe2 import PluginManifest

    import napari_synth

    manifest = PluginManifest.from_file(Path(napari_synth.__file__).parent / "napari.yaml")
    return tuple(widget.display_name for widget in manifest.contributions.widgets or ())


def every_panel(out: Path, names: tuple[str, ...]) -> None:
    """Save a picture of every panel on every sample in every theme, ``PANEL-SAMPLE-THEME.png``.

    Parameters
    ----------
    out : pathlib.Path
    names : tuple of str
        Those that are shown, see `panels`.
    """
    from napari_synth.samples import SAMPLES

    out.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        with _viewer() as viewer:
            viewer.open_sample(_PLUGIN, sample)
            for name in names:
                dock, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, name)
                _make_narrow(dock)
                for theme in THEMES:
                    viewer.theme = theme
                    _settle(0.3)
                    _whole(panel).save(str(out / f"{name.lower().replace(' ', '-')}-{sample}-{theme}.png"))
                viewer.window.remove_dock_widget(dock)


def show_denoised(path: Path) -> None:
    """Save a picture of the window with the sample ``actin`` beside its denoised image."""
    from napari_synth import demo

    demo.show_in_napari("actin", path)


def show_training(path: Path) -> None:
    """Save a picture of the window while a network learns to denoise the sample ``actin``."""
    with _viewer() as viewer:
        viewer.open_sample(_PLUGIN, "actin")
        _, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, "Train")
        panel.setup.methods.choose("denoise/noise2void")
        panel.setup.time.buttons[_MINUTES].click()
        _settle(1.0)
        panel.train()
        bar = panel.progress.bar
        _wait(lambda: panel.curves.metrics.isVisible() and bar.value() > _SHOWN_LEARNING * bar.maximum() > 0)
        viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        panel.cancel()
        _wait(lambda: panel.train_button.isVisible())


def show_report(path: Path) -> None:
    """Save the report on the denoised sample ``actin``."""
    with _viewer() as viewer:
        (source,) = viewer.open_sample(_PLUGIN, "actin")
        _, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, "Denoise")
        _settle(1.0)
        panel.show_and_run(source)
        _wait(lambda: panel.result.isVisible() and panel.run_button.isEnabled())
        path.unlink(missing_ok=True)
        panel.write_report(path)
        _wait(path.exists)


def show_files(path: Path) -> None:
    """Save a picture of the panel Denoise after a run on the sample folder, in which a file is broken."""
    from napari_synth.samples import copy_curation

    with _viewer() as viewer, tempfile.TemporaryDirectory() as folder, chdir(folder):
        images = copy_curation(Path("day1"))
        dock, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, "Denoise")
        _make_narrow(dock)
        _settle(1.0)
        panel.choose_method("denoise/median")
        box = panel.files_box
        box.fold.click()
        box.images.text.setText(str(images))
        box.folder.setText("cleaned")
        box.start.click()
        _wait(lambda: box.list.count() > 0 and box.start.isEnabled())
        _settle(0.5)
        _whole(panel).save(str(path))


def show_grid(path: Path) -> None:
    """Save a picture of the board with the pictures of the sample folder side by side, on some of which is decided."""
    from qtpy.QtCore import Qt

    from napari_synth.curation import Verdict
    from napari_synth.samples import copy_curation

    with _viewer() as viewer, tempfile.TemporaryDirectory() as folder, chdir(folder):
        copy_curation(Path("plate"))
        dock, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, "Curate")
        dock.parentWidget().resizeDocks([dock], [2 * WIDTH], Qt.Orientation.Horizontal)
        panel.open("plate")
        _wait(lambda: panel.views.model.rowCount() > 0 and not panel.progress.isVisible())
        panel.measure()
        _wait(lambda: "focus" in panel.views.model.columns and not panel.progress.isVisible())
        panel.as_grid.setChecked(True)
        for wish in (Verdict.ACCEPT, 5, Verdict.ACCEPT, Verdict.REJECT, Verdict.FLAG, Verdict.ACCEPT):
            panel.decide(wish)
        _settle(2.0)
        panel.grab().save(str(path))


def show_folder(path: Path) -> None:
    """Save a picture of the panel Synthesize after images like a sample were made into a folder."""
    with _viewer() as viewer, tempfile.TemporaryDirectory() as folder, chdir(folder):
        viewer.open_sample(_PLUGIN, "tissue")
        dock, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, "Synthesize")
        _make_narrow(dock)
        _settle(1.0)
        panel.form.set_values({"count": 12, "size": 64})
        panel.source.setCurrentIndex(panel.source.count() - 1)
        box = panel.files_box
        box.fold.click()
        box.folder.setText("made")
        box.start.click()
        _wait(lambda: box.list.count() > 0 and box.start.isEnabled())
        _settle(0.5)
        _whole(panel).save(str(path))


@contextmanager
def _viewer() -> Iterator[Any]:
    """Yield a viewer that is closed at the end."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(*_WINDOW)
    try:
        yield viewer
    finally:
        viewer.close()
        _settle(0.1)


@contextmanager
def _apart() -> Iterator[None]:
    """Keep the settings and the models of whoever runs this out of the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder, "napari.yaml"))
        os.environ["NAPARI_SYNTH_MODELS"] = str(Path(folder, "models"))
        os.environ["NAPARI_SYNTH_SETTINGS"] = str(Path(folder, "settings"))
        yield


def _make_narrow(dock: Any) -> None:
    from qtpy.QtCore import Qt

    dock.parentWidget().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)


def _whole(panel: Any) -> Any:
    """Return a picture of all of a panel, also of what has to be scrolled to."""
    from qtpy.QtGui import QPainter, QPixmap
    from qtpy.QtWidgets import QScrollArea

    inner = panel.findChild(QScrollArea).widget()
    picture = QPixmap(inner.size())
    picture.fill(panel.window().palette().window().color())
    painter = QPainter(picture)
    painter.drawPixmap(0, 0, inner.grab())
    painter.end()
    return picture


def _settle(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def _wait(done: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("The panel did not come to an end in five minutes.")
        _settle(0.1)


if __name__ == "__main__":
    main()
