"""Any module as the network of a task, and what a network tells of its layers."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from lightning_modules.networks import NetworkOutput
from lightning_modules.precision import as_weights
from snn_neuromod.errors import ConfigError

__all__ = ["AnyNetwork", "layer_titles", "named_layers"]


class AnyNetwork(nn.Module):
    """A module of one's own, called as `FeedForward` is.

    Args:
        module: Takes (T, batch, ...) and returns outputs (T, batch, class), or outputs and spikes: a tensor
            (T, batch, neuron) or one for each layer. Outputs (batch, class) count as one step. Where its `forward` has
            an argument `lengths`, it gets the lengths of the sequences, (batch,).

    Attributes:
        num_classes: That of the module; None until a task takes it from the data.
        neurons: Those of the module, if it has any.
        layers: The same.

    Examples:
        >>> import torch
        >>> network = AnyNetwork(nn.Linear(784, 10))
        >>> outputs, spikes = network(torch.zeros(20, 4, 784, dtype=torch.uint8))
        >>> outputs.shape, spikes
        (torch.Size([20, 4, 10]), [])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.num_classes: int | None = getattr(module, "num_classes", None)
        self._takes_lengths = "lengths" in inspect.signature(module.forward).parameters

    @property
    def neurons(self) -> list[Any]:
        return list(getattr(self.module, "neurons", ()))

    @property
    def layers(self) -> list[Any]:
        return list(getattr(self.module, "layers", ()))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> NetworkOutput:
        """Run over (T, batch, ...), which becomes as the module's parameters are, of sequences of some lengths.

        Raises:
            ConfigError: If the module returns something else than is said above.
        """
        x = as_weights(x, self.module)
        out = self.module(x, lengths=lengths) if self._takes_lengths else self.module(x)
        outputs, *rest = out if isinstance(out, tuple | list) else (out,)
        spikes = rest[0] if rest else []
        spikes = [spikes] if isinstance(spikes, Tensor) else list(spikes)
        outputs = outputs[None] if isinstance(outputs, Tensor) and outputs.ndim == 2 else outputs
        if not isinstance(outputs, Tensor) or outputs.ndim != 3 or outputs.shape[1] != x.shape[1]:
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ConfigError(
                f"{type(self.module).__name__}: forward must return outputs (T, batch, class), or those and spikes, "
                f"for input {tuple(x.shape)}, got {shape}"
            )
        if self.num_classes not in (None, outputs.shape[-1]):
            raise ConfigError(
                f"{type(self.module).__name__}: forward must return outputs for {self.num_classes} classes, got "
                f"{outputs.shape[-1]}"
            )
        return NetworkOutput(outputs, spikes)


def named_layers(network: Any, number: int) -> list[tuple[str, Any]]:
    """Name and neurons of each layer of which a network gives spikes.

    Args:
        network: The network.
        number: How many layers it gives spikes of.

    Returns:
        None in the place of neurons where the network does not tell those of just as many layers.
    """
    names = getattr(network, "layer_names", None) or [str(k) for k in range(1, 1 + number)]
    neurons = getattr(network, "neurons", ())
    return list(zip(names, neurons if len(neurons) == number else [None] * number, strict=True))


def layer_titles(network: Any, number: int) -> list[str]:
    """What to call the layers of a network in messages, such as "layer 1 (32 MSRC)"; arguments as of `named_layers`."""
    return [
        f"layer {name.replace('_', ', ')}"
        + (f" ({neuron.num_neurons} {type(neuron).__name__})" if neuron is not None else "")
        for name, neuron in named_layers(network, number)
    ]
