"""Networks of this package taken apart into layers that other tools know."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

from torch import Tensor, nn

from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.networks import FeedForward, SpikeSum, SpikingLinear
from snn_neuromod import LeakyIntegrator, LeakyReadout, PopulationReadout
from snn_neuromod.errors import RunError

__all__ = ["ExportNetwork", "exportable"]


class ExportNetwork(nn.Module):
    """Spiking layers one after another, some or all of which are read.

    Args:
        layers: The layers from the input upwards: `Weighted` or `Recurrent`.
        reads: For each layer its weights to the readout; None: it is not read.
        readout: Filter of what is read.
        notes: What else a user of the file has to know.

    Attributes:
        notes: The same.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        reads: Iterable[nn.Module | None],
        readout: LeakyIntegrator,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.layers, self.reads = nn.ModuleList(layers), nn.ModuleList(reads)  # type: ignore[arg-type]
        self.readout, self.notes = readout, tuple(notes)

    def forward(self, x: Tensor) -> Tensor:
        """Readout at every step, (T, batch, class), of x (T, batch, input)."""
        spikes = []
        for layer in self.layers:
            x, _ = layer(x)
            spikes.append(x)
        return self.readout(self.read(spikes))[0]

    def read(self, spikes: Iterable[Tensor]) -> Tensor:
        """What the readout gets from the spikes of each layer."""
        both = zip(self.reads, spikes, strict=True)
        total: Tensor = reduce(operator.add, [read(x) for read, x in both if read is not None])
        return total


class Weighted(nn.Module):
    """Weights and the neurons behind them.

    Args:
        layer: A layer of `FeedForward`.
    """

    def __init__(self, layer: SpikingLinear) -> None:
        super().__init__()
        self.weights = _linear(layer.input_gain * layer.weight, layer.bias)
        self.in_features, self.neuron = self.weights.in_features, layer.neuron

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """Run over x (T, batch, input)."""
        return self.neuron(self.weights(x))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return linear


def exportable(network: nn.Module) -> ExportNetwork:
    """Take a network apart.

    Args:
        network: The network of a task.

    Raises:
        RunError: If it is none that can be.
    """
    if type(network) is FeedForward:
        layers = [
            Weighted(layer) if isinstance(layer, SpikingLinear) else layer
            for layer in network.layers
        ]
        reads, readout = _readout(network.readout, network.sizes[-1:])
        return ExportNetwork(layers, [*[None] * (len(layers) - 1), *reads], readout)
    if type(network) is FramewiseNetwork:
        return _framewise(network)
    raise RunError(
        f"export: the network must be a FeedForward or a FramewiseNetwork, got {type(network).__name__}"
    )


def _framewise(network: FramewiseNetwork) -> ExportNetwork:
    later = {"smoothing": network.smoothing, "bidirectional": len(network.stacks) > 1}
    for name in (name for name, on in later.items() if on):
        raise RunError(
            f"export: {name} must be off, since a tool that takes steps sees no later ones"
        )
    if network.readout_rate != "step":
        raise RunError(f"export: readout_rate must be 'step', got {network.readout_rate!r}")
    repeat, lag = network.n_repeat, network.output_delay
    notes = []
    if repeat > 1:
        notes.append(f"present each frame for {repeat} steps, and average the output over them")
    if lag:
        notes.append(f"the output lags {lag} frames behind")
    reads, readout = _readout(network.readout, network.sizes[1:])
    return ExportNetwork(network.layers, reads, readout, notes)


def _readout(readout: nn.Module, sizes: list[int]) -> tuple[list[nn.Module], LeakyIntegrator]:
    """Weights of each layer that is read, and the filter behind them."""
    if isinstance(readout, SpikeSum):
        return [nn.Identity()], readout.filter
    if not isinstance(readout, LeakyReadout | PopulationReadout):
        raise RunError(
            "export: the readout must be a SpikeSum, LeakyReadout or PopulationReadout, "
            f"got {type(readout).__name__}"
        )
    bias = getattr(readout, "bias", None)
    if bias is not None and not getattr(readout, "bias_inside", True):
        raise RunError("export: LeakyReadout must have bias_inside=True or no bias")
    first, *others = readout.w_out.split(sizes, dim=1)
    return [_linear(first, bias), *(_linear(columns, None) for columns in others)], readout.filter
