"""One step of a network as an ONNX graph, its states going in and out."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.export_network import ExportNetwork
from snn_neuromod import Recurrent
from snn_neuromod._storage import write_atomically
from snn_neuromod.errors import RunError

__all__ = ["StepNetwork", "write_onnx"]


class StepNetwork(nn.Module):
    """One step of a network.

    Args:
        network: The network.

    Attributes:
        names: Names of the states, in the order in which they go in and come out.

    Raises:
        RunError: If recurrent spikes are delayed by more than one step.
    """

    def __init__(self, network: ExportNetwork) -> None:
        super().__init__()
        self.network = network
        self.names = [name for name, _ in self._states(self._example(1))]
        loops = [layer for layer in network.layers if isinstance(layer, Recurrent)]
        if any(loop.delays.steps != (1,) for loop in loops):
            raise RunError("export: delays must be one step for ONNX; NIR takes delays per neuron")

    def _example(self, batch: int) -> Tensor:
        first: Any = self.network.layers[0]
        return torch.zeros(batch, first.in_features, dtype=next(first.parameters()).dtype)

    def _states(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """States at rest by name."""
        for k, layer in enumerate(self.network.layers, 1):
            neuron: Any = layer.neuron
            current = x.new_zeros(len(x), neuron.num_neurons)
            state = neuron.initial_state(current)
            yield from ((f"layer{k}_{name}", value) for name, value in state._asdict().items())
            if _keeps_spikes(layer):
                yield f"layer{k}_spikes", torch.zeros_like(current)
        yield "readout", x.new_zeros(len(x), self.network.readout.num_neurons or 0)

    def example(self, batch: int = 2) -> tuple[Tensor, ...]:
        """An input and the states at rest."""
        x = self._example(batch)
        return (x, *(value.clone() for _, value in self._states(x)))

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Advance by one step.

        Args:
            x: Input, (batch, input).
            *states: States by `names`, (batch, ...).

        Returns:
            The readout, (batch, class), and the states after the step.
        """
        left, after, spikes = list(states), list[Tensor](), list[Tensor]()
        layer: Any
        for layer in self.network.layers:
            kind = layer.neuron.dynamics.State
            state = kind(*(left.pop(0) for _ in kind._fields))
            if isinstance(layer, Recurrent):
                before = left.pop(0) if _keeps_spikes(layer) else state.z
                w_in, w_rec = layer.weights()
                current = x @ w_in.T + before @ w_rec.T
            else:
                current = layer.weights(x)
            x, state = layer.neuron.step(current, state)
            after += [*state, *([x] if _keeps_spikes(layer) else [])]
            spikes.append(x)
        readout: Any = self.network.readout
        out, last = readout.step(self.network.read(spikes), readout.dynamics.State(*left))
        return (out, *after, *last)


def _keeps_spikes(layer: Any) -> bool:
    """Whether the spikes of the step before are a state of a layer beside its neurons'."""
    return isinstance(layer, Recurrent) and "z" not in layer.neuron.dynamics.State._fields


def write_onnx(network: ExportNetwork, target: Path) -> None:
    """Write one step of a network; the batch may have any size.

    Args:
        network: The network.
        target: The file.

    Raises:
        RunError: If the packages onnx and onnxscript are missing, or the network cannot be written.
        StorageError: If the file cannot be written; what was there is there still.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(
            f"export: --format onnx needs {' and '.join(missing)}: pip install onnx onnxscript"
        )
    step = StepNetwork(network).eval()
    batch = torch.export.Dim("batch")
    example = step.example()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program: Any = torch.onnx.export(
            step,
            example,
            input_names=["input", *step.names],
            output_names=["output", *(f"{name}_next" for name in step.names)],
            dynamic_shapes=({0: batch}, tuple({0: batch} for _ in step.names)),
            dynamo=True,
            verbose=False,
        )
    # Weights inside: a second file beside it would be lost when this one is moved.
    write_atomically(target, lambda file: file.write(program.model_proto.SerializeToString()))
