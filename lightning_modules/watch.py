"""What to look at in a network's layers, so that silence that looks like success is told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["StateWatch", "layer_titles", "lost_weights"]


class StateWatch:
    """Whether the states with which a network's layers end a sequence are finite, without waiting for the device.

    Neurons whose state is NaN are silent: their spikes alone do not tell.

    Args:
        network: A network; watched are its `layers`, if they give back spikes and a state.

    Attributes:
        finite: A bool scalar for each layer of the last sequence, in the order of `layers`.
    """

    def __init__(self, network: nn.Module) -> None:
        self._found: dict[int, Tensor] = {}
        for k, layer in enumerate(getattr(network, "layers", ())):
            layer.register_forward_hook(partial(self._keep, k))

    @property
    def finite(self) -> list[Tensor]:
        return [self._found[k] for k in sorted(self._found)]

    def _keep(self, k: int, layer: nn.Module, given: Any, out: Any) -> None:
        leaves = [leaf.detach() for leaf in _leaves(out) if leaf.is_floating_point()]
        if leaves:  # a sum is finite where all its parts are
            self._found[k] = torch.stack([leaf.sum().isfinite() for leaf in leaves]).all()


def _leaves(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _leaves(part)


def lost_weights(module: nn.Module) -> list[str]:
    """Names of the parameters that are not finite; waits for the device."""
    return [name for name, p in module.named_parameters() if not bool(p.isfinite().all())]


def layer_titles(network: Any) -> list[str]:
    """What to call the layers of a network in messages, such as "layer 1 (32 MSRC)"."""
    neurons = getattr(network, "neurons", ())
    names = getattr(network, "layer_names", None) or [str(k) for k in range(1, 1 + len(neurons))]
    return [
        f"layer {name.replace('_', ', ')} ({neuron.num_neurons} {type(neuron).__name__})"
        for name, neuron in zip(names, neurons, strict=True)
    ]
