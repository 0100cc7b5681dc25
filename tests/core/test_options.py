"""How a run is done: every wrong value is one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_synth.core.errors import DeviceError, InvalidParameterError
from napari_synth.core.options import RunOptions


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"seed": -1}, InvalidParameterError, "The seed cannot be -1: give a whole number from 0 to 2147483647"),
        ({"seed": 2**31}, InvalidParameterError, "whole number from 0 to 2147483647"),
        ({"seed": 1.5}, InvalidParameterError, "The seed cannot be 1.5"),
        ({"tile": 0}, InvalidParameterError, "A tile of 0 pixels cannot be: give at least 1"),
        ({"tile": "large"}, InvalidParameterError, "The tile cannot be 'large'"),
        ({"memory_budget": 0}, InvalidParameterError, "The memory budget cannot be 0"),
        ({"memory_budget": 0.5}, InvalidParameterError, "The memory budget cannot be 0.5"),
        ({"precision": "float8"}, InvalidParameterError, "The precision cannot be 'float8': use auto"),
        ({"precision": ["auto"]}, InvalidParameterError, "The precision cannot be"),
        ({"dtype": "uint8"}, InvalidParameterError, "The dtype cannot be 'uint8': use auto, source or float32"),
        ({"device": None}, DeviceError, "There is no device None"),
    ],
)
def test_a_wrong_value_is_one_clear_sentence(wrong: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as caught:
        RunOptions(**wrong)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_whole_numbers_of_numpy_become_those_of_python() -> None:
    options = RunOptions(seed=np.int64(3), tile=np.uint8(64), memory_budget=np.int32(10))  # type: ignore[arg-type]
    assert [type(value) for value in (options.seed, options.tile, options.memory_budget)] == [int] * 3
    assert options == RunOptions(seed=3, tile=64, memory_budget=10)


def test_options_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RunOptions().seed = 1  # type: ignore[misc]
