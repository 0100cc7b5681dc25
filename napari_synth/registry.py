"""What methods there are: built-in ones, those of other packages, those of the user's library, those of this session.

Other packages declare theirs in the entry point groups ``napari_synth.generators`` and ``napari_synth.trainables``: each entry is
a value such as `napari_synth.contract.generator.Generator`, or a class (or an instance) with ``info``, ``params_type`` and
``prepare``.
Listing what there is loads neither torch nor scipy.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Generator, Method, Task
from napari_synth.contract.params import NoParams
from napari_synth.contract.synthesis import SynthesisParams, Synthesizer
from napari_synth.contract.trainable import Trainable, TrainableInfo
from napari_synth.core.errors import ModelFileError, SynthError, UnknownGeneratorError
from napari_synth.core.progress import Reporter
from napari_synth.core.texts import shown
from napari_synth.methods.from_file.catalogue import method_for

if TYPE_CHECKING:
    from pathlib import Path

    from napari_synth.models.card import ModelDescription
    from napari_synth.models.library import Entry

GENERATORS = "napari_synth.generators"
TRAINABLES = "napari_synth.trainables"

# In the order in which lists have them: the first of a task is its default.
_CATALOGUES = (
    "denoise",
    "deconvolve",
    "correct",
    "super_resolution",
    "inpaint",
    "translate",
    "predict_frames",
    "synthesize",
)

# Methods that a sentence can name.
_MOST_NAMED = 9

AnyMethod = Method[Any] | Trainable[Any]
M = TypeVar("M", bound=Method[Any])
A = TypeVar("A", bound=AnyMethod)


def generators(task: Task | str | None = None) -> list[Generator[Any]]:
    """Return all generators, or those of a task; a task's default comes first."""
    return listed(Generator, task)


def generator(identifier: str) -> Generator[Any]:
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
    one = _named(_registered(), identifier, f"There is no generator {shown(identifier)}")
    if not isinstance(one, kind):
        raise UnknownGeneratorError(f"{identifier!r} cannot be used for this: it is for {one.info.task.verb}.")
    return one


def trainables(task: Task | str | None = None) -> list[Trainable[Any]]:
    """Return everything that can be trained, or that of a task."""
    return [one for one in _trainables().values() if task is None or one.info.task == task]


def trainable(identifier: str) -> Trainable[Any]:
    """Return the trainable with this id.

    Raises
    ------
    UnknownGeneratorError
        There is none; the message names near ones.
    """
    return _named(_trainables(), identifier, f"Nothing called {shown(identifier)} can be trained")


def register(method: Any) -> Method[Any]:
    """Take up a method for this session and return it as a value; another of this session with the same id makes way.

    Raises
    ------
    ModelFileError
        The id is that of a method that was there before.
    UnknownGeneratorError
        It is no method.
    """
    made = adopted(method)
    if not isinstance(made, Method):
        raise UnknownGeneratorError(f"{made.info.id!r} is to be trained and makes no images: give a generator.")
    identifier = made.info.id
    if identifier not in _lasting():
        _of_session[identifier] = made
    elif not _is_same(_lasting()[identifier], made):
        raise ModelFileError(f"There is a generator {identifier!r} already: give the model another name.")
    return made


def forget(identifier: str) -> None:
    """Let go of a method that `register` took up; nothing happens where there is none of this id."""
    _of_session.pop(identifier, None)


def load(path: Path | str, *, task: str | None = None, name: str | None = None, trusted: bool = False) -> Method[Any]:
    """Make a method of a model file for this session; `add_model` keeps one.

    Parameters
    ----------
    path, task, name, trusted
        As for `add_model`.

    Raises
    ------
    ModelFileError, UntrustedModelError, MissingExtraError
        As `add_model`.
    """
    from napari_synth.models import library
    from napari_synth.models.reading import describe

    file = library.resolved(path)
    return register(method_for(describe(file, task=task, name=name, trusted=trusted), file))


def chosen(kind: type[M], task: Task | str, given: Method[Any] | Path | str) -> M:
    """Return the method of a kind that a user means.

    Parameters
    ----------
    kind : type of Method
    task : Task
        Of a name that stands alone.
    given : Method, Path or str
        A method, which is taken up for this session; a model file of ours, likewise; an id such as ``"denoise/blind"``; or the name
        in one.

    Raises
    ------
    UnknownGeneratorError
        There is none, or it is of another kind.
    ModelFileError
        The file cannot be used.
    """
    if isinstance(given, PurePath) or (isinstance(given, str) and given.endswith(".safetensors")):
        return found(kind, load(given).info.id)
    identifier = given if isinstance(given, str) else register(given).info.id
    identifier = identifier if "/" in identifier else f"{task}/{identifier}"
    one = found(kind, identifier)
    if one.info.task != task:
        raise UnknownGeneratorError(
            f"{identifier!r} is not for the task {task}: give a generator of that task, or call the verb of the other."
        )
    return one


def adopted(method: Any) -> AnyMethod:
    """Return a method as a value: itself, or what wraps another package's object with ``info``, ``params_type`` and ``prepare``.

    Raises
    ------
    UnknownGeneratorError
        It has none of these.
    """
    if isinstance(method, Method | Trainable):
        return method
    try:
        info, task, prepare = method.info, method.info.task, method.prepare
    except AttributeError as error:
        raise UnknownGeneratorError(
            f"{type(method).__name__!r} is no generator: give an id, or an object with info, params_type and prepare."
        ) from error
    params_type = getattr(method, "params_type", SynthesisParams if task == Task.SYNTHESIZE else NoParams)
    if isinstance(info, TrainableInfo):
        return Trainable(info, params_type, prepare)
    if task == Task.SYNTHESIZE:
        return Synthesizer(info, params_type, prepare, needs=getattr(method, "needs", "nothing"))
    return (FramePredictor if task == Task.PREDICT_FRAMES else Generator)(info, params_type, prepare)


def add_model(
    path: Path | str,
    *,
    task: str | None = None,
    name: str | None = None,
    trusted: bool = False,
    report: Reporter | None = None,
) -> Entry:
    """Copy a model file into the user's library; from then on it is a method.

    Its network is run on a small probe image to measure its scale and how far it looks, which takes a minute for the
    largest.

    Parameters
    ----------
    path : Path or str
        Our own ``.safetensors``; a ``.safetensors``, ``.pth`` or ``.ckpt`` that spandrel knows; a TorchScript; a
        bioimage.io package (zip or folder).
    task : {"denoise", "super-resolution"}, optional
        What it is for, where the file does not say.
    name : str, optional
        The generator is ``task/name``; made from the file's name where it is left out.
    trusted : bool
        Whether TorchScript and Python inside a package may be executed: only for files from people you trust. It is kept in the
        user's settings, see `napari_synth.models.trusted`.
    report : Reporter, optional
        Told of every run of the network.

    Raises
    ------
    ModelFileError
        The file is damaged, of an unknown architecture, or for another task, or the name is taken.
    UntrustedModelError
        It must be executed, and is not trusted.
    MissingExtraError
        The extra that reads it is not installed.
    Cancelled
        The user wishes to stop; nothing was copied.
    """
    from napari_synth.models import library
    from napari_synth.models.reading import describe

    path = library.resolved(path)
    description = describe(path, task=task, name=name, trusted=trusted, report=report)
    method_for(description, path)
    if is_taken(description.id):
        raise ModelFileError(f"There is a generator {description.id!r} already: give the model another name.")
    entry = library.keep(description, path)
    refresh()
    return entry


def remove_model(name: str) -> ModelDescription:
    """Remove a model from the user's library, by its id or its name.

    Raises
    ------
    UnknownGeneratorError
        There is none of this name, or there are several.
    ModelFileError
        It cannot be removed.
    """
    from napari_synth.models import library

    description = library.remove(name)
    refresh()
    return description


def trust_model(name: str) -> ModelDescription:
    """Allow a model of the user's library, by its id or its name, to execute what it holds on this computer.

    Raises
    ------
    UnknownGeneratorError
        There is none of this name, or there are several.
    ModelFileError
        Its file was changed, or what is known of it cannot be written.
    """
    from napari_synth.models import library

    description = library.trust(name)
    refresh()
    return description


def refresh() -> None:
    """Look again for what is in the library of models."""
    _lasting.cache_clear()


def is_taken(identifier: str) -> bool:
    """Return whether a method that outlives the session has this id."""
    return identifier in _lasting()


_of_session: dict[str, Method[Any]] = {}


def _is_same(one: Method[Any], other: Method[Any]) -> bool:
    """Return whether two methods are of one model: those of the library are made anew whenever that changes."""
    return one is other or (
        one.model is not None and other.model is not None and one.model.sha256 == other.model.sha256
    )


def _registered() -> dict[str, Method[Any]]:
    """Return all methods by id, the default of a task first; the library wins over what a session calls the same."""
    lasting = _lasting()
    return lasting | {identifier: made for identifier, made in _of_session.items() if identifier not in lasting}


@cache
def _lasting() -> dict[str, Method[Any]]:
    built_in = (one for one in _built_in() if isinstance(one, Method))
    lasting: dict[str, Method[Any]] = _with_foreign(built_in, GENERATORS, "generator")
    for made in _of_library():
        if made.info.id in lasting:
            warnings.warn(
                f"The model {made.info.id!r} of your library has the id of another: it is left out.", stacklevel=2
            )
        else:
            lasting[made.info.id] = made
    return lasting


@cache
def _trainables() -> dict[str, Trainable[Any]]:
    built_in = (one for one in _built_in() if isinstance(one, Trainable))
    return _with_foreign(built_in, TRAINABLES, "trainable")


def _built_in() -> Iterator[AnyMethod]:
    for task in _CATALOGUES:
        yield from import_module(f"napari_synth.methods.{task}.catalogue").METHODS


def _with_foreign(built_in: Iterable[A], group: str, what: str) -> dict[str, A]:
    """Return built-in methods and those of an entry point group by id; a broken one, or one whose id is taken, is told of."""
    known: dict[str, Any] = {one.info.id: one for one in built_in}
    for entry in entry_points(group=group):
        try:
            loaded = entry.load()
            foreign = adopted(loaded() if isinstance(loaded, type) else loaded)
            identifier = foreign.info.id
        except Exception as error:  # noqa: BLE001 - another package's fault must not take ours away
            warnings.warn(f"The {what} {entry.name!r} of another package cannot be loaded: {error}", stacklevel=2)
            continue
        if identifier in known:
            warnings.warn(f"The {what} id {identifier!r} of {entry.value!r} is taken: it is left out.", stacklevel=2)
            continue
        known[identifier] = foreign
    return known


def _of_library() -> Iterator[Method[Any]]:
    """Make the methods of the user's models; a broken one is told of and left out."""
    from napari_synth.models import library

    entries, broken = library.entries()
    for sentence in broken:
        warnings.warn(sentence, stacklevel=2)
    for entry in entries:
        try:
            yield method_for(entry.description, entry.path)
        except SynthError as error:
            warnings.warn(f"The model {entry.description.id!r} of your library is left out: {error}", stacklevel=2)


def _named(known: Mapping[str, A], identifier: str, missing: str) -> A:
    """Return what has an id; the error begins with ``missing`` and names near ones."""
    if not isinstance(identifier, str):
        raise UnknownGeneratorError(
            f"{shown(identifier)} is no id: give a text, such as {next(iter(known), 'task/name')}."
        )
    if identifier in known:
        return known[identifier]
    near = difflib.get_close_matches(identifier, known, n=3, cutoff=0.4) or list(known)
    if len(near) > _MOST_NAMED:
        raise UnknownGeneratorError(f"{missing}: the command napari-synth list shows all.")
    raise UnknownGeneratorError(f"{missing}: did you mean {' or '.join(near)}?")
