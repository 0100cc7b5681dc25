"""Networks that see the frames of a movie and say what the next ones look like.

Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", NeurIPS 2015; scheduled sampling
after Bengio et al., NeurIPS 2015.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

COARSER = 4
"""Pixels along an edge of a cell of the grid."""


class ChannelNorm(nn.Module):
    """Brings the channels of every pixel to mean 0 and variance 1, then scales and shifts them.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, Y, X)."""
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(1, keepdim=True)
        normalised: Tensor = centred * (variance + 1e-5).rsqrt() * self.gain + self.shift
        return normalised


class _Block(nn.Module):
    """``x + conv(silu(conv(norm(x))))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(functional.silu(self.first(self.norm(x))))
        return x + changed


class FrameEncoder(nn.Module):
    """A frame to the coarse grid, and to features of half resolution that a decoder can go on from.

    Parameters
    ----------
    channels : int
        Of a frame.
    width : int
        Of the features, on either grid.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.block = _Block(width)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, channels, Y, X) to (N, width, Y / 4, X / 4) and (N, width, Y / 2, X / 2)."""
        halved = functional.pixel_unshuffle(frames, 2).contiguous(memory_format=torch.channels_last)
        fine = functional.silu(self.head(halved))
        return self.block(self.down(fine)), fine


class FrameDecoder(nn.Module):
    """From the coarse grid to a frame.

    Parameters
    ----------
    channels : int
        Of a frame.
    width : int
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.block = _Block(width)
        self.tail = nn.Conv2d(width, 4 * channels, 3, padding=1)
        # What is decoded is little at first: it is added to a frame.
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()  # type: ignore[union-attr]

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Map (N, width, Y / 4, X / 4) and (N, width, Y / 2, X / 2) to (N, channels, Y, X)."""
        x = self.block(self.mix(torch.cat((self.up(coarse), fine), 1)))
        return functional.pixel_shuffle(self.tail(functional.silu(x)), 2)


def with_history(past: Tensor, frames: int) -> Tensor:
    """Return the last so many frames of (N, T, C, Y, X); the first one is repeated where there are fewer."""
    missing = frames - past.shape[1]
    if missing <= 0:
        return past[:, -frames:]
    return torch.cat((past[:, :1].expand(-1, missing, -1, -1, -1), past), dim=1)


class ConvLSTMCell(nn.Module):
    """A long short-term memory at every cell of a grid, whose gates see a neighbourhood of 3 x 3.

    Parameters
    ----------
    width : int
        Channels of the input and of the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        with torch.no_grad():
            # What was seen is kept at first.
            self.gates.bias[width : 2 * width] = 1.0  # type: ignore[index]

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Return what the cell says, and its memory, both (N, width, Y, X)."""
        said, memory = (torch.zeros_like(x), torch.zeros_like(x)) if state is None else state
        into, keep, out, new = self.gates(torch.cat((x, said), 1)).split(self.width, dim=1)
        memory = torch.sigmoid(keep) * memory + torch.sigmoid(into) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(memory), memory


class ConvLSTM(nn.Module):
    """Encoder, recurrent layers and decoder; what is decoded is added to the frame before.

    Parameters
    ----------
    in_channels : int
        Of a frame.
    history : int
        Frames that it is meant to be shown first.
    width : int
    layers : int
        Recurrent ones.
    """

    multiple: ClassVar[int] = COARSER
    """Sizes along Y and X must be multiples of this."""

    def __init__(self, in_channels: int = 1, history: int = 4, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        if min(in_channels, history, width, layers) < 1:
            raise ValueError("A network needs at least one channel, frame and layer.")
        self.in_channels, self.history, self.width, self.layers = in_channels, history, width, layers
        self.encoder = FrameEncoder(in_channels, width)
        self.cells = nn.ModuleList(ConvLSTMCell(width) for _ in range(layers))
        self.decoder = FrameDecoder(in_channels, width)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "in_channels": self.in_channels,
            "history": self.history,
            "width": self.width,
            "layers": self.layers,
        }

    def forward(self, past: Tensor, count: int, truth: Tensor | None = None, taught: Tensor | None = None) -> Tensor:
        """Predict frames.

        Parameters
        ----------
        past : Tensor, (N, T, in_channels, Y, X)
            Y and X multiples of 4.
        count : int
        truth : Tensor, (N, count, in_channels, Y, X), optional
            The frames that follow.
        taught : Tensor of bool, (N, count), optional
            Whether it goes on from the true frame rather than from its own: scheduled sampling.

        Returns
        -------
        Tensor, (N, T - 1 + count, in_channels, Y, X)
            What it says of every frame but the first; the last ``count`` are those asked for.
        """
        past = with_history(past, max(2, past.shape[1]))
        seen = past.shape[1]
        states: list[tuple[Tensor, Tensor] | None] = [None] * self.layers
        frame, said = past[:, 0], []
        for step in range(seen - 1 + count):
            coarse, fine = self.encoder(frame)
            for number, cell in enumerate(self.cells):
                states[number] = cell(coarse, states[number])
                state = states[number]
                assert state is not None
                coarse = coarse + state[0]
            predicted = frame + self.decoder(coarse, fine)
            said.append(predicted)
            behind = step + 1 - seen
            if behind < 0:
                frame = past[:, step + 1]
            elif truth is not None and taught is not None and behind < count:
                frame = torch.where(taught[:, behind].view(-1, 1, 1, 1), truth[:, behind], predicted)
            else:
                frame = predicted
        return torch.stack(said, dim=1)


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
