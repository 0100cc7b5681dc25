"""The corrections of light, and their settings. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import Params, advanced, fitted_field

Surface = Literal["rolling ball", "opening", "smooth surface"]
Operation = Literal["subtract", "divide"]
Level = Literal["zero", "keep"]
Direction = Literal["columns", "rows", "rings"]
Bleaching = Literal["exponential", "two exponentials", "ratio", "histogram"]
Extent = Literal["auto", "whole", "parts"]
Movement = Literal["auto", "shift", "affine"]


Fit = dict[str, tuple[float, ...]]
"""What was learnt of the light, by name."""


class DriftParams(Params):
    """Settings of the stabilisation."""

    still_frame: int = Field(
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
        title="Smooth over frames",
        description="Take out slow drift alone, smoothed over so many frames; 0 takes out all movement.",
    )
    shifts: tuple[tuple[float, ...], ...] | None = fitted_field(
        title="Shifts",
        description="What an earlier run measured: how far the scene of each frame lies from the reference, in pixels along (Z,) Y"
        " and X; a recipe holds it, so that another channel or its labels are moved alike.",
    )


class ChromaticParams(Params):
    """Settings of the chromatic shift."""

    reference_channel: int = Field(
        0,
        ge=0,
        title="Channel that stays",
        description="All others are moved to where this one shows things; 0 is the first.",
    )
    movement: Movement = Field(
        "auto",
        title="Movement",
        description="One shift for the whole field, or one that changes over it (affine: magnification and rotation too);"
        " auto takes the latter where parts of the field say so.",
    )
    fitted: tuple[Fit, ...] | None = fitted_field(
        title="Fitted displacements",
        description="What an earlier run measured, of beads say, one entry a channel; a recipe holds it, so that it serves for"
        " other images of the same microscope.",
    )


class BiasFieldParams(Params):
    """Settings of the bias field."""

    levels: int = Field(
        3,
        ge=1,
        le=4,
        title="Levels",
        description="How fine the field may be: each level halves the distance over which it changes. More follow stronger coils,"
        " and may take large structures for the field.",
    )
    iterations: int = advanced(
        30,
        ge=1,
        le=500,
        title="Iterations",
        description="At most so many at each level. More take longer and change little after some tens.",
    )
    fitted: tuple[Fit, ...] | None = fitted_field(
        title="Fitted fields",
        description="What an earlier run found, one entry a channel; a recipe holds it, so that it serves for other images of the"
        " same position of the body.",
    )


class BackgroundParams(Params):
    """Settings of the background."""

    shape: Surface = Field(
        "rolling ball",
        title="Background",
        description="What runs below the structures: a ball that rolls under them, the brightest that lies below them in a square"
        " (opening), or a smooth surface through the pixels that hold no structure.",
    )
    radius: int = Field(
        50,
        ge=2,
        le=1000,
        title="Radius",
        description="Of the ball, or half the edge of the square, in pixels: larger than the largest structure. A smooth surface"
        " does not use it.",
    )
    operation: Operation = Field(
        "subtract",
        title="Operation",
        description="Subtract the background, where it was added to the signal (stray light, fluorescence out of focus), or divide"
        " by it, where it shows how bright the light was (bright field).",
    )
    level: Level = Field(
        "zero",
        title="Level",
        description="After subtracting: bring the background to zero, or keep its usual level, so that no noise is cut off.",
    )
    volume: bool = advanced(
        False,
        title="Planes together",
        description="Let the ball or the square reach through the planes of a volume, as far as the spacing says; a smooth surface"
        " is fitted plane by plane.",
    )
    dark: float = advanced(
        0.0,
        title="Dark level",
        description="Counts of the camera without light, which are left as they are when dividing.",
    )


class StripeParams(Params):
    """Settings of stripes."""

    direction: Direction = Field(
        "columns",
        title="Direction",
        description="Along the columns, along the rows (light sheets from the side, banding of cameras), or rings around a centre"
        " (tomography).",
    )
    extent: Extent = Field(
        "auto",
        title="Extent",
        description="Stripes from edge to edge (whole), or stripes that begin and end in the image (parts); auto looks which.",
    )
    width: int = Field(
        8,
        ge=1,
        le=256,
        title="Broadest stripe",
        description="In pixels: what is broader is light or structure, and stays.",
    )
    law: Literal["auto", "gain", "offset"] = advanced(
        "auto",
        title="Kind of stripes",
        description="Whether a stripe multiplies the signal (gain: shadows, unequal detectors) or adds to it (offset: banding of"
        " cameras); auto takes what explains more.",
    )
    dark: float = advanced(
        0.0, title="Dark level", description="Counts without light: a gain multiplies what lies above them."
    )
    centre_y: float | None = Field(
        None,
        title="Centre of rings, Y",
        description="In pixels; the middle of the image where it is left out.",
        json_schema_extra={"advanced": True, "start": 0.0},
    )
    centre_x: float | None = Field(
        None,
        title="Centre of rings, X",
        description="In pixels; the middle of the image where it is left out.",
        json_schema_extra={"advanced": True, "start": 0.0},
    )


class FlatFieldParams(Params):
    """Settings of the flat field."""

    dark_field: bool = Field(
        True,
        title="Dark field",
        description="Learn and subtract what is there without light too, as far as planes of unequal brightness tell it.",
    )
    dark: float = Field(
        0.0,
        title="Dark level",
        description="Counts of the camera without light, where you know them: they are subtracted first.",
    )
    fitted: tuple[Fit, ...] | None = fitted_field(
        title="Fitted fields",
        description="The shading and the dark field that an earlier run learnt, one entry a channel, as polynomials along Y and X;"
        " a recipe holds them, so that they serve for other images of the same microscope.",
    )


class BleachingParams(Params):
    """Settings of bleaching."""

    model: Bleaching = Field(
        "exponential",
        title="Curve",
        description="How the signal fades: along one or two exponentials, weighed by the noise; frame by frame (ratio); or so that"
        " all frames have the histogram of the first, after which nothing can be measured any more.",
    )
    flicker: bool = Field(
        False,
        title="Remove flicker",
        description="Take out too by how much whole frames are brighter or darker than the curve; flashes of single cells stay.",
    )
    dark: float | None = Field(
        None,
        title="Dark level",
        description="Counts without light, which do not bleach; those of the darkest pixels where it is left out.",
        json_schema_extra={"advanced": True, "start": 100.0},
    )
    fitted: tuple[Fit, ...] | None = fitted_field(
        title="Fitted curve",
        description="By what an earlier run multiplied each frame, one entry a channel; a recipe holds it.",
    )


METHODS = (
    Generator(
        GeneratorInfo(
            id="correct/background",
            title="Background",
            summary="Takes away what shines everywhere below the structures: stray light, medium, fluorescence out of focus.",
            task=Task.CORRECT,
            reference="Sternberg, Biomedical Image Processing, IEEE Computer 1983 (rolling ball)",
            spatial_dims=(2, 3),
        ),
        BackgroundParams,
        "napari_synth.methods.correct.background:prepare_background",
    ),
    Generator(
        GeneratorInfo(
            id="correct/stripes",
            title="Stripes and rings",
            summary="Takes away stripes, banding and rings, whole ones and parts, and leaves an image alone that has none.",
            task=Task.CORRECT,
            reference="Bouali & Ladjal, Toward optimal destriping of MODIS data using a unidirectional variational model,"
            " IEEE TGRS 2011",
        ),
        StripeParams,
        "napari_synth.methods.correct.stripes:prepare_stripes",
    ),
    Generator(
        GeneratorInfo(
            id="correct/flat-field",
            title="Flat field",
            summary="Evens out the light of a microscope, which it learns from many tiles or frames and keeps in the recipe.",
            task=Task.CORRECT,
            reference="Peng et al., A BaSiC tool for background and shading correction of optical microscopy images, Nature"
            " Communications 2017",
            reference_image="optional",
        ),
        FlatFieldParams,
        "napari_synth.methods.correct.flat_field:prepare_flat_field",
    ),
    Generator(
        GeneratorInfo(
            id="correct/bleaching",
            title="Bleaching",
            summary="Makes all frames of a movie as bright as the first, along a curve through their signals.",
            task=Task.CORRECT,
            reference="Miura, Bleach correction ImageJ plugin for compensating the photobleaching of time-lapse sequences,"
            " F1000Research 2020",
        ),
        BleachingParams,
        "napari_synth.methods.correct.bleaching:prepare_bleaching",
    ),
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
    Generator(
        GeneratorInfo(
            id="correct/chromatic-shift",
            title="Chromatic shift",
            summary="Brings channels into register, by beads that shine in all of them or by what they have in common.",
            task=Task.CORRECT,
            reference="Kozubek & Matula, An efficient algorithm for measurement and correction of chromatic aberrations in"
            " fluorescence microscopy, Journal of Microscopy 2000",
            spatial_dims=(2, 3),
            colour="joint",
            channels="joint",
            reference_image="optional",
        ),
        ChromaticParams,
        "napari_synth.methods.correct.chromatic_shift:prepare_chromatic_shift",
    ),
    Generator(
        GeneratorInfo(
            id="correct/bias-field",
            title="Bias field (MR)",
            summary="Evens out what the coils of magnetic resonance receive brighter on their side; needs the extra medical.",
            task=Task.CORRECT,
            reference="Tustison et al., N4ITK: improved N3 bias correction, IEEE TMI 2010",
            spatial_dims=(2, 3),
        ),
        BiasFieldParams,
        "napari_synth.methods.correct.bias_field:prepare_bias_field",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""
