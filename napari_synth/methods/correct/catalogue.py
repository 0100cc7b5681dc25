"""The corrections, and their settings. Loads no torch."""

from __future__ import annotations

from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import Params, advanced


class DriftParams(Params):
    """Settings of the stabilisation."""

    reference: int = Field(
        0,
        ge=0,
        title="Frame that stays",
        description="All others are moved to where the scene is in this one; 0 is the first.",
    )
    channel: int | None = Field(
        None,
        ge=0,
        title="Channel to look at",
        description="By which the movement is measured, 0 is the first; all channels together where it is left out. All are moved"
        " alike.",
        json_schema_extra={"start": 0},
    )
    smooth: float = advanced(
        0.0,
        ge=0.0,
        le=1000.0,
        title="Keep jitter",
        description="Take out slow drift alone, smoothed over so many frames; 0 takes out all movement.",
    )
    shifts: tuple[tuple[float, ...], ...] | None = Field(
        None,
        min_length=1,
        title="Shifts",
        description="What an earlier run measured: how far the scene of each frame lies from the reference, in pixels along (Z,) Y"
        " and X; a recipe holds it, so that another channel or its labels are moved alike.",
        json_schema_extra={"fitted": True},
    )


METHODS = (
    Generator(
        GeneratorInfo(
            id="correct/drift",
            title="Stabilise",
            summary="Holds a movie still: measures drift and shaking to a fraction of a pixel and moves every frame back.",
            task=Task.CORRECT,
            reference="Guizar-Sicairos et al., Optics Letters 2008; Lucas & Kanade, IJCAI 1981",
            spatial_dims=(2, 3),
            colour="joint",
            channels="joint",
        ),
        DriftParams,
        "napari_synth.methods.correct.drift:prepare_drift",
    ),
)
"""In the order in which lists have them."""
