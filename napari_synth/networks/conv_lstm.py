"""A recurrent network that sees one frame after the other, and says what the next one looks like.

Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", NeurIPS 2015; scheduled sampling
after Bengio et al., NeurIPS 2015.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_synth.networks.clips import COARSER, FrameDecoder, FrameEncoder, with_history


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
