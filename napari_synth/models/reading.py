"""Opens model files of every kind, and describes them. Loads torch, and the extra that the kind needs."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from napari_synth.core.errors import ModelFileError, UntrustedModelError
from napari_synth.core.progress import Reporter
from napari_synth.core.texts import shown
from napari_synth.imaging.surroundings import random_states_kept, undisturbed
from napari_synth.models._probing import TOLERATED, Behaviour, measure, measure_filler
from napari_synth.models._sniffing import content_hash, kind_of, read_weights
from napari_synth.models.card import EXECUTED, NAME_PATTERN, OWN_TASKS, RUNNABLE_TASKS, Kind, ModelDescription
from napari_synth.models.file_network import Facts, FileNetwork
from napari_synth.models.files import load_model
from napari_synth.models.vgg import variant_of

_DOES = {
    "denoise": "Removes noise",
    "super-resolution": "Makes the image finer",
    "inpaint": "Fills holes",
    "synthesize": "Makes new images",
    "translate": "Turns images of one kind into another",
    "predict-frames": "Predicts frames of time-lapses",
}


def describe(
    path: Path,
    *,
    task: str | None = None,
    name: str | None = None,
    trusted: bool = False,
    report: Reporter | None = None,
) -> ModelDescription:
    """Read a model file, run its network on a small probe image, and say what was found.

    Parameters
    ----------
    path : Path
        A file, or the folder of a bioimage.io package.
    task : str, optional
        What it is for, where the file does not say.
    name : str, optional
        What the generator will be called; made from the file's name where it is left out.
    trusted : bool
        Whether TorchScript and packaged Python may be executed.
    report : Reporter, optional
        Told of every run of the network.

    Raises
    ------
    ModelFileError
        The file is damaged, of an unknown architecture, or for another task.
    UntrustedModelError
        It must be executed, and is not trusted.
    MissingExtraError
        The extra that reads it is not installed.
    Cancelled
        The user wishes to stop.
    """
    with undisturbed(), random_states_kept():
        try:
            return _described(path, task=task, name=name, trusted=trusted, report=report)
        except ValidationError as error:
            problem = error.errors()[0]
            raise ModelFileError(
                f"The model in {path} is none that can be run ({problem['loc'][0]}: {problem['msg'].lower()}): choose another."
            ) from error


def _described(
    path: Path, *, task: str | None, name: str | None, trusted: bool, report: Reporter | None
) -> ModelDescription:
    kind = kind_of(path)
    if kind == "spandrel" and (variant := variant_of(read_weights(path))) is not None:
        return _describe_vgg(path, variant, task, name)
    possible = OWN_TASKS if kind == "napari-synth" else RUNNABLE_TASKS
    if task is not None and task not in possible:
        raise ModelFileError(f"This model file cannot be run for {shown(task)}: use one of {', '.join(possible)}.")
    # Of what will be read: whatever is put in its place meanwhile is found out.
    sha256 = content_hash(path)
    name = _checked_name(name) if name is not None else _name_from(path)
    if kind == "napari-synth":
        return _describe_own(path, task, name, sha256)
    network, facts = read(path, kind, trusted=trusted)
    if facts.task == "inpaint":
        behaviour = measure_filler(network, facts.input_channels, multiple=facts.multiple)
    else:
        behaviour = measure(network, facts.input_channels, multiple=facts.multiple, report=report)
    found = _task(path, facts, behaviour, task)
    return ModelDescription(
        name=name,
        title=facts.title or path.name,
        summary=f"{_DOES[found]} with {path.name} ({facts.architecture}), a model that you added: check what it does.",
        task=found,
        kind=kind,
        architecture=facts.architecture,
        file=path.name,
        sha256=sha256,
        trusted=trusted,
        scale=behaviour.scale,
        input_channels=facts.input_channels,
        output_channels=behaviour.output_channels,
        multiple=behaviour.multiple,
        halo=behaviour.halo,
        tile_error=behaviour.error,
        whole=facts.whole or behaviour.is_global,
        bytes_per_pixel=behaviour.bytes_per_pixel,
        half=facts.half,
        preprocessing=facts.preprocessing,
        postprocessing=facts.postprocessing,
        reference=facts.reference,
        licence=facts.licence,
        notes=_notes(facts, behaviour),
    )


def read(path: Path, kind: Kind, *, trusted: bool) -> tuple[FileNetwork, Facts]:
    """Return the network of a file of others, on the CPU, and what the file says of it; raises as `describe`.

    Parameters
    ----------
    path : Path
    kind : Kind
        What sort of file it is.
    trusted : bool
        Whether it may be executed.
    """
    if kind == "spandrel":
        from napari_synth.models._spandrel import read as read_weights

        return read_weights(path)
    if kind == "torchscript":
        from napari_synth.models._torchscript import read as read_script

        return read_script(path, trusted)
    if kind == "bioimageio":
        from napari_synth.models._bioimageio import read as read_package

        return read_package(path, trusted)
    raise ModelFileError(f"{path} is a model of napari-synth itself: it is read by its card.")


def open_network(description: ModelDescription, path: Path, torch_name: str) -> FileNetwork:
    """Return the network of a described file on a device.

    Parameters
    ----------
    description : ModelDescription
    path : Path
    torch_name : str
        The device, as torch calls it.

    Raises
    ------
    ModelFileError
        The file is not the one that was described.
    UntrustedModelError
        It must be executed, and is not trusted.
    """
    check_unchanged(description, path)
    if description.kind in EXECUTED and not description.trusted:
        raise UntrustedModelError(
            f"{path} is a program with its weights, and you did not say on this computer that you trust it: if you know where it"
            f" comes from, run napari-synth model trust {description.id}."
        )
    return _open(path, description.kind, description.trusted, description.sha256, torch_name)


def check_unchanged(description: ModelDescription, path: Path) -> None:
    """Refuse a file that is not the one that was described.

    Raises
    ------
    ModelFileError
        It is another one.
    """
    if content_hash(path) != description.sha256:
        raise ModelFileError(f"The model file {path} has changed since it was added: remove it and add it again.")


@lru_cache(maxsize=2)
def _open(path: Path, kind: Kind, trusted: bool, sha256: str, torch_name: str) -> FileNetwork:
    return read(path, kind, trusted=trusted)[0].to(torch_name)


def _describe_own(path: Path, task: str | None, name: str, sha256: str) -> ModelDescription:
    network, card = load_model(path)
    if task is not None and task != card.task:
        raise ModelFileError(f"The model in {path} is for {card.task}, not for {task}: leave the task out.")
    if card.task not in OWN_TASKS:
        raise ModelFileError(f"The model in {path} is for {card.task}, which no model file can be run for yet.")
    return ModelDescription(
        name=name,
        title=card.title,
        summary=f"{_DOES[card.task]} with {path.name}, a model that you {'trained' if card.images else 'added'}.",
        task=card.task,
        kind="napari-synth",
        architecture=card.architecture,
        file=path.name,
        sha256=sha256,
        scale=max(getattr(network, "scales", (1,))),
        input_channels=getattr(network, "in_channels", 1),
        output_channels=getattr(network, "out_channels", 1),
        spatial_dims=(getattr(network, "dims", 2),),
        multiple=getattr(network, "multiple", 1),
        licence=card.weights_licence,
        notes=card.limits,
    )


def _describe_vgg(path: Path, variant: str, task: str | None, name: str | None) -> ModelDescription:
    if task not in {None, "translate"}:
        raise ModelFileError(
            f"{path} holds a {variant} network, whose features tell style: its task is translate, not {task}."
        )
    return ModelDescription(
        name=_checked_name(name) if name is not None else _name_from(path),
        title=f"Neural style ({variant})",
        summary="Carries the style of another image over as a network sees it that was trained on photographs. The texture is"
        " invented.",
        task="translate",
        kind="vgg",
        architecture=variant,
        file=path.name,
        sha256=content_hash(path),
        input_channels=3,
        output_channels=3,
        whole=True,
        reference="Gatys et al., CVPR 2016; Simonyan & Zisserman, ICLR 2015",
    )


def _task(path: Path, facts: Facts, behaviour: Behaviour, asked: str | None) -> str:
    """Return what a network is for: what the file says, what its scale says, or what the user says."""
    by_scale = "super-resolution" if behaviour.scale > 1 else None
    known = by_scale or facts.task
    if asked is not None and (asked == "inpaint") != (known == "inpaint"):
        takes = "takes a mask" if known == "inpaint" else "takes no mask"
        raise ModelFileError(f"The network in {path} {takes}: its task is no {asked}.")
    if asked is not None:
        if behaviour.scale > 1 and asked != "super-resolution":
            raise ModelFileError(
                f"The network in {path} makes images {behaviour.scale} times finer: its task is no {asked}."
            )
        if behaviour.scale == 1 and asked == "super-resolution":
            raise ModelFileError(
                f"The network in {path} returns images of the same size: its task is no super-resolution."
            )
        return asked
    if known is None:
        raise ModelFileError(f"{path} does not say what it is for: name the task, as in --task denoise.")
    return known


def _notes(facts: Facts, behaviour: Behaviour) -> tuple[str, ...]:
    notes = []
    if facts.task == "inpaint":
        return ()
    if facts.whole or behaviour.is_global:
        notes.append("The network uses the whole plane for every pixel, so that planes are not cut into tiles.")
    elif behaviour.error > TOLERATED:
        notes.append(
            f"The network looks further than {behaviour.halo} pixels: where a large image is cut into tiles, the result may differ"
            f" from that of the whole by {behaviour.error:.1%} of the range."
        )
    return tuple(notes)


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or re.fullmatch(NAME_PATTERN, name) is None:
        raise ModelFileError(
            f"A model cannot be named {shown(name)}: use lower-case letters, digits and hyphens between them."
        )
    return name


def _name_from(path: Path) -> str:
    """Return the file's name without its suffix, as an identifier."""
    stem = path.name if path.is_dir() else path.stem
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "model"
