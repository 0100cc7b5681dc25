from __future__ import annotations

from enum import StrEnum
from typing import Literal

import pytest
from pydantic import Field
from qtpy.QtWidgets import QWidget

from napari_synth import registry
from napari_synth.contract.params import NoParams, Params
from napari_synth.gui.widgets.form import ParamsForm


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Everything(Params):
    ratio: float = Field(0.25, ge=0.0, le=1.0, title="Ratio", description="How much.")
    count: int = Field(7, ge=1, le=20, title="Count", description="How many.")
    steps: int = Field(4000, ge=1, title="Steps", description="How long.")
    positive: float = Field(0.1, gt=0.0, lt=0.5, title="Positive", description="Above nothing.")
    on: bool = Field(True, title="On", description="Whether.")
    mode: Literal["auto", "fast"] = Field("fast", title="Mode", description="Which way.")
    colour: Colour = Field(Colour.BLUE, title="Colour", description="Which one.")
    sigma: float | None = Field(None, gt=0.0, title="Sigma", description="Noise.", json_schema_extra={"advanced": True})
    radius: int | None = Field(
        3, ge=1, le=9, title="Radius", description="Reach.", json_schema_extra={"advanced": True}
    )
    steep: float | None = Field(None, ge=0.01, le=100.0, title="Steep", description="Slope.")
    begun: float | None = Field(
        None, ge=0.05, le=10.0, title="Begun", description="Starts.", json_schema_extra={"start": 2.5}
    )
    epochs: int | None = Field(None, ge=1, le=10_000, title="Epochs", description="Rounds.")
    name: str = Field("x", title="Name", description="A word.", json_schema_extra={"advanced": True})


@pytest.fixture
def form(qtbot) -> ParamsForm:
    made = ParamsForm(Everything)
    qtbot.addWidget(made)
    return made


def test_the_form_begins_with_the_defaults(form) -> None:
    assert form.params() == Everything()


@pytest.mark.parametrize("generator", registry.generators(), ids=lambda g: g.info.id)
def test_every_generator_has_a_form_that_gives_its_defaults(qtbot, generator) -> None:
    made = ParamsForm(generator.params_type)
    qtbot.addWidget(made)
    assert made.params() == generator.params_type()


def test_what_is_set_is_what_is_given(form) -> None:
    wanted = {
        "ratio": 0.5, "count": 3, "steps": 12, "positive": 0.4, "on": False, "mode": "auto", "colour": Colour.RED,
        "sigma": 4.5, "radius": None, "steep": 3.0, "begun": 0.5, "epochs": 9, "name": "y",
    }  # fmt: skip
    form.set_values(wanted)
    assert form.params() == Everything(**wanted)


def test_bounds_hold(form) -> None:
    with pytest.raises(ValueError, match="20"):
        form.set_values({"count": 21})
    form.set_values({"positive": form._fields["positive"]._widget.min})
    assert form.params().positive > 0


def test_an_automatic_value_is_none_until_its_box_is_cleared(form) -> None:
    field = form._fields["sigma"]
    assert not field._widget.native.isEnabled()
    field._automatic.setChecked(False)
    assert field._widget.native.isEnabled()
    assert form.values()["sigma"] == field._widget.value


@pytest.mark.parametrize(("name", "start"), [("sigma", 1.0), ("steep", 1.0), ("begun", 2.5), ("epochs", 100)])
def test_an_automatic_value_begins_with_one_that_is_of_use(form, name, start) -> None:
    assert form.values()[name] is None
    form._fields[name]._automatic.setChecked(False)
    assert form.values()[name] == pytest.approx(start)


def test_numbers_without_bounds_may_be_tiny(form) -> None:
    form.set_values({"sigma": 0.00042})
    assert form.values()["sigma"] == 0.00042


def test_every_change_is_told(form, qtbot) -> None:
    for name, value in {"ratio": 0.9, "mode": "auto", "on": False, "sigma": 2.0}.items():
        with qtbot.waitSignal(form.changed, timeout=1000):
            form.set_values({name: value})


def test_rare_fields_are_folded_away(form) -> None:
    form.show()
    assert form.editor("ratio").isVisible()
    assert not form.editor("sigma").isVisible()
    form.more.click()
    assert form.editor("sigma").isVisible()
    form.more.click()
    assert not form.editor("sigma").isVisible()


def test_a_form_without_rare_fields_has_nothing_to_unfold(qtbot) -> None:
    made = ParamsForm(NoParams)
    qtbot.addWidget(made)
    made.show()
    assert not made.more.isVisible()
    assert made.params() == NoParams()


def test_every_control_says_what_it_is(form) -> None:
    for name, field in form._fields.items():
        description = Everything.model_fields[name].description
        assert description in field._widget.native.toolTip()
        assert field.label.toolTip() == description


def test_two_forms_know_nothing_of_each_other(form, qtbot) -> None:
    other = ParamsForm(Everything)
    qtbot.addWidget(other)
    form.set_values({"count": 3})
    assert other.params().count == 7


def test_the_form_is_narrow(form) -> None:
    form.more.setChecked(True)
    assert form.minimumSizeHint().width() <= 280
    assert all(child.minimumWidth() <= 280 for child in form.findChildren(QWidget))
