"""Lets spandrel be imported where torchvision was built for another torch.

torchvision's wheel brings a compiled library for exactly one build of torch. Beside another one (torch for the CPU and
the usual torchvision, say) that library does not load, and ``import torchvision`` then fails only because it describes
the shapes of two operators that the library would have declared. spandrel needs nothing of the library: of torchvision
it uses two functions written in Python. So the two operators are declared here, without an implementation; calling one
still fails and says why.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from types import ModuleType

from napari_synth.core.errors import MissingExtraError, ModelFileError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def import_spandrel() -> ModuleType:
    """Return the module ``spandrel``.

    Raises
    ------
    MissingExtraError
        It is not installed.
    ModelFileError
        The installed torchvision does not work with this torch at all.
    """
    try:
        _import_torchvision()
        return import_module("spandrel")
    except ImportError as error:
        raise MissingExtraError.of("spandrel", "Model files of other projects", error) from error


def _import_torchvision() -> None:
    """Import torchvision, with its operators declared where its compiled library does not load."""
    import torch

    try:
        import_module("torchvision")
    except RuntimeError:
        _forget("torchvision")
        # A library that goes away takes its operators along: the module keeps it.
        declared = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            declared.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(declared)
        try:
            import_module("torchvision")
        except RuntimeError as error:
            raise ModelFileError(
                f"torchvision cannot be imported beside torch {torch.__version__} ({error}): install the version made for it."
            ) from error


_declared: list[object] = []


def _forget(package: str) -> None:
    """Drop a package of which only a part was imported."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
