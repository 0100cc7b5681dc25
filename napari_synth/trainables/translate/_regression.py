"""Trains a network to be as near to the target as it can, pixel by pixel.

Christiansen et al., "In silico labeling", Cell 2018; Ounkomol et al., "Label-free prediction of three-dimensional fluorescence
images from transmitted-light microscopy", Nature Methods 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from napari_synth.trainables.translate._paired_options import RegressionTrainParams
from napari_synth.trainables.translate._pairs import NETWORK, Paired, PairedTrainee
from napari_synth.training.optimizers import usual_optimizers
from napari_synth.training.sources import TrainingImages
from napari_synth.training.trainable import Lesson, TrainContext
from napari_synth.training.trainee import Work

_RATE = 5e-3
_AVERAGING = 0.995


def learn_regression(images: TrainingImages, params: RegressionTrainParams, context: TrainContext) -> Lesson:
    """Set up the training."""
    data = Paired.read(images, params, context)
    network = data.network(params, context)
    settings = data.settings(params, context, _RATE, averaging=_AVERAGING, optimizer="muon")
    return data.lesson(RegressionTrainee(data, network, params, settings), settings, network)


class RegressionTrainee(PairedTrainee):
    """Minimises the error of each pixel, and the structural dissimilarity where that has a weight."""

    params: RegressionTrainParams

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `Trainee.optimizers`."""
        return {NETWORK: usual_optimizers(self.networks[NETWORK], self.settings)}

    def step(self, work: Work) -> Mapping[str, Tensor]:
        """See `Trainee.step`."""
        pixels = work.share(self.pool.sample(work.batch_size, work.generator))
        made, truth = work.networks[NETWORK](self.source_of(pixels)), self.target_of(pixels)
        error = made - truth
        loss = error.square().mean() if self.params.error == "squared" else error.abs().mean()
        losses = {"error": loss}
        if self.params.similarity:
            losses["dissimilarity"] = self.dissimilarity(made, truth)
            loss = loss + self.params.similarity * losses["dissimilarity"]
        work.update(NETWORK, loss)
        return {"loss": loss, **losses}

    def score(self, results: Sequence[Tensor]) -> float:
        """Return the error that is minimised, on held-out blocks."""
        return self.mean_error(results, squared=self.params.error == "squared")
