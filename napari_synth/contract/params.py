"""The settings of a method, and those that several methods have, each defined once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pydantic
from pydantic import Field

from napari_synth.core.arguments import checked_settings
from napari_synth.core.errors import InvalidParameterError
from napari_synth.core.texts import shown

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


# What settings were called in recipes and cards of unpublished versions.
_RENAMED = {
    "places": "num_patches",
    "contrast": "contrastive_weight",
    "cycle": "cycle_weight",
    "identity": "identity_weight",
    "game": "gan_loss",
    "halvings": "discriminator_layers",
    "penalty": "r1_weight",
    "smoothness": "r1_weight",
    "similarity": "ssim_weight",
    "error_weight": "l1_weight",
    "turns": "flips_and_rotations",
    "little_data": "discriminator_augmentation",
    "features": "normalisation",
    "start": "initial_weights",
}


class Params(pydantic.BaseModel):
    """The settings of a generator: every field has a title, a description, bounds and a default.

    A field with ``json_schema_extra={"advanced": True}`` is folded away in the panel; one with ``{"fitted": True}`` holds what a
    run learnt of its reference image, so that it is set by recipes alone; one with ``{"decided_once": True}`` that is left out is
    decided by the image, and in a batch once for all of its images, since they would not be comparable otherwise.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def settable(cls) -> dict[str, FieldInfo]:
        """Return the fields that users set, by name."""
        return {name: field for name, field in cls.model_fields.items() if name not in cls.learnt()}

    @classmethod
    def learnt(cls) -> tuple[str, ...]:
        """Return the names of the fields that hold what was learnt of a reference image."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return tuple(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("fitted"))

    @classmethod
    def decided_once(cls) -> tuple[str, ...]:
        """Return the names of the fields that hold for all images of a batch where the image decides on them."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return tuple(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("decided_once"))

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Params:
        """Check ``values`` and return them as settings.

        Raises
        ------
        InvalidParameterError
            A name is unknown, or a value has the wrong type or is out of bounds.
        """
        try:
            return cls.model_validate(dict(checked_settings(values)))
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            name = ".".join(str(part) for part in problem["loc"]) or "the settings"
            if problem["type"] == "extra_forbidden":
                if (now := _RENAMED.get(name)) in cls.model_fields:
                    raise InvalidParameterError(f"The parameter {name!r} is called {now!r} now: write that.") from error
                known = ", ".join(cls.model_fields) or "none"
                raise InvalidParameterError(f"There is no parameter {name!r}: this generator has {known}.") from error
            hint = problem["msg"][0].lower() + problem["msg"][1:]
            raise InvalidParameterError(f"Parameter {name!r} cannot be {shown(problem['input'])}: {hint}.") from error


class NoParams(Params):
    """Nothing to set."""


def outliers_field(default: Literal["keep", "replace"]) -> Any:
    """Return the field ``outliers``, what becomes of hot and dead pixels."""
    return advanced(
        default,
        title="Outliers",
        description="Hot and dead pixels, which neither noise nor their neighbours explain: keep their values, or replace them by"
        " what their surroundings suggest. All other pixels are the same either way.",
    )


def advanced(default: Any, **declared: Any) -> Any:
    """Return a field that the panel folds away; ``declared`` as for `pydantic.Field`."""
    extra = declared.pop("json_schema_extra", {})
    return Field(default, json_schema_extra={"advanced": True, **extra}, **declared)


def strength_field() -> Any:
    """Return the field ``strength``, a factor of the measured noise level."""
    return Field(
        1.0,
        ge=0.0,
        le=3.0,
        title="Strength",
        description="Scales the measured noise level: below 1 keeps more grain, above 1 smooths more.",
    )


def ensemble_field() -> Any:
    """Return the field ``ensemble``, a switch."""
    return advanced(
        False,
        title="Average over rotations",
        description="Run on all eight flips and rotations and average: a little better, eight times slower.",
    )


def weigh_measurement_field() -> Any:
    """Return the field ``weigh_measurement`` of blind-spot networks, a switch."""
    return advanced(
        True,
        title="Weigh in the pixel itself",
        description="Combine the prediction with the measured value, by the measured noise. Off: from the neighbours alone.",
    )


def steps_field(description: str, default: int | None = None, *, most: int = 100_000_000) -> Any:
    """Return the field ``steps``, how long to train or to adapt.

    Parameters
    ----------
    description : str
        What the user reads.
    default : int, optional
        None where the number follows from something else.
    most : int
        The upper bound.
    """
    return advanced(default, ge=1, le=most, title="Steps", description=description)


def patch_field(default: int, *, least: int = 16, most: int = 512, multiple_of: int = 8) -> Any:
    """Return the field ``patch``, the edge of a training patch in pixels.

    Parameters
    ----------
    default : int
    least, most : int
        Its bounds.
    multiple_of : int
        What it must be a multiple of.
    """
    return advanced(
        default,
        ge=least,
        le=most,
        multiple_of=multiple_of,
        title="Patch size",
        description="Edge of a training patch, in pixels."
        " A larger one shows more context at once, and takes more memory and time.",
    )


def fitted_field(title: str, description: str) -> Any:
    """Return the field of what a run measures once: the recipe holds it, so that the run can be repeated and used elsewhere.

    Parameters
    ----------
    title, description : str
        What it is called, and what it holds.
    """
    return Field(None, min_length=1, title=title, description=description, json_schema_extra={"fitted": True})


def batch_field(default: int, *, most: int = 512) -> Any:
    """Return the field ``batch``, the patches of a training step."""
    return advanced(
        default,
        ge=1,
        le=most,
        title="Batch size",
        description="Patches a training step. More make steps steadier and slower.",
    )


def width_field(default: int, *, network: str = "network", where: str = "of its finest level") -> Any:
    """Return the field ``width``, the channels of a network that is trained; ``where`` says of which of its levels.

    Parameters
    ----------
    default : int
    network : str
        Which network is meant, for the title.
    where : str
        Of which of its levels the channels are counted.
    """
    return advanced(
        default,
        ge=8,
        le=256,
        multiple_of=8,
        title=f"Width of the {network}",
        description=f"Channels {where}: more learn more and take longer.",
    )


class OutlierParams(Params):
    """Settings of a method that restores what was measured: pixels that are none are taken out before it looks."""

    outliers: Literal["keep", "replace"] = outliers_field("keep")
