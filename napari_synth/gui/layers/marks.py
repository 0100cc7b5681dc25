"""What we write into the metadata of our own layers, and what is read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer

if TYPE_CHECKING:
    import napari.layers

METADATA_KEY = "napari_synth"
RESULT, PREVIEW, REMOVED, TRUST, UNCERTAINTY = "result", "preview", "removed", "trust", "uncertainty"
FILLED, PAIRS, PSF, LIGHT, DRAWN = "filled", "pairs", "psf", "light", "drawn labels"
DERIVED = frozenset({REMOVED, TRUST, UNCERTAINTY, FILLED, PSF, LIGHT})
"""What is added to judge a result."""


def mark(kind: str, recipe: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the metadata of a layer of ours.

    Parameters
    ----------
    kind : str
        ``"result"``, ``"preview"``, ``"removed"``, ``"trust"``, ``"uncertainty"``, ``"filled"``, ``"pairs"``, ``"psf"``,
        ``"light"`` or ``"drawn labels"``.
    recipe : mapping, optional
        The recipe as plain values.
    **more
        Anything else that a reader of the layer should know.
    """
    return {METADATA_KEY: {"kind": kind, **({"recipe": dict(recipe)} if recipe else {}), **more}}


def kind_of(layer: napari.layers.Layer) -> str:
    """Return what we made this layer for (``"preview"``, ``"result"``, ...), or "" where it is not ours."""
    mark = layer.metadata.get(METADATA_KEY, {})
    return str(mark.get("kind", "")) if isinstance(mark, Mapping) else ""


def is_source(layer: Any) -> bool:
    """Tell whether a layer can be worked on: an image that is no preview of ours."""
    return isinstance(layer, ImageLayer) and kind_of(layer) != PREVIEW


def is_followed(layer: Any) -> bool:
    """Tell whether a layer becomes what is worked on when it is selected: no map that judges another, which is chosen by hand."""
    return is_source(layer) and kind_of(layer) not in DERIVED


def note_of(layer: napari.layers.Layer, name: str) -> Any:
    """Return something that was noted with `mark`, None where it was not."""
    found = layer.metadata.get(METADATA_KEY, {})
    return found.get(name) if isinstance(found, Mapping) else None


def note(layer: napari.layers.Layer, **more: Any) -> None:
    """Note more on a layer that `mark` marked."""
    layer.metadata[METADATA_KEY] = {**layer.metadata.get(METADATA_KEY, {}), **more}
