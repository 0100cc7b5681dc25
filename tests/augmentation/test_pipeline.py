from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from napari_synth.augmentation import PRESETS, TRANSFORMS, Draw, Elastic, Flip, Frame, Gamma, Pipeline, Rotate, Sample, Sampling,
Scale from napari_synth.core.errors import InvalidParameterError, RecipeError

COLOUR = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
EVERYTHING = Pipeline(
    transforms=tuple(entry() for kind, entry in TRANSFORMS.items() if kind not in ("crop", "resize")),
    sampling=Sampling(interpolation="cubic", outside="mirror"),
)


@pytest.mark.parametrize("pipeline", [*PRESETS.values(), EVERYTHING], ids=[*PRESETS, "everything"])
def test_yaml_and_python_bring_a_pipeline_back(pipeline: Pipeline) -> None:
    assert Pipeline.from_yaml(pipeline.to_yaml()) == pipeline
    scope: dict[str, object] = {}
    exec(pipeline.to_python().rsplit("\n", 2)[0], scope)
    assert scope["pipeline"] == pipeline


@pytest.mark.parametrize("pipeline", [*PRESETS.values(), EVERYTHING], ids=[*PRESETS, "everything"])
def test_the_same_seed_gives_the_same_and_another_another(pipeline: Pipeline) -> None:
    sample = Sample(COLOUR, "YXS", points=[[20.0, 20.0]])
    draws = [pipeline.draw(seed, sample) for seed in (1, 1, 2, -1)]
    assert draws[0] == draws[1]
    assert draws[0].steps != draws[2].steps
    assert draws[0].steps != draws[3].steps
    results = [pipeline.apply(sample, draw).image for draw in draws[:3]]
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_a_draw_comes_back_from_yaml_and_does_the_same() -> None:
    sample = Sample(COLOUR, "YXS")
    draw = EVERYTHING.draw(7, sample)
    again = Draw.from_yaml(draw.to_yaml())
    assert again == draw
    np.testing.assert_array_equal(EVERYTHING.apply(sample, draw).image, EVERYTHING.apply(sample, again).image)


def test_switching_one_off_leaves_the_others_parameters() -> None:
    frame = Frame("YX", (50, 50), (1.0, 1.0))

    def values(*transforms: object) -> dict[str, object]:
        draw = Pipeline(transforms=transforms).draw_for(3, frame)  # type: ignore[arg-type]
        return {step.kind: (step.applied, step.values) for step in draw.steps}

    both = values(Flip(), Rotate(probability=0.5), Gamma())
    without = values(Gamma(), Flip(enabled=False), Rotate(probability=0.5))
    assert {kind: both[kind] for kind in without} == without
    assert "flip" not in without


def test_probability_is_the_share_of_images() -> None:
    frame = Frame("YX", (50, 50), (1.0, 1.0))
    pipeline = Pipeline(transforms=(Rotate(probability=0.3),))
    applied = [bool(pipeline.draw_for(seed, frame).applied) for seed in range(400)]
    assert 0.22 < np.mean(applied) < 0.38
    sample = Sample(COLOUR[..., 0], "YX")
    unmoved = pipeline.draw(applied.index(False), sample)
    np.testing.assert_array_equal(pipeline.apply(sample, unmoved).image, sample.image)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("transforms: [", RecipeError, "not YAML"),
        ("format: 1\n", RecipeError, "lists no transforms"),
        ("format: 9\ntransforms: []\n", RecipeError, "update napari-synth"),
        ("transforms:\n- kind: twirl\n", RecipeError, "no transform 'twirl'"),
        ("transforms:\n- kind: rotate\n  degrees: 400\n", InvalidParameterError, "'degrees' of Rotate"),
        ("transforms:\n- kind: rotate\n  angle: 4\n", InvalidParameterError, "no setting 'angle'"),
        ("transforms:\n- kind: scale\n  smallest: 2.0\n", InvalidParameterError, "range 2 to 1.25"),
    ],
)
def test_bad_yaml_is_told_in_one_sentence(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Pipeline.from_yaml(text)


@pytest.mark.parametrize("entry", [*TRANSFORMS.values(), Sampling], ids=lambda entry: entry.__name__)
def test_every_setting_can_be_shown(entry: type[Scale]) -> None:
    schema = entry.model_json_schema()
    for name, field in entry.model_fields.items():
        assert field.title, name
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name
        shown = schema["properties"][name]
        numbers = [part for part in shown.get("anyOf", [shown]) if part.get("type") in ("integer", "number")]
        for part in numbers:
            assert {"minimum", "exclusiveMinimum"} & set(part), name
            assert {"maximum", "exclusiveMaximum"} & set(part), name


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        Elastic(least=5.0, most=1.0)


def test_declarations_do_not_load_torch() -> None:
    code = (
        "import sys, napari_synth, napari_synth.augmentation as a;"
        "a.PRESETS['mri'].draw_for(0, a.Frame('ZYX', (9, 9, 9), (1, 1, 1)));"
        "print([name for name in ('torch', 'napari', 'qtpy', 'kornia') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
