"""Networks of this package taken apart into layers that other tools know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.networks import FeedForward, SpikeSum, SpikingLinear
from snn_neuromod import LeakyIntegrator, LeakyReadout, PopulationReadout, Recurrent
from snn_neuromod.errors import RunError

__all__ = ["ExportNetwork", "exportable"]


class ExportNetwork(nn.Module):
    """Spiking layers one after another, some or all of which are read.

    Args:
        layers: The layers from the input upwards: neurons with weights before them, or `Recurrent`.
        reads: For each layer its weights to the readout; None: it is not read.
        readout: Filter of what is read; None: none.
        notes: What else a user of the file has to know.

    Attributes:
        notes: The same.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        reads: Sequence[nn.Module | None],
        readout: nn.Module | None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.reads = nn.ModuleList([nn.Identity() if read is None else read for read in reads])
        self.read = [read is not None for read in reads]
        self.readout, self.notes = readout, tuple(notes)

    def forward(self, x: Tensor) -> Tensor:
        """Readout at every step, (T, batch, class), of x (T, batch, input)."""
        total: Any = None
        for layer, read, is_read in zip(self.layers, self.reads, self.read, strict=True):
            if isinstance(layer, Weighted):
                x, _ = layer.neuron(layer.weights(x))
            else:
                x, _ = layer(x)
            if is_read:
                seen = read(x)
                total = seen if total is None else total + seen
        if self.readout is not None:
            total, _ = self.readout(total)
        out: Tensor = total
        return out


class Weighted(nn.Module):
    """Weights and the neurons behind them.

    Args:
        layer: A layer of `FeedForward`.
    """

    def __init__(self, layer: SpikingLinear) -> None:
        super().__init__()
        outputs, inputs = layer.weight.shape
        self.weights = nn.Linear(inputs, outputs, bias=layer.bias is not None)
        with torch.no_grad():
            self.weights.weight.copy_(layer.input_gain * layer.weight)
            if layer.bias is not None:
                self.weights.bias.copy_(layer.bias)
        self.neuron = layer.neuron


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
    for name, value in (
        ("smoothing", network.smoothing),
        ("bidirectional", len(network.stacks) > 1),
    ):
        if value:
            raise RunError(
                f"export: {name} must be off, since a tool that takes steps sees no later ones"
            )
    if network.readout_rate != "step":
        raise RunError(f"export: readout_rate must be 'step', got {network.readout_rate!r}")
    reads, readout = _readout(network.readout, network.sizes[1:])
    notes = []
    if network.n_repeat > 1:
        notes.append(
            f"present each frame for {network.n_repeat} steps, and average the output over them"
        )
    if network.output_delay:
        notes.append(f"the output lags {network.output_delay} frames behind")
    return ExportNetwork(network.layers, reads, readout, notes)


def _readout(
    readout: nn.Module, sizes: Sequence[int]
) -> tuple[list[nn.Module | None], nn.Module | None]:
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
    reads: list[nn.Module | None] = []
    for columns in readout.w_out.detach().split(list(sizes), dim=1):
        linear = nn.Linear(columns.shape[1], columns.shape[0], bias=bias is not None and not reads)
        with torch.no_grad():
            linear.weight.copy_(columns)
            if linear.bias is not None and bias is not None:
                linear.bias.copy_(bias)
        reads.append(linear)
    found: LeakyIntegrator = readout.filter
    return reads, found


def layers_of(network: ExportNetwork) -> list[tuple[nn.Linear | None, Any, Recurrent | None]]:
    """Weights, neurons and recurrence of each layer.

    Args:
        network: The network.
    """
    return [
        (layer.weights, layer.neuron, None)
        if isinstance(layer, Weighted)
        else (None, layer.neuron, layer)  # type: ignore[misc]
        for layer in network.layers
    ]
