"""A pipeline: transforms in order, drawn once for a sample and applied to all that is in it.

Geometry is composed into one map and sampled once, before any intensity is changed: noise is not resampled, and nothing is blurred
twice. Transforms that move and those that change intensities keep their order among themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pydantic
import yaml

from napari_synth.augmentation import geometry, intensities
from napari_synth.augmentation.draws import FORMAT, Draw, Step
from napari_synth.augmentation.geometry import Elastic, Flip, QuarterTurn, Rotate, Scale, Shear, ThinPlate, Translate
from napari_synth.augmentation.intensities import (
    Bleaching,
    Blur,
    Brightness,
    CameraNoise,
    ColourJitter,
    Contrast,
    Erase,
    Gamma,
    HistogramJitter,
    Illumination,
    MotionBlur,
    Rings,
    Sharpen,
    StainJitter,
    Stripes,
    Vignetting,
)
from napari_synth.augmentation.sample import Sample
from napari_synth.augmentation.transform import Frame, Sampling, Transform
from napari_synth.contract.params import Params
from napari_synth.core.arguments import given_path
from napari_synth.core.errors import InvalidParameterError, RecipeError
from napari_synth.core.texts import TextError, read_yaml, shown

if TYPE_CHECKING:
    import torch

    from napari_synth.augmentation.batch import Batch

TRANSFORMS: dict[str, type[Transform]] = {
    transform.kind: transform
    for transform in (
        geometry.Crop,
        geometry.Flip,
        geometry.QuarterTurn,
        geometry.Rotate,
        geometry.Scale,
        geometry.Shear,
        geometry.Translate,
        geometry.Perspective,
        geometry.Elastic,
        geometry.ThinPlate,
        geometry.Fisheye,
        geometry.Resize,
        intensities.Brightness,
        intensities.Contrast,
        intensities.Gamma,
        intensities.HistogramJitter,
        intensities.ColourJitter,
        intensities.StainJitter,
        intensities.Illumination,
        intensities.Vignetting,
        intensities.Blur,
        intensities.Sharpen,
        intensities.MotionBlur,
        intensities.Bleaching,
        intensities.Stripes,
        intensities.Rings,
        intensities.CameraNoise,
        intensities.Erase,
        intensities.MixUp,
        intensities.CutMix,
    )
}
"""Every transform by its kind, in the order in which a list shows them."""


class Pipeline(pydantic.BaseModel):
    """An ordered list of transforms, and how their result is sampled.

    Attributes
    ----------
    transforms : sequence of Transform
    sampling : Sampling
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    transforms: tuple[pydantic.SerializeAsAny[Transform], ...] = ()
    sampling: Sampling = Sampling()

    @classmethod
    def of(cls, transforms: Pipeline | Iterable[Transform] | str) -> Pipeline:
        """Return a pipeline of what may stand for one: transforms, the name of a preset, or YAML.

        Raises
        ------
        InvalidParameterError
            There is no such preset, or something is no transform.
        RecipeError
            The YAML is no pipeline.
        """
        if isinstance(transforms, Pipeline):
            return transforms
        if isinstance(transforms, str):
            return cls.from_yaml(transforms) if "\n" in transforms else preset(transforms)
        try:
            transforms = tuple(transforms)
        except Exception as error:
            raise InvalidParameterError(
                f"{shown(transforms)} is no list of transforms: give some, or a preset's name."
            ) from error
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise InvalidParameterError(
                    f"{shown(transform)} is no transform: see napari_synth.augmentation.TRANSFORMS."
                )
        return cls(transforms=transforms)

    @property
    def active(self) -> tuple[Transform, ...]:
        """The transforms that are switched on."""
        return tuple(transform for transform in self.transforms if transform.enabled)

    def moved_axes(self, axes: str) -> str:
        """Return the axes that geometry moves in an image with such axes: planes alike unless a transform moves along Z."""
        return "ZYX" if "Z" in axes and any(transform.moves_depth for transform in self.active) else "YX"

    def draw(self, seed: int, sample: Sample) -> Draw:
        """Draw all parameters for a sample, and record the range of its intensities.

        Switching one transform off or moving it in the list leaves the others' parameters as they are.

        Raises
        ------
        SynthError
            A transform cannot be applied to such an image.
        """
        from napari_synth.augmentation.batch import measured_ranges

        ranges = measured_ranges(sample) if sample.image is not None else ()
        return self.draw_for(seed, sample.frame(self.moved_axes(sample.axes)), ranges)

    def draw_for(self, seed: int, frame: Frame, ranges: Sequence[tuple[float, float]] = ()) -> Draw:
        """Draw all parameters for images of a frame; see `draw`."""
        steps, seen, first = [], Counter[str](), frame
        for transform in self.active:
            transform.check(frame)
            if not transform.drawn_for(frame):
                continue
            rng = _source(seed, transform.kind, seen[transform.kind])
            seen[transform.kind] += 1
            applied = bool(rng.random() < transform.chance)
            values = transform.draw(rng, frame)
            steps.append(
                Step(kind=transform.kind, applied=applied, sizes=frame.sizes, spacing=frame.spacing, values=values)
            )
            frame = transform.framed(frame)
        return Draw(
            seed=seed,
            axes=first.axes,
            sizes=first.sizes,
            result=frame.sizes,
            spacing=first.spacing,
            ranges=tuple(ranges),
            steps=tuple(steps),
        )

    def apply(self, sample: Sample, draw: Draw, *, partner: Sample | None = None) -> Sample:
        """Return the sample as the draw changes it.

        Parameters
        ----------
        sample : Sample
            Of the size that the draw was made for; another layer of the same place may take the same draw.
        draw : Draw
        partner : Sample, optional
            What MixUp and CutMix bring in, of the size of the result; another draw of the same sample where left out.

        Returns
        -------
        Sample
            Of the same kinds and dtypes: numpy for numpy, tensors (with their gradient) for tensors.

        Raises
        ------
        SynthError
            The draw was made for another size, or the pipeline does not know one of its transforms.
        """
        from napari_synth.augmentation.apply import apply

        return apply(self, sample, draw, partner)

    def invert(self, sample: Sample, draw: Draw) -> Sample:
        """Return a sample that was augmented to the frame it came from, as far as it was in view.

        Movements are undone, changes of intensity stay.

        Parameters
        ----------
        sample : Sample
            Of the size of the draw's result.
        draw : Draw
        """
        from napari_synth.augmentation.apply import invert

        return invert(self, sample, draw)

    def displacement(self, draw: Draw) -> npt.NDArray[np.float32]:
        r"""Return where every pixel of the result comes from, relative to itself.

        Returns
        -------
        numpy.ndarray, (D, \*result), float32
            In pixels, along ``draw.axes``: pixel ``p`` of the result shows the place ``p + field[:, p]`` of the source.
        """
        from napari_synth.augmentation.apply import displacement

        return displacement(draw)

    def apply_batch(
        self,
        images: torch.Tensor,
        draws: Sequence[Draw],
        *,
        labels: torch.Tensor | None = None,
        points: Sequence[npt.ArrayLike] | None = None,
        rgb: bool = False,
    ) -> Batch:
        """Augment a batch in one pass on its device; see `napari_synth.augmentation.batch.apply_batch`."""
        from napari_synth.augmentation.batch import apply_batch

        return apply_batch(self, images, draws, labels=labels, points=points, rgb=rgb)

    def to_dict(self) -> dict[str, Any]:
        """Return the pipeline as plain values."""
        transforms = [{"kind": entry.kind, **entry.model_dump(mode="json")} for entry in self.transforms]
        return {"format": FORMAT, "sampling": self.sampling.model_dump(mode="json"), "transforms": transforms}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Pipeline:
        """Read what `to_dict` returned; settings that are left out have their defaults.

        Raises
        ------
        RecipeError
            It is no pipeline, or one of a newer version.
        InvalidParameterError
            A setting is unknown or out of bounds.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("transforms"), list):
            raise RecipeError("This is no augmentation: it lists no transforms; copy it again from the panel.")
        if content.get("format", FORMAT) != FORMAT:
            raise RecipeError(
                f"The augmentation has format {shown(content['format'])}, this version reads {FORMAT}: update napari-synth."
            )
        transforms = []
        for entry in content["transforms"]:
            kind = entry.get("kind") if isinstance(entry, Mapping) else entry
            if not isinstance(entry, Mapping) or not isinstance(kind, str) or kind not in TRANSFORMS:
                raise RecipeError(f"There is no transform {shown(kind)}: there are {', '.join(TRANSFORMS)}.")
            transforms.append(TRANSFORMS[entry["kind"]].parse({k: v for k, v in entry.items() if k != "kind"}))
        sampling = Sampling.parse(content.get("sampling", {}))
        assert isinstance(sampling, Sampling)
        return cls(transforms=tuple(transforms), sampling=sampling)

    def to_yaml(self) -> str:
        """Return the pipeline as YAML."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    @classmethod
    def from_yaml(cls, text: str) -> Pipeline:
        """Read what `to_yaml` wrote; raises as `from_dict` does."""
        try:
            content = read_yaml(text)
        except TextError as error:
            raise RecipeError(f"This is no augmentation: {error}; copy it again from the panel.") from error
        return cls.from_dict(content)

    @classmethod
    def from_file(cls, path: str | Path) -> Pipeline:
        """Read a YAML file; raises `RecipeError` where it is missing or no pipeline."""
        try:
            text = given_path(path, RecipeError).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"The augmentation {str(path)!r} cannot be read: check the path.") from error
        return cls.from_yaml(text)

    def to_python(self) -> str:
        """Return the pipeline as Python that can be pasted."""
        names = ", ".join(
            sorted({type(entry).__name__ for entry in self.transforms} | {"Pipeline"} | self._sampling_name)
        )
        lines = "".join(f"        {_call(entry)},\n" for entry in self.transforms)
        sampling = f"    sampling={_call(self.sampling)},\n" if self._sampling_name else ""
        return (
            f"import napari_synth\nfrom napari_synth.augmentation import {names}\n\n"
            f"pipeline = Pipeline(\n    transforms=(\n{lines}    ),\n{sampling})\n"
            "result = napari_synth.augment(image, transforms=pipeline, seed=0)\n"
        )

    @property
    def _sampling_name(self) -> set[str]:
        return set() if self.sampling == Sampling() else {"Sampling"}


def _source(seed: int, kind: str, occurrence: int) -> np.random.Generator:
    """Return the random numbers of one transform: those of another kind are independent."""
    # A counter with a key of its own takes a tenth of the time of seeding a generator.
    key = np.array([seed % 2**64, crc32(kind.encode()) << 32 | occurrence], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _call(params: Params) -> str:
    """Return the call that makes the settings, without those that are defaults."""
    usual = {name: field.get_default(call_default_factory=True) for name, field in type(params).model_fields.items()}
    given = {name: getattr(params, name) for name in usual if getattr(params, name) != usual[name]}
    return f"{type(params).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


PRESETS: dict[str, Pipeline] = {
    "light-microscopy": Pipeline(
        transforms=(
            Flip(),
            QuarterTurn(),
            Rotate(probability=0.5),
            Scale(probability=0.5),
            Elastic(probability=0.3),
            Gamma(probability=0.3),
            Contrast(probability=0.3),
            Brightness(strength=0.1, probability=0.3),
            Illumination(probability=0.2),
            Vignetting(probability=0.2),
            Blur(probability=0.2),
            Bleaching(probability=0.3),
            CameraNoise(probability=0.5),
        )
    ),
    "electron-microscopy": Pipeline(
        transforms=(
            Flip(),
            QuarterTurn(),
            Rotate(probability=0.3),
            Scale(probability=0.3),
            Elastic(grid=96.0, probability=0.3),
            ThinPlate(probability=0.2),
            Contrast(probability=0.5),
            Brightness(probability=0.5),
            Gamma(probability=0.3),
            Blur(most=1.2, probability=0.2),
            Sharpen(probability=0.1),
            MotionBlur(probability=0.1),
            Stripes(strength=0.1, probability=0.2),
            CameraNoise(fewest=60.0, most=600.0, probability=0.4),
            Erase(probability=0.1),
        ),
        sampling=Sampling(outside="mirror"),
    ),
    "histology": Pipeline(
        transforms=(
            Flip(),
            QuarterTurn(),
            Rotate(probability=0.3),
            Scale(probability=0.5),
            Elastic(grid=96.0, probability=0.2),
            StainJitter(probability=0.8),
            ColourJitter(hue=0.02, saturation=0.15, balance=0.05, probability=0.3),
            Brightness(strength=0.05, probability=0.3),
            Blur(most=1.5, probability=0.2),
            Sharpen(amount=0.5, probability=0.1),
        ),
        sampling=Sampling(outside="mirror"),
    ),
    "mri": Pipeline(
        transforms=(
            Flip(along_y=False, probability=0.5),
            Rotate(degrees=15.0, depth=5.0, probability=0.8),
            Scale(smallest=0.9, largest=1.1, probability=0.5),
            Shear(degrees=5.0, probability=0.2),
            Elastic(grid=40.0, least=1.0, most=6.0, depth=True, probability=0.4),
            HistogramJitter(probability=0.3),
            Gamma(probability=0.3),
            Illumination(strength=0.4, probability=0.5),
            Blur(most=1.0, probability=0.2),
            MotionBlur(longest=5, probability=0.1),
            CameraNoise(fewest=200.0, most=2000.0, read_noise=10.0, probability=0.3),
        )
    ),
    "ct": Pipeline(
        transforms=(
            Flip(along_y=False, probability=0.5),
            Rotate(degrees=15.0, depth=5.0, probability=0.8),
            Scale(smallest=0.9, largest=1.1, probability=0.5),
            Translate(fraction=0.05, probability=0.3),
            Elastic(grid=48.0, least=1.0, most=6.0, depth=True, probability=0.3),
            Brightness(strength=0.03, probability=0.3),
            Contrast(smallest=0.9, largest=1.1, probability=0.3),
            Blur(most=1.2, probability=0.2),
            Sharpen(probability=0.2),
            Rings(probability=0.2),
            CameraNoise(fewest=100.0, most=1000.0, read_noise=5.0, probability=0.3),
        )
    ),
}
"""Pipelines by name."""


def preset(name: str) -> Pipeline:
    """Return a preset; raises `InvalidParameterError` where there is none of this name."""
    if name not in PRESETS:
        raise InvalidParameterError(
            f"There is no augmentation {shown(name)}: take one of {', '.join(PRESETS)}, or give transforms."
        )
    return PRESETS[name]
