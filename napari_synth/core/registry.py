"""Finds generators: the built-in ones, and those of other packages through the entry point group ``napari_synth.generators``."""

from __future__ import annotations

import difflib
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from napari_synth.core.errors import UnknownGeneratorError
from napari_synth.core.generator import Generator, Params, Task

ENTRY_POINT_GROUP = "napari_synth.generators"

# In the order in which the panel lists them: the first of a task is its default.
_BUILT_IN = (
    "napari_synth.generators.denoise.blind:Blind",
    "napari_synth.generators.denoise.auto:Auto",
    "napari_synth.generators.denoise.adapt:Adapt",
    "napari_synth.generators.denoise.noise2void:Noise2Void",
    "napari_synth.generators.denoise.zero_shot_noise2noise:ZeroShotNoise2Noise",
    "napari_synth.generators.denoise.non_local_means:NonLocalMeans",
    "napari_synth.generators.denoise.total_variation:TotalVariation",
    "napari_synth.generators.denoise.wavelet:Wavelet",
    "napari_synth.generators.denoise.median:Median",
)


def generators(task: Task | str | None = None) -> list[Generator[Params]]:
    """Return all generators, or those of a task; a task's default comes first."""
    found = _registered().values()
    return [generator for generator in found if task is None or generator.info.task == task]


def generator(identifier: str) -> Generator[Params]:
    """Return the generator with this id.

    Raises
    ------
    UnknownGeneratorError
        There is none; the message names near ones.
    """
    registered = _registered()
    if identifier in registered:
        return registered[identifier]
    near = difflib.get_close_matches(identifier, registered, n=3, cutoff=0.4) or list(registered)
    raise UnknownGeneratorError(f"There is no generator {identifier!r}: did you mean {' or '.join(near)}?")


@cache
def _registered() -> dict[str, Generator[Params]]:
    found = {}
    for path in _BUILT_IN:
        module, name = path.split(":")
        built_in: Generator[Params] = getattr(import_module(module), name)()
        found[built_in.info.id] = built_in
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            foreign = entry.load()()
            identifier = foreign.info.id
        except Exception as error:  # noqa: BLE001 - another package's fault must not take ours away
            warnings.warn(f"The generator {entry.name!r} of another package cannot be loaded: {error}", stacklevel=2)
            continue
        if identifier in found:
            warnings.warn(f"The generator id {identifier!r} of {entry.value!r} is taken: it is left out.", stacklevel=2)
            continue
        found[identifier] = foreign
    return found
