"""``denoise/auto``: tries several methods on pixels that they are not shown, and takes the one that predicts them best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Prepared, Task
from napari_synth.core.image import Image

# By steps, not by the clock, so that the choice can be repeated.
_TRAINED: Mapping[str, Mapping[str, Any]] = {
    "denoise/adapt": {},
    "denoise/zero-shot-noise2noise": {},
    "denoise/noise2void": {"steps": 300},
}


class AutoParams(OutlierParams):
    """Settings of `Auto`."""

    candidates: Literal["all", "classical"] = Field(
        "all",
        title="Candidates",
        description="The bundled network and the classical methods, or the classical ones alone.",
    )
    trained: bool = Field(
        False,
        title="Include trained",
        description="Try the methods too that learn from your image first: minutes instead of seconds.",
        json_schema_extra={"slow": True},
    )


class Auto(Generator[AutoParams]):
    """The method that predicts held-out pixels of this image best."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="denoise/auto",
        title="Automatic choice",
        summary="Tries several methods on pixels they are not shown, takes the best and says why.",
        task=Task.DENOISE,
        reference="Batson & Royer, Noise2Self, ICML 2019",
        spatial_dims=(2, 3),
        colour="joint",
    )
    params_type = AutoParams

    def prepare(self, image: Image, params: AutoParams, context: Context) -> Prepared:
        """Compare the candidates and prepare the best; see `Generator.prepare`."""
        from napari_synth.generators.denoise._selection import select

        quick = ["blind", "wavelet", "non-local-means", "total-variation", "median"]
        names = quick if params.candidates == "all" else quick[1:]
        return select(image, [f"denoise/{name}" for name in names], _TRAINED if params.trained else {}, context)
