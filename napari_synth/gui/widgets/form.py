"""Makes the form of a method's parameters: one magicgui widget a field, rarely used fields folded away.

Titles, descriptions, bounds and defaults come from the JSON schema of the pydantic model, so that nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Collection
from math import sqrt
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

from magicgui.widgets import create_widget
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_synth.contract.params import Params
from napari_synth.gui.widgets.form_rows import FoldButton, rows

_BOUNDS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
_FINEST = 1e-6
_LARGEST = 2**31 - 1
_MOST_SLIDER_STEPS = 400
_SLIDER_WIDTH = 130
_NARROWEST, _WIDEST_LIST = 60, 180
_BESIDE_WORDS = 48
"""Pixels of a list for its margins and its arrow in napari's style."""


_MEASURED_AFTER = (QEvent.Type.Resize, QEvent.Type.LayoutRequest, QEvent.Type.Show, QEvent.Type.PolishRequest)


class ParamsForm(QWidget):
    """A form for the fields of a `Params` model.

    Parameters
    ----------
    params_type : type of Params
    parent : QWidget, optional
    hidden : collection of str
        Names of fields that are set elsewhere.
    folded : bool
        Whether all fields are folded away, not only those that are rarely used.
    """

    changed = Signal()
    """A value was changed by the user."""

    def __init__(
        self,
        params_type: type[Params],
        parent: QWidget | None = None,
        *,
        hidden: Collection[str] = (),
        folded: bool = False,
    ) -> None:
        super().__init__(parent)
        self.params_type = params_type
        self._fields: dict[str, _Field] = {}
        self._properties = params_type.model_json_schema()["properties"]
        self._rows = plain, advanced = rows(), rows()
        for name, info in params_type.settable().items():
            if name in hidden:
                continue
            field = _Field(name, info, self._properties[name], self)
            self._fields[name] = field
            field.changed.connect(self.changed)
            place = advanced if folded or self._properties[name].get("advanced") else plain
            place.addRow(field.label, field.editor)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(plain)
        self.more = FoldButton(self, "More settings", "Settings that are rarely needed")
        self._folded = QWidget(self)
        self._folded.setLayout(advanced)
        self._folded.setVisible(False)
        self.more.setVisible(advanced.rowCount() > 0)
        self.more.toggled.connect(self._folded.setVisible)
        layout.addWidget(self.more)
        layout.addWidget(self._folded)

    def event(self, event: QEvent | None) -> bool:
        """Ask for the height that rows need where they break: Qt keeps the one from before the panel had its width and style."""
        is_taken = super().event(event)
        if event is not None and event.type() in _MEASURED_AFTER:
            self._measure_again()
        return is_taken

    def _measure_again(self) -> None:
        layout = self.layout()
        if layout is None:
            return
        for each in (*self._rows, layout):
            each.invalidate()
        needed = layout.totalHeightForWidth(self.width())
        if needed != self.minimumHeight():
            self.setMinimumHeight(needed)

    def values(self) -> dict[str, Any]:
        """Return the value of every field, None for one that is left on automatic."""
        return {name: field.value for name, field in self._fields.items()}

    def params(self) -> Params:
        """Return the checked parameters.

        Raises
        ------
        InvalidParameterError
            A value is out of bounds; the form's own bounds leave only what bounds cannot say.
        """
        return self.params_type.parse(self.values())

    def set_values(self, values: dict[str, Any]) -> None:
        """Set fields by name; fields that are left out keep their value."""
        for name, value in values.items():
            self._fields[name].value = value

    def take_over(self, other: ParamsForm) -> None:
        """Set what another form shows too, with the same meaning and bounds."""
        self.set_values(
            {
                name: value
                for name, value in other.values().items()
                if self._properties.get(name) == other._properties[name]
            }
        )

    def editor(self, name: str) -> QWidget:
        """Return the widget of a field."""
        return self._fields[name].editor


def _width_of_words(editor: QWidget) -> int:
    """Return how wide an editor has to be, so that no entry of a list is cut."""
    if not isinstance(editor, QComboBox):
        return _NARROWEST
    words = (editor.itemText(index) for index in range(editor.count()))
    longest = max((editor.fontMetrics().horizontalAdvance(text) for text in words), default=0)
    return min(max(_NARROWEST, longest + _BESIDE_WORDS), _WIDEST_LIST)


class _Field(QWidget):
    """The widget of one field; a field that may be None has a box for automatic."""

    changed = Signal()

    def __init__(self, name: str, info: FieldInfo, schema: dict[str, Any], parent: QWidget) -> None:
        super().__init__(parent)
        annotation, nullable = _without_none(info.annotation)
        default = info.get_default(call_default_factory=True)
        bounds = _bounds(schema)
        tooltip = info.description or ""
        options = _options(annotation, bounds)
        begin = schema.get("start", _middle(annotation, bounds)) if default is None else default
        start = {} if begin is None else {"value": begin}
        if begin is not None and "min" in options:
            # A bound that is not allowed itself is one step away, which may be farther than where the value begins.
            options["min"] = min(options["min"], begin)
        self._widget = cast(Any, create_widget(annotation=annotation, name=name, options=options, **start))
        native: QWidget = self._widget.native
        native.setToolTip(tooltip)
        title = info.title or name.replace("_", " ").capitalize()
        native.setAccessibleName(title)
        for part in native.findChildren(QWidget):
            part.setAccessibleName(title)
        if isinstance(native, QCheckBox):
            # The row's label says it.
            native.setText("")
        if isinstance(native, QDoubleSpinBox):
            # Counts may be hundredths or thousands: the step follows the value.
            native.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        for readout in native.findChildren(QAbstractSpinBox):
            # napari's style makes the number of a slider so wide that no slider is left in a narrow panel.
            width = readout.fontMetrics().horizontalAdvance("0000.00")
            readout.setStyleSheet(
                f"background: transparent; border: 0; padding: 0; min-width: {width}px; max-width: {width}px;"
            )
        native.setSizePolicy(QSizePolicy.Policy.Ignored, native.sizePolicy().verticalPolicy())
        # A slider with its number needs more, and a list the length of its words: where the label is long, the layout puts it in
        # a line of its own.
        native.setMinimumWidth(_SLIDER_WIDTH if "widget_type" in options else _width_of_words(native))
        self._widget.changed.connect(self._on_change)

        self.label = QLabel(title, parent)
        self.label.setToolTip(tooltip)
        self.label.setBuddy(native)
        self.editor = self
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._automatic: QCheckBox | None = None
        if nullable:
            self._automatic = QCheckBox("auto", self)
            self._automatic.setToolTip(f"Let napari-synth choose. {tooltip}".strip())
            self._automatic.setAccessibleName(f"{title}: automatic")
            self._automatic.setChecked(default is None)
            native.setEnabled(default is not None)
            self._automatic.toggled.connect(self._on_automatic)
            layout.addWidget(self._automatic)
        layout.addWidget(native, 1)

    @property
    def value(self) -> Any:
        if self._automatic is not None and self._automatic.isChecked():
            return None
        return self._widget.value

    @value.setter
    def value(self, value: Any) -> None:
        if self._automatic is not None:
            self._automatic.setChecked(value is None)
        if value is not None:
            self._widget.value = value

    def _on_automatic(self, automatic: bool) -> None:
        self._widget.native.setEnabled(not automatic)
        self.changed.emit()

    def _on_change(self, _value: object = None) -> None:
        self.changed.emit()


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return the type of a value that is set, and whether it may be left on automatic."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    inner = kinds[0] if len(kinds) == 1 else Union[tuple(kinds)]  # noqa: UP007 - made at run time
    return inner, len(kinds) < len(get_args(annotation))


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a field's schema that holds its bounds."""
    variants = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    return {**schema, **(variants[0] if variants else {})}


def _options(annotation: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the magicgui widget for a number; none for anything else."""
    if annotation not in (int, float):
        return {}
    least, most = (cast(Any, schema.get(inner, schema.get(outer))) for inner, outer in _BOUNDS)
    bounded = least is not None and most is not None
    usual = 1 if annotation is int else _fine_step(most - least) if bounded else _FINEST
    if annotation is float and bounded and schema.get("start"):
        # Where it begins has to be within reach, however wide the range is.
        usual = min(usual, _fine_step(schema["start"]))
    step = schema.get("step") or schema.get("multipleOf") or usual
    # A bound that is not allowed itself is one step away.
    low = -_LARGEST if least is None else least + step * ("exclusiveMinimum" in schema)
    high = _LARGEST if most is None else most - step * ("exclusiveMaximum" in schema)
    options = {"min": low, "max": high, "step": step}
    # A slider shows where a value lies between its bounds; over a wide range it could not be set exactly.
    if bounded and (high - low) / step <= _MOST_SLIDER_STEPS:
        options["widget_type"] = "Slider" if annotation is int else "FloatSlider"
    return options


def _middle(annotation: Any, schema: dict[str, Any]) -> Any:
    """Return where a number begins that was left on automatic: its least value would seldom be of use."""
    if annotation not in (int, float):
        return None
    least, most = (cast(Any, schema.get(inner, schema.get(outer))) for inner, outer in _BOUNDS)
    if least is None or most is None:
        return annotation(max(1, -_LARGEST if least is None else least) if most is None else min(1, most))
    middle = sqrt(least * most) if least > 0 else (least + most) / 2
    return annotation(float(f"{middle:.1g}"))


def _fine_step(span: float) -> float:
    """Return a step that is a power of ten and makes at least 50 of them."""
    step = 1.0
    while span / step < 50:
        step /= 10
    return step
