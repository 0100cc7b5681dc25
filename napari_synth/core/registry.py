"""Finds generators and other methods: built-in ones, those of other packages, those of the user's library, those of this session.

Other packages declare theirs in the entry point group ``napari_synth.generators``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from napari_synth.core.errors import ModelFileError, SynthError, UnknownGeneratorError
from napari_synth.core.generator import Generator, Method, Params, Task
from napari_synth.core.plugins import collected, named
from napari_synth.core.texts import shown

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
    "napari_synth.generators.super_resolution.network:Network",
    "napari_synth.generators.super_resolution.adapted:Adapted",
    "napari_synth.generators.super_resolution.lanczos:Lanczos",
    "napari_synth.generators.super_resolution.bicubic:Bicubic",
    "napari_synth.generators.super_resolution.isotropic:Isotropic",
    "napari_synth.generators.inpaint.auto:Auto",
    "napari_synth.generators.inpaint.biharmonic:Biharmonic",
    "napari_synth.generators.inpaint.patches:Patches",
    "napari_synth.generators.inpaint.network:Network",
    "napari_synth.generators.inpaint.adapted:Adapted",
    "napari_synth.generators.translate.auto:Auto",
    "napari_synth.generators.translate.macenko:Macenko",
    "napari_synth.generators.translate.vahadane:Vahadane",
    "napari_synth.generators.translate.reinhard:Reinhard",
    "napari_synth.generators.translate.quantile_matching:QuantileMatching",
    "napari_synth.generators.translate.colour_transfer:ColourTransfer",
    "napari_synth.generators.translate.patch_style:PatchStyle",
    "napari_synth.generators.translate.contrast:Contrast",
    "napari_synth.generators.translate.gamma:Gamma",
    "napari_synth.generators.translate.clahe:Clahe",
    "napari_synth.generators.translate.unsharp:Unsharp",
    "napari_synth.generators.translate.colour_balance:ColourBalance",
    "napari_synth.generators.predict_frames.optical_flow:OpticalFlow",
    "napari_synth.generators.predict_frames.linear:Linear",
    "napari_synth.generators.predict_frames.copy_last:CopyLast",
    "napari_synth.generators.synthesize.patches:Patches",
)


M = TypeVar("M", bound=Method[Any])


def generators(task: Task | str | None = None) -> list[Generator[Params]]:
    """Return all generators, or those of a task; a task's default comes first."""
    return listed(Generator, task)


def generator(identifier: str) -> Generator[Params]:
    """Return the generator with this id; raises as `found`."""
    return found(Generator, identifier)


def listed(kind: type[M], task: Task | str | None = None) -> list[M]:
    """Return all methods of a kind, or those of a task; a task's default comes first."""
    every = _registered().values()
    return [one for one in every if isinstance(one, kind) and (task is None or one.info.task == task)]


def found(kind: type[M], identifier: str) -> M:
    """Return the method of a kind with this id.

    Raises
    ------
    UnknownGeneratorError
        There is none, or it is of another kind.
    """
    one = named(_registered(), identifier, f"There is no generator {shown(identifier)}")
    if not isinstance(one, kind):
        raise UnknownGeneratorError(f"{identifier!r} cannot be used for this: it is for {one.info.task.verb}.")
    return one


def register(made: Method[Any]) -> None:
    """Take up a method for this session; another of this session with the same id makes way.

    Raises
    ------
    ModelFileError
        The id is that of a method that was there before.
    """
    identifier = made.info.id
    if identifier in _lasting() and not _is_same(_lasting()[identifier], made):
        raise ModelFileError(f"There is a generator {identifier!r} already: give the model another name.")
    _of_session[identifier] = made


def _is_same(one: Method[Any], other: Method[Any]) -> bool:
    """Return whether two methods are of one model: those of the library are made anew whenever that changes."""
    known = [getattr(getattr(method, "description", None), "sha256", None) for method in (one, other)]
    return one is other or (known[0] is not None and known[0] == known[1])


def refresh() -> None:
    """Look again for what is in the library of models."""
    _lasting.cache_clear()


def is_taken(identifier: str) -> bool:
    """Return whether a method that outlives the session has this id."""
    return identifier in _lasting()


_of_session: dict[str, Method[Any]] = {}


def _registered() -> dict[str, Method[Any]]:
    """Return all methods by id, the default of a task first; the library wins over what a session calls the same."""
    lasting = _lasting()
    return lasting | {identifier: made for identifier, made in _of_session.items() if identifier not in lasting}


@cache
def _lasting() -> dict[str, Method[Any]]:
    lasting: dict[str, Method[Any]] = collected(_BUILT_IN, ENTRY_POINT_GROUP, "generator")
    for made in _of_library():
        if made.info.id in lasting:
            warnings.warn(
                f"The model {made.info.id!r} of your library has the id of another: it is left out.", stacklevel=2
            )
        else:
            lasting[made.info.id] = made
    return lasting


def _of_library() -> Iterator[Method[Any]]:
    """Make the methods of the user's models; a broken one is told of and left out."""
    from napari_synth.generators.model_files import generator_for
    from napari_synth.models import library

    entries, broken = library.entries()
    for sentence in broken:
        warnings.warn(sentence, stacklevel=2)
    for entry in entries:
        try:
            yield generator_for(entry.description, entry.path)
        except SynthError as error:
            warnings.warn(f"The model {entry.description.id!r} of your library is left out: {error}", stacklevel=2)
