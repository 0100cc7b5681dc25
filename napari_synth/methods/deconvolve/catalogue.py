"""The methods for deconvolution, and their settings. Loads no torch."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import Params, advanced, fitted_field, outliers_field

PsfModel = Literal["auto", "image", "beads", "gaussian", "wide-field", "confocal", "light-sheet", "estimated"]


class StoredPsf(pydantic.BaseModel):
    """A point spread function as a recipe holds it.

    Attributes
    ----------
    shape : tuple of int
        Along Z (where there are three), Y and X; odd numbers, the middle pixel is the centre.
    values : str
        Its pixels in C order as little-endian 16-bit integers from 0 to 65535 for the brightest, compressed by zlib, in base64.
    spacing : tuple of float or None
        Distance of neighbouring pixels along each axis in micrometers; None where nothing is known of it: that of the image.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shape: tuple[pydantic.PositiveInt, ...] = Field(min_length=2, max_length=3)
    values: str
    spacing: tuple[pydantic.PositiveFloat, ...] | None = None


class StoredOptics(pydantic.BaseModel):
    """What a file says of the microscope, as a recipe holds it.

    Attributes
    ----------
    numerical_aperture : float
    wavelength, excitation : float
        In nanometers; `excitation` is None where the file does not say it.
    refractive_index : float or None
    kind : {"wide-field", "confocal", "light-sheet"}
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    numerical_aperture: float = Field(gt=0.0, le=1.7)
    wavelength: float = Field(gt=0.0, le=5000.0)
    excitation: float | None = Field(None, gt=0.0, le=5000.0)
    refractive_index: float | None = Field(None, ge=1.0, le=2.5)
    kind: Literal["wide-field", "confocal", "light-sheet"] = "wide-field"


class Fit(pydantic.BaseModel):
    """What was learnt for one channel.

    Attributes
    ----------
    psf : StoredPsf or None
        The point spread function that was given as an image, cleaned; None where it follows from the settings.
    optics : StoredOptics or None
        What the file of the image said of the microscope, where the point spread function follows from that.
    width : float or None
        Standard deviation in pixels of a point spread function that was estimated.
    width_curve : tuple of (float, float)
        The widths that were tried, and the deviance of the held-out photons with each.
    stop : float or None
        The iteration, or for ``wiener`` the regularization, that explains held-out photons best; None where it was set by hand.
    curve : tuple of (float, float)
        Iterations or regularizations, and the deviance of the held-out photons after each.
    excess : float
        By how much stronger noise than the measured gain says is left beside what explains the held-out photons: the gain was
        taken for so many times as large.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    psf: StoredPsf | None = None
    optics: StoredOptics | None = None
    width: float | None = Field(None, gt=0.0, le=64.0)
    width_curve: tuple[tuple[float, float], ...] = ()
    stop: float | None = Field(None, gt=0.0, le=1e6)
    curve: tuple[tuple[float, float], ...] = ()
    excess: float = Field(1.0, ge=1.0, le=1e6)


_LEAST = 0.001


def _measure(title: str, description: str, start: float, most: float) -> Any:
    """Return a field for a length, an index or an aperture that may be left out."""
    return Field(
        None,
        ge=_LEAST,
        le=most,
        title=title,
        description=description,
        json_schema_extra={"advanced": True, "start": start, "step": 1.0 if start > 100 else 0.01},
    )


class DeconvolveParams(Params):
    """What every method for deconvolution is told of the instrument."""

    psf_model: PsfModel = Field(
        "auto",
        title="PSF model",
        description="An image of it, or of many beads; a model from the numbers of the microscope; or a Gaussian whose width is"
        " estimated by held-out photons. Auto takes the image where there is one, a wide-field model where numerical aperture and"
        " wavelength are set, a Gaussian where its width is set, the model of the microscope that the file of the image names, and"
        " else estimates it.",
    )
    numerical_aperture: float | None = _measure(
        "Numerical aperture", "Of the objective, for models; what the file of the image says if empty.", 1.3, 1.7
    )
    wavelength: float | None = _measure(
        "Wavelength (nm)",
        "Of the light that is detected, for models; what the file says of each channel if empty.",
        520.0,
        5000.0,
    )
    refractive_index: float = advanced(
        1.515,
        ge=1.0,
        le=2.5,
        title="Refractive index",
        description="Of the immersion, for models: 1.0 for air, 1.33 for water, 1.515 for oil. It is that of the file where the"
        " numerical aperture is.",
    )
    excitation: float | None = _measure(
        "Excitation (nm)",
        "Wavelength of the laser, for the confocal model; 0.92 of the detected one if empty.",
        488.0,
        5000.0,
    )
    pinhole: float = advanced(
        1.0, ge=0.0, le=20.0, title="Pinhole (Airy units)", description="Diameter, for the confocal model."
    )
    sheet: float | None = _measure(
        "Light sheet (µm)",
        "Its thickness, full width at half maximum, for the light-sheet model; 3 if empty.",
        3.0,
        1000.0,
    )
    pixel_size: float | None = _measure(
        "Pixel size (µm)", "Along Y and X in the sample; that of the image if empty.", 0.1, 1000.0
    )
    z_step: float | None = _measure(
        "Z step (µm)", "Distance of the planes in the sample; that of the image if empty.", 0.2, 1000.0
    )
    width: float | None = _measure(
        "Gaussian width (pixels)",
        "Standard deviation of a Gaussian point spread function along Y and X, where you know it.",
        1.5,
        50.0,
    )
    width_z: float | None = _measure(
        "Gaussian width along Z (planes)", "The same along Z; if empty, planes are restored one by one.", 1.5, 50.0
    )
    outliers: Literal["keep", "replace"] = outliers_field("replace")
    fitted: tuple[Fit, ...] | None = fitted_field(
        title="Fitted",
        description="What an earlier run was given or measured, one entry a channel: the point spread function and where it"
        " stopped; a recipe holds it.",
    )


def _iterations(most: int, what: str = "Iterations") -> Any:
    return Field(
        None,
        ge=1,
        le=most,
        title=what,
        description="If empty, held-out photons say when to stop: later iterations make noise sharper, not the image.",
        json_schema_extra={"start": 10},
    )


class NetworkParams(DeconvolveParams):
    """Settings of ``deconvolve/network``."""

    iterations: int | None = _iterations(200, "Iterations, or steps in volumes")


class RichardsonLucyParams(DeconvolveParams):
    """Settings of ``deconvolve/richardson-lucy``."""

    iterations: int | None = _iterations(1000)
    accelerated: bool = advanced(
        True,
        title="Accelerated",
        description="Carry each step on in its direction, which takes about a third of the iterations.",
    )


class ConsensusParams(DeconvolveParams):
    """Settings of ``deconvolve/gradient-consensus``."""

    iterations: int | None = _iterations(1000)


class TotalVariationParams(DeconvolveParams):
    """Settings of ``deconvolve/total-variation``."""

    iterations: int | None = _iterations(1000)
    weight: float = Field(
        0.005,
        ge=0.0,
        le=0.2,
        title="Weight",
        description="Of the total variation: higher gives flatter areas between sharper edges.",
    )


class WienerParams(DeconvolveParams):
    """Settings of ``deconvolve/wiener``."""

    regularization: float | None = Field(
        None,
        ge=1e-6,
        le=1e6,
        title="Regularization",
        description="Higher keeps more blur and less noise. If empty, held-out photons decide.",
        json_schema_extra={"start": 0.01, "step": 0.001},
    )


_PREPARE = "napari_synth.methods.deconvolve.prepared"


def _generator(
    name: str, title: str, summary: str, params: type[DeconvolveParams], reference: str, licence: str = ""
) -> Generator[Any]:
    info = GeneratorInfo(
        id=f"deconvolve/{name}",
        title=title,
        summary=summary,
        task=Task.DECONVOLVE,
        reference=reference,
        weights_licence=licence,
        spatial_dims=(2, 3),
        reference_image="optional",
    )
    return Generator(info, params, f"{_PREPARE}:prepare_{name.replace('-', '_')}")


NETWORK = _generator(
    "network",
    "Network",
    "The bundled network takes the noise out and Richardson-Lucy the blur, in volumes in turn: the best where photons are few.",
    NetworkParams,
    "Zhang et al., Plug-and-play image restoration with deep denoiser prior, IEEE TPAMI 44 (2022); Richardson, JOSA 62 (1972);"
    " Lucy, Astronomical Journal 79 (1974); the network is that of denoise/blind",
    "BSD-3-Clause",
)
RICHARDSON_LUCY = _generator(
    "richardson-lucy",
    "Richardson-Lucy",
    "The standard of fluorescence microscopy, accelerated, with read noise, without ringing at the edges, and with a right stop.",
    RichardsonLucyParams,
    "Richardson, JOSA 62 (1972); Lucy, Astronomical Journal 79 (1974); Bertero and Boccacci, Astronomy and Astrophysics 437 (2005)",
)
CONSENSUS = _generator(
    "gradient-consensus",
    "Gradient consensus",
    "Richardson-Lucy that changes only what two halves of the photons agree on: careful where photons are few.",
    ConsensusParams,
    "Manton and York, Gradient consensus: Richardson-Lucy deconvolution that knows when to stop (2023)",
)
TOTAL_VARIATION = _generator(
    "total-variation",
    "Total variation",
    "Richardson-Lucy that prefers flat areas between sharp edges: for filaments and organelles on an even ground.",
    TotalVariationParams,
    "Dey et al., Richardson-Lucy algorithm with total variation regularization, Microscopy Research and Technique 69 (2006)",
)
WIENER = _generator(
    "wiener",
    "Wiener",
    "One linear step, a hundred times faster than the others: to look through many images quickly.",
    WienerParams,
    "Wiener, Extrapolation, interpolation, and smoothing of stationary time series (1949)",
)

METHODS = (NETWORK, RICHARDSON_LUCY, CONSENSUS, TOTAL_VARIATION, WIENER)
