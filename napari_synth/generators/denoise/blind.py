"""``denoise/blind``: the bundled network behind the noise that is measured in the image itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Prepared, Task
from napari_synth.core.image import Image


class BlindParams(OutlierParams):
    """Settings of `Blind`."""

    strength: float = Field(
        1.0,
        ge=0.0,
        le=3.0,
        title="Strength",
        description="Scales the measured noise level: below 1 keeps more grain, above 1 smooths more.",
    )
    neighbours: Literal["auto", "off"] = Field(
        "auto",
        title="Neighbouring planes",
        description="Use neighbouring frames or z planes as extra evidence where they show the same (auto), or never (off).",
    )
    noise: Literal["auto", "independent", "correlated", "multiplicative"] = Field(
        "auto",
        title="Kind of noise",
        description="Whether the noise of neighbouring pixels is correlated: measured (auto), or as you know it. Multiplicative"
        " noise, the speckle of ultrasound, radar and OCT, is removed on the logarithm of the image.",
        json_schema_extra={"advanced": True},
    )
    sigma: float | None = Field(
        None,
        gt=0.0,
        title="Noise level",
        description="Standard deviation of the noise in counts, where you know it; measured where it is left out, and"
        " where noise is multiplicative.",
        json_schema_extra={"advanced": True, "start": 10.0},
    )
    ensemble: bool = Field(
        False,
        title="Average over rotations",
        description="Run on all eight flips and rotations and average: a little better, eight times slower.",
        json_schema_extra={"advanced": True},
    )


class Blind(Generator[BlindParams]):
    """A small bundled U-Net, told the noise level of every pixel."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="denoise/blind",
        title="Blind network",
        summary="Measures the noise in your image and removes it with a network that comes with the plugin: start here.",
        task=Task.DENOISE,
        reference="Zhang et al., FFDNet, IEEE TIP 2018; Mohan et al., ICLR 2020",
        weights_licence="BSD-3-Clause",
        spatial_dims=(2, 3),
        colour="joint",
    )
    params_type = BlindParams

    def prepare(self, image: Image, params: BlindParams, context: Context) -> Prepared:
        """Measure the noise and load the network; see `Generator.prepare`."""
        from napari_synth.generators._conditioning import bundled_network
        from napari_synth.generators.denoise._conditioned import MODEL
        from napari_synth.generators.denoise._measured import prepare_measured

        network, weights = bundled_network(MODEL, context.device)
        return prepare_measured(network, weights, image, params, context)
