"""What a model file says of itself is held against what it is, before anything is built, unpacked or computed with."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ModelFileError

# A network registers some of its tensors more than once while it is built, and some are no part of the file.
_NUMBERS_FACTOR, _MORE_NUMBERS = 4, 2**22
_TENSORS_FACTOR, _MORE_TENSORS = 4, 512
# Weights hardly become smaller where they are packed; test images of a package do.
_UNPACKED_FACTOR, _MORE_UNPACKED = 20, 2**26
_MOST_MEMBERS = 20_000


@contextmanager
def bounded(shapes: Iterable[tuple[int, ...]]) -> Iterator[None]:
    """Stop the building of a network once it has clearly more weights than a file with tensors of these shapes can hold.

    Raises
    ------
    ModelFileError
        It has; nothing but the tensor that was one too many was asked for, and that was not written to.
    """
    from torch.nn.modules import module

    known = [prod(shape) for shape in shapes]
    most_numbers = _NUMBERS_FACTOR * sum(known) + _MORE_NUMBERS
    most_tensors = _TENSORS_FACTOR * len(known) + _MORE_TENSORS
    own, numbers, tensors = threading.get_ident(), 0, 0

    def count(owner: Any, name: str, tensor: Any) -> None:
        nonlocal numbers, tensors
        # Networks that other threads build meanwhile are no affair of this file.
        if tensor is None or threading.get_ident() != own:
            return
        numbers, tensors = numbers + tensor.numel(), tensors + 1
        if numbers > most_numbers or tensors > most_tensors:
            raise ModelFileError("The network that the file describes is larger than the file: download it again.")

    with ExitStack() as stack:
        stack.callback(module.register_module_parameter_registration_hook(count).remove)
        stack.callback(module.register_module_buffer_registration_hook(count).remove)
        yield


@contextmanager
def on_paper(shapes: Iterable[tuple[int, ...]]) -> Iterator[None]:
    """Build networks that take no memory, which have sizes alone; raises as `bounded`."""
    import torch

    with bounded(shapes), torch.device("meta"):
        yield


def check_archive(path: Path) -> None:
    """Refuse a zip that becomes far larger where it is unpacked.

    Raises
    ------
    ModelFileError
        It does, or it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        packed = path.stat().st_size
    except Exception as error:  # the reader raises five types and more for what is damaged
        raise ModelFileError(f"The model file {path} is damaged: download it again.") from error
    unpacked = sum(member.file_size for member in members)
    if unpacked > _UNPACKED_FACTOR * packed + _MORE_UNPACKED or len(members) > _MOST_MEMBERS:
        raise ModelFileError(
            f"{path} would become {unpacked / 2**30:.1f} GiB in {len(members)} files where it is unpacked, and no model does: get"
            " it from somewhere else."
        )


def check_weights(path: Path, weights: dict[str, Any]) -> None:
    """Refuse weights that claim more numbers than lie in their file, or are not finite.

    A pickled tensor may repeat a single number over any shape, and networks are built by the shapes of their weights.

    Raises
    ------
    ModelFileError
        They do, or are not.
    """
    import torch

    for name, tensor in tensors_in(weights):
        if tensor.layout is torch.strided and tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ModelFileError(
                f"The weights in {path} claim more numbers than the file holds ({name}): get the model as .safetensors."
            )
    wrong = not_finite(dict(tensors_in(weights)))
    if wrong is not None:
        raise ModelFileError(f"The weights in {path} are not finite ({wrong}): download the file again.")


def not_finite(weights: Mapping[str, Any]) -> str | None:
    """Return the name of a tensor that holds NaN or infinite values, None where all are finite."""
    import torch

    for name, tensor in weights.items():
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return name
    return None


def tensors_in(weights: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the tensors in weights, and in the mappings that they hold, with the name of each."""
    import torch

    waiting, seen = [("", weights)], set[int]()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            waiting += [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
