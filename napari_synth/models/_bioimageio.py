"""Reads bioimage.io packages: a description, weights as TorchScript or with Python that builds the network, and steps around it."""

from __future__ import annotations

import math
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from napari_synth.core.errors import MissingExtraError, ModelFileError, UntrustedModelError
from napari_synth.models._claims import check_archive, check_weights
from napari_synth.models._sniffing import in_brief
from napari_synth.models._torchscript import open_script
from napari_synth.models.file_network import Facts, FileNetwork, padded
from napari_synth.models.processing import BEFORE, BEHIND, check_steps

_SPEC_AXES = ("batch", "channel", "y", "x")
_TASK_TAGS = {
    "denoise": {"denoising", "image-denoising", "denoise", "restoration", "image-restoration", "noise2void", "care"},
    "super-resolution": {"super-resolution", "superresolution", "upsampling"},
}


def read(path: Path, trusted: bool) -> tuple[FileNetwork, Facts]:
    """Read a package, zip or folder.

    Raises
    ------
    UntrustedModelError
        The user did not say that they trust it.
    ModelFileError
        It is damaged, has no weights for torch, or takes or gives something else than one image.
    MissingExtraError
        bioimageio.core is not installed.
    """
    if not trusted:
        raise UntrustedModelError(
            f"{path} is a package whose network is a program: if you trust where it comes from, add it with --trust"
            " (in Python trusted=True)."
        )
    with _as_folder(path) as folder:
        return _read(path, folder, _describe(path, folder))


def _read(path: Path, folder: Path, described: Any) -> tuple[FileNetwork, Facts]:
    source = _one(path, described.inputs, "takes", "inputs")
    target = _one(path, described.outputs, "returns", "outputs")
    before = _steps(source.preprocessing)
    behind = _steps(target.postprocessing)
    check_steps(before, BEFORE)
    check_steps(behind, BEHIND)
    network, kind = _open(path, folder, described)
    multiple, minimum = _sizes(path, source)
    call = padded(
        _in_order(network.call, _order(path, source), _order(path, target)), multiple=multiple, minimum=minimum
    )
    tags = {str(tag).lower() for tag in described.tags}
    facts = Facts(
        architecture=kind,
        input_channels=next((axis.size for axis in source.axes if axis.type == "channel"), 1),
        task=next((task for task, known in _TASK_TAGS.items() if tags & known), None),
        multiple=multiple,
        title=str(described.name),
        reference="; ".join(str(entry.text) for entry in described.cite),
        licence=str(described.license or ""),
        preprocessing=before,
        postprocessing=behind,
    )
    return FileNetwork(network.module, call), facts


@cache
def import_bioimageio(name: str = "bioimageio.spec") -> ModuleType:
    """Return a module of the extra ``bioimageio``.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError.of("bioimageio", "bioimage.io packages", error) from error


@contextmanager
def _as_folder(path: Path) -> Iterator[Path]:
    """Give the folder of a package; a zip is unpacked for as long as it is read."""
    if path.is_dir():
        yield path
        return
    check_archive(path)
    with tempfile.TemporaryDirectory() as name:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(name)
        except Exception as error:  # every compression has errors of its own
            raise ModelFileError(f"The package {path} is damaged: download it again.") from error
        yield Path(name)


def _describe(path: Path, folder: Path) -> Any:
    spec = import_bioimageio()
    try:
        with warnings.catch_warnings():
            # What the description lacks is for its author to mend.
            warnings.simplefilter("ignore")
            described = spec.load_model_description(folder, format_version="latest", perform_io_checks=False)
    except Exception as error:  # pydantic's, yaml's and the library's own errors
        raise ModelFileError(
            f"{path} is no bioimage.io package of a model, or a damaged one: download it again."
        ) from error
    return described


def _check_inside(path: Path, folder: Path, source: Any) -> None:
    """Refuse what lies outside of the package: it was not shown to whoever trusts the package, and can change later."""
    if not (folder / str(source)).resolve().is_relative_to(folder.resolve()) or "://" in str(source):
        raise ModelFileError(
            f"The package {path} does not hold all that it runs, only where it is ({source}): download the whole package."
        )


def _open(path: Path, folder: Path, described: Any) -> tuple[FileNetwork, str]:
    """Load the weights, and say what they are."""
    script, state = described.weights.torchscript, described.weights.pytorch_state_dict
    if script is not None:
        _check_inside(path, folder, script.source)
        return open_script(folder / str(script.source), f"in {path}"), "bioimage.io package, TorchScript"
    if state is None:
        raise ModelFileError(
            f"The package {path} has no weights that torch can run: choose one with TorchScript or a state dict."
        )
    _check_inside(path, folder, state.source)
    # Where it names a library instead, that is one that the user installed.
    if hasattr(state.architecture, "source"):
        _check_inside(path, folder, state.architecture.source)
    backend = import_bioimageio("bioimageio.core.backends.pytorch_backend")
    try:
        module = backend.load_torch_model(state, load_state=True, devices=["cpu"])
    except Exception as error:  # packaged Python raises whatever it likes
        raise ModelFileError(
            f"The network in the package {path} cannot be built ({in_brief(error)}): ask its authors."
        ) from error
    module.eval().float().requires_grad_(False)
    check_weights(path, module.state_dict())
    return FileNetwork(module, module), f"bioimage.io package, {state.architecture.callable}"


def _one(path: Path, tensors: Any, verb: str, what: str) -> Any:
    if len(tensors) != 1:
        raise ModelFileError(
            f"The network in {path} {verb} {len(tensors)} {what}, not one image: choose another model."
        )
    return tensors[0]


def _steps(described: Any) -> tuple[dict[str, Any], ...]:
    return tuple(step.model_dump(mode="json") for step in described)


def _order(path: Path, tensor: Any) -> tuple[str, ...]:
    """Return the roles of a tensor's axes in their order."""
    order = tuple(axis.type if axis.type in {"batch", "channel"} else str(axis.id) for axis in tensor.axes)
    if not {"y", "x"} <= set(order) <= set(_SPEC_AXES):
        raise ModelFileError(f"The network in {path} works on {', '.join(order)}, not on planes: choose another model.")
    return order


def _sizes(path: Path, tensor: Any) -> tuple[int, int]:
    """Return what sizes must be a multiple of, and at least."""
    multiples, minima = [1], [0]
    for axis in tensor.axes:
        if axis.type != "space":
            continue
        if not hasattr(axis.size, "step"):
            raise ModelFileError(f"The network in {path} takes images of one size only: choose another model.")
        if axis.size.min % axis.size.step:
            raise ModelFileError(
                f"The network in {path} takes sizes of {axis.size.min} and multiples of {axis.size.step} more, which tiles cannot"
                " have: choose another model."
            )
        multiples.append(axis.size.step)
        minima.append(axis.size.min)
    return math.lcm(*multiples), max(minima)


def _in_order(
    call: Callable[[Tensor], Any], before: tuple[str, ...], behind: tuple[str, ...]
) -> Callable[[Tensor], Tensor]:
    """Return the network for (N, C, H, W), whatever the order of its axes."""

    def ordered(image: Tensor) -> Tensor:
        answers = [
            _from_usual(part, before)
            for part in (torch.unbind(image.unsqueeze(1)) if "batch" not in before else [image])
        ]
        found = [call(answer) for answer in answers]
        first = [item[0] if isinstance(item, list | tuple) else item for item in found]
        return torch.cat([_to_usual(item, behind) for item in first])

    return ordered


def _from_usual(image: Tensor, order: tuple[str, ...]) -> Tensor:
    """Bring (N, C, H, W) into an order; axes that it lacks have length 1."""
    present = [axis for axis in _SPEC_AXES if axis in order]
    image = image.reshape([image.shape[_SPEC_AXES.index(axis)] for axis in present])
    return image.permute([present.index(axis) for axis in order])


def _to_usual(image: Tensor, order: tuple[str, ...]) -> Tensor:
    """Bring a tensor of an order into (N, C, H, W)."""
    present = [axis for axis in _SPEC_AXES if axis in order]
    image = image.permute([order.index(axis) for axis in present])
    for position, axis in enumerate(_SPEC_AXES):
        if axis not in present:
            image = image.unsqueeze(position)
    return image
