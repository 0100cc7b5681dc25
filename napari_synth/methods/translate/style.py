"""Gives an image the patches of another: texture and small structure move over, the layout stays.

The distributions of all patches are brought to each other at one resolution after another, from the coarsest on; see
`napari_synth.methods.patch_distributions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import ReferenceImageError
from napari_synth.core.progress import check_cancelled
from napari_synth.engine.resampling import resized
from napari_synth.imaging.image import Image
from napari_synth.methods.noise_conditioning import full_precision
from napari_synth.methods.patch_distributions import DIRECTIONS, directions, example_plane, patches_of, step
from napari_synth.methods.translate.catalogue import NeuralStyleParams, StyleParams
from napari_synth.networks.vgg_features import VggFeatures

_BYTES_PER_PIXEL = 32 * DIRECTIONS
# Flat parts need a beginning: equal patches would move alike.
_GRAIN = 0.1


class PatchStyle(Prepared):
    """A style image whose patches an image is given.

    Parameters
    ----------
    style : torch.Tensor, (1, C, H, W)
        Normalised by its own range.
    params : StyleParams
    seed : int
    """

    def __init__(self, style: Tensor, params: StyleParams, seed: int) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_BYTES_PER_PIXEL + 64 * style.shape[1])
        self._style, self._params, self._seed = style, params, seed

    def apply(self, block: Tensor) -> Tensor:
        """Restyle planes (N, C, Y, X), each on its own; see `Prepared.apply`."""
        with full_precision(block):
            return torch.cat([self._restyled(plane[None]) for plane in block])

    def _restyled(self, content: Tensor) -> Tensor:
        params = self._params
        rng = torch.Generator().manual_seed(self._seed)
        sizes = (content.shape[-2:], self._style.shape[-2:])
        patch = min(params.patch, *sizes[0], *sizes[1])
        halvings = max(0, ceil(log2(params.structure / patch)))
        change = torch.zeros_like(content)
        for level in range(halvings, -1, -1):
            shapes = [[max(patch, round(n / 2**level)) for n in size] for size in sizes]
            anchor, style = resized(content, shapes[0]), patches_of(resized(self._style, shapes[1]), patch)
            # What coarser levels changed is kept, and the detail that they could not see comes from the image.
            result = anchor + resized(change, shapes[0])
            if level == halvings:
                result = result + _GRAIN * params.strength * torch.randn(anchor.shape, generator=rng).to(anchor)
            for _ in range(params.steps):
                check_cancelled()
                moved = result + step(result, style, directions(patch, content.shape[1], rng).to(content))
                result = torch.lerp(anchor, moved, params.strength)
            change = result - anchor
        return content + change


def prepare_patch_style(image: Image, params: StyleParams, context: Context) -> PatchStyle:
    """Look at the style image.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    ReferenceImageError
        There is none.
    """
    if context.reference is None:
        raise ReferenceImageError("Patch style needs a style image: say which image the result should look like.")
    context.report.start("Looking at the style")
    style, _ = example_plane(context.reference)
    if context.statistics.maximum <= context.statistics.minimum:
        params = params.model_copy(update={"strength": 0.0})
    return PatchStyle(style.to(context.device.torch_name), params, context.seed)


_NEURAL_STYLE_BYTES_PER_PIXEL = 4 * 64 * 24
_RATE = 0.03
_STYLE, _CONTENT = 1.0, 0.03
_LEAST = 32


class NeuralStyle(Prepared):
    """A style image as a network sees it.

    Parameters
    ----------
    network : VggFeatures
        On the device.
    style : Tensor, (1, C, H, W)
        Normalised by its own range, on the device.
    params : NeuralStyleParams
    weights : mapping of str to str
        Hash of the network's file.
    """

    def __init__(
        self, network: VggFeatures, style: Tensor, params: NeuralStyleParams, weights: Mapping[str, str]
    ) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_NEURAL_STYLE_BYTES_PER_PIXEL)
        self.weights = weights
        self._network, self._style, self._params = network, style, params

    def apply(self, block: Tensor) -> Tensor:
        """Restyle planes (N, C, Y, X), each on its own; see `Prepared.apply`."""
        # What was made for inference cannot be learnt from: the plane is copied.
        with full_precision(block), torch.inference_mode(False), torch.enable_grad():
            return torch.cat([self._restyled(plane[None].clone()) for plane in block])

    def _restyled(self, content: Tensor) -> Tensor:
        sizes = content.shape[-2:]
        made, change = content, torch.zeros_like(content)
        for share, steps in ((2, self._params.steps), (1, max(1, self._params.steps // 2))):
            size = [max(min(_LEAST, edge), edge // share) for edge in sizes]
            # Detail that the coarser image cannot show comes from the content.
            anchor = resized(content, size)
            made = self._fitted(anchor + resized(change, size), anchor, share, steps)
            change = made - anchor
        return made

    def _fitted(self, start: Tensor, anchor: Tensor, share: int, steps: int) -> Tensor:
        style = self._style
        small = [max(min(_LEAST, edge), edge // share) for edge in style.shape[-2:]]
        with torch.no_grad():
            wanted = [_correlations(answer) for answer in self._network(_seen(resized(style, small)))[1]]
            kept = self._network(_seen(anchor))[0]
        made = start.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([made], lr=_RATE, betas=(0.9, 0.99))
        for _ in range(steps):
            check_cancelled()
            optimizer.zero_grad(set_to_none=True)
            content, answers = self._network(_seen(made))
            apart = torch.stack(
                [
                    (_correlations(answer) - one).square().sum() / one.square().sum().clamp_min(1e-12)
                    for answer, one in zip(answers, wanted, strict=True)
                ]
            ).mean()
            moved = (content - kept).square().sum() / kept.square().sum().clamp_min(1e-12)
            strength = self._params.strength
            loss = _STYLE * strength * apart + (_CONTENT * strength + 1.0 - strength) * moved
            loss.backward()
            optimizer.step()
        return made.detach()


def prepare_neural_style(
    network: VggFeatures, weights: Mapping[str, str], image: Image, params: NeuralStyleParams, context: Context
) -> NeuralStyle:
    """Look at the style image.

    Parameters
    ----------
    network : VggFeatures
    weights : mapping of str to str
        The hash of the weights, by name.
    image, params, context
        As for `Generator.prepare`.

    Raises
    ------
    ReferenceImageError
        There is none.
    """
    if context.reference is None:
        raise ReferenceImageError("Neural style needs a style image: say which image the result should look like.")
    context.report.start("Looking at the style")
    style, _ = example_plane(context.reference)
    if context.statistics.maximum <= context.statistics.minimum:
        params = params.model_copy(update={"strength": 0.0})
    return NeuralStyle(network, style.to(context.device.torch_name), params, weights)


def _seen(image: Tensor) -> Tensor:
    """Return planes (1, C, H, W) as the network takes them: three colours, at least as large as it needs."""
    colours = image if image.shape[1] == 3 else image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    short = [max(0, 16 - edge) for edge in image.shape[-2:]]
    return functional.pad(colours, (0, short[1], 0, short[0]), mode="replicate") if any(short) else colours


def _correlations(answer: Tensor) -> Tensor:
    """Return how features go together (F, F), the mean over the plane."""
    flat = answer[0].flatten(1)
    return flat @ flat.T / flat.shape[1]
