"""A panel whose settings are remembered, put back, and taken from earlier runs and from recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_synth.contract.generator import Method, Task
from napari_synth.core.errors import RecipeError, SynthError, UnknownGeneratorError
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.history import PastRun
from napari_synth.gui.panels.base import MethodPanel
from napari_synth.gui.remembered import forget, remembered
from napari_synth.gui.widgets.form_rows import copied_text
from napari_synth.gui.widgets.history_box import HistoryBox, SettingsRow
from napari_synth.gui.widgets.text_drops import TextDrops

if TYPE_CHECKING:
    import napari

M = TypeVar("M", bound=Method[Any])


class RecallingPanel(MethodPanel[M], Generic[M]):
    """A panel of a task that shows the runs of this viewer, and takes their settings or those of a recipe.

    A subclass keeps what was used with `napari_synth.gui.remembered.remember`, and calls `_recall` once it is laid out.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    kind : type of Method
        What is listed.
    task : Task
    adds : str
        The tooltip of the button that adds a model.
    """

    def __init__(self, napari_viewer: napari.Viewer, kind: type[M], task: Task, adds: str) -> None:
        super().__init__(napari_viewer, kind, task, adds)
        self.history = HistoryBox(self.viewer, task, self)
        self.settings_row = SettingsRow(self)
        self.history.wanted.connect(self.use_again)
        self.settings_row.reset.clicked.connect(self.reset)
        self.settings_row.paste.clicked.connect(self.paste_recipe)
        self._drops = TextDrops(self, self._take_text)

    # What the user does

    def use_again(self, run: PastRun) -> None:
        """Set all that was set for an earlier run."""
        self.apply_recipe(run.as_set())

    def paste_recipe(self) -> None:
        """Take the method and the settings of the recipe on the clipboard."""
        self._take_text(copied_text())

    def reset(self) -> None:
        """Put the method and all settings back to their defaults, and forget those that were remembered."""
        self._clear()
        forget(self.task)
        self.methods.choose_first()
        self.form.set_values(self.method.params_type().model_dump(include=set(self.form.values())))
        self._take_more(Recipe(generator=self.method.info.id))
        self.form.changed.emit()
        self.messages.show_notes(["All settings are as in a new installation."])

    def apply_recipe(self, recipe: Recipe) -> bool:
        """Choose the method and the settings of a recipe; return whether that can be done, which is said otherwise.

        Parameters
        ----------
        recipe : Recipe
            What it learnt of a reference image, its axes and how it was computed are not taken over.
        """
        self._clear()
        first = recipe.steps[0]
        try:
            self._check_recipe(recipe)
            wanted = {
                name: value
                for name, value in first.params.items()
                if name in self.method_of(recipe).params_type.settable()
            }
            self.method_of(recipe).params_type.parse(wanted)
        except SynthError as error:
            self._on_failed(error)
            return False
        self.choose_method(first.generator)
        self.form.set_values(wanted)
        more = self._take_more(recipe)
        self.form.changed.emit()
        self.messages.show_notes([f"{self.method.info.title} is set as in the recipe.", *more])
        return True

    def method_of(self, recipe: Recipe) -> M:
        """Return the method that a recipe names, or the first of them."""
        return self.methods.named(recipe.first)

    # Settings from elsewhere

    def _take_text(self, text: str) -> None:
        """Take a recipe that is written out, or that is in the file of which the path is written."""
        text = text.strip()
        try:
            if not text:
                raise RecipeError(
                    "There is no recipe on the clipboard: copy one first, from a panel or from a recipe file."
                )
            recipe = Recipe.from_yaml(text) if "\n" in text else Recipe.from_file(text)
        except SynthError as error:
            self._clear()
            self._on_failed(error)
            return
        self.apply_recipe(recipe)

    def _check_recipe(self, recipe: Recipe) -> None:
        task = recipe.first.split("/")[0]
        if task != self.task:
            known = {one.value: one for one in Task}
            panel = known[task].verb.replace("-", " ").capitalize() if task in known else task
            raise RecipeError(f"This recipe is for another task: open the panel {panel} and paste it there.")
        if not self.methods.has(recipe.first):
            raise UnknownGeneratorError(f"There is no method {recipe.first!r} here: add its model file with +.")
        if refusal := self.methods.refusal(recipe.first):
            raise RecipeError(refusal)

    def _take_more(self, recipe: Recipe) -> tuple[str, ...]:
        """Set what a recipe says besides its method and settings; return sentences on what could not be."""
        return ()

    def _recall(self) -> None:
        """Choose what was last used for this task, where that is still there; a subclass calls it once it is laid out."""
        kept = remembered(self.task)
        if kept is None or not self.methods.has(kept[0]) or self.methods.refusal(kept[0]):
            return
        method, params = self.methods.named(kept[0]), kept[1]
        values = {name: value for name, value in params.items() if name in method.params_type.settable()}
        try:
            method.params_type.parse(values)
        except SynthError:
            return
        self.choose_method(kept[0])
        self.form.set_values(values)
