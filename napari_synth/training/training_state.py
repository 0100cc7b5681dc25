"""What a training run holds: networks, their optimisers and their running averages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_synth.core.device import Device
from napari_synth.networks.layout import channels_last
from napari_synth.training.training_module import Networks, TrainingModule

if TYPE_CHECKING:
    pass


class TrainingState:
    """The networks of a training module, set up to learn.

    Parameters
    ----------
    module : TrainingModule
        Its networks are moved to the device.
    fabric : Fabric
    device : Device
    averaging : float
        Decay of the running averages, a step.

    Attributes
    ----------
    networks : mapping of str to nn.Module
        To be called while training, in the precision of the run.
    optimizers : mapping of str to list
        By the name that `StepContext.update` is given.
    """

    def __init__(self, module: TrainingModule, fabric: Fabric, device: Device, averaging: float) -> None:
        self._plain = {name: channels_last(net.to(device.torch_name)).train() for name, net in module.networks.items()}
        self._averages = {
            name: AveragedModel(self._plain[name], multi_avg_fn=_warmed_average(averaging), use_buffers=True).eval()
            for name in module.averaged
        }
        self.networks: Networks = {name: fabric.setup_module(network) for name, network in self._plain.items()}
        made = module.optimizers()
        # The rates are noted before the schedule changes them.
        self._rates = {name: [[g["lr"] for g in o.param_groups] for o in group] for name, group in made.items()}
        self.optimizers = {name: _as_list(fabric.setup_optimizers(*group)) for name, group in made.items()}

    def set_rates(self, rate: Callable[[float], float]) -> None:
        """Set the learning rates of a step, each made of the highest one of its weights."""
        for name, group in self.optimizers.items():
            for optimizer, rates in zip(group, self._rates[name], strict=True):
                for parameters, full in zip(optimizer.param_groups, rates, strict=True):
                    parameters["lr"] = rate(full)

    def average(self) -> None:
        """Take the weights into their running averages."""
        for name, average in self._averages.items():
            average.update_parameters(self._plain[name])

    def forget_gradients(self) -> None:
        """Free what the gradients take."""
        for network in self._plain.values():
            network.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return the state of every part by its name; its tensors go on changing."""
        return {name: part.state_dict() for name, part in self._all().items()}

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of `state`."""
        return copy.deepcopy(self.state())

    def take_up(self, states: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        parts = self._all()
        # Loading does not copy the optimizer's tensors, which are then changed in place.
        for name, state in copy.deepcopy(dict(states)).items():
            parts[name].load_state_dict(state)

    def kept(self) -> dict[str, nn.Module]:
        """Return the networks that are kept in the end: averages in evaluation mode, and the others as they are."""
        return {
            name: self._averages[name].module.eval() if name in self._averages else network
            for name, network in self._plain.items()
        }

    def weights(self) -> dict[str, Any]:
        """Return a copy of the weights of what is kept."""
        return copy.deepcopy({name: network.state_dict() for name, network in self.kept().items()})

    def finish(self, weights: Mapping[str, Any]) -> None:
        """Leave the networks with these weights, in evaluation mode."""
        for name, network in self._plain.items():
            network.load_state_dict(weights[name])
            network.eval().requires_grad_(False)

    def _all(self) -> dict[str, Any]:
        return (
            {f"network {name}": network for name, network in self._plain.items()}
            | {f"average {name}": average for name, average in self._averages.items()}
            | {
                f"optimizer {name} {i}": o.optimizer
                for name, group in self.optimizers.items()
                for i, o in enumerate(group)
            }
        )


def _as_list(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]


def _warmed_average(decay: float) -> Callable[..., None]:
    """Return the update of a running average that forgets the first weights quickly."""

    def update(averages: Any, weights: Any, count: Any) -> None:
        warmed = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        average: Any = get_ema_multi_avg_fn(warmed)  # type: ignore[no-untyped-call]
        average(averages, weights, count)

    return update
