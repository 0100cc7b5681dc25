"""What the user set in napari's Preferences: device, precision, memory, the dtype of results, and the folder of large results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from napari_synth.core.device import PrecisionChoice
from napari_synth.core.options import RunOptions
from napari_synth.core.result_dtype import DtypeChoice

PLUGIN = "napari-synth"


@dataclass(frozen=True)
class RunSettings:
    """How runs compute.

    Attributes
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    precision : {"auto", "float32", "float16", "bfloat16"}
    memory_budget : int or None
        Bytes that a run may take; None leaves it to the engine.
    folder : pathlib.Path
        Where results go that are larger than the memory budget.
    dtype : {"auto", "source", "float32"}
        Of results.
    """

    device: str
    precision: PrecisionChoice
    memory_budget: int | None
    folder: Path
    dtype: DtypeChoice = "auto"

    def options(self, seed: int = 0) -> RunOptions:
        """Return how a run computes."""
        return RunOptions(self.device, self.precision, self.dtype, seed, memory_budget=self.memory_budget)


def read_settings() -> RunSettings:
    """Return what is set in Preferences; the defaults where napari does not know the plugin."""
    from napari.settings import get_plugin_settings
    from qtpy.QtCore import QStandardPaths

    folder = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericCacheLocation)) / PLUGIN
    try:
        stored = get_plugin_settings(PLUGIN).compute
    except KeyError:
        return RunSettings("auto", "auto", None, folder)
    budget = float(stored.memory_budget)
    return RunSettings(
        device=str(stored.device),
        precision=cast("PrecisionChoice", str(stored.precision)),
        memory_budget=int(budget * 2**30) or None,
        folder=Path(str(stored.results_folder)).expanduser() if str(stored.results_folder).strip() else folder,
        dtype=cast("DtypeChoice", str(stored.dtype)),
    )
