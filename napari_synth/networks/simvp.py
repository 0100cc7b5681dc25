"""A convolutional network that sees a clip at once, and answers with another.

Gao et al., "SimVP: simpler yet better video prediction", CVPR 2022, with the translator of a ConvMixer (Trockman and Kolter, 2022):
what moves is found by wide convolutions over all frames together, on a grid four times as coarse.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.clips import COARSER, ChannelNorm, FrameDecoder, FrameEncoder, with_history

_EDGE = 7


class _Mixer(nn.Module):
    """Mixes neighbours channel by channel, then channels pixel by pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, _EDGE, padding=_EDGE // 2, groups=width)
        self.norm = ChannelNorm(width)
        self.wide = nn.Conv2d(width, 2 * width, 1)
        self.back = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.back(functional.silu(self.wide(self.norm(self.near(x)))))
        return x + changed


class SimVP(nn.Module):
    """Encoder of every frame, translator of all of them, decoder of every frame.

    Parameters
    ----------
    in_channels : int
        Of a frame.
    history, horizon : int
        Frames that it sees, and that it answers with at once.
    width : int
        Of the encoder and decoder.
    mixed : int
        Channels of the translator.
    blocks : int
        Of the translator.
    base : {"last", "none"}
        What the answer is added to: the last frame, or nothing.
    """

    multiple: ClassVar[int] = COARSER
    """Sizes along Y and X must be multiples of this."""

    def __init__(
        self,
        in_channels: int = 1,
        history: int = 4,
        horizon: int = 4,
        width: int = 24,
        mixed: int = 128,
        blocks: int = 4,
        base: Literal["last", "none"] = "last",
    ) -> None:
        super().__init__()
        if min(in_channels, history, horizon, width, mixed, blocks) < 1 or base not in {"last", "none"}:
            raise ValueError("A network needs at least one channel, frame and block, and a base that is known.")
        self.in_channels, self.history, self.horizon, self.width = in_channels, history, horizon, width
        self.mixed, self.blocks, self.base = mixed, blocks, base
        self.encoder = FrameEncoder(in_channels, width)
        self.gather = nn.Conv2d(history * width, mixed, 1)
        self.translator = nn.Sequential(*(_Mixer(mixed) for _ in range(blocks)))
        self.spread = nn.Conv2d(mixed, horizon * width, 1)
        self.decoder = FrameDecoder(in_channels, width)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "in_channels": self.in_channels,
            "history": self.history,
            "horizon": self.horizon,
            "width": self.width,
            "mixed": self.mixed,
            "blocks": self.blocks,
            "base": self.base,
        }

    @property
    def receptive_field(self) -> int:
        """How far along Y and X a pixel of the clip can change one of the answer."""
        # In cells: blocks of the encoder, the translator; in pixels of half resolution: what is before and behind; a pixel may lie
        # anywhere in its cell.
        return COARSER * (2 + self.blocks * (_EDGE // 2) + 1) + 2 * (1 + 3) + 1

    def forward(self, past: Tensor, count: int | None = None) -> Tensor:
        """Predict the next frames (N, count, in_channels, Y, X) of (N, T, in_channels, Y, X), whose Y and X are multiples of 4.

        More than ``horizon`` of them (which is the default) are predicted from those that were.
        """
        count = self.horizon if count is None else count
        clip = with_history(past, self.history)
        said: list[Tensor] = []
        while sum(part.shape[1] for part in said) < count:
            answer = self._answer(clip)
            said.append(answer)
            clip = with_history(torch.cat((clip, answer), dim=1), self.history)
        return torch.cat(said, dim=1)[:, :count]

    def _answer(self, clip: Tensor) -> Tensor:
        n, frames, channels, height, width = clip.shape
        coarse, fine = self.encoder(clip.flatten(0, 1))
        last = fine.unflatten(0, (n, frames))[:, -1] if self.base == "last" else fine.unflatten(0, (n, frames)).mean(1)
        together = coarse.reshape(n, -1, *coarse.shape[2:]).contiguous(memory_format=torch.channels_last)
        mixed = self.translator(self.gather(together))
        answered = self.spread(mixed).reshape(n * self.horizon, self.width, *mixed.shape[2:])
        answered = answered.contiguous(memory_format=torch.channels_last)
        again = last[:, None].expand(-1, self.horizon, -1, -1, -1).flatten(0, 1)
        answer: Tensor = self.decoder(answered, again).reshape(n, self.horizon, channels, height, width)
        return answer if self.base == "none" else clip[:, -1:] + answer
