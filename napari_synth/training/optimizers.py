"""Makes the optimisers of a network."""

from __future__ import annotations

import torch
from torch import nn

from napari_synth.training.muon import Muon, hidden_weights
from napari_synth.training.schedule import FitSettings


def usual_optimizers(network: nn.Module, settings: FitSettings) -> list[torch.optim.Optimizer]:
    """Return what the settings ask for: Adam, or Muon for hidden layers and AdamW for the others."""
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        trained = [p for p in network.parameters() if p.requires_grad]
        return [torch.optim.Adam(trained, lr=rate, betas=(0.9, 0.99))]
    hidden, outer = hidden_weights(network)
    made: list[torch.optim.Optimizer] = [Muon(hidden, lr=rate)] if hidden else []
    return [*made, torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)] if outer else made
