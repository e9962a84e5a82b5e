"""Two layers, one of which reads the sequence from its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError


class Bidirectional(nn.Module):
    """Two networks over the same sequence, one forwards in time, one backwards, side by side.

    With `lengths`, the second reads each sequence of a padded batch from that sequence's own last step, so that every
    sequence gives what it would give alone.

    Args:
        forward: Network that reads the sequence as it is, `x -> (spikes, state)`: a `Recurrent` or a `RecurrentStack`.
        backward: Network of the same kind that reads it reversed.

    Attributes:
        forward_net: The first.
        backward_net: The second.

    Raises:
        ValueError: If both are the same object, which would share the weights.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF, Recurrent
        >>> net = Bidirectional(Recurrent(ALIF(20), 5), Recurrent(ALIF(20), 5))
        >>> spikes = net(torch.rand(30, 2, 5), lengths=torch.tensor([30, 12]))
        >>> spikes.shape
        torch.Size([30, 2, 40])
        >>> bool(spikes[12:, 1].any())
        False
    """

    def __init__(self, forward: nn.Module, backward: nn.Module) -> None:
        super().__init__()
        if forward is backward:
            raise ConfigError(
                "Bidirectional: forward and backward must be two networks, got the same one twice; "
                "make a copy.deepcopy of it"
            )
        self.forward_net, self.backward_net = forward, backward

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run both over a batch of sequences, each from rest.

        Args:
            x: Input, time first, (T, batch, in_features); behind a sequence's end anything finite.
            lengths: Number of steps of each sequence, integers in 1 ... T, (batch,); None: all are T steps long.

        Returns:
            Spikes of both in the order of `x`, (T, batch, neurons of both); zero behind a sequence's end.

        Raises:
            ValueError: If `lengths` does not fit the input.
        """
        if lengths is None:
            spikes, _ = self.forward_net(x)
            reversed_spikes, _ = self.backward_net(x.flip(0))
            return torch.cat([spikes, reversed_spikes.flip(0)], -1)
        order, inside = _reversal(x, lengths)
        spikes, _ = self.forward_net(x)
        reversed_spikes, _ = self.backward_net(_reorder(x, order))
        both = torch.cat([spikes, _reorder(reversed_spikes, order)], -1)
        return both.masked_fill(~inside[..., None], 0.0)

    if TYPE_CHECKING:
        __call__ = forward


def _reversal(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Steps of each sequence in reverse and behind its end as they were, (T, batch); which steps lie before the end."""
    num_steps, batch = x.shape[0], x.shape[1]
    lengths = torch.as_tensor(lengths, device=x.device)
    if lengths.is_floating_point() or lengths.shape != (batch,):
        raise ConfigError(
            f"Bidirectional: lengths must be {batch} integers, one for each sequence, "
            f"got shape {tuple(lengths.shape)} of {lengths.dtype}"
        )
    if not bool(((lengths >= 1) & (lengths <= num_steps)).all()):
        raise ConfigError(
            f"Bidirectional: lengths must lie in 1 ... {num_steps}, got {lengths.tolist()}"
        )
    steps = torch.arange(num_steps, device=x.device)[:, None]
    inside = steps < lengths
    return torch.where(inside, lengths - 1 - steps, steps), inside


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(0, order[..., None].expand(x.shape))
