"""Reset and detach the state that the neurons of one network keep between calls."""

from __future__ import annotations

import sys
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from snn_neuromod.errors import KindError


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
    for name, module in _modules("reset", net).items():
        if _keeps_state(module):
            if hasattr(module, "warn_if_silent"):
                module.warn_if_silent(name)
            module.reset_mem()
            _cut(module)
        elif _regularises(module):
            module.state = None


_State = TypeVar("_State", bound="Tensor | tuple[Any, ...] | list[Any] | dict[Any, Any]")


@overload
def detach(net: nn.Module) -> None: ...
@overload
def detach(net: _State) -> _State: ...
def detach(net: Any) -> Any:
    """Cut the state of neurons off its graph and keep its values: truncated backpropagation.

    Args:
        net: A network or a single neuron that keeps its state, reached as by `reset`. Or a state that a layer gave
            back, to be passed on with the next segment.

    Returns:
        None for a network; for a state the same on no graph.

    Raises:
        TypeError: If `net` is neither a module nor a state, that is a tensor, or a tuple, list or dictionary of them.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF, Recurrent, detach
        >>> layer, state = Recurrent(ALIF(20), in_features=5), None
        >>> for segment in torch.rand(60, 8, 5).split(20):
        ...     spikes, state = layer(segment, state)
        ...     spikes.sum().backward()
        ...     state = detach(state)
    """
    if isinstance(net, Tensor | tuple | list | dict):
        leaves = torch.utils._pytree.tree_leaves(net)
        wrong = [leaf for leaf in leaves if not (leaf is None or isinstance(leaf, Tensor))]
        if wrong:
            raise KindError(
                f"detach: a state must be made of tensors, got one that holds {type(wrong[0]).__name__}"
            )
        return _detached(net)
    for module in _modules("detach", net).values():
        if _keeps_state(module):
            _cut(module)
        elif _regularises(module):
            module.state = _detached(module.state)
    return None


def _modules(who: str, net: nn.Module) -> dict[str, Any]:
    if not isinstance(net, nn.Module):
        raise KindError(f"{who}: net must be a torch.nn.Module, got {type(net).__name__}")
    return dict(net.named_modules())


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
