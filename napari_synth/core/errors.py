"""The errors that a user can cause: one type a cause, one sentence a message; and how errors of libraries become them.

None of them is a ``RuntimeError``: Qt workers swallow that type, and torch raises it for everything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar


class SynthError(Exception):
    """Base of all errors that napari-synth raises on purpose; the message says what is wrong and what to do."""

    def __str__(self) -> str:
        """Return the message in one line, whatever a name in it holds."""
        return " ".join(super().__str__().splitlines())


class InvalidImageError(SynthError):
    """The image cannot be processed: it is empty, of an unsupported dtype, or has no finite pixel."""


class AxesError(SynthError):
    """The axes do not describe the image, or lack what the generator needs."""


class MaskError(SynthError):
    """The mask does not fit the image, marks nothing, or leaves nothing to learn from."""


class ReferenceImageError(SynthError):
    """A reference image is missing, is not wanted, or does not fit the image."""


class PsfError(SynthError):
    """A point spread function is missing, is no image of a point, or does not fit the image."""


class UnknownGeneratorError(SynthError):
    """No generator, or no model, has this id."""


class InvalidParameterError(SynthError):
    """A parameter does not exist, has the wrong type or is out of bounds."""


class ModelFileError(SynthError):
    """A model file is missing, corrupt, foreign or too new."""


class UntrustedModelError(ModelFileError):
    """A model file can only be used by executing what it contains, and the user did not say that they trust it."""


class MissingExtraError(SynthError):
    """An optional dependency is needed and not installed."""

    @classmethod
    def of(cls, extra: str, what: str, cause: ImportError) -> MissingExtraError:
        """Return the error that tells how to install an extra of napari-synth.

        Parameters
        ----------
        extra : str
            Its name, as pip takes it.
        what : str
            What cannot be done without it, the beginning of the sentence.
        cause : ImportError
        """
        return cls(f"{what} need the extra {extra!r} ({cause}): run pip install 'napari-synth[{extra}]'.")


class ImageFileError(SynthError):
    """An image file cannot be read or written."""


class RecipeError(SynthError):
    """A recipe cannot be read, or does not fit this version."""


class DeviceError(SynthError):
    """The requested device does not exist or does not work with this torch build."""


class OutOfMemoryError(SynthError):
    """The smallest block does not fit into the memory of the device."""


class TrainingDivergedError(SynthError):
    """A network cannot be fitted to this image: its loss does not stay finite."""


class TrainingDataError(SynthError):
    """What is to be learnt from does not fit together, is too small, or is not what the training needs."""


class CheckpointError(SynthError):
    """A checkpoint of a training run cannot be read or written, or is of another run."""


class GeneratorError(SynthError):
    """A generator failed in a way it did not foresee; the cause is attached."""


class CallbackError(SynthError):
    """What the caller gave to be told of the progress failed; the cause is attached."""


class UnforeseenError(SynthError):
    """Something failed in a way that nobody foresaw; the cause is attached."""


class Cancelled(SynthError):
    """The user cancelled the run; nothing was written."""


_SAID = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad allocation",
    "bad_alloc",
    "unable to allocate",
    "alloc_failed",
)


def is_memory_short(error: BaseException) -> bool:
    """Return whether an error says that there was not enough memory, of a device or of the computer.

    torch raises a type of its own on GPUs, and a plain ``RuntimeError`` ("can't allocate memory") on the CPU, as do the libraries
    that it calls ("CUBLAS_STATUS_ALLOC_FAILED"); numpy raises ``MemoryError``.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, (RuntimeError, OSError)):
        return False
    said = str(error).lower()
    return any(words in said for words in _SAID)


_CAUSES = (
    (
        r"not a tiff|not a .* file|cannot identify|unknown file|magic|not recogni|unable to determine",
        "it does not begin as one does",
    ),
    (
        r"imagecodecs|requires the .* package|no module named",
        "it is compressed in a way for which a package is missing",
    ),
    (r"no space|disk|permission|input/output|stale", "the disk does not give it"),
    (
        r"offset|truncat|ends? (too )?early|end of file|eof|unexpected end|unpack|buffer|index out of range|missing"
        r"|could not read all"
        r"|too short|failed to read|cannot reshape|zero-size",
        "parts of it are missing",
    ),
    (
        r"decod|decompress|corrupt|zlib|lzw|zstd|deflate|incorrect|checksum|crc|huffman|lz4|blosc",
        "its pixels cannot be decoded",
    ),
    (
        r"xml|json|tag|metadata|description|header|not well-formed|syntax|invalid",
        "what it says of itself cannot be understood",
    ),
)


def plain_cause(error: BaseException | str) -> str:
    """Say in plain words why a foreign decoder gave up; what it said itself stays in the error's cause, for who looks for it.

    Parameters
    ----------
    error : BaseException or str
        What it raised, or wrote to its log.

    Returns
    -------
    str
        The middle of a sentence.
    """
    said = str(error).lower() if isinstance(error, str) else f"{type(error).__name__} {error}".lower()
    return next((plain for pattern, plain in _CAUSES if re.search(pattern, said)), "its content cannot be understood")


P = ParamSpec("P")
R = TypeVar("R")

_LONGEST = 200


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """Return a verb out of which no error comes but a `SynthError`; what a user can do wrong is told apart long before."""

    @functools.wraps(verb)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return verb(*args, **kwargs)
        except SynthError:
            raise
        except Exception as error:
            raise _translated(verb.__name__, error) from error

    return called


def _translated(name: str, error: Exception) -> SynthError:
    if is_memory_short(error):
        return OutOfMemoryError(
            f"{name} needs more memory than is free: close other programs, give a smaller part, or a lazy array."
        )
    said = " ".join(str(error).split())[:_LONGEST]
    inside = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if isinstance(error, TypeError) and inside is None:
        return InvalidParameterError(f"{name} cannot be called like this ({said}): see help(napari_synth.{name}).")
    return UnforeseenError(
        f"{name} failed in a way that was not foreseen ({type(error).__name__}: {said}): please report it with the call."
    )
