"""The options of a command are the settings of its generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
from cyclopts import App, CycloptsError
from pydantic import Field

from napari_synth.cli.app import VERBS, _task_command
from napari_synth.cli.options import with_settings
from napari_synth.contract.generator import Context, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.imaging.image import Image
from napari_synth.registry import generators


class Settings(Params):
    strength: float = Field(1.0, ge=0.0, le=3.0, title="Strength", description="How much.")
    steps: int | None = Field(None, gt=0, title="Steps", description="How long.")
    way: Literal["left", "right"] = Field("left", title="Way", description="Where to.")
    again: bool = Field(False, title="Again", description="Twice.", json_schema_extra={"advanced": True})


class Dummy:
    info: ClassVar[GeneratorInfo] = GeneratorInfo("denoise/dummy", "Dummy", "Does nothing.", Task.DENOISE)
    params_type = Settings

    def prepare(self, image: Image, params: Settings, context: Context) -> Prepared:
        raise AssertionError("A command only reads the settings.")


def run(*words: str) -> dict[str, Any]:
    """Run a command with the dummy's settings and return what it was called with."""
    seen: dict[str, Any] = {}

    def command(name: str, /, *, params: Mapping[str, Any]) -> int:
        seen.update(params, name=name)
        return 0

    app = App(result_action="return_value")
    app.default(with_settings(command, Dummy()))
    app(list(words), exit_on_error=False, print_error=False)
    return seen


def test_what_is_given_reaches_the_command_with_its_type() -> None:
    seen = run("x", "--strength", "2", "--steps=7", "--way", "right", "--again")
    assert seen == {"name": "x", "strength": 2.0, "steps": 7, "way": "right", "again": True}
    assert isinstance(seen["strength"], float)


def test_what_is_left_out_stays_at_its_default() -> None:
    Settings.parse({key: value for key, value in run("x").items() if key != "name"})
    assert run("x", "--no-again").get("again", False) is False


@pytest.mark.parametrize("words", [["--strenth", "2"], ["--way", "up"], ["--steps", "many"]])
def test_what_does_not_fit_is_refused(words: list[str]) -> None:
    with pytest.raises(CycloptsError):
        run("x", *words)


def test_help_shows_description_bounds_default_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()

    def command(name: str, /, *, params: Mapping[str, Any]) -> int:
        return 0

    app.default(with_settings(command, Dummy()))
    app(["--help"], result_action="return_value")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "How much. (at least 0, at most 3)" in shown
    assert "default: 1.0" in shown
    assert "(above 0)" in shown
    assert "choices: left, right" in shown
    assert "Rarely used settings of the generator" in shown


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_generator_makes_a_command(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for found in generators(verb.task):
        app = App()
        app.default(_task_command(verb, [verb.name, "--generator", found.info.name]))
        app(["--help"], result_action="return_value")
        shown = capsys.readouterr().out
        for field in found.params_type.settable():
            assert f"--{field.replace('_', '-')}" in shown
