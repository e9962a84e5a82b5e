"""A neuron of one's own in Norse's form: cell, recurrent cell, and their time-first modules."""

from __future__ import annotations

from typing import Any

from snn_neuromod.norse.base import Cell, Module
from snn_neuromod.norse.recipes import custom
from snn_neuromod.norse.recurrent import RecurrentCell, RecurrentModule


class CustomCell(Cell):
    """A neuron of your own, one step, given by its equations; see `snn_neuromod.Custom`.

    Args:
        dynamics: The neuron's equations, or the name of a module that can be imported.
        p: Its `Params`, in its own units; None: the defaults. The state is its `State`.
        **arguments: Further arguments of `Cell`, without `dt`; `options` (keyword arguments of `step`), `ranges` and
            `backend` as of `snn_neuromod.Custom`.

    Raises:
        TypeError: If `dynamics` lacks one of its parts, or `p` is of another neuron.
        ValueError: If a parameter is outside its range, or `step` is not elementwise.
    """

    def __init__(self, dynamics: Any, p: Any = None, **arguments: Any) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(p, **arguments)


class Custom(Module):
    """A neuron of your own over sequences; arguments: `CustomCell`, and `record_states` of `Module`.

    Examples:
        >>> import torch
        >>> spikes, state = Custom("snn_neuromod.dynamics.alif")(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    def __init__(self, dynamics: Any, p: Any = None, **arguments: Any) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(p, **arguments)


class CustomRecurrentCell(RecurrentCell):
    """A neuron of your own with recurrent weights, one step; arguments: those of `CustomCell` and `RecurrentCell`.

    The state holds the spikes in `z` and the neuron's own in `neuron`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, dynamics: Any, p: Any = None, **arguments: Any
    ) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(input_size, hidden_size, p, **arguments)


class CustomRecurrent(RecurrentModule):
    """A neuron of your own with recurrent weights over sequences; arguments: see `CustomRecurrentCell`.

    Examples:
        >>> import torch
        >>> net = CustomRecurrent(5, 3, "snn_neuromod.dynamics.alif", learning_rule="eprop")
        >>> spikes, state = net(torch.rand(50, 8, 5))  # (T, batch, input)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    def __init__(
        self, input_size: int, hidden_size: int, dynamics: Any, p: Any = None, **arguments: Any
    ) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(input_size, hidden_size, p, **arguments)
