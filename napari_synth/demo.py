"""Shows the main job on a sample image: in napari where there is a screen, else as pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console

from napari_synth import samples
from napari_synth.core.errors import GeneratorError, SynthError, UnknownGeneratorError
from napari_synth.pictures import STRIPS

_PATIENCE_MS = 300_000
_WINDOW = (1400, 850)
_BOARD_WIDTH = 760
_CURATE = "curate"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    app = App(name="napari-synth-demo", help=__doc__, help_format="plaintext")
    app.default(_demo)
    return int(app(sys.argv[1:] if arguments is None else list(arguments), result_action="return_value") or 0)


def _demo(
    *,
    sample: Annotated[str, Parameter(help=f"For napari: one of {', '.join(samples.SAMPLES)}.")] = "actin",
    task: Annotated[
        str, Parameter(help=f"For the picture: one of {', '.join(STRIPS)}; curate opens the board.")
    ] = "denoise",
    screenshot: Annotated[Path | None, Parameter(help="Save a picture of napari's window here, and close it.")] = None,
    picture: Annotated[Path | None, Parameter(help="Save a sample before and after here, without napari.")] = None,
) -> int:
    console = Console()
    try:
        if task == _CURATE:
            show_board(screenshot)
        elif picture is not None:
            if task not in STRIPS:
                raise UnknownGeneratorError(f"There is no picture of {task!r}: choose one of {', '.join(STRIPS)}.")
            strip = STRIPS[task]()
            strip.write(picture)
            console.print(f"{strip.said()}: {picture}", markup=False, soft_wrap=True)
        if task != _CURATE and (screenshot is not None or picture is None):
            show_in_napari(sample, screenshot)
    except SynthError as error:
        console.print(f"napari-synth: {error}", markup=False, soft_wrap=True)
        return 2
    if screenshot is not None:
        console.print(f"napari's window: {screenshot}", markup=False, soft_wrap=True)
    return 0


def show_in_napari(sample: str, screenshot: Path | None = None) -> None:
    """Open a sample in napari with the panel, denoise it, and show both side by side.

    Parameters
    ----------
    sample : str
        A key of `napari_synth.samples.SAMPLES`.
    screenshot : pathlib.Path, optional
        Where to save a picture of the window once the result is there; the window is then closed.

    Raises
    ------
    GeneratorError
        A picture was asked for, and no result came within five minutes.
    """
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-synth: what the noise was hiding")
    viewer.window.resize(*_WINDOW)
    (source,) = viewer.open_sample("napari-synth", sample)
    if not source.rgb:
        # A few bright pixels would leave the rest in the dark.
        source.contrast_limits = np.percentile(source.data, [0.5, 99.8])
    _, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Denoise")
    finished: list[bool] = []

    def on_layer(event: Any) -> None:
        if "napari_synth" not in event.value.metadata:
            return
        viewer.layers.events.inserted.disconnect(on_layer)
        viewer.grid.enabled = True
        viewer.reset_view()
        if screenshot is not None:
            # The panel fills in its verdict after the layer is there, and the canvas wants to be drawn.
            QTimer.singleShot(2000, save)

    def save() -> None:
        QApplication.processEvents()
        screenshot_path = Path(str(screenshot))
        screenshot_path.parent.mkdir(parents=True, exist_ok=True)
        viewer.window.screenshot(str(screenshot_path), canvas_only=False, flash=False)
        finished.append(True)
        viewer.close()

    viewer.layers.events.inserted.connect(on_layer)
    QTimer.singleShot(500, lambda: panel.show_and_run(source))
    if screenshot is not None:
        QTimer.singleShot(_PATIENCE_MS, viewer.close)
    napari.run()
    if screenshot is not None and not finished:
        raise GeneratorError("The demo made no result in five minutes: run napari-synth doctor to see what is wrong.")


def show_board(screenshot: Path | None = None) -> None:
    """Open the sample folder on the board, measure it, and decide on a few images.

    Parameters
    ----------
    screenshot : pathlib.Path, optional
        Where to save a picture of the window; the window is then closed.

    Raises
    ------
    GeneratorError
        A picture was asked for, and the images were not measured within five minutes.
    """
    import tempfile

    import napari
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtWidgets import QApplication

    from napari_synth.curation import Verdict

    with tempfile.TemporaryDirectory() as place:
        viewer = napari.Viewer(title="napari-synth: which images are worth keeping?")
        viewer.window.resize(*_WINDOW)
        dock, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Curate")
        dock.window().resizeDocks([dock], [_BOARD_WIDTH], Qt.Orientation.Horizontal)
        panel.open(str(samples.copy_curation(Path(place) / "plate")))
        finished: list[bool] = []

        def look() -> None:
            if panel.progress.isVisible() or not panel.views.model.rowCount():
                return
            if "focus" not in panel.views.model.columns:
                panel.measure()
                return
            timer.stop()
            panel.filters.fold.setChecked(True)
            panel.filters.column.setCurrentText("focus")
            for wish in (4, Verdict.ACCEPT, 5, Verdict.ACCEPT, 2, Verdict.REJECT, Verdict.FLAG):
                panel.decide(wish)
            panel.views.go(1)
            viewer.reset_view()
            if screenshot is not None:
                QTimer.singleShot(2000, save)

        def save() -> None:
            QApplication.processEvents()
            path = Path(str(screenshot))
            path.parent.mkdir(parents=True, exist_ok=True)
            viewer.window.screenshot(str(path), canvas_only=False, flash=False)
            finished.append(True)
            viewer.close()

        timer = QTimer()
        timer.timeout.connect(look)
        timer.start(200)
        if screenshot is not None:
            QTimer.singleShot(_PATIENCE_MS, viewer.close)
        napari.run()
    if screenshot is not None and not finished:
        raise GeneratorError("The board was not ready in five minutes: run napari-synth doctor to see what is wrong.")


if __name__ == "__main__":
    sys.exit(main())
