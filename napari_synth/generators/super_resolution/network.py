"""``super-resolution/network``: the bundled network, held to the measured pixels."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.super_resolution._options import NetworkParams


class Network(Generator[NetworkParams]):
    """A small bundled U-Net for 2, 3 and 4 times, told the noise level of every pixel."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="super-resolution/network",
        title="Super-resolution network",
        summary="Makes the image finer with a network that comes with the plugin. More pixels do not mean more resolution:"
        " detail finer than yours is a guess.",
        task=Task.SUPER_RESOLUTION,
        reference="Shi et al., CVPR 2016; Kim et al., VDSR, CVPR 2016; Irani & Peleg, CVGIP 1991 (back-projection)",
        weights_licence="BSD-3-Clause",
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = NetworkParams

    def prepare(self, image: Image, params: NetworkParams, context: Context) -> Prepared:
        """Measure the noise and load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators._conditioning import bundled_network
        from napari_synth.generators.super_resolution._enlarged import MODEL, Enlarged

        network, weights = bundled_network(MODEL, context.device)
        prepared = Enlarged.of(image, network, weights, params, context)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
