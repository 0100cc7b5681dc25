"""What was run in a viewer, newest first: kept as long as the viewer is, also where a result was removed since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from napari_synth.engine.recipe import Recipe, Step

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_synth.augmentation.pipeline import Pipeline

_MOST = 200


@dataclass(frozen=True)
class PastRun:
    """A run that has ended with a result.

    Attributes
    ----------
    layer : str
        What the source was called.
    recipe : Recipe
    asked : mapping of str to object
        The settings as they were set, before the method decided on what was left on automatic.
    when : datetime.datetime
    said : tuple of str
        The verdict and the notes.
    then : tuple of Step
        The steps behind it, as they were set.
    """

    layer: str
    recipe: Recipe
    asked: dict[str, Any]
    when: datetime
    said: tuple[str, ...]
    then: tuple[Step, ...] = ()

    def as_set(self) -> Recipe:
        """Return the recipe with the settings as they were set."""
        if not self.then:
            return self.recipe.model_copy(update={"params": dict(self.asked)})
        first = self.recipe.before[0].model_copy(update={"params": dict(self.asked)})
        last = self.then[-1]
        before = (first, *self.then[:-1])
        return self.recipe.model_copy(update={"before": before, "params": dict(last.params)})


@dataclass(frozen=True)
class PastDraw:
    """An augmentation of which draws were added or written.

    Attributes
    ----------
    layer : str
        What the source was called.
    pipeline : Pipeline
    preset : str
        What its list was called: the name of a preset, or "".
    seed : int
        Of the first draw.
    what : str
        What was made, in words.
    when : datetime.datetime
    said : tuple of str
        What was drawn first, a line each transform.
    """

    layer: str
    pipeline: Pipeline
    preset: str
    seed: int
    what: str
    when: datetime
    said: tuple[str, ...] = ()


class History(QObject):
    """The runs of a viewer."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[PastRun] = []
        self._draws: list[PastDraw] = []

    def add(self, run: PastRun) -> None:
        """Put a run before the others; the oldest is forgotten where there are very many."""
        self._runs = [run, *self._runs][:_MOST]
        self.changed.emit()

    def add_draw(self, draw: PastDraw) -> None:
        """Put an augmentation before the others."""
        self._draws = [draw, *self._draws][:_MOST]
        self.changed.emit()

    @property
    def draws(self) -> Sequence[PastDraw]:
        """The augmentations, the newest first."""
        return tuple(self._draws)

    def runs(self, task: str = "") -> Sequence[PastRun]:
        """Return the runs of a task, or all, the newest first."""
        return tuple(run for run in self._runs if not task or run.recipe.first.startswith(f"{task}/"))


_histories: WeakKeyDictionary[ViewerModel, History] = WeakKeyDictionary()


def history_of(viewer: ViewerModel) -> History:
    """Return the history of a viewer; all panels of it share one."""
    if viewer not in _histories:
        _histories[viewer] = History()
    return _histories[viewer]
