"""``inpaint/network``: the bundled network fills holes."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._options import FillerParams


class Network(Generator[FillerParams]):
    """A small bundled network of gated convolutions."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="inpaint/network",
        title="Inpainting network",
        summary="Fills holes with a network that comes with the plugin and continues lines and surfaces; for holes up to about 60"
        " pixels.",
        task=Task.INPAINT,
        reference="Yu et al., Free-Form Image Inpainting with Gated Convolution, ICCV 2019",
        weights_licence="BSD-3-Clause",
        spatial_dims=(2, 3),
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = FillerParams

    def prepare(self, image: Image, params: FillerParams, context: Context) -> Prepared:
        """Load the network, and look which holes there are; see `Generator.prepare`."""
        from napari_synth.generators._conditioning import bundled_network
        from napari_synth.generators.inpaint._learned import MODEL, prepare_learned

        network, weights = bundled_network(MODEL, context.device)
        return prepare_learned(network, weights, image, params, context)
