from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_synth",
        "from napari_synth import registry; registry.generators(); registry.trainables()",
        "import napari_synth.cli, napari_synth.training.events, napari_synth.training.control",
        "import napari_synth.engine.door",
        "import napari_synth.gui.commands, napari_synth.gui.samples, napari_synth.gui.settings",
    ],
)
def test_declarations_load_neither_torch_nor_napari_nor_qt(statement: str) -> None:
    heavy = "('torch', 'scipy', 'skimage', 'kornia', 'napari', 'qtpy', 'PyQt6')"
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
