"""Trains what is declared on the user's images, and makes of it a model in the library: the one way for panel, Python and commands.

A run lies in a folder of its own::

    my-model.safetensors    the model, with its card
    checkpoint.pt           from which the training goes on
    training.json           what it was started with
"""

from __future__ import annotations

import contextlib
import random
import re
import secrets
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric

from napari_synth import registry
from napari_synth.contract.generator import Method
from napari_synth.contract.trainable import Trainable, TrainContext, TrainingSetup, TrainParams
from napari_synth.core.arguments import given_path
from napari_synth.core.device import Device, PrecisionChoice, resolve_device
from napari_synth.core.errors import CheckpointError, ModelFileError, SynthError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.core.texts import shown
from napari_synth.engine.recipe import current_versions
from napari_synth.files import Series
from napari_synth.imaging.surroundings import random_states_kept, undisturbed
from napari_synth.models import ModelCard, TrainingData, library, read_card, save_model
from napari_synth.models.card import NAME_PATTERN
from napari_synth.registry import trainable
from napari_synth.studio.record import Origin, TrainingRecord
from napari_synth.training import checkpoint
from napari_synth.training.checkpoint import OccupiedError, occupied
from napari_synth.training.dataset import TrainingImages, describe, gather
from napari_synth.training.distributed import several_processes
from napari_synth.training.optim import Budget
from napari_synth.training.trainer import FitResult, Trainer

_HELD_OUT = "held-out pixels"


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes
    ----------
    generator : Method
        Runs the model; it is in the library.
    path : Path
        The model file in the folder of the run.
    card : ModelCard
    result : FitResult
    notes : tuple of str
        What the user should know, a sentence each.
    """

    generator: Method[Any]
    path: Path
    card: ModelCard
    result: FitResult
    notes: tuple[str, ...]


@undisturbed()
def train_model(
    identifier: str,
    source: Any,
    target: Any = None,
    params: Mapping[str, Any] | None = None,
    *,
    out: Path | str | None = None,
    axes: str | None = None,
    region: Any = None,
    series: Series = None,
    name: str | None = None,
    resume: bool = False,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    devices: int = 1,
    nodes: int = 1,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    checkpoint_seconds: float = 60.0,
) -> Trained:
    """Train, write the model, and add it to the library.

    Parameters
    ----------
    identifier : str
        Of the trainable, e.g. ``"denoise/supervised"``.
    source, target, axes, region, series
        See `napari_synth.training.dataset.gather`.
    params : mapping, optional
        Settings of the trainable; what is left out has its default.
    out : Path or str, optional
        The folder of the run, made where it is missing; one in the library's where it is left out.
    name : str, optional
        What the model will be called; made from the source's name where it is left out.
    resume : bool
        Go on from the checkpoint in the folder, if there is one; a run that was at its end gets its budget once more. Without it, a
        folder with a training is refused.
    device, precision : str
        See `napari_synth.core.device.resolve_device`.
    devices, nodes : int
        Devices of each machine, and machines, which must share the folder and the library; with more than one device, this
        program is started once more for each.
    progress : callable, optional
        Told of every step; of what can be drawn as ``Progress.event``, see `napari_synth.training.events`.
    cancel : CancelToken, optional
        A `napari_synth.training.control.TrainingControl` can pause the training, and stop it with its best weights.
    checkpoint_seconds : float
        Between checkpoints.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input.
    """
    chosen = trainable(identifier)
    settings = cast(TrainParams, chosen.params_type.parse(params or {}))
    place = resolve_device(device, precision)
    if name is not None:
        _checked_name(name)
    given = None if out is None else given_path(out, CheckpointError)
    if resume and given is not None:
        name = _name_in_checkpoint(given, name)
    fabric = None
    if devices != 1 or nodes != 1:
        fabric = several_processes(place, devices, nodes)
        place = replace(place, torch_name=str(fabric.device))
    is_main = fabric is None or fabric.is_global_zero
    report = Reporter(progress if is_main else None, cancel)
    report.start("Reading the images")
    images = gather(source, target, kind=chosen.info.images, axes=axes, region=region, series=series)
    for note in images.notes:
        report.message(note)
    with ExitStack() as held:
        model, folder = _taken_up(held if is_main else None, chosen, images, name, given, resume=resume)
        if is_main:
            record = TrainingRecord(
                method=identifier,
                model=model,
                images=images.kind,
                params=settings.model_dump(mode="json"),
                axes=axes,
                source=Origin.of(source, images.source),
                target=Origin.of(target, images.target),
                region=Origin.of(region),
            )
            record.write(folder)
        held.enter_context(_seeded(settings.seed, place))
        context = TrainContext(place, settings.seed, report)
        setup = chosen.prepare(images, settings, context)
        images.check_files()
        for note in setup.notes:
            if note not in images.notes:
                report.message(note)
        trainer = Trainer(
            setup.module,
            _budget(settings),
            place,
            torch.Generator(place.torch_name).manual_seed(settings.seed * 1000),
            settings=replace(setup.settings, early_validations=True, finds_batch=settings.batch is None),
            report=report,
            fabric=fabric,
            folder=folder,
            identity=_identity(chosen, settings, images, model),
            checkpoint_seconds=checkpoint_seconds,
            emit_events=True,
        )
        if resume:
            trainer.resume()
            _refuse_taken(chosen, model, images, resume=True)
        outcome = partial(_card, chosen, setup, images, settings, trainer, model)
        try:
            result = trainer.run(f"Training {model}")
        except CheckpointError as error:
            trainer.keep_best()
            raise CheckpointError(_with_rescued(error, folder, setup, outcome(trainer.result))) from error
        if is_main:
            found = setup.module.found_at_the_end(report)
            setup = replace(setup, extras={**setup.extras, **found})
        report.start("Writing the model")
        card = _card(chosen, setup, images, settings, trainer, model, result)
        path = folder / f"{model}.safetensors"
        generator_id = f"{chosen.info.task}/{model}"
        if is_main:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                save_model(path, setup.network, card)
            except (ModelFileError, OSError) as error:
                raise ModelFileError(_with_rescued(error, folder, setup, card)) from error
            _file_away(path, chosen, model, images, resume=resume)
    _wait_for_main(fabric)
    registry.refresh()
    return Trained(registry.found(Method, generator_id), path, card, result, (*setup.notes, *_outcome(result, trainer)))


def _taken_up(
    held: ExitStack | None,
    chosen: Trainable[Any],
    images: TrainingImages,
    name: str | None,
    given: Path | None,
    *,
    resume: bool,
) -> tuple[str, Path]:
    """Choose the name and the folder of a run, and hold them until the end; ``held`` is None where the main process does.

    Raises
    ------
    CheckpointError
        A training lies there that could be gone on with, or one goes on at this moment.
    ModelFileError
        There is a model of this name.
    """
    runs = library.folder() / "runs"
    refused: set[str] = set()
    while True:
        model = name or _free_name(chosen, images, refused, resume=resume or given is not None)
        folder = given if given is not None else runs / model
        if resume and given is None:
            model = _name_in_checkpoint(folder, model if name else None) or model
        if not resume:
            _refuse_taken(chosen, model, images, resume=False)
        if held is None:
            return model, folder
        with ExitStack() as trying:
            try:
                trying.enter_context(occupied(folder / checkpoint.LOCK, f"The folder {folder}"))
                trying.enter_context(
                    occupied(runs / f".{chosen.info.task}.{model}.lock", f"The name {chosen.info.task}/{model}")
                )
            except OccupiedError:
                if name or resume or given is not None:
                    raise
                refused.add(model)
                continue
            if not resume:
                _refuse_unfinished(folder, model)
            checkpoint.remove_partial(folder)
            held.enter_context(trying.pop_all())
            return model, folder


def _refuse_unfinished(folder: Path, model: str) -> None:
    """Say that there is something which a new training would overwrite."""
    if (folder / checkpoint.FILE).exists() or (folder / f"{model}.safetensors").exists():
        raise CheckpointError(
            f"There is a training in {folder} already: go on with it by --resume (resume=True), or give another name or folder."
        )


def _file_away(path: Path, chosen: Trainable[Any], model: str, images: TrainingImages, *, resume: bool) -> None:
    """Add a model to the library; one that an earlier part of the run left there makes way."""
    generator_id = f"{chosen.info.task}/{model}"
    registry.refresh()
    try:
        if resume and _is_own(generator_id, images):
            registry.remove_model(generator_id)
        registry.add_model(path, name=model)
    except SynthError as error:
        raise ModelFileError(
            f"The model was trained and lies in {path}, but is not in your library ({error}): add it with napari-synth model add."
        ) from error


def _is_own(generator_id: str, images: TrainingImages) -> bool:
    """Return whether a model of the library was trained on these images."""
    for entry in library.entries()[0]:
        if entry.description.id == generator_id and entry.description.kind == "napari-synth":
            return read_card(entry.path).images == tuple(describe((*images.source, *images.target)))
    return False


def _with_rescued(error: Exception, folder: Path, setup: TrainingSetup, card: ModelCard) -> str:
    """Keep the weights wherever there is room, and return the message of an error with the place."""
    said = str(error) if isinstance(error, SynthError) else f"The model cannot be written to {folder}: {error}."
    for place in (folder, library.folder(), Path.home(), Path(tempfile.gettempdir())):
        path = place / f"{card.name}-{secrets.token_hex(4)}.safetensors"
        try:
            place.mkdir(parents=True, exist_ok=True)
            save_model(path, setup.network, card)
        except (SynthError, OSError):
            continue
        return (
            f"{said[:-1]}; the weights so far are kept in {path}: make room and go on by --resume, or take them with napari-synth"
            " model add."
        )
    return f"{said[:-1]}, and there was no room for the weights anywhere else: make some, and go on by --resume."


def _budget(settings: TrainParams) -> Budget:
    if settings.steps is not None:
        return Budget(steps=settings.steps)
    return Budget(minutes=settings.minutes) if settings.minutes else Budget(until_stopped=True)


def _identity(chosen: Trainable[Any], settings: TrainParams, images: TrainingImages, model: str) -> dict[str, str]:
    """Return what must be the same for a run to go on: everything that decides on the networks and on what they see."""
    free = {"minutes", "steps", "batch", "learning_rate"}
    options = settings.model_dump(mode="json", exclude=free)
    return {
        "method": chosen.info.id,
        "source or target": images.fingerprint,
        "set of settings": " ".join(f"{key}={value}" for key, value in sorted(options.items())),
        "name": model,
    }


def _name_in_checkpoint(folder: Path, name: str | None) -> str | None:
    """Return the name of the run in a folder, which it keeps where no other one is given; ``name`` where there is none."""
    state = checkpoint.load(folder)
    if state is None:
        return name
    kept = str(state["identity"].get("name", name or ""))
    if re.fullmatch(NAME_PATTERN, kept) is None:
        raise CheckpointError(f"The checkpoint in {folder} is of no model that could be named so: give another folder.")
    if name is not None and kept != name:
        raise CheckpointError(f"The checkpoint in {folder} is of the model {kept!r}: give that name, or leave it out.")
    return kept


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or re.fullmatch(NAME_PATTERN, name) is None:
        raise ModelFileError(
            f"A model cannot be named {shown(name)}: use lower-case letters, digits and hyphens between them."
        )
    return name


def _free_name(chosen: Trainable[Any], images: TrainingImages, refused: Collection[str], *, resume: bool) -> str:
    """Return a name made from the source's that no generator of the task has; nor, unless it is resumed, a run that was left."""
    words = f"{images.source[0].name}-{chosen.info.name}".lower()
    plain = re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "model"
    number = 1
    name = plain
    runs = library.folder() / "runs"
    while (
        name in refused
        or registry.is_taken(f"{chosen.info.task}/{name}")
        or (not resume and any((runs / name / file).exists() for file in (checkpoint.FILE, f"{name}.safetensors")))
    ):
        number += 1
        name = f"{plain}-{number}"
    return name


def _refuse_taken(chosen: Trainable[Any], model: str, images: TrainingImages, *, resume: bool) -> None:
    """Say before the work begins what would spoil its end."""
    identifier = f"{chosen.info.task}/{model}"
    if registry.is_taken(identifier) and not (resume and _is_own(identifier, images)):
        raise ModelFileError(
            f"There is a generator '{chosen.info.task}/{model}' already: give the model another name, or remove that one."
        )


@contextlib.contextmanager
def _seeded(seed: int, device: Device) -> Iterator[None]:
    """Seed the generators that the whole program shares, and leave them as they were."""
    with random_states_kept(cuda=device.kind == "cuda"):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - what trains may be of another package, and draw from it
        random.seed(seed)
        yield


def _card(
    chosen: Trainable[Any],
    setup: TrainingSetup,
    images: TrainingImages,
    settings: TrainParams,
    trainer: Trainer,
    model: str,
    result: FitResult,
) -> ModelCard:
    best = result.best
    metrics = {f"{_HELD_OUT}, {what}": dict(figures) for what, figures in trainer.baselines.items()}
    if best is not None:
        metrics[f"{_HELD_OUT}, this model"] = dict(best.metrics)
    config: Any = setup.network
    # With the batch that was found, the command gives the same model again.
    repeated = settings if settings.batch else settings.model_copy(update={"batch": result.batch_size})
    name = images.source[0].name
    count = len(images.source)
    return ModelCard(
        name=model,
        title=f"{name}, {chosen.info.title}" if count == 1 else f"{name} and {count - 1} more, {chosen.info.title}",
        task=str(chosen.info.task),
        architecture=setup.architecture,
        config=config.config,
        training_data=(TrainingData(name="The user's own images", licence="as the images"),),
        training_command=f"{chosen.info.id} {repeated.model_dump_json(exclude_none=True)}, {result.steps} steps in"
        f" {result.seconds:.0f} s on {trainer.device.title}, {result.precision}, {result.batch_size} patches a step",
        metrics=metrics,
        limits=(*setup.limits, *_found_limits(trainer, result)),
        normalisation=dict(setup.normalisation),
        extras=dict(setup.extras),
        images=tuple(describe((*images.source, *images.target))),
        curve=_curve(result),
        versions=dict(current_versions()),
    )


def _curve(result: FitResult) -> dict[str, list[float]]:
    """Return the curve and the validations as columns."""
    columns: dict[str, list[float]] = {
        "step": [point.step for point in result.curve],
        "seconds": [round(point.seconds, 2) for point in result.curve],
    }
    for name in result.curve[0].losses if result.curve else ():
        columns[name] = [point.losses[name] for point in result.curve]
    columns["validated step"] = [found.step for found in result.validations]
    for name in result.validations[0].metrics if result.validations else ():
        columns[f"validated {name}"] = [found.metrics[name] for found in result.validations]
    return columns


def _outcome(result: FitResult, trainer: Trainer) -> tuple[str, ...]:
    """Say how the training went, and whether it was worth it."""
    ending = " It was stopped." if result.was_stopped else ""
    said = [f"Trained {result.steps} steps in {result.seconds:.0f} s.{ending}"]
    best = result.best
    if best is not None and best.metrics:
        name, value = next(iter(best.metrics.items()))
        others = ", ".join(
            f"{figures[name]:.2f} for {what}" for what, figures in trainer.baselines.items() if name in figures
        )
        said.append(
            f"On pixels that were held out: {name} {value:.2f} at step {best.step}"
            + (f"; {others}." if others else ".")
        )
    said += _found_limits(trainer, result)
    if result.roll_backs:
        said.append(f"Training became unstable {result.roll_backs} times and went back to earlier weights.")
    return tuple(said)


def _found_limits(trainer: Trainer, result: FitResult) -> tuple[str, ...]:
    """Return what was found against the weights that are kept."""
    return trainer.module.limits(result.best.metrics) if result.best is not None else ()


def _wait_for_main(fabric: Fabric | None) -> None:
    if fabric is not None:
        fabric.barrier()
