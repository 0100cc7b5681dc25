"""The errors that a user can cause: one type a cause, one sentence a message.

None of them is a ``RuntimeError``: Qt workers swallow that type, and torch raises it for everything.
"""

from __future__ import annotations


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
