"""`snntorch.utils` and `snntorch.backprop` reach the neurons of this package.

`snntorch.utils.reset` calls `_layer_check(net)` of its module, in version 1.0.0 as in later ones, which reset
instances; `snntorch.backprop` asks `_final_layer_check(net)` how many values the last layer returns. Both are looked
up when they are called, so that what follows them here also acts in functions imported before.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from snntorch import utils
from torch import nn

from snn_neuromod.errors import KindError
from snn_neuromod.snntorch.base import Neuron


def neurons(net: nn.Module) -> dict[str, Neuron]:
    """Neurons of this package in a network, at any depth, by name."""
    return {name: module for name, module in net.named_modules() if isinstance(module, Neuron)}


class _Detaching:
    """A flag of `snntorch.utils` that `backprop` asks after each update whether its class is to be detached."""

    def __init__(self, net: nn.Module) -> None:
        self._net = weakref.ref(net)

    def __bool__(self) -> bool:
        net = self._net()
        for neuron in neurons(net).values() if net is not None else ():
            neuron.detach_mem()
        return False  # no class of snnTorch's has to be detached


def _reset(net: nn.Module) -> None:
    """What `snntorch.utils.reset` does, for the neurons of this package in this network."""
    ours = neurons(net)
    for name, neuron in ours.items():
        neuron.warn_if_silent(name)
        neuron.reset_mem()
    if ours and getattr(utils, "is_linearleaky", None) is False:
        utils.is_linearleaky = _Detaching(net)  # a flag that no reset reads


def _outputs(net: nn.Module, theirs: int) -> int:
    """Values that the last layer returns."""
    last = [*net.children()][-1:]
    values = 1 + last[0].returned() if last and isinstance(last[0], Neuron) else theirs
    if neurons(net) and not 2 <= values <= 4:
        raise KindError(
            "snntorch.backprop: the last layer of the network must be a neuron with one to three states and "
            f"output=True, got {type(last[0]).__name__ if last else 'none'}; write the loop: `nm.reset(net)`, "
            "`spk, *state = net(x)` for every step, `loss.backward()`, and `nm.detach(net)` between truncated parts"
        )
    return values


def _follow(name: str, ours: Callable[..., Any]) -> None:
    """Let `ours(net, result)` follow a function of `snntorch.utils` and give its result."""
    theirs = getattr(utils, name, None)
    if theirs is None or hasattr(theirs, "__wrapped__"):
        return

    @functools.wraps(theirs)
    def both(net: nn.Module) -> Any:
        return ours(net, theirs(net))

    setattr(utils, name, both)


def install() -> None:
    """Let `snntorch.utils` reach the neurons of this package; once."""
    check = "_layer_check" if hasattr(utils, "_layer_check") else "reset"
    _follow(check, lambda net, result: _reset(net))
    _follow("_final_layer_check", _outputs)
