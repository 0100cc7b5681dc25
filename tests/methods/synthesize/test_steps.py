"""In how many steps a flow is followed."""

from __future__ import annotations

from typing import Any

import pytest

from napari_synth.core.errors import ModelFileError
from napari_synth.methods.synthesize.catalogue import FlowParams
from napari_synth.methods.synthesize.samplers import STEPS, steps_of
from napari_synth.models import ModelCard


def card(**extras: Any) -> ModelCard:
    return ModelCard(
        name="nuclei", title="Nuclei", task="synthesize", architecture="velocity-unet", config={}, extras=extras
    )


def test_as_many_as_were_found_to_be_enough_unless_the_user_says_otherwise() -> None:
    assert steps_of(FlowParams(), card(**{STEPS: 4})) == 4
    assert steps_of(FlowParams(steps=7), card(**{STEPS: 4})) == 7
    assert steps_of(FlowParams(), card()) == 20


def test_a_card_that_says_nonsense_is_named() -> None:
    with pytest.raises(ModelFileError, match="nuclei"):
        steps_of(FlowParams(), card(**{STEPS: "many"}))
