"""Says in plain lines what is known of a model: the card of one of ours, or the description of a file from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_synth.core.errors import UnknownGeneratorError
from napari_synth.models import library
from napari_synth.models.card import ModelCard, ModelDescription, TrainingData
from napari_synth.models.files import bundled, bundled_names, read_card, weights_hash

_PHOTOGRAPHS = "PHOTOGRAPHS.md"


def show(name_or_path: str | Path) -> list[str]:
    """Return what is known of a model, as lines of text.

    Parameters
    ----------
    name_or_path : str or Path
        A bundled model such as ``"denoise-blind"``, one of the library with or without its task, or the path of a model file that
        napari-synth wrote.

    Returns
    -------
    list of str
        What the model does, its network, licence and file; what it was trained on, with authors and licences; how good it was
        measured to be, and where it fails. A heading stands at the beginning of its line, what belongs to it is indented.

    Raises
    ------
    UnknownGeneratorError
        No model has this name.
    ModelFileError
        The file is damaged, or has no card.
    """
    path = Path(name_or_path)
    if path.is_file():
        return list(_card_lines(read_card(path), path))
    name = str(name_or_path)
    entries, _ = library.entries()
    matching = [entry for entry in entries if name in {entry.description.id, entry.description.name}]
    if len(matching) == 1:
        description, path = matching[0].description, matching[0].path
        if description.kind == "napari-synth":
            return list(_card_lines(read_card(path), path))
        return list(_description_lines(description, path))
    if not matching and name in bundled_names():
        path = bundled(name)
        return list(_card_lines(read_card(path), path))
    known = ", ".join(entry.description.id for entry in matching) or ", ".join(
        (*bundled_names(), *(entry.description.id for entry in entries))
    )
    raise UnknownGeneratorError(f"No single model is called {name!r}: choose one of {known}.")


def photographs() -> Path | None:
    """Return the list of the photographs that the bundled weights were fitted to, or None where this copy lost it."""
    beside = Path(__file__).parents[2] / "pretraining" / _PHOTOGRAPHS
    if beside.is_file():
        return beside
    try:
        installed = metadata.files("napari-synth") or ()
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in installed if file.name == _PHOTOGRAPHS), None)


def _card_lines(card: ModelCard, path: Path) -> Iterator[str]:
    yield f"{card.title} ({card.name}, version {card.version})"
    yield f"  Task: {card.task}"
    yield (
        f"  Network: {card.architecture}, {_listed(card.config)}" if card.config else f"  Network: {card.architecture}"
    )
    if card.weights_licence:
        yield f"  Licence of the weights: {card.weights_licence}"
    if card.training_command:
        yield f"  Made by: {card.training_command}"
    if card.normalisation:
        yield f"  Intensities: {_listed(card.normalisation)}"
    if card.versions:
        yield f"  Versions: {_listed(card.versions)}"
    yield from _file_lines(path)
    if card.training_data or card.images:
        yield "Trained on"
        for source in card.training_data:
            yield f"  - {_source(source)}"
        for image in card.images:
            yield f"  - {_listed(image)}"
        photographed = photographs() if path.parent == Path(__file__).parent else None
        if photographed is not None:
            yield f"  Each photograph is named with its author in {photographed}"
    if card.metrics:
        yield "Measured"
        for test, values in card.metrics.items():
            yield f"  - {test}: {', '.join(f'{image} {value:g}' for image, value in values.items())}"
    yield "Limits"
    for limit in card.limits or ("None is known.",):
        yield f"  - {limit}"


def _description_lines(known: ModelDescription, path: Path) -> Iterator[str]:
    dimensions = " or ".join(f"{count}D" for count in known.spatial_dims)
    yield f"{known.title} ({known.id})"
    yield f"  {known.summary}"
    yield f"  Network: {known.architecture}, {dimensions}, {known.input_channels} to {known.output_channels} channels"
    yield f"  Scale: {known.scale}"
    if known.whole:
        yield "  Blocks: whole planes"
    else:
        yield f"  Blocks: at multiples of {known.multiple} pixels, with {known.halo} pixels of context on each side"
    yield f"  Licence of the weights: {known.licence or 'not known, the file does not say'}"
    if known.reference:
        yield f"  Reference: {known.reference}"
    if known.trusted:
        yield "  You allowed it to execute what it contains."
    yield from _file_lines(path)
    if known.notes:
        yield "Notes"
        for note in known.notes:
            yield f"  - {note}"


def _file_lines(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield f"  Folder: {path}"
        return
    yield f"  File: {path}, {path.stat().st_size / 1e6:.1f} MB"
    yield f"  SHA-256: {weights_hash(path)}"


def _source(source: TrainingData) -> str:
    made_by = f", by {', '.join(source.authors)}" if source.authors else ""
    had_from = f" (from {source.source})" if source.source else ""
    return f"{source.name}: {source.licence}{made_by}{had_from}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
