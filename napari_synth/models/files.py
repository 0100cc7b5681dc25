"""Reading and writing model files: half-precision weights in safetensors, the card as JSON in the metadata."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from napari_synth.core.arguments import given_path
from napari_synth.core.errors import ModelFileError
from napari_synth.core.texts import TextError, read_json
from napari_synth.models._claims import not_finite, on_paper
from napari_synth.models.architectures import ARCHITECTURES, build_network
from napari_synth.models.card import FORMAT_VERSION, ModelCard

if TYPE_CHECKING:
    from torch import Tensor, nn

_KEY = "napari_synth"


def bundled_names() -> tuple[str, ...]:
    """Return the names of the models that come with napari-synth, in alphabetical order."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.safetensors")))


def bundled(name: str) -> Path:
    """Return the path of a model that comes with napari-synth.

    Raises
    ------
    ModelFileError
        No bundled model has this name.
    """
    names = bundled_names()
    if name not in names:
        raise ModelFileError(f"No bundled model is named '{name}': choose one of {', '.join(names) or 'none'}.")
    return Path(__file__).with_name(f"{name}.safetensors")


def weights_hash(path: Path | str) -> str:
    """Return the SHA-256 of a model file in hexadecimal.

    Raises
    ------
    ModelFileError
        The file cannot be read.
    """
    path = given_path(path, ModelFileError)
    try:
        status = path.stat()
        return _hash(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


@cache
def _hash(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def holds_card(path: Path) -> bool:
    """Return whether a safetensors file was written by napari-synth.

    Raises
    ------
    ModelFileError
        The file is damaged.
    """
    return _KEY in _metadata(path)


def read_card(path: Path | str) -> ModelCard:
    """Return the card of a model file without reading its weights.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, was not written by napari-synth, or by a newer one.
    """
    path = given_path(path, ModelFileError)
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}: check the path.")
    return _card(path, _metadata(path))


def save_model(path: Path | str, network: nn.Module, card: ModelCard) -> Path:
    """Write a model file: weights in float16, everything or nothing.

    Parameters
    ----------
    path : Path or str
        Where to write; the file's folder must exist.
    network : nn.Module
        An instance of the class that ``card.architecture`` names, built with ``card.config``.
    card : ModelCard
        What the model says of itself.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ModelFileError
        The file cannot be written, the card names an unknown architecture, or a weight is not finite.
    """
    from safetensors.torch import save

    path = given_path(path, ModelFileError)
    if card.architecture not in ARCHITECTURES:
        raise ModelFileError(_unknown_architecture(path, card))
    weights = {name: _stored(tensor.detach().to("cpu")) for name, tensor in network.state_dict().items()}
    if (wrong := not_finite(weights)) is not None:
        raise ModelFileError(
            f"The weights of {card.name!r} are not finite ({wrong}), so that {path} was not written: train it anew."
        )
    content = save(weights, metadata={_KEY: card.model_dump_json()})
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise ModelFileError(f"The model file {path} cannot be written: {error.strerror}.") from error
    return path


def load_model(path: Path | str) -> tuple[nn.Module, ModelCard]:
    """Read a model file.

    Returns
    -------
    network : nn.Module
        On the CPU, float32, in evaluation mode, its weights laid out channels-last; a fresh one at every call.
    card : ModelCard
        What the model says of itself.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, was not written by napari-synth or by a newer one, its weights do not fit the network that
        its card describes, or are not finite. What the card claims is compared with the file before any memory is taken for it.
    """
    from safetensors.torch import load_file

    from napari_synth.imaging.surroundings import random_states_kept, undisturbed
    from napari_synth.networks.blocks import channels_last

    path = given_path(path, ModelFileError)
    card = read_card(path)
    if card.architecture not in ARCHITECTURES:
        raise ModelFileError(_unknown_architecture(path, card))
    shapes = _shapes(path)
    try:
        with undisturbed(), on_paper(shapes.values()):
            claimed = build_network(card.architecture, card.config)
    except Exception as error:  # torch raises RuntimeError, MemoryError and others for numbers that make no network
        raise ModelFileError(
            f"The model file {path} describes a network that cannot be built: download or train it again."
        ) from error
    if shapes != {name: tuple(tensor.shape) for name, tensor in claimed.state_dict().items()}:
        raise ModelFileError(
            f"The weights in {path} do not fit the network that its card describes: download or train it again."
        )
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path) from error
    if (wrong := not_finite(weights)) is not None:
        raise ModelFileError(
            f"The weights in {path} are not finite ({wrong}), which gives no image: download or train it again."
        )
    # The first weights of a network are drawn from the generator of the whole program.
    with undisturbed(), random_states_kept():
        network = build_network(card.architecture, card.config)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    network.requires_grad_(False)
    return channels_last(network.eval()), card


def _stored(tensor: Tensor) -> Tensor:
    """Return a tensor as it is stored: in half precision, unless that would make a finite value infinite."""
    import torch

    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.to(torch.float16)
    fits = bool((torch.isfinite(half) == torch.isfinite(tensor)).all())
    return half.contiguous() if fits else tensor.float().contiguous()


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in a file, which is not read for it."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise _damaged(path) from error


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(path) from error


def _card(path: Path, metadata: dict[str, str]) -> ModelCard:
    """Return the card in the metadata of a safetensors file."""
    if _KEY not in metadata:
        raise ModelFileError(f"{path} was not written by napari-synth: choose a model file that has a card.")
    try:
        content = read_json(metadata[_KEY])
        version = content["format_version"] if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelFileError(
                f"{path} has format version {version} and this napari-synth reads up to {FORMAT_VERSION}: update it."
            )
        return ModelCard.model_validate(content)
    except (TextError, KeyError, ValidationError) as error:
        raise ModelFileError(f"The card of {path} is damaged: download or train the model again.") from error


def _unknown_architecture(path: Path, card: ModelCard) -> str:
    return f"The card of {path} names the unknown architecture '{card.architecture}': update napari-synth."


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(f"The model file {path} is damaged or no safetensors file: download or train it again.")


def _unreadable(path: Path, error: OSError) -> ModelFileError:
    return ModelFileError(f"The model file {path} cannot be read: {error.strerror}.")
