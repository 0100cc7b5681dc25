"""What is done with a result in the same run: a list of further steps, each with its settings folded away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QToolButton, QVBoxLayout, QWidget

from napari_synth import registry
from napari_synth.contract.generator import Generator, Task
from napari_synth.contract.params import Params
from napari_synth.core.errors import SynthError
from napari_synth.engine.recipe import Step
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import FoldButton, add_entry, button
from napari_synth.gui.widgets.method_list import panel_title

_TASKS = (Task.CORRECT, Task.DENOISE, Task.DECONVOLVE, Task.SUPER_RESOLUTION, Task.TRANSLATE)
"""Whose methods can follow: what is to be filled has to be marked, which is done in a panel of its own."""


class ThenBox(QWidget):
    """The steps behind the method of a panel, and a button that adds one.

    Parameters
    ----------
    parent : QWidget, optional
    """

    changed = Signal()
    """A step was added, taken away or set."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[_Row] = []
        self._axes = ""
        self.add_button = button(
            self,
            "then…",
            "Add a step that works on the result, in the same run, such as denoising what was corrected: one recipe holds all",
        )
        self.add_button.setAccessibleName("Add a step")
        self.menu = QMenu(self.add_button)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.add_button.setMenu(self.menu)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(self.add_button)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is set.

        Raises
        ------
        InvalidParameterError
            A setting of a step is out of bounds.
        """
        return tuple(row.step() for row in self._rows)

    def set_steps(self, steps: Sequence[Step]) -> tuple[str, ...]:
        """Set the steps of a recipe; return sentences on those that cannot be.

        Parameters
        ----------
        steps : sequence of Step
            What they learnt of a reference image is not taken over.
        """
        for row in tuple(self._rows):
            self._remove(row)
        said = []
        for step in steps:
            try:
                method = registry.generator(step.generator)
                values = {name: value for name, value in step.params.items() if name in method.params_type.settable()}
                method.params_type.parse(values)
            except SynthError as error:
                said.append(str(error))
                continue
            self.add(step.generator).form.set_values(values)
            if step.reference is not None:
                said.append(f"{method.info.title} had a reference image: its settings stand for it here.")
        self.changed.emit()
        return tuple(said)

    def offer_for(self, axes: str) -> None:
        """Offer steps for a layer with these axes."""
        self._axes = axes

    def add(self, generator: str) -> _Row:
        """Add a step behind the others, and return its row.

        Parameters
        ----------
        generator : str
            Id.
        """
        row = _Row(registry.generator(generator), self)
        row.form.changed.connect(self.changed)
        row.remove.clicked.connect(partial(self._remove, row))
        self._layout.insertWidget(len(self._rows), row)
        self._rows.append(row)
        self.changed.emit()
        return row

    def _remove(self, row: _Row) -> None:
        self._rows.remove(row)
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.changed.emit()

    def _fill_menu(self) -> None:
        """List what there is now, by task; what the layer cannot be taken by says why."""
        self.menu.clear()
        self.menu.setToolTipsVisible(True)
        for task in _TASKS:
            under = self.menu.addMenu(panel_title(task))
            assert under is not None
            under.setToolTipsVisible(True)
            for method in registry.generators(task):
                if method.info.reference_image == "needed":
                    continue
                why = method.info.refusal(self._axes) if self._axes else ""
                add_entry(under, method.info.title, why or method.info.summary, partial(self.add, method.info.id))
                under.actions()[-1].setEnabled(not why)


class _Row(QWidget):
    """One step: its name, which unfolds its settings, and a button that takes it away.

    Parameters
    ----------
    method : Generator
    parent : QWidget
    """

    def __init__(self, method: Generator[Params], parent: QWidget) -> None:
        super().__init__(parent)
        self._method = method
        title = f"{panel_title(method.info.task)}: {method.info.title}"
        self.fold = FoldButton(self, f"then {title}", f"{method.info.summary} Click for its settings")
        self.remove = QToolButton(self)
        self.remove.setText("✕")
        self.remove.setToolTip(f"Leave out the step {title}")
        self.remove.setAccessibleName(f"Leave out {title}")
        self.form = ParamsForm(method.params_type, self)
        self.form.setVisible(False)
        self.fold.toggled.connect(self.form.setVisible)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.fold)
        head.addStretch(1)
        head.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(self.form)

    def step(self) -> Step:
        """Return the step as it is set."""
        return Step(generator=self._method.info.id, params=self.form.params().model_dump(mode="json"))
