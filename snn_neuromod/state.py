"""Reset and detach the state that the neurons of one network keep between calls."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn


def reset(net: nn.Module) -> None:
    """Put every neuron of a network to rest and cut its state off its graph; other networks stay as they are.

    Reaches neurons at any depth: those of `snn_neuromod.snntorch`, snnTorch's own, and Norse's `RegularizationCell`.
    Layers that pass their state in and out, as `snn_neuromod`'s and Norse's do, keep none.

    Args:
        net: A network or a single neuron.

    Raises:
        TypeError: If `net` is not a module.

    Examples:
        >>> import snntorch, torch, snn_neuromod
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), snntorch.Leaky(0.9, init_hidden=True))
        >>> spikes = net(torch.ones(2, 4))
        >>> snn_neuromod.reset(net)
        >>> net[1].mem
        tensor([[0., 0., 0.],
                [0., 0., 0.]])
    """
    for module in _modules("reset", net):
        if _keeps_state(module):
            module.reset_mem()
            _cut(module)
        elif _regularises(module):
            module.state = None


def detach(net: nn.Module) -> None:
    """Cut the state of every neuron of a network off its graph and keep its values: truncated backpropagation.

    Reaches what `reset` reaches.

    Args:
        net: A network or a single neuron.

    Raises:
        TypeError: If `net` is not a module.
    """
    for module in _modules("detach", net):
        if _keeps_state(module):
            _cut(module)
        elif _regularises(module):
            module.state = _detached(module.state)


def _modules(who: str, net: nn.Module) -> list[Any]:
    if not isinstance(net, nn.Module):
        raise TypeError(f"{who}: net must be a torch.nn.Module, got {type(net).__name__}")
    return list(net.modules())


def _keeps_state(module: Any) -> bool:
    return callable(getattr(module, "reset_mem", None))


def _cut(module: nn.Module) -> None:
    for name, buffer in module._buffers.items():
        if buffer is not None and buffer.requires_grad:
            module._buffers[name] = buffer.detach()


def _regularises(module: Any) -> bool:
    norse = sys.modules.get("norse.torch.module.regularization")
    return norse is not None and isinstance(module, norse.RegularizationCell)


def _detached(state: Any) -> Any:
    return torch.utils._pytree.tree_map(
        lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, state
    )
