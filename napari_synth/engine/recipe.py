"""The serialised record of a run: what was done to which image, so that it can be shown, replayed and cited."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pydantic
import yaml

from napari_synth.contract.generator import Task
from napari_synth.core.arguments import checked_settings, given_path
from napari_synth.core.errors import AxesError, RecipeError
from napari_synth.core.options import RunOptions
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.core.texts import TextError, plain, read_yaml, shown, three_digits
from napari_synth.engine.frame_plan import FrameRequest
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import RULES, Mask
from napari_synth.imaging.noise import NoiseReport
from napari_synth.imaging.sampling import sample_planes

FORMAT: Literal[1] = 1
_MOST_COUNTED = 2**28


class Source(pydantic.BaseModel):
    """What identifies the image that a recipe was made on."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    dtype: str
    fingerprint: str

    @classmethod
    def of(cls, image: Image) -> Source:
        """Describe an image; the fingerprint is a SHA-256 over evenly spread samples of its pixels."""
        digest = hashlib.sha256()
        # What is read to measure the intensities anyway.
        for plane in sample_planes(image):
            digest.update(np.ascontiguousarray(plane).tobytes())
        return cls(name=image.name, shape=image.shape, dtype=str(image.dtype), fingerprint=digest.hexdigest()[:16])


class MaskRecord(pydantic.BaseModel):
    """How the mask of a run was made: what is needed to make it again, on this image or on another.

    A mask by a rule can be made of any image; one that was drawn has to be given again, and its labels and growth hold for it.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    rule: str | None = None
    ids: tuple[int, ...] = ()
    grow: int = 0
    pixels: int | None = None
    "How many of its pixels it marks; None where it is too large to be counted."
    share: float | None = None
    "The same over all of them."
    fingerprint: str = ""

    @pydantic.field_validator("rule")
    @classmethod
    def _known(cls, rule: str | None) -> str | None:
        if rule is not None and rule not in RULES:
            raise ValueError(f"there is no rule {rule!r} for a mask")
        return rule

    @classmethod
    def of(cls, mask: Image) -> MaskRecord:
        """Describe a mask; it is counted where it is in memory or has at most 2^28 pixels."""
        made = mask if isinstance(mask, Mask) else Mask(mask.data, mask.axes)
        pixels = None
        if not mask.is_lazy or mask.n_pixels <= _MOST_COUNTED:
            lead = "".join(axis for axis in mask.axes if axis not in "YX")
            pixels = sum(int(np.count_nonzero(mask.read(**at))) for at in mask.indices(lead))
        return cls(
            rule=made.rule,
            ids=made.ids,
            grow=made.grow,
            pixels=pixels,
            share=None if pixels is None else pixels / mask.n_pixels,
            fingerprint=Source.of(mask).fingerprint,
        )

    def options(self) -> dict[str, Any]:
        """Return what makes the mask again, as the arguments of `napari_synth.run` but the mask itself."""
        found = {"mask_from": self.rule, "mask_ids": list(self.ids) or None, "grow": self.grow or None}
        return {name: value for name, value in found.items() if value is not None}

    def sentences(self) -> tuple[str, ...]:
        """Say how much is filled, where that is known."""
        if self.pixels is None or self.share is None:
            return ()
        return (
            f"The mask marks {self.pixels} pixel{'s' * (self.pixels != 1)}, {three_digits(100 * self.share)} % of the image.",
        )


class RegionRecord(pydantic.BaseModel):
    """The part of an image that a run was limited to: bounds hold for any image that is large enough, a drawing is given again."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    bounds: dict[str, tuple[pydantic.NonNegativeInt, pydantic.PositiveInt]] = {}
    "The first pixel and the one behind the last, by axis role."
    fingerprint: str = ""
    "Of what was drawn inside the bounds; nothing where all pixels in them were worked on."

    @pydantic.field_validator("bounds")
    @classmethod
    def _in_order(cls, bounds: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for axis, (start, stop) in bounds.items():
            if axis not in tuple("TCZYX") or start >= stop:
                raise ValueError("a region has a start and a later stop along axes of TCZYX")
        return bounds

    @property
    def is_drawn(self) -> bool:
        """Whether the region has to be given again to repeat the run."""
        return bool(self.fingerprint)

    def as_text(self) -> str:
        """Return the bounds as the command line takes them: ``"Y=10:80,X=5:60"``."""
        return ",".join(f"{axis}={start}:{stop}" for axis, (start, stop) in self.bounds.items())

    @classmethod
    def from_text(cls, text: str) -> RegionRecord:
        """Read bounds as the command line takes them.

        Raises
        ------
        AxesError
            They are written in another way.
        """
        bounds = {}
        try:
            for part in text.split(","):
                axis, _, numbers = part.partition("=")
                start, _, stop = numbers.partition(":")
                bounds[axis.strip().upper()] = (int(start), int(stop or int(start) + 1))
            return cls(bounds=bounds)
        except (ValueError, pydantic.ValidationError) as error:
            raise AxesError(
                f"A region cannot be {shown(text)}: write START:STOP in pixels along axes of TCZYX, such as Y=10:80,X=5:60."
            ) from error


class FramesRecord(FrameRequest):
    """Which frames a run was asked for, and which frames of its result are invented, counted from 0."""

    invented: tuple[int, ...] = ()

    @property
    def request(self) -> FrameRequest:
        """What has to be asked for to repeat it."""
        return FrameRequest(count=self.count, fill=self.fill, between=self.between)

    def options(self) -> dict[str, Any]:
        """Return what has to be asked for as the arguments of `napari_synth.run`."""
        fill = list(self.fill) if isinstance(self.fill, tuple) else self.fill
        found = {"count": self.count or None, "fill": fill, "between": self.between or None}
        return {name: value for name, value in found.items() if value is not None}


class NoiseRecord(pydantic.BaseModel):
    """The noise that was measured in a channel, in counts; see `napari_synth.imaging.noise.NoiseReport`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    gain: float
    offset: float
    read_noise: float
    sigma: float
    "Standard deviation at the median signal."

    @classmethod
    def of(cls, report: NoiseReport) -> NoiseRecord:
        """Take the numbers of a report, shortened to what they are worth."""
        model = report.model
        numbers = (model.gain, model.offset, model.read_noise, report.sigma_typical)
        return cls(**dict(zip(cls.model_fields, (float(f"{number:.6g}") for number in numbers), strict=True)))


class VerdictRecord(pydantic.BaseModel):
    """What was found when a result was held against its source; of several channels the worst.

    See `napari_synth.imaging.trust.TrustReport` for the numbers.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    verdict: str
    chi2: float | None = None
    "None where nothing was comparable."
    flagged_fraction: float = 0.0
    relative_drift: float = 0.0
    sentences: tuple[str, ...] = ()
    "One a channel."


class Recipe(pydantic.BaseModel):
    """A run that can be repeated: same input, same kind of device, same result."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    generator: str
    params: dict[str, Any] = {}
    axes: str | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    dtype: DtypeChoice = "auto"
    tile: int | None = None
    grid: dict[str, tuple[pydantic.PositiveInt, ...]] = {}
    "About how long blocks were along their axes, in pixels of the source; nothing where the user set a tile."
    versions: dict[str, str] = {}
    weights: dict[str, str] = {}
    source: Source | None = None
    reference: Source | None = None
    measured_on: Source | None = None
    "The image whose intensities and noise stand for those of the source, where it is another."
    mask: MaskRecord | None = None
    frames: FramesRecord | None = None
    region: RegionRecord | None = None
    "What the run was limited to; nothing where it was the whole image."
    blend: float = pydantic.Field(1.0, ge=0.0, le=1.0)
    "The share of what the method made; the rest is the source."
    noise: tuple[NoiseRecord | None, ...] = ()
    "Of each channel, or of all of them together, where it was measured."
    notes: tuple[str, ...] = ()
    batch: str = ""
    "Hash of the settings of the batch that the result belongs to."
    verdict: VerdictRecord | None = None
    "Of a result that was written to a file."

    @pydantic.field_validator("generator")
    @classmethod
    def _names_task_and_method(cls, generator: str) -> str:
        task, _, name = generator.partition("/")
        if not task or not name:
            raise ValueError("it must be the id of a generator, such as denoise/blind")
        return generator

    @pydantic.field_validator("grid")
    @classmethod
    def _whole(cls, grid: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        if any(len(axes) != len(edges) for axes, edges in grid.items()):
            raise ValueError("a grid has one length for each of its axes")
        return grid

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Read what `to_yaml` wrote.

        Raises
        ------
        RecipeError
            The text is no recipe, or one of a newer version.
        """
        try:
            content = read_yaml(text)
        except TextError as error:
            raise RecipeError(f"This is no recipe: {error}; copy it again from the panel.") from error
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Any) -> Recipe:
        """Read what ``model_dump`` returned; raises as `from_yaml`."""
        if not isinstance(content, dict) or "generator" not in content:
            raise RecipeError("This is no recipe: it names no generator; copy it again from the panel.")
        if content.get("format", FORMAT) != FORMAT:
            raise RecipeError(
                f"The recipe has format {shown(content['format'])}, this version reads {FORMAT}: update napari-synth."
            )
        try:
            return cls.model_validate(plain(content))
        except TextError as error:
            raise RecipeError(f"This is no recipe: {error}; copy it again from the panel.") from error
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise RecipeError(f"The recipe's field {field!r} is wrong: {problem['msg'].lower()}.") from error

    @classmethod
    def from_file(cls, path: str | Path) -> Recipe:
        """Read a recipe file; raises `RecipeError` where it is missing or no recipe."""
        try:
            text = given_path(path, RecipeError).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"The recipe {str(path)!r} cannot be read: check the path.") from error
        return cls.from_yaml(text)

    def to_yaml(self) -> str:
        """Return the recipe as YAML."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    def options(self, **instead: Any) -> RunOptions:
        """Return how the run is done, with what is given (and not None) in place of what the recipe says."""
        own = {name: getattr(self, name) for name in ("device", "precision", "dtype", "seed", "tile")}
        return RunOptions(**{**own, **{name: value for name, value in instead.items() if value is not None}})

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with other settings; those of `FrameRequest` say which frames are wanted where it is for frames.

        Raises
        ------
        InvalidParameterError
            The settings are no mapping, or the frames cannot be had of any movie.
        """
        values = checked_settings(values)
        if not self.generator.startswith(f"{Task.PREDICT_FRAMES}/"):
            return self.model_copy(update={"params": {**self.params, **values}})
        wanted = set(FrameRequest.model_fields)
        known = self.frames.options() if self.frames is not None else {}
        request = FrameRequest.parse(known | {name: value for name, value in values.items() if name in wanted})
        params = self.params | {name: value for name, value in values.items() if name not in wanted}
        return self.model_copy(update={"params": params, "frames": FramesRecord(**request.model_dump())})

    @property
    def needs_mask(self) -> bool:
        """Whether a mask has to be given to repeat it: the run had one that no rule makes."""
        return self.mask is not None and self.mask.rule is None

    def differing_weights(self, repeated: Recipe) -> str | None:
        """Return a sentence where a repeated run used other weights than this recipe's under the same name, else None."""
        names = [name for name in self.weights if repeated.weights.get(name, self.weights[name]) != self.weights[name]]
        if not names:
            return None
        return (
            f"The weights of {', '.join(names)} differ from those of the recipe, and so may the result:"
            " install the version of napari-synth that the recipe names to repeat it."
        )


@cache
def current_versions() -> Mapping[str, str]:
    """Return the versions that decide a result; "unknown" for what runs from a folder without being installed."""
    packages = ("napari-synth", "torch", "numpy", "scikit-image")
    found = {"python": platform.python_version()} | {package: _version(package) for package in packages}
    return MappingProxyType(found)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
