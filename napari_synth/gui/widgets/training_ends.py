"""What becomes of a training that is ended early: words beside the buttons that end it, a question before dock or window close."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from qtpy.QtCore import QEvent, QObject, Qt, QThread, QTimer
from qtpy.QtGui import QCloseEvent, QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QAbstractButton, QDockWidget, QMainWindow, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_synth.gui.jobs.train import TrainingUpdate
from napari_synth.gui.widgets.form_rows import wrapped

_CLOSE_BUTTON = "QTitleBarCloseButton"
"""What napari calls the button that takes a panel away."""
_PRESSING = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
_STOP = "<b>Stop and keep the best</b> makes a model of"
_CANCEL = "<b>Cancel</b> makes no model:"


class EndingWords(QWidget):
    """Says of each button that ends a training what it keeps and what it throws away; hidden while nothing is trained.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stop = wrapped(self, "What is kept where the training is stopped now")
        self.cancel = wrapped(self, "What is thrown away where the training is cancelled now")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.stop)
        layout.addWidget(self.cancel)
        self.clear()

    def clear(self) -> None:
        """Say what holds before the first step."""
        self._step, self._best, self._saved = 0, 0, 0
        self._say()

    def add(self, update: TrainingUpdate) -> None:
        """Take up what a training has told."""
        self._step = max([self._step, *(point.step for point in update.points)])
        self._best = max([self._best, *(found.step for found in update.validations if found.is_best)])
        self._saved = self._saved if update.saved is None else update.saved
        self._say()

    @property
    def on_closing(self) -> str:
        """What becomes of the training where the panel or the window is closed now."""
        if not self._step:
            return "Nothing was learnt yet, so that nothing is kept."
        return "It makes no model. A checkpoint of now is written: Earlier… in the Train panel goes on from it whenever you like."

    def _say(self) -> None:
        if not self._step:
            self.stop.setText(f"{_STOP} what was learnt: nothing yet.")
            self.cancel.setText(f"{_CANCEL} nothing was learnt yet.")
            return
        best = f"the weights of step {self._best}, the best so far" if self._best else "the weights that were best"
        later = "; what came after them is thrown away" if self._step > self._best > 0 else ""
        self.stop.setText(f"{_STOP} {best}{later}.")
        kept = (
            f"Earlier… goes on from step {self._saved}, and what came after it is thrown away."
            if self._saved
            else f"all {self._step} steps are thrown away, since no checkpoint was written yet."
        )
        self.cancel.setText(f"{_CANCEL} {kept}")


class Answer(Enum):
    """What the user wants where the dock of a training is closed."""

    GO_ON = "Go on training"
    STOP = "Stop and keep the best"
    CLOSE = "Close"


class CloseGuard(QObject):
    """Asks before the dock of a panel or its window is closed; there is no question where nothing would be lost.

    A script that closes a window is not asked: nobody may be there to answer.

    Parameters
    ----------
    panel : QWidget
    is_at_stake : callable
        Returns whether something is.
    ask : callable
        Is called where the user wants to close the dock; returns whether that may be.
    ask_of_window : callable
        The same, of the window, which is given.
    """

    def __init__(
        self,
        panel: QWidget,
        is_at_stake: Callable[[], bool],
        ask: Callable[[], bool],
        ask_of_window: Callable[[QMainWindow], bool],
    ) -> None:
        super().__init__(panel)
        self._is_at_stake, self._ask, self._ask_of_window = is_at_stake, ask, ask_of_window
        self._dock: QDockWidget | None = None

    def watch(self, dock: QDockWidget | None) -> None:
        """Watch the window, and the button that closes a dock; napari makes another one when the dock floats or lands."""
        if dock is not None and dock is not self._dock:
            self._dock = dock
            for moved in (dock.topLevelChanged, dock.dockLocationChanged):
                moved.connect(self._find_later)
            window: QWidget | None = dock
            while window is not None and not isinstance(window, QMainWindow):
                window = window.parentWidget()
            if window is not None:
                window.removeEventFilter(self)
                window.installEventFilter(self)
        self._find()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ask in place of closing where something is at stake."""
        if isinstance(watched, QMainWindow) and isinstance(event, QCloseEvent):
            if not _is_of_user(event) or not self._is_at_stake() or self._ask_of_window(watched):
                return False
            event.ignore()
            return True
        if not isinstance(watched, QAbstractButton) or not _is_press(watched, event) or not self._is_at_stake():
            return False
        watched.setDown(False)
        # The button's event is over then, and the button itself may go.
        QTimer.singleShot(0, self._close)
        return True

    def _close(self) -> None:
        dock = self._dock
        if dock is not None and self._ask():
            button = dock.findChild(QAbstractButton, _CLOSE_BUTTON)
            if button is not None:
                button.click()

    def _find_later(self, _event: object = None) -> None:
        QTimer.singleShot(0, self._find)

    def _find(self) -> None:
        button = None if self._dock is None else self._dock.findChild(QAbstractButton, _CLOSE_BUTTON)
        if button is not None:
            button.removeEventFilter(self)
            button.installEventFilter(self)


def ask_before_closing(parent: QWidget, model: str, words: str, closed: str = "this panel") -> Answer:
    """Let the user decide what becomes of a training whose panel or window they close.

    Parameters
    ----------
    parent : QWidget
    model : str
        What is trained.
    words : str
        What closing throws away and keeps.
    closed : str
        What is being closed.
    """
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("A training is running")
    box.setText(f"{model} is being trained. Closing {closed} ends that.\n\n{words}")
    role = QMessageBox.ButtonRole
    made: dict[QAbstractButton | None, Answer] = {
        box.addButton(answer.value, role.RejectRole if answer is Answer.GO_ON else role.AcceptRole): answer
        for answer in Answer
    }
    go_on = next(button for button, answer in made.items() if answer is Answer.GO_ON)
    if isinstance(go_on, QPushButton):
        box.setDefaultButton(go_on)
        box.setEscapeButton(go_on)
    box.exec()
    return made.get(box.clickedButton(), Answer.GO_ON)


def _is_of_user(event: QCloseEvent) -> bool:
    """Tell whether somebody closes the window: by its frame, or from a menu or by a key, in which the event loop runs."""
    thread = QThread.currentThread()
    return event.spontaneous() or (thread is not None and thread.loopLevel() > 0)


def _is_press(button: QAbstractButton, event: QEvent | None) -> bool:
    """Tell whether an event would press a button: the mouse let go over it, or a key that presses what has the focus."""
    if isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseButtonRelease:
        return event.button() == Qt.MouseButton.LeftButton and button.rect().contains(event.position().toPoint())
    return isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyRelease and event.key() in _PRESSING
