"""Training against a critic that tells filled holes from real ones, so that they are not filled with blur.

A patch critic (Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017) with spectral
normalisation and the hinge loss (Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018), whose
features have to be alike too (Wang et al., "High-resolution image synthesis and semantic manipulation with conditional GANs", CVPR
2018). Its weight is that share of the gradient at the last layer that errors of the pixels have (Esser et al., "Taming transformers
for high-resolution image synthesis", CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from napari_synth.networks import gaussian_blur
from napari_synth.networks.gated_inpainter import GatedInpainter
from pretraining.crops import CropStore
from pretraining.inpainting import HoleBatch, Inpainting, unit_of
from pretraining.training import Settings, Trainer

_FINE = 1.5
_TINY = 1e-8


@dataclass(frozen=True)
class CriticSettings:
    """What is asked for beside small errors.

    Parameters
    ----------
    start : float
        Share of the run after which the critic is listened to.
    adversarial, features : float
        Share of what the critic says, in the gradient at the network's last layer; of unlike features, beside that.
    fine : float
        Weight of the difference between the strengths of fine detail.
    learning_rate : float
        The critic's.
    """

    start: float = 0.85
    adversarial: float = 0.25
    features: float = 1.0
    fine: float = 0.3
    learning_rate: float = 4e-4


class Critic(nn.Module):
    """Says for every eighth pixel whether what lies around is real: above 0 if so.

    Parameters
    ----------
    widths : tuple of int
        Channels at a half, a quarter and an eighth of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96)) -> None:
        super().__init__()
        sizes = (2, *widths)
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in zip(sizes, widths, strict=False)
        )
        self.verdict = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, image: Tensor, holes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the verdicts (N, 1, H / 8, W / 8) and the features of every layer."""
        x, features = torch.cat((image, holes), dim=1), []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.verdict(x), features


class AdversarialTrainer(Trainer):
    """Trains the inpainting network: for small errors first, then against a critic beside that.

    Parameters
    ----------
    folder, store, lesson, settings, device
        See `Trainer`.
    critic : CriticSettings
    """

    lesson: Inpainting

    def __init__(
        self,
        folder: Path,
        store: CropStore,
        lesson: Inpainting,
        settings: Settings,
        device: torch.device,
        critic: CriticSettings = CriticSettings(),
    ) -> None:
        self.asked = critic
        torch.manual_seed(settings.seed)
        self.critic = Critic().to(device)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), critic.learning_rate, betas=(0.5, 0.9))
        super().__init__(folder, store, lesson, settings, device)

    def _loss(self, batch: HoleBatch) -> Tensor:
        clean, holes = batch.clean, batch.holes
        assert isinstance(self.network, GatedInpainter)
        with self.precision():
            prepared = self.network.prepared(clean, holes)
            answer = self.network.completed(prepared, holes)
        unit = unit_of(prepared)
        fake, real = ((image.float() - prepared.base) / unit for image in (answer, clean))
        error = fake - real
        # The root of the mean square follows PSNR; the mean keeps edges.
        wrong = 0.5 * (_inside(error.abs(), holes) + (_inside(error.square(), holes) + _TINY).sqrt()).mean()
        if self.done < self.asked.start:
            return wrong
        self._teach_critic(real, fake.detach(), holes)
        strengths = [(_inside(_fine(image).square(), holes) + _TINY).sqrt() for image in (fake, real)]
        self.critic.requires_grad_(False)
        said, features = self.critic(fake, holes)
        with torch.no_grad():
            _, wanted = self.critic(real, holes)
        near = _near(holes, said)
        seems_false = -_inside(said, near).mean()
        for found, true in zip(features, wanted, strict=True):
            unlike = (found - true).abs().mean(1, keepdim=True)
            seems_false = seems_false + self.asked.features * _inside(unlike, _near(holes, unlike)).mean()
        self.critic.requires_grad_(True)
        last = self.network.tail.weight
        gradients = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (wrong, seems_false)]
        weight = (self.asked.adversarial * gradients[0] / gradients[1].clamp_min(_TINY)).clamp(max=10.0)
        total: Tensor = wrong + weight * seems_false + self.asked.fine * (strengths[0] - strengths[1]).abs().mean()
        return total

    def _teach_critic(self, real: Tensor, fake: Tensor, holes: Tensor) -> None:
        loss = real.new_zeros(())
        for image, sign in ((real, 1.0), (fake, -1.0)):
            said, _ = self.critic(image, holes)
            loss = loss + _inside(functional.relu(1.0 - sign * said), _near(holes, said)).mean()
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimiser.step()

    def _state(self) -> dict[str, Any]:
        return super()._state() | {
            "critic": self.critic.state_dict(),
            "critic optimiser": self.critic_optimiser.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.critic.load_state_dict(state["critic"])
        self.critic_optimiser.load_state_dict(state["critic optimiser"])


def _inside(values: Tensor, holes: Tensor) -> Tensor:
    """Return the mean of (N, 1, H, W) in the holes, (N,)."""
    return (values * holes).sum((1, 2, 3)) / holes.sum((1, 2, 3)).clamp_min(1.0)


def _near(holes: Tensor, like: Tensor) -> Tensor:
    """Return where holes are, at the resolution of another tensor."""
    return functional.adaptive_max_pool2d(holes, like.shape[-2:])


def _fine(image: Tensor) -> Tensor:
    return image - gaussian_blur(image, (_FINE, _FINE))
