from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from npe2.manifest.schema import PluginManifest as Schema

import napari_synth
from napari_synth.gui import settings as settings_module
from napari_synth.gui.commands import denoise_active_layer
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import read_settings
from napari_synth.samples import SAMPLES

MANIFEST = Path(napari_synth.__file__).parent / "napari.yaml"


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


@pytest.fixture
def registered(npe2pm, plugin_settings, manifest) -> Schema:
    npe2pm.register(manifest)
    return manifest


@pytest.fixture
def window(registered, make_napari_viewer) -> Any:
    return make_napari_viewer()


def test_every_name_in_the_manifest_can_be_imported(manifest) -> None:
    manifest.validate_imports()


def test_listing_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys; from npe2 import PluginManifest; from importlib import import_module\n"
        f"manifest = PluginManifest.from_file({str(MANIFEST)!r})\n"
        "for command in manifest.contributions.commands: import_module(command.python_name.split(':')[0])\n"
        "print([name for name in ('torch', 'napari', 'qtpy', 'PyQt6', 'magicgui', 'skimage') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_opening_the_panel_module_does_not_load_torch() -> None:
    code = "import sys; import napari_synth.gui.panels.restore; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_the_panel_opens_from_the_plugin_menu(window, control) -> None:
    _, panel = window.window.add_plugin_dock_widget("napari-synth", "Denoise")
    assert isinstance(panel, RestorePanel)
    assert panel.viewer is window


def test_the_layers_menu_denoises_the_active_layer(window, control, qtbot, noisy) -> None:
    window.add_image(noisy(20, 20), name="other")
    active = window.add_image(noisy(20, 20), name="cells")
    denoise_active_layer()
    qtbot.waitUntil(lambda: "cells denoised" in window.layers, timeout=10_000)
    assert window.layers.index("cells denoised") == window.layers.index(active) + 1
    _, panel = window.window.add_plugin_dock_widget("napari-synth", "Denoise")
    qtbot.waitUntil(lambda: panel._job is None)
    denoise_active_layer()
    qtbot.waitUntil(lambda: "cells denoised 2" in window.layers, timeout=10_000)
    qtbot.waitUntil(lambda: panel._job is None)


@pytest.mark.parametrize("kind", ["nothing", "labels"])
def test_the_layers_menu_says_what_is_wrong(window, control, kind) -> None:
    if kind == "labels":
        window.add_labels(np.zeros((8, 8), int), name="masks")
    denoise_active_layer()
    said = notification_manager.records[-1].message
    assert "select an image layer" in said.lower()
    assert control.prepared == []


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_sample_opens_from_the_menu(registered, name) -> None:
    from napari.layers import Image as ImageLayer

    contribution = next(entry for entry in registered.contributions.sample_data if entry.key == name)
    assert contribution.display_name == SAMPLES[name].title
    # What is hidden lies below, so that the image is the active layer.
    layers = sorted(contribution.open(), key=lambda layer: not layer[1].get("visible", True))
    (pixels, kwargs, kind), *others = layers
    assert kind == "image"
    sample = SAMPLES[name]
    assert [kind for _, _, kind in others] == ["labels"] * sample.has_mask + ["image"] * sample.has_psf
    assert all(mask.shape == pixels.shape for mask, _, kind in others if kind == "labels")
    layer = ImageLayer(pixels, **kwargs)
    assert layer.metadata["licence"] == SAMPLES[name].licence
    assert len(layer.axis_labels) == layer.ndim


def test_the_manifest_lists_every_sample(manifest) -> None:
    assert [entry.key for entry in manifest.contributions.sample_data] == list(SAMPLES)


def test_preferences_are_read(registered, tmp_path) -> None:
    from napari.settings import get_plugin_settings

    assert read_settings().device == "auto"
    assert read_settings().memory_budget is None
    stored = get_plugin_settings("napari-synth").compute
    stored.device, stored.precision, stored.memory_budget, stored.results_folder = "cpu", "float32", 1.5, str(tmp_path)
    assert read_settings() == settings_module.RunSettings("cpu", "float32", int(1.5 * 2**30), tmp_path)


def test_preferences_have_defaults_where_the_plugin_is_unknown(npe2pm, plugin_settings) -> None:
    found = read_settings()
    assert (found.device, found.precision, found.memory_budget) == ("auto", "auto", None)
    assert found.folder.name == "napari-synth"
