"""Settings that several inpainting generators share."""

from __future__ import annotations

from pydantic import Field

from napari_synth.core.generator import Params


class NeighbourParams(Params):
    """Settings of what can look at neighbouring planes and frames."""

    neighbours: bool = Field(
        True,
        title="Neighbouring planes and frames",
        description="In stacks and movies, take what lies above and below, before and after, as far as it is alike.",
    )


class FillerParams(NeighbourParams):
    """Settings of networks."""

    context: int = Field(
        96,
        ge=8,
        le=2048,
        title="Context",
        description="How far around a hole the network looks at least, in pixels; around large holes further.",
        json_schema_extra={"advanced": True},
    )


class SearchParams(NeighbourParams):
    """Settings of what looks for patches."""

    patch_radius: int = Field(
        3,
        ge=1,
        le=8,
        title="Patch radius",
        description="Pixels around a place by which it is compared; larger ones copy larger structures.",
        json_schema_extra={"advanced": True},
    )
    context: int = Field(
        64,
        ge=8,
        le=1024,
        title="Context",
        description="How far around a hole alike places are looked for at least, in pixels; large holes look further.",
        json_schema_extra={"advanced": True},
    )


class PatchParams(SearchParams):
    """Settings of what copies patches."""

    surface: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Share of the smooth surface",
        description="How far what varies slowly in thick holes is that of a smooth surface: 0 looks best; more is nearer to"
        " the truth on average, and blurs large structures.",
        json_schema_extra={"advanced": True},
    )
