"""Settings of synthesizers that run trained networks of several families."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.synthesis import SynthesisParams


class RefinedParams(SynthesisParams):
    """Settings of a VAE-GAN."""

    manner: Literal["auto", "source", "blurred"] = Field(
        "auto",
        title="Manner",
        description="Auto makes images of the second kind where the model learnt two, source those of the first one; blurred ones"
        " are what the decoder knows, before anything is invented.",
        json_schema_extra={"advanced": True},
    )


class FlowParams(SynthesisParams):
    """Settings of a flow."""

    steps: int = Field(
        20,
        ge=1,
        le=1000,
        title="Steps",
        description="From noise to the image: more are more exact, and take longer.",
    )
    solver: Literal["heun", "euler"] = Field(
        "heun",
        title="Solver",
        description="Heun's looks at every step twice, and needs far fewer of them than Euler's.",
        json_schema_extra={"advanced": True},
    )
