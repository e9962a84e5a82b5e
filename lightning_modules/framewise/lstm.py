"""An LSTM to compare framewise networks with, of as many parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from lightning_modules.framewise.networks import FramewiseNetwork, check_delay, frames
from lightning_modules.framewise.size import count_parameters, network_size
from lightning_modules.networks import NetworkOutput
from lightning_modules.precision import at_least_float32
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import positive_integer

__all__ = ["LstmNetwork"]


class LstmNetwork(nn.Module):
    """An LSTM with a linear readout, the yardstick for `FramewiseNetwork`.

    Args:
        num_inputs: Number of features.
        num_classes: Number of classes.
        parameters_of: A `FramewiseNetwork`, or its `sizes`; the LSTM gets that number of hidden units with which its
            number of parameters comes closest (`count_parameters`), within 2 % from about 100 neurons on.
        hidden: Number of hidden units per direction, instead of `parameters_of`.
        bidirectional: Whether a second LSTM reads the frames backwards.
        output_delay: As in `FramewiseNetwork`.

    Attributes:
        hidden: Hidden units per direction.

    Raises:
        ValueError: If an argument is outside its range, or not exactly one of `parameters_of` and `hidden` is given.

    Examples:
        >>> import torch
        >>> net = LstmNetwork(39, 61, parameters_of=[39, 100])
        >>> net.hidden, count_parameters(net), network_size([39, 100], 61)
        (48, 20077, 19961)
        >>> net(torch.randn(30, 2, 39)).outputs.shape
        torch.Size([30, 2, 61])
    """

    def __init__(
        self,
        num_inputs: int,
        num_classes: int,
        *,
        parameters_of: Sequence[int] | FramewiseNetwork | None = None,
        hidden: int | None = None,
        bidirectional: bool = False,
        output_delay: int = 0,
    ) -> None:
        super().__init__()
        who = "LstmNetwork"
        if (parameters_of is None) == (hidden is None):
            raise ConfigError(
                f"{who}: exactly one of parameters_of and hidden must be given, got {parameters_of}, {hidden}"
            )
        num_inputs = positive_integer(who, "num_inputs", num_inputs)
        self.num_classes = positive_integer(who, "num_classes", num_classes)
        check_delay(who, output_delay, bidirectional)
        if hidden is None:
            if isinstance(parameters_of, FramewiseNetwork):
                wanted = count_parameters(parameters_of)
            else:
                wanted = network_size(parameters_of or [], num_classes, bidirectional=bidirectional)
            hidden = _hidden(wanted, num_inputs, num_classes, 2 if bidirectional else 1)
        self.hidden = positive_integer(who, "hidden", hidden)
        self.sizes, self.output_delay = [num_inputs, hidden], output_delay
        self.lstm = nn.LSTM(num_inputs, hidden, bidirectional=bidirectional)
        self.readout = nn.Linear((1 + bidirectional) * hidden, num_classes)
        self.layer_names: list[str] = []

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> NetworkOutput:
        """Run over a batch of sequences; arguments and result as for `FramewiseNetwork`, without spikes."""
        x = frames(self, x)
        if self.lstm.bidirectional and lengths is not None:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
            hidden, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], total_length=len(x))
        else:
            hidden, _ = self.lstm(x)
        outputs = self.readout(hidden)[self.output_delay :]
        return NetworkOutput(at_least_float32(outputs), [])


def _hidden(wanted: int, num_inputs: int, num_classes: int, directions: int) -> int:
    """Hidden units with which an LSTM and its readout have nearest to `wanted` parameters."""

    def size(hidden: int) -> int:
        inner = 4 * hidden * (num_inputs + hidden + 2)
        return directions * inner + num_classes * (directions * hidden + 1)

    return min(range(1, math.isqrt(wanted) + 2), key=lambda h: abs(size(h) - wanted))
