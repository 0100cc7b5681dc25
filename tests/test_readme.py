"""What the README promises runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import Method
from napari_synth.registry import trainables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_generator_of_another_package_is_written_as_the_readme_says(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class Box(" in block]
    names: dict[str, type] = {}
    exec(code, names)
    monkeypatch.setattr(registry, "_registered", lambda: {"denoise/box": registry.adopted(names["Box"]())})
    image = np.random.default_rng(0).random((40, 50)) * 100
    result = napari_synth.denoise(image, "box", radius=2)
    assert result[20, 20] == pytest.approx(image[18:23, 18:23].mean(), abs=1e-3)


def test_every_method_and_every_training_is_in_the_readme() -> None:
    for one in (*registry.listed(Method), *trainables()):
        assert f"`{one.info.id}`" in README or f"`{one.info.name}`" in README, one.info.id


def test_pictures_and_linked_files_are_there() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).is_file(), path


def test_commands_are_there_and_executable() -> None:
    for path in re.findall(r"^(\./scripts/\w+)", README, re.MULTILINE):
        assert (ROOT / path).stat().st_mode & 0o111, path
