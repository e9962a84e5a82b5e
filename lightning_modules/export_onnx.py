"""One step of a network as an ONNX graph, its states going in and out."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.export_network import ExportNetwork, layers_of
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
        for _, _, recurrent in layers_of(network):
            if recurrent is not None and recurrent.delays.steps != (1,):
                raise RunError(
                    "export: delays must be one step for ONNX; NIR takes delays per neuron"
                )

    def _example(self, batch: int) -> Tensor:
        weights, _, recurrent = layers_of(self.network)[0]
        inputs = recurrent.in_features if weights is None else weights.in_features  # type: ignore[union-attr]
        dtype = next(self.network.parameters()).dtype
        return torch.zeros(batch, int(inputs), dtype=dtype)

    def _states(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """States at rest by name."""
        for k, (_, neuron, recurrent) in enumerate(layers_of(self.network), 1):
            current = x.new_zeros(len(x), neuron.num_neurons)
            state = neuron.initial_state(current)
            yield from ((f"layer{k}_{name}", value) for name, value in state._asdict().items())
            if recurrent is not None and "z" not in state._fields:
                yield f"layer{k}_spikes", torch.zeros_like(current)
        readout: Any = self.network.readout
        if readout is not None:
            yield "readout", x.new_zeros(len(x), readout.num_neurons)

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
        left, after, total = list(states), [], None
        network = self.network
        for (weights, neuron, recurrent), read, is_read in zip(
            layers_of(network), network.reads, network.read, strict=True
        ):
            kind = neuron.dynamics.State
            state = kind(*(left.pop(0) for _ in kind._fields))
            if weights is not None:
                current = weights(x)
            else:
                before = state.z if "z" in kind._fields else left.pop(0)
                w_in, w_rec = recurrent.weights()  # type: ignore[union-attr]
                current = x @ w_in.T + before @ w_rec.T
            x, state = neuron.step(current, state)
            after += [*state, *([x] if recurrent is not None and "z" not in kind._fields else [])]
            if is_read:
                seen = read(x)
                total = seen if total is None else total + seen
        readout: Any = network.readout
        if readout is not None:
            total, (filtered,) = readout.step(total, readout.dynamics.State(left.pop(0)))
            after.append(filtered)
        return (total, *after)


def write_onnx(network: ExportNetwork, target: Path) -> None:
    """Write one step of a network; the batch may have any size.

    Args:
        network: The network.
        target: The file.

    Raises:
        RunError: If the packages onnx and onnxscript are missing, or the network cannot be written.
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
        torch.onnx.export(
            step,
            example,
            target,
            input_names=["input", *step.names],
            output_names=["output", *(f"{name}_next" for name in step.names)],
            dynamic_shapes=({0: batch}, tuple({0: batch} for _ in step.names)),
            dynamo=True,
            verbose=False,
        )
