"""Number of parameters of a framewise network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from lightning_modules.arguments import layer_sizes
from snn_neuromod import Recurrent

__all__ = ["count_parameters", "network_size"]


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers of a network that its answer depends on.

    Weights that are held at zero (self-connections, absent synapses) do not count, nor do feedback weights.

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    number = 0
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or name == "b_feedback":
                continue
            mask = getattr(module, name.replace("w_", "mask_"), None)
            if isinstance(module, Recurrent) and isinstance(mask, Tensor):
                number += int(mask.sum())
            else:
                number += parameter.numel()
                if isinstance(module, Recurrent) and name == "w_rec":
                    number -= len(parameter)
    return number


def network_size(sizes: Sequence[int], num_classes: int, *, bidirectional: bool = False) -> int:
    """Number of weights and biases of a `FramewiseNetwork` whose neurons learn no parameters of their own.

    Args:
        sizes: Number of features, then of the neurons of each layer.
        num_classes: Number of classes.
        bidirectional: Whether there are two directions.

    Returns:
        The same as `count_parameters` of the network.

    Raises:
        ValueError: If there is no layer.
    """
    sizes = layer_sizes("network_size", sizes)
    directions = 2 if bidirectional else 1
    inner = sum(n * (inputs + n - 1) for inputs, n in itertools.pairwise(sizes))
    return directions * inner + num_classes * (directions * sum(sizes[1:]) + 1)
