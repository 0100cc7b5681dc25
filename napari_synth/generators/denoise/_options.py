"""Settings that several classical methods have in common."""

from __future__ import annotations

from typing import Literal

import pydantic

from napari_synth.core.generator import OutlierParams

Neighbours = Literal["auto", "ignore", "use"]


class VolumeParams(OutlierParams):
    """Settings of a method that can use the planes of a volume together."""

    neighbours: Neighbours = pydantic.Field(
        "auto",
        title="Neighbouring planes",
        description="Whether planes along Z are evidence for each other; auto tries both on held-out pixels.",
        json_schema_extra={"advanced": True},
    )
