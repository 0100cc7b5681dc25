"""Declares a synthesizer for a described model file. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from napari_synth.core.generator import GeneratorInfo, Task
from napari_synth.core.synthesis import Needs, Sampler, SynthesisContext, SynthesisParams, Synthesizer
from napari_synth.generators.synthesize._options import FlowParams, RefinedParams
from napari_synth.models.description import ModelDescription

if TYPE_CHECKING:
    from napari_synth.core.image import Image


@dataclass(frozen=True)
class Family:
    """How models of an architecture make images.

    Attributes
    ----------
    sampler : str
        ``module:class``, a `napari_synth.generators.synthesize._networks.NetworkSampler`.
    params_type : type of SynthesisParams
    needs : {"nothing", "image", "labels"}
    """

    sampler: str
    params_type: type[SynthesisParams] = SynthesisParams
    needs: Needs = "nothing"


_HERE = "napari_synth.generators.synthesize"
FAMILIES: dict[str, Family] = {
    "dcgan-generator": Family(f"{_HERE}._networks:VectorSampler"),
    "fastgan-generator": Family(f"{_HERE}._networks:VectorSampler"),
    "label-painter": Family(f"{_HERE}._painted:PaintedSampler", needs="labels"),
    "refined-autoencoder": Family(f"{_HERE}._autoencoders:RefinedSampler", RefinedParams),
    "variational-autoencoder": Family(f"{_HERE}._autoencoders:AutoencoderSampler"),
    "velocity-unet": Family(f"{_HERE}._flows:FlowSampler", FlowParams),
}
"""By the architecture in the card."""


class SynthesizerFile(Synthesizer[SynthesisParams]):
    """A network that the user trained to make images."""

    description: ClassVar[ModelDescription]
    path: ClassVar[Path]
    family: ClassVar[Family]

    def open(self, source: Image | None, params: SynthesisParams, context: SynthesisContext) -> Sampler:
        """Load the network; see `Synthesizer.open`."""
        from napari_synth.generators.model_files._prepared import own_network
        from napari_synth.models.files import read_card

        network, weights = own_network(self.description, self.path, context.device)
        module, _, name = self.family.sampler.partition(":")
        sampler: Any = getattr(import_module(module), name)
        return cast(Sampler, sampler(network, read_card(self.path), weights, params, source))


def synthesizer_for(description: ModelDescription, path: Path) -> Synthesizer[SynthesisParams]:
    """Return the synthesizer of a described model file, whose architecture is one of `FAMILIES`."""
    family = FAMILIES[description.architecture]
    info = GeneratorInfo(
        id=description.id,
        title=description.title,
        summary=description.summary,
        task=Task.SYNTHESIZE,
        reference=description.reference,
        weights_licence=description.licence,
        colour="joint",
        channels="joint",
        invents=True,
    )
    fields = {
        "info": info,
        "params_type": family.params_type,
        "needs": family.needs,
        "family": family,
        "description": description,
        "path": path,
        "__doc__": info.summary,
    }
    return cast(Synthesizer[SynthesisParams], type(SynthesizerFile.__name__, (SynthesizerFile,), fields)())
